"""Probes against servers on the loopback: what blackbox_exporter would say, and why a look failed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.interface import PollResult
from collectors.probes.icmp import checksum, is_reply, request
from collectors.probes.poller import ProbePoller
from monitor.clock import SystemClock
from monitor.errors import InputError
from monitor.model import Device, DeviceId, Kind, Probe, SiteId
from tests.collectors.probes.local import Authority, WebServer, make_authority
from tests.real.sshd import free_port


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


def look(probe: Probe, *, address: str = "127.0.0.1", ca_file: str = "") -> PollResult:
    device = Device(DeviceId("D"), SiteId("H"), "d", Kind.SERVER, address, probes=(probe,))
    return ProbePoller(SystemClock(), ca_file=ca_file).poll(device, None)


def values(result: PollResult) -> dict[str, float]:
    assert all(
        dict(reading.labels)["probe"] == result.module.partition(":")[2] for reading in result.readings
    )
    return {reading.name: reading.value for reading in result.readings}


def codes(result: PollResult) -> list[str]:
    assert all(error.message and error.zh for error in result.errors)
    return [error.code for error in result.errors]


def in_days(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def test_tcp_open_and_closed(web: WebServer) -> None:
    opened = look(Probe("tcp", "his", port=web.port))
    assert (opened.module, opened.up, codes(opened)) == ("probe:his", True, [])
    assert values(opened)["probe_success"] == 1
    assert values(opened)["probe_ip_protocol"] == 4
    assert 0 <= values(opened)["probe_duration_seconds"] < 5
    closed = look(Probe("tcp", "his", port=free_port()))
    assert (closed.up, codes(closed), values(closed)["probe_success"]) == (False, ["refused"], 0)


def test_a_name_that_does_not_resolve() -> None:
    result = look(Probe("tcp", "x", target="no-such-host.invalid", port=1, timeout=2))
    assert codes(result) == ["dns"]


def test_the_target_of_a_probe_overrides_the_address(web: WebServer) -> None:
    assert look(Probe("tcp", "x", target="127.0.0.1", port=web.port), address="no-such-host.invalid").up


def test_http_ok(web: WebServer) -> None:
    result = look(Probe("http", "web", port=web.port, expect_text="挂号"))
    assert (result.up, codes(result)) == (True, [])
    found = values(result)
    assert found["probe_http_status_code"] == 200
    assert found["probe_http_redirects"] == found["probe_http_ssl"] == found["probe_failed_due_to_regex"] == 0
    assert found["probe_http_uncompressed_body_length"] == len("<h1>挂号系统</h1>".encode())


def test_http_wrong_status_and_text(web: WebServer) -> None:
    result = look(Probe("http", "web", url=f"{web.base}/status/503", expect_text="挂号"))
    assert codes(result) == ["status", "text"]
    assert values(result)["probe_http_status_code"] == 503
    assert values(result)["probe_failed_due_to_regex"] == 1
    assert look(Probe("http", "web", url=f"{web.base}/status/401", expect_status=(200, 401))).up


def test_http_follows_five_redirects_and_no_more(web: WebServer) -> None:
    five = look(Probe("http", "web", url=f"{web.base}/hop/5"))
    assert (five.up, values(five)["probe_http_redirects"]) == (True, 5)
    assert codes(look(Probe("http", "web", url=f"{web.base}/hop/6"))) == ["redirects"]
    kept = look(Probe("http", "web", url=f"{web.base}/hop/1", expect_status=(302,)))
    assert (kept.up, values(kept)["probe_http_status_code"]) == (True, 302)


@pytest.mark.parametrize("elsewhere", ["file:///etc/passwd", "gopher://127.0.0.1/", "javascript:alert(1)"])
def test_http_does_not_follow_to_other_schemes(web: WebServer, elsewhere: str) -> None:
    assert codes(look(Probe("http", "web", url=f"{web.base}/to?{elsewhere}"))) == ["config"]


def test_https_needs_a_trusted_certificate(authority: Authority) -> None:
    with WebServer(authority.issue("web", not_after=in_days(10))) as server:
        probe = Probe("http", "web", url=server.base)
        trusted = look(probe, ca_file=authority.file)
        assert (trusted.up, codes(trusted)) == (True, [])
        assert values(trusted)["probe_http_ssl"] == 1
        days = (values(trusted)["probe_ssl_earliest_cert_expiry"] - datetime.now(UTC).timestamp()) / 86400
        assert 9.9 < days < 10.1
        assert codes(look(probe)) == ["tls-untrusted"]


def test_what_does_not_speak_http_is_no_success() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def babble() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        assert codes(look(Probe("http", "web", port=port))) == ["malformed"]
        thread.join()


@pytest.mark.parametrize(("kind", "url"), [("http", True), ("tls", False)])
def test_a_server_that_says_nothing_times_out(kind: str, url: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        probe = Probe(kind, "x", port=port, url=f"https://127.0.0.1:{port}/" if url else "", timeout=0.3)
        result = look(probe)
    assert codes(result) == ["timeout"]
    assert 0.2 < result.duration_seconds < 2


def test_tls_good(authority: Authority) -> None:
    with WebServer(authority.issue("good", not_after=in_days(20))) as server:
        result = look(Probe("tls", "cert", port=server.port), ca_file=authority.file)
    assert (result.up, codes(result)) == (True, [])
    assert result.detail["certificate"]["days_left"] == pytest.approx(20, abs=0.1)  # type: ignore[index]
    versions = [dict(r.labels)["version"] for r in result.readings if r.name == "probe_tls_version_info"]
    assert versions == ["TLSv1.3"]


@pytest.mark.parametrize(
    ("name", "days", "address", "trusted", "code"),
    [
        ("expired", -3, "127.0.0.1", True, "tls-expired"),
        ("othername", 9, "10.9.9.9", True, "tls-name"),
        ("stranger", 9, "127.0.0.1", False, "tls-untrusted"),
    ],
)
def test_tls_bad_still_tells_the_expiry(
    authority: Authority, name: str, days: int, address: str, trusted: bool, code: str
) -> None:
    with WebServer(authority.issue(name, not_after=in_days(days), address=address)) as server:
        result = look(Probe("tls", "cert", port=server.port), ca_file=authority.file if trusted else "")
    assert (result.up, codes(result)) == (False, [code])
    left = values(result)["probe_ssl_earliest_cert_expiry"] - datetime.now(UTC).timestamp()
    assert left / 86400 == pytest.approx(days, abs=0.1)


def test_tls_against_what_is_no_tls(web: WebServer) -> None:
    assert codes(look(Probe("tls", "cert", port=web.port, timeout=2))) == ["tls"]


def test_icmp_answers_on_the_loopback_or_says_what_is_missing() -> None:
    result = look(Probe("icmp", "ping", timeout=2))
    if codes(result) == ["unsupported"]:
        assert "CAP_NET_RAW" in result.errors[0].message
        return
    assert (result.up, codes(result)) == (True, [])
    phases = {
        dict(r.labels)["phase"]: r.value for r in result.readings if r.name == "probe_icmp_duration_seconds"
    }
    assert set(phases) == {"resolve", "setup", "rtt"}
    assert 0 < phases["rtt"] < 2


def test_icmp_without_rights_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError

    monkeypatch.setattr(socket, "socket", refuse)
    result = look(Probe("icmp", "ping", timeout=1))
    assert codes(result) == ["unsupported"]
    assert "ping_group_range" in result.errors[0].message


@given(st.binary(min_size=8, max_size=64), st.integers(0, 0xFFFF))
def test_icmp_requests_have_a_right_checksum_and_replies_are_told_by_tag(tag: bytes, identifier: int) -> None:
    packet = request(socket.AF_INET, identifier, 1, tag)
    assert checksum(packet) == 0, "RFC 1071: the sum over a right packet is zero"
    reply = b"\0" + packet[1:]
    assert is_reply(reply, socket.AF_INET, False, tag)
    assert is_reply(b"\x45" + bytes(19) + reply, socket.AF_INET, True, tag)
    assert not is_reply(packet, socket.AF_INET, False, tag), "our own request, seen on the loopback"
    assert not is_reply(reply + b"x", socket.AF_INET, False, tag)
    assert not is_reply(b"", socket.AF_INET, True, tag)


def test_an_unknown_kind_and_a_device_without_probe() -> None:
    assert codes(look(Probe("smtp", "mail"))) == ["unsupported"]
    with pytest.raises(InputError):
        ProbePoller(SystemClock()).poll(Device(DeviceId("D"), SiteId("H"), "d", Kind.SERVER, "::1"), None)


def test_a_wrong_file_of_authorities(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="authorities"):
        ProbePoller(SystemClock(), ca_file=str(tmp_path / "none.pem"))
