"""Sessions, facts and polls against Debian's sshd: right and wrong host keys, wrong logins, cut output."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.interface import Credential, PollResult
from collectors.ssh.facts import build
from collectors.ssh.hostkeys import pinned_keys
from collectors.ssh.poller import SshPoller
from collectors.ssh.session import SshError, connect
from monitor.clock import SystemClock
from monitor.devices import FactRequest, RawFact, SshTarget, fact_reader
from monitor.errors import InputError, UnreachableError
from monitor.model import Device, DeviceId, Kind, SiteId, SshAccess
from tests.real.sshd import LoopbackSshd, free_port

OTHER_KEY = "SHA256:" + "A" * 43


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSshd]:
    with LoopbackSshd(tmp_path_factory.mktemp("real")) as server:
        yield server


def target(sshd: LoopbackSshd, **changes: str) -> SshTarget:
    given = {"identity_file": sshd.identity_file, "known_hosts": sshd.known_hosts, **changes}
    return SshTarget(sshd.host, sshd.port, sshd.user, timeout=5, **given)


def read(sshd: LoopbackSshd, *requests: FactRequest) -> list[RawFact]:
    return build().read(target(sshd), requests)


def refused(sshd: LoopbackSshd, wanted: SshTarget) -> SshError:
    before = sshd.log.read_text().count("Accepted publickey")
    with pytest.raises(SshError) as caught:
        connect(wanted)
    assert sshd.log.read_text().count("Accepted publickey") == before
    return caught.value


def test_the_host_key_is_accepted_by_fingerprint_or_known_hosts(sshd: LoopbackSshd) -> None:
    for wanted in (target(sshd), target(sshd, known_hosts="", host_key=sshd.host_key_fingerprint)):
        session = connect(wanted)
        assert session.host_key == sshd.host_key_fingerprint
        session.close()


def test_an_unknown_host_key_is_refused_and_shown(sshd: LoopbackSshd) -> None:
    error = refused(sshd, target(sshd, known_hosts=""))
    assert error.code == "host-key"
    assert sshd.host_key_fingerprint in str(error)
    assert sshd.host_key_fingerprint in error.zh
    assert "ssh-keygen" in str(error)


def test_a_wrong_host_key_is_refused_before_anything_is_sent(sshd: LoopbackSshd) -> None:
    error = refused(sshd, target(sshd, known_hosts="", host_key=OTHER_KEY))
    assert error.code == "host-key"
    assert f"expected {OTHER_KEY}, offered {sshd.host_key_fingerprint}" in str(error)
    assert OTHER_KEY in error.zh
    assert isinstance(error, UnreachableError)
    assert error.exit_code == 3


def test_a_host_of_another_name_in_known_hosts_is_unknown(sshd: LoopbackSshd, tmp_path: Path) -> None:
    other = tmp_path / "known_hosts"
    other.write_text(Path(sshd.known_hosts).read_text().replace(f":{sshd.port}", ":1"))
    assert refused(sshd, target(sshd, known_hosts=str(other))).code == "host-key"


def test_known_hosts_hashed_revoked_and_damaged_lines(sshd: LoopbackSshd, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    line = Path(sshd.known_hosts).read_text()
    file.write_text(line)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], capture_output=True, check=True)
    file.write_text("half a line\njunk\n@cert-authority * ssh-ed25519 AAAA\n# note\n" + file.read_text())
    assert "|1|" in file.read_text()
    connect(target(sshd, known_hosts=str(file))).close()
    file.write_text(file.read_text() + "@revoked * " + " ".join(line.split()[1:]) + "\n")
    assert refused(sshd, target(sshd, known_hosts=str(file))).code == "host-key"


def test_a_pinned_key_of_another_type_than_the_preferred_one_is_found(tmp_path: Path) -> None:
    key = tmp_path / "rsa_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(key)], check=True)
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], check=True, capture_output=True, text=True)
    with LoopbackSshd(tmp_path, options=(f"HostKey {key}",)) as sshd:
        session = connect(target(sshd, known_hosts="", host_key=shown.stdout.split()[1]))
        session.close()
        kind, blob = Path(f"{key}.pub").read_text().split()[:2]
        (tmp_path / "kh").write_text(f"[{sshd.host}]:{sshd.port} {kind} {blob}\n")
        connect(target(sshd, known_hosts=str(tmp_path / "kh"))).close()


@pytest.mark.parametrize("text", ["SHA256:short", "MD5:aa:bb", "x" * 50, "SHA256:" + "!" * 43])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="SHA256"):
        pinned_keys("h", 22, text, "")


def test_a_wrong_user_key_is_refused(sshd: LoopbackSshd, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(wrong)], check=True)
    assert refused(sshd, target(sshd, identity_file=str(wrong))).code == "auth"
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(locked)], check=True)
    assert "passphrase" in str(refused(sshd, target(sshd, identity_file=str(locked))))
    error = refused(sshd, target(sshd, identity_file="", password="hunter2"))
    assert error.code == "auth"
    assert "hunter2" not in f"{error!r} {error} {error.zh}"
    assert refused(sshd, target(sshd, identity_file="", private_key="no key")).code == "auth"
    assert refused(sshd, target(sshd, identity_file="")).code == "auth"


def test_nobody_there() -> None:
    with pytest.raises(SshError) as caught:
        connect(SshTarget("127.0.0.1", free_port(), host_key=OTHER_KEY, password="x", timeout=1))
    assert caught.value.code == "refused"


@pytest.mark.parametrize(
    ("greeting", "code"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 40, "malformed"), (b"", "timeout")]
)
def test_a_port_that_is_not_ssh(greeting: bytes, code: str) -> None:
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(greeting)
                if not greeting:
                    done.wait(5)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SshError) as caught:
            connect(
                SshTarget("127.0.0.1", server.getsockname()[1], host_key=OTHER_KEY, password="x", timeout=0.5)
            )
        done.set()
        thread.join()
    assert caught.value.code == code


def test_facts_of_files_and_commands_in_order(sshd: LoopbackSshd, tmp_path: Path) -> None:
    odd = tmp_path / "a b;'$(id)"
    odd.write_text("odd\n")
    facts = read(
        sshd,
        FactRequest("release", path="/etc/os-release"),
        FactRequest("odd", path=str(odd)),
        FactRequest("args", argv=("printf", "%s|", "a b", "$(id)", "'", "*")),
        FactRequest("none", path="/no/such/file"),
        FactRequest("folder", path="/etc"),
        FactRequest("proc", path="/proc/uptime"),
        FactRequest("unknown", argv=("no-such-command",)),
        FactRequest("false", argv=("false",)),
        FactRequest("locale", argv=("env",)),
    )
    by_id = {fact.id: fact for fact in facts}
    assert [fact.id for fact in facts] == list(by_id)
    assert by_id["release"].text == Path("/etc/os-release").read_text()
    assert by_id["odd"].text == "odd\n"
    assert by_id["args"].text == "a b|$(id)|'|*|"
    assert (by_id["none"].missing, by_id["none"].text, bool(by_id["none"].error)) == (True, "", True)
    assert (by_id["folder"].missing, bool(by_id["folder"].error)) == (False, True)
    assert float(by_id["proc"].text.split()[0]) > 0
    assert by_id["unknown"].missing
    assert (by_id["false"].exit_code, by_id["false"].error) == (1, "")
    assert "LC_ALL=C" in by_id["locale"].text.splitlines()
    assert {fact.host_key for fact in facts} == {sshd.host_key_fingerprint}


def test_output_is_capped_and_commands_end_in_time(sshd: LoopbackSshd, tmp_path: Path) -> None:
    long = tmp_path / "long"
    long.write_bytes(b"x" * 5000)
    facts = read(
        sshd,
        FactRequest("file", path=str(long), max_bytes=4999),
        FactRequest("fits", path=str(long), max_bytes=5000),
        FactRequest("endless", argv=("yes",), max_bytes=10_000),
        FactRequest("late", argv=("sleep", "30"), timeout=0.3),
        FactRequest("noisy", argv=("sh", "-c", "head -c 3000000 /dev/zero >&2; echo done")),
        FactRequest("killed", argv=("sh", "-c", "kill -9 $$")),
        FactRequest("device", path="/dev/zero"),
    )
    by_id = {fact.id: fact for fact in facts}
    for cut in ("file", "endless"):
        assert (by_id[cut].text, "longer than" in by_id[cut].error) == ("", True)
    assert len(by_id["fits"].text) == 5000
    assert "0.3 s" in by_id["late"].error
    assert by_id["noisy"].text == "done\n"
    assert by_id["killed"].exit_code == -1
    assert by_id["device"].error


def test_facts_without_sftp_come_by_cat(tmp_path: Path) -> None:
    with LoopbackSshd(tmp_path) as sshd:
        config = sshd.folder / "sshd_config"
        sshd.stop()
        text = config.read_text()
        sshd._write_files = lambda: config.write_text(text.replace("Subsystem", "#Subsystem"))  # type: ignore[method-assign]
        sshd.start()
        facts = read(
            sshd,
            FactRequest("a", path="/etc/os-release"),
            FactRequest("b", path="/none"),
            FactRequest("c", path="/etc"),
        )
    assert facts[0].text == Path("/etc/os-release").read_text()
    assert (facts[1].missing, facts[1].error) == (True, "No such file or directory")
    assert (facts[2].missing, facts[2].error) == (False, "Is a directory")


def test_the_entry_point_offers_this_reader(sshd: LoopbackSshd) -> None:
    with pytest.raises(UnreachableError):
        fact_reader().read(target(sshd, known_hosts=""), [FactRequest("a", path="/etc/passwd")])


class Polled:
    """A device behind the loopback sshd and the poller that reads it."""

    def __init__(self, sshd: LoopbackSshd, **limits: int) -> None:
        access = SshAccess("k", port=sshd.port, host_key=sshd.host_key_fingerprint, timeout=5)
        self.device = Device(DeviceId("D1"), SiteId("H1"), "his-db", Kind.SERVER, sshd.host, ssh=access)
        self.credential = Credential("ssh", user=sshd.user, private_key=sshd.private_key)
        self.poller = SshPoller(SystemClock(), **limits)

    def poll(self) -> PollResult:
        return self.poller.poll(self.device, self.credential)


def test_polls_use_one_connection_and_agree_with_the_host(sshd: LoopbackSshd) -> None:
    logins = sshd.log.read_text().count("Accepted publickey")
    polled = Polled(sshd)
    first, second = polled.poll(), polled.poll()
    polled.poller.close()
    assert sshd.log.read_text().count("Accepted publickey") == logins + 1
    assert (first.up, first.errors, second.errors) == (True, [], [])
    before = {reading.name for reading in first.readings}
    assert "device_cpu_ratio" not in before, "no ratio from one look"
    found = {(r.name, r.labels): r.value for r in second.readings}
    assert 0 <= found["device_cpu_ratio", ()] <= 1
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert found["node_memory_MemTotal_bytes", ()] == pytest.approx(total, rel=0.02)
    assert found["device_memory_size_bytes", ()] == found["node_memory_MemTotal_bytes", ()]
    space = os.statvfs("/")
    assert found["device_storage_size_bytes", (("storage", "/"),)] == pytest.approx(
        space.f_blocks * space.f_frsize, rel=0.01
    )
    cpus = {dict(labels)["cpu"] for name, labels in found if name == "node_cpu_seconds_total"}
    assert len(cpus) == os.cpu_count()
    uname = dict(next(labels for name, labels in found if name == "node_uname_info"))
    assert (uname["sysname"], uname["release"]) == (os.uname().sysname, os.uname().release)
    assert second.identity["sys_name"] == os.uname().nodename
    assert second.module == "ssh"


def test_a_restarted_host_is_found_again_in_the_same_poll(tmp_path: Path) -> None:
    with LoopbackSshd(tmp_path) as sshd:
        polled = Polled(sshd)
        assert polled.poll().up
        sshd.stop()
        down = polled.poll()
        assert (down.up, [error.code for error in down.errors], list(down.readings)) == (
            False,
            ["refused"],
            [],
        )
        sshd.start()
        assert polled.poll().up
        sshd.stop()
        sshd.start()
        assert polled.poll().up, "the kept connection is dead, a new one is made"
        polled.poller.close()


def test_cut_output_is_an_error_and_gives_what_was_whole(sshd: LoopbackSshd) -> None:
    polled = Polled(sshd, max_output_bytes=3000)
    result = polled.poll()
    polled.poller.close()
    assert [error.code for error in result.errors] == ["truncated"]
    assert result.up
    assert "node_cpu_seconds_total" in {reading.name for reading in result.readings}
    assert "node_filesystem_size_bytes" not in {reading.name for reading in result.readings}


def test_a_wrong_pin_or_credential_is_a_result(sshd: LoopbackSshd) -> None:
    polled = Polled(sshd)
    access = SshAccess("k", port=sshd.port, host_key=OTHER_KEY)
    polled.device = Device(DeviceId("D1"), SiteId("H1"), "x", Kind.SERVER, sshd.host, ssh=access)
    result = polled.poll()
    assert (result.up, [error.code for error in result.errors]) == (False, ["host-key"])
    assert sshd.host_key_fingerprint in result.errors[0].message
    assert "主机密钥" in result.errors[0].zh
    for credential in (None, Credential("snmp-v2c", community="x")):
        assert [e.code for e in polled.poller.poll(polled.device, credential).errors] == ["config"]
