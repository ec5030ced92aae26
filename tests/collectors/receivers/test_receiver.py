"""The receiver on a socket: net-snmp's senders, forgers, a taken port, a full spool, and the account of it all."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from collectors.interface import Credential
from collectors.receivers.coalesce import WINDOW_MS
from collectors.receivers.datagrams import Listener, PortTakenError, TrapSocket, parse_listeners
from collectors.receivers.intake import Intake
from collectors.receivers.sources import SourceBook, literal
from collectors.receivers.tally import Tally
from collectors.receivers.traps import Backlog, build
from collectors.snmp.ber import encode_oid
from collectors.snmp.message import encode_trap, parse_response
from monitor.clock import ManualClock
from monitor.errors import InputError
from monitor.settings import Settings
from tests.collectors.receivers.station import (
    COMMUNITY,
    LINK_DOWN,
    LINK_VARBINDS,
    USER,
    RecordingHost,
    Station,
    assignment,
    device,
    link_trap,
    netsnmp,
    peer,
    translator,
)


def test_net_snmp_sends_v1_v2c_and_an_inform(tmp_path: Path) -> None:
    with Station(tmp_path) as station:
        target = f"127.0.0.1:{station.port}"
        inform = netsnmp(
            "snmpinform",
            "-v2c",
            "-c",
            "watch",
            "-r",
            "0",
            "-t",
            "3",
            target,
            "",
            "1.3.6.1.6.3.1.1.5.4",
            *LINK_VARBINDS,
        )
        assert inform.returncode == 0, inform.stderr
        netsnmp("snmptrap", "-v2c", "-c", "watch", target, "", "1.3.6.1.6.3.1.1.5.3", *LINK_VARBINDS)
        v1 = ["1.3.6.1.4.1.318", "127.0.0.1", "6", "5", "", "1.3.6.1.4.1.318.2.3.3.0", "s", "on battery"]
        netsnmp("snmptrap", "-v1", "-c", "watch", target, *v1)
        netsnmp("snmptrap", "-v1", "-c", "watch", target, "1.3.6.1.4.1.9.1.1", "127.0.0.1", "0", "0", "")
        assert station.wait(lambda: len(station.host.events) == 4)
    assert station.host.actions() == ["trap.linkUp", "trap.linkDown", "trap.upsOnBattery", "trap.coldStart"]
    battery = station.host.events[2]
    assert battery["message"] == "市电中断，UPS 由电池供电：on battery"
    assert (battery["zhishou.site"], battery["zhishou.device"], battery["zhishou.severity"]) == (
        "H1",
        "SW1",
        "critical",
    )
    assert (battery["zhishou.trap.version"], battery["zhishou.trap.verified"]) == ("1", True)
    assert set(station.host.polls) == {"SW1"}
    assert station.count("zhishou_trap_informs_answered") == 1
    assert station.settled()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_a_trap_over_ipv6(tmp_path: Path) -> None:
    with Station(tmp_path, listen="[::1]:0") as station:
        station.receiver.assign(assignment([device("SIX", "::1")], c=COMMUNITY))
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(link_trap(1, 3), ("::1", station.port))
        assert station.wait(lambda: bool(station.host.events))
        netsnmp(
            "snmpinform",
            "-v2c",
            "-c",
            "watch",
            "-r",
            "0",
            f"udp6:[::1]:{station.port}",
            "",
            "1.3.6.1.6.3.1.1.5.1",
        )
        assert station.wait(lambda: len(station.host.events) == 2)
    assert [event["source.ip"] for event in station.host.events] == ["::1", "::1"]
    assert station.count("zhishou_trap_informs_answered") == 1


def test_wrong_communities_are_counted_and_told_once(tmp_path: Path) -> None:
    with Station(tmp_path) as station:
        forged = [link_trap(n, 3, community=b"public") for n in range(50)]
        informs = [encode_trap(b"public", n, 1, LINK_DOWN, inform=True) for n in range(5)]
        station.send(*forged, *informs)
        assert station.wait(lambda: station.count("zhishou_traps_refused", "community") == 55)
    assert station.host.actions() == ["trap.refused.community"]
    event = station.host.events[0]
    assert (event["zhishou.device"], event["zhishou.site"]) == ("SW1", "H1")
    assert "public" not in str(event), "a community is a secret, even a wrong one"
    assert "watch" not in str(event)
    assert station.count("zhishou_trap_informs_answered") == 0
    assert station.host.polls == []


def test_unknown_sources_are_summarised_and_their_claims_not_believed(tmp_path: Path) -> None:
    with Station(tmp_path) as station:
        station.receiver.assign(assignment([device("SW1", "10.0.0.1")], c=COMMUNITY))
        inner = (encode_oid("1.3.6.1.6.3.18.1.3.0"), 0x40, bytes((10, 0, 0, 1)))
        station.send(*[encode_trap(b"watch", n, n, LINK_DOWN, [inner]) for n in range(40)])
        assert station.wait(lambda: station.count("zhishou_traps_refused", "unknown-source") == 40)
    (event,) = station.host.events
    assert event["event.action"] == "trap.refused.unknown-source"
    assert "zhishou.device" not in event
    assert "127.0.0.1" in str(event["message"])
    assert "10.0.0.1" in str(event["message"]), "what it says of itself is told, as a claim"
    assert station.host.polls == []


def test_an_unsigned_trap_of_a_v3_device_is_refused(tmp_path: Path) -> None:
    with Station(tmp_path, USER) as station:
        station.send(link_trap(1, 3))
        assert station.wait(lambda: station.count("zhishou_traps_refused", "unsigned") == 1)
    assert station.host.actions() == ["trap.refused.unsigned"]


def test_an_inform_is_not_acknowledged_when_it_could_not_be_stored(tmp_path: Path) -> None:
    with Station(tmp_path) as station, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(5)
        station.host.full = True
        sender.sendto(encode_trap(b"watch", 1, 1, LINK_DOWN, inform=True), ("127.0.0.1", station.port))
        assert station.wait(lambda: station.count("zhishou_traps_dropped", "spool") == 1)
        station.host.full = False
        sender.sendto(
            encode_trap(b"watch", 2, 1, encode_oid("1.3.6.1.6.3.1.1.5.1"), inform=True),
            ("127.0.0.1", station.port),
        )
        assert parse_response(sender.recv(4096)).request_id == 2
    assert station.count("zhishou_trap_informs_answered") == 1


def test_a_taken_port_is_told_and_tried_again_and_the_rest_works(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        taken = Listener("127.0.0.1", holder.getsockname()[1])
        with pytest.raises(PortTakenError, match="trap_listen") as caught:
            TrapSocket(taken, 1 << 20)
        assert "已被占用" in caught.value.zh
        with Station(tmp_path, listen=f"{taken},127.0.0.1:0") as station:
            station.send(link_trap(1, 3))
            assert station.wait(lambda: bool(station.host.events))
            assert station.wait(lambda: bool(station.host.samples))
    ups = {
        dict(labels).get("listener"): value
        for labels, _, value in station.host.samples
        if dict(labels)["__name__"] == "zhishou_trap_listener_up"
    }
    assert ups == {str(taken): 0.0, "127.0.0.1:0": 1.0}


@pytest.mark.parametrize(
    "text", ["1162", "127.0.0.1", "host:1162", "127.0.0.1:x", "127.0.0.1:70000", "[::1]:-2"]
)
def test_listeners_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="trap_listen"):
        parse_listeners(text)


def test_the_companion_can_be_off_and_shows_its_metrics(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    companion = build(RecordingHost(tmp_path), replace(Settings(), trap_listen=""), registry)
    companion.start()
    companion.assign(assignment([device()], c=COMMUNITY))
    companion.stop()
    page = generate_latest(registry).decode()
    assert "zhishou_traps_malformed_total 0.0" in page
    assert [str(one) for one in parse_listeners(Settings().trap_listen)] == ["0.0.0.0:1162", "[::]:1162"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(st.binary(max_size=300), st.integers(0, 60).map(lambda n: link_trap(n, n % 3)[: n + 90])),
        max_size=20,
    )
)
def test_whatever_comes_is_counted_in_one_place(tmp_path: Path, datagrams: list[bytes]) -> None:
    tally = Tally()
    intake = Intake(RecordingHost(tmp_path), translator(), tally, lambda *_: tally.add("signed"))
    intake.assign(SourceBook(assignment([device()], c=COMMUNITY), literal))
    intake.take([(peer(), data) for data in datagrams], lambda _data, _peer: None)
    places = ("zhishou_traps_malformed", "zhishou_traps_refused", "zhishou_traps_accepted", "signed")
    assert sum(tally.count(name) for name in places) == len(datagrams)


def test_a_fuzzed_socket_still_receives(tmp_path: Path) -> None:
    good = link_trap(1, 3)
    damaged = [good[:at] + bytes((good[at] ^ 0xFF,)) + good[at + 1 :] for at in range(len(good))]
    with Station(tmp_path) as station:
        station.send(*damaged, b"", b"\x30", b"\x30\x84\xff\xff\xff\xff", bytes(60_000))
        station.send(good)
        assert station.wait(lambda: "trap.linkDown" in station.host.actions())
        assert station.wait(
            lambda: station.settled() and station.count("zhishou_traps_received") == len(good) + 5
        )


def test_repeats_are_told_when_the_window_ends(tmp_path: Path) -> None:
    clock = ManualClock(1_700_000_000_000)
    host, tally = RecordingHost(tmp_path, clock), Tally()
    intake = Intake(host, translator(), tally, lambda *_: None)
    intake.assign(SourceBook(assignment([device()], c=COMMUNITY), literal))
    intake.take([(peer(), link_trap(n, 3)) for n in range(400)], lambda _data, _peer: None)
    intake.take([(peer(), link_trap(n, n)) for n in range(4, 104)], lambda _data, _peer: None)
    assert len(host.events) == 20
    clock.advance(WINDOW_MS / 1000)
    intake.flush()
    repeat, folded = host.events[20:]
    assert str(repeat["message"]).endswith("（30 秒内又收到 399 次）")
    assert repeat["zhishou.trap.count"] == 399
    assert folded["message"] == "30 秒内另有 81 条 linkDown 陷阱内容各异，已合并"
    assert tally.count("zhishou_traps_repeated") + 20 == tally.count("zhishou_traps_accepted") == 500


def test_a_storm_of_many_devices_is_told_by_device(tmp_path: Path) -> None:
    clock = ManualClock(1_700_000_000_000)
    host, tally = RecordingHost(tmp_path, clock), Tally()
    intake = Intake(host, translator(), tally, lambda *_: None)
    devices = [device(f"D{n}", f"10.0.0.{n}") for n in range(200)]
    intake.assign(SourceBook(assignment(devices, c=COMMUNITY), literal))
    arrivals = [(peer(f"10.0.0.{n % 200}"), link_trap(n, n)) for n in range(4000)]
    intake.take(arrivals, lambda _data, _peer: None)
    assert len(host.events) == 1000
    clock.advance(WINDOW_MS / 1000)
    intake.flush()
    storms = [event for event in host.events if event["event.action"] == "trap.storm"]
    assert len(storms) == 200
    assert sum(int(event["zhishou.trap.count"] or 0) for event in host.events) == 4000
    assert storms[0]["message"] == "陷阱风暴：30 秒内另有 15 条陷阱，已合并"
    assert "zhishou.trap.oid" not in storms[0]
    host.full = True
    intake.take(arrivals[:30], lambda _data, _peer: None)
    intake.flush(everything=True)
    assert tally.count("zhishou_traps_dropped", "spool") == 30


def test_a_new_assignment_is_judged_by_at_once(tmp_path: Path) -> None:
    host, tally = RecordingHost(tmp_path), Tally()
    intake = Intake(host, translator(), tally, lambda *_: None)
    intake.assign(SourceBook(assignment([device()], c=COMMUNITY), literal))
    intake.take([(peer(), link_trap(1, 3, community=b"new"))], lambda _data, _peer: None)
    intake.assign(SourceBook(assignment([device()], c=Credential("snmp-v2c", community="new")), literal))
    intake.take([(peer(), link_trap(2, 3, community=b"new"))], lambda _data, _peer: None)
    assert host.actions() == ["trap.refused.community", "trap.linkDown"]


def test_the_backlog_drops_the_oldest_and_says_how_many() -> None:
    backlog = Backlog(limit=100)
    with TrapSocket(Listener("127.0.0.1", 0), 1 << 16) as origin:
        lost = sum(backlog.put(origin, [(peer(), b"%d" % n)] * 30) for n in range(10))
        first = backlog.take(0.0)
    assert lost == 210
    assert first is not None
    assert first[1][0][1] == b"7"
    assert Backlog().take(0.0) is None


def test_reader_threads_end_in_time(tmp_path: Path) -> None:
    before = threading.active_count()
    with Station(tmp_path):
        assert threading.active_count() == before + 3
    assert threading.active_count() == before
