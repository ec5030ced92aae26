"""The fleet: read plainly once, then in a batch, and read again when anything but the numbers changed."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path

import pytest

from collectors.interface import Credential
from collectors.snmp.batch.fleet import REREAD_SECONDS
from collectors.snmp.ber import (
    COUNTER32,
    COUNTER64,
    GAUGE32,
    INTEGER,
    OBJECT_ID,
    OCTET_STRING,
    TIME_TICKS,
    VarBind,
    encode_oid,
)
from collectors.snmp.message import GET_BULK, Message
from monitor.clock import SystemClock
from tests.collectors.snmp.agents import UdpAgent
from tests.collectors.snmp.batch.fleets import V2, Running, device
from tests.collectors.snmp.batch.trees import TreeAgent
from tests.real.snmpd import LoopbackSnmpd

V3 = Credential(
    "snmp-v3", user="ops", auth_protocol="SHA", auth_password="authpass1", priv_protocol="AES",
    priv_password="privpass1",
)  # fmt: skip


def switch(
    ports: int = 6, *, ticks: int = 5000, octets: int = 10, down: int = 0, name: str = "core"
) -> list[VarBind]:
    """A small switch: sys group, ifTable and ifXTable; port `down` is down."""
    rows: list[tuple[str, int, int | bytes]] = [
        ("1.3.6.1.2.1.1.1.0", OCTET_STRING, b"a switch"),
        ("1.3.6.1.2.1.1.2.0", OBJECT_ID, encode_oid("1.3.6.1.4.1.99999.1")),
        ("1.3.6.1.2.1.1.3.0", TIME_TICKS, ticks),
        ("1.3.6.1.2.1.1.5.0", OCTET_STRING, name.encode()),
    ]
    for at in range(1, ports + 1):
        rows += [
            (f"1.3.6.1.2.1.2.2.1.2.{at}", OCTET_STRING, f"port {at}".encode()),
            (f"1.3.6.1.2.1.2.2.1.5.{at}", GAUGE32, 1_000_000_000),
            (f"1.3.6.1.2.1.2.2.1.7.{at}", INTEGER, 1),
            (f"1.3.6.1.2.1.2.2.1.8.{at}", INTEGER, 2 if at == down else 1),
            (f"1.3.6.1.2.1.2.2.1.14.{at}", COUNTER32, octets % 7),
            (f"1.3.6.1.2.1.31.1.1.1.1.{at}", OCTET_STRING, f"g{at}".encode()),
            (f"1.3.6.1.2.1.31.1.1.1.6.{at}", COUNTER64, octets * at),
            (f"1.3.6.1.2.1.31.1.1.1.10.{at}", COUNTER64, octets * at * 2),
        ]
    return [(encode_oid(oid), tag, value) for oid, tag, value in rows]


class _Ahead(SystemClock):
    """The machine's clock, and `ahead` seconds more."""

    __slots__ = ("ahead",)

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.mark.parametrize("version", ["v1", "v2c", "v3"])
def test_real_snmpd_gives_the_plain_readings_as_columns(tmp_path: Path, version: str) -> None:
    credential = {"v1": Credential("snmp-v1", community="public"), "v2c": V2, "v3": V3}[version]
    with (
        LoopbackSnmpd(tmp_path, user="ops", auth="SHA:authpass1", priv="AES:privpass1") as agent,
        Running() as running,
    ):
        running.fleet.assign([(device(agent.port, timeout=2.0), credential)])
        heard = running.heard
        running.until(lambda: len(heard.columns_of()) >= 2 and heard.kinds[-1] == "columns", 25)
        assert heard.kinds[0] == "result"
        plain = {(one.name, one.labels): one.value for one in reversed(list(heard.results()[-1].readings))}
        columns = heard.columns_of()[-1]
        assert columns.keys() == plain.keys()
        steady = [
            key for key in plain if key[0] in {"ifOperStatus", "ifHighSpeed", "snmp_module_up", "ifMtu"}
        ]
        assert steady
        assert all(columns[key] == plain[key] for key in steady)
        assert plain["sysUpTime", ()] < columns["sysUpTime", ()] < plain["sysUpTime", ()] + 3000
        if version == "v3":
            assert running.fleet.state().get("refused", 0) == 0


def batched(running: Running, agent: UdpAgent, credential: Credential = V2, **access: float) -> None:
    """A device that has come to be polled in a batch."""
    running.fleet.assign([(device(agent.port, **access), credential)])  # type: ignore[arg-type]
    running.until(lambda: running.heard.kinds[-1:] == ["columns"])


CHANGES = {
    "a row more": switch(7),
    "a row less": switch(5),
    "a renamed port": [(oid, tag, b"uplink" if value == b"g3" else value) for oid, tag, value in switch()],
    "a state": switch(down=2),
    "a restart": switch(ticks=100),
    "another name": switch(name="edge"),
}


@pytest.mark.parametrize("what", list(CHANGES))
def test_a_change_is_read_plainly_in_that_very_cycle(what: str) -> None:
    tree = TreeAgent(switch())
    with UdpAgent(tree.handle) as agent, Running() as running:
        batched(running, agent)
        tree.say(CHANGES[what])
        before = len(running.heard.told)
        running.until(lambda: "result" in running.heard.kinds[before:])
        assert running.heard.kinds[before:].index("result") <= 1, "a poll may have been under way"
        result = running.heard.results()[-1]
        assert result.up
        assert len(list(result.detail["interfaces"])) == {"a row more": 7, "a row less": 5}.get(what, 6)  # type: ignore[call-overload]
        tree.say([(oid, tag, 9000 if tag == TIME_TICKS else value) for oid, tag, value in CHANGES[what]])
        assert running.more(2) == ["columns", "columns"]


def test_numbers_that_move_need_no_reading() -> None:
    tree = TreeAgent(switch())
    with UdpAgent(tree.handle) as agent, Running() as running:
        batched(running, agent)
        for turn in range(1, 4):
            tree.say(switch(ticks=5000 + turn, octets=10**turn))
            before = len(running.heard.told)
            running.until(
                lambda: any(
                    one["sysUpTime", ()] == 5000 + turn  # noqa: B023
                    for one in running.heard.columns_of()
                )
            )
            assert "result" not in running.heard.kinds[before:]
        last = running.heard.columns_of()[-1]
        ports = {
            dict(labels)["ifIndex"]: value for (name, labels), value in last.items() if name == "ifHCInOctets"
        }
        assert ports == {str(at): 1000.0 * at for at in range(1, 7)}


def test_an_agent_that_gives_few_varbinds_is_batched_after_learning() -> None:
    tree = TreeAgent(switch(30), most=32)
    with UdpAgent(tree.handle) as agent, Running() as running:
        batched(running, agent)
        assert running.more(2) == ["columns", "columns"]
        assert len(running.heard.results()) <= 4


@pytest.mark.parametrize("lost", ["large replies", "all but one"])
def test_a_way_that_loses_what_a_plan_asks_for_gets_smaller_requests(lost: str) -> None:
    """A plain reading asks for less at a time, and says that the device is there: it is never told to be down."""
    tree, sizes = TreeAgent(switch(40)), list[int]()

    def handle(request: Message) -> list[bytes]:
        replies = tree.handle(request)
        sizes.extend(map(len, replies))
        small = [one for one in replies if len(one) < 1200]
        return small if lost == "large replies" or request.kind == GET_BULK else replies

    with UdpAgent(handle) as agent, Running() as running:
        batched(running, agent, timeout=0.2, retries=1)
        assert running.more(3) == ["columns"] * 3
        assert "down" not in running.heard.kinds
        assert max(sizes) > 1300, "it was tried with more"


def test_an_agent_that_never_says_the_same_is_read_plainly_and_does_not_spin() -> None:
    turn = [0]
    tree = TreeAgent(switch())

    def handle(request: Message) -> list[bytes]:
        turn[0] += 1
        tree.say(switch(name=f"core {turn[0]}"))
        return tree.handle(request)

    with UdpAgent(handle) as agent, Running() as running:
        running.fleet.assign([(device(agent.port, interval=0.1), V2)])
        kinds = running.more(30, 20)
        assert set(kinds) == {"result"}
        assert running.fleet.state()["batched"] == 0, "it is not tried for ever"
        before, started = tree.asked, time.monotonic()
        running.more(5)
        assert tree.asked - before < 200
        assert time.monotonic() - started > 0.3, "one reading an interval"


def test_silence_then_back_is_told_as_a_result() -> None:
    tree = TreeAgent(switch())
    quiet = [False]
    with UdpAgent(lambda request: [] if quiet[0] else tree.handle(request)) as agent, Running() as running:
        batched(running, agent, timeout=0.5, retries=0)
        quiet[0] = True
        running.until(lambda: running.heard.kinds[-1] == "down")
        down = running.heard.results()[-1]
        assert [error.code for error in down.errors] == ["timeout"]
        assert set(running.more(2)) == {"down"}
        quiet[0] = False
        before = len(running.heard.told)
        running.until(lambda: "columns" in running.heard.kinds[before:])
        kinds = [kind for kind in running.heard.kinds[before:] if kind != "down"]
        assert kinds[0] == "result", "the core hears that it is back before it sees its numbers"


def test_a_way_that_becomes_narrow_costs_one_cycle() -> None:
    tree, narrow = TreeAgent(switch(24)), [False]

    def handle(request: Message) -> list[bytes]:
        return [one for one in tree.handle(request) if len(one) < 1000 or not narrow[0]]

    with UdpAgent(handle) as agent, Running() as running:
        batched(running, agent, timeout=0.2, retries=1)
        assert running.more(2) == ["columns"] * 2
        narrow[0] = True
        before = len(running.heard.told)
        running.until(
            lambda: "result" in running.heard.kinds[before:] and running.heard.kinds[-1] == "columns"
        )
        assert running.more(2) == ["columns"] * 2
        assert running.heard.kinds.count("down") == 1


def test_dead_devices_keep_none_waiting() -> None:
    tree, asked = TreeAgent(switch()), list[Message]()

    def mute(request: Message) -> list[bytes]:
        asked.append(request)
        return []

    with UdpAgent(tree.handle) as agent, UdpAgent(mute) as grave, Running() as running:
        dead = [
            (device(grave.port, f"dead {at}", interval=1.0, timeout=3.0, retries=0), V2) for at in range(40)
        ]
        running.fleet.assign([*dead, (device(agent.port, "alive"), V2)])
        running.until(lambda: len(running.heard.columns_of()) >= 3, 2.5)
        assert {name for _, name, _ in running.heard.told} == {"alive"}
        running.until(lambda: len({name for _, name, _ in running.heard.told}) == 41)
        knocks = sum(len(request.varbinds) == 1 for request in asked)
        assert knocks >= 30
        assert len(asked) - knocks <= 6, "two readers may wait for the dead, three seconds each"
        down = next(result for result in running.heard.results() if not result.up)
        assert [error.code for error in down.errors] == ["timeout"]


def test_what_snmpd_refuses_is_told_as_such(tmp_path: Path) -> None:
    with LoopbackSnmpd(tmp_path, user="ops", auth="SHA:authpass1", priv="AES:privpass1") as agent:
        wrong = dataclasses.replace(V3, auth_password="not the one")
        with Running() as running:
            running.fleet.assign([(device(agent.port), wrong)])
            assert set(running.more(3)) == {"down"}
            assert {error.code for result in running.heard.results() for error in result.errors} == {"auth"}


def test_assign_takes_away_and_changes() -> None:
    tree = TreeAgent(switch())
    with UdpAgent(tree.handle) as agent, Running() as running:
        one, two = device(agent.port, "one"), device(agent.port, "two")
        running.fleet.assign([(one, V2), (two, V2)])
        running.until(lambda: running.fleet.state()["batched"] == 2)
        wrong = Credential("snmp-v2c", community="wrong")
        running.fleet.assign([(device(agent.port, "one", timeout=0.1, retries=0), wrong)])
        running.until(lambda: running.heard.kinds[-1] == "down")
        assert running.fleet.state()["devices"] == 1
        assert running.fleet.state()["batched"] == 0
        before = len(running.heard.told)
        running.more(3)
        assert {name for _, name, _ in running.heard.told[before:]} == {"one"}
        running.fleet.assign([])
        running.until(lambda: running.fleet.state()["devices"] == 0)
        for _ in range(3):
            running.fleet.step()
        assert running.fleet.state()["polling"] == 0


def test_a_device_without_an_interval_is_read_when_asked_for() -> None:
    tree = TreeAgent(switch())
    with UdpAgent(tree.handle) as agent, Running() as running:
        running.fleet.assign([(device(agent.port, interval=0.0), V2)])
        for _ in range(3):
            running.fleet.step()
        assert not running.heard.told
        running.fleet.poll_soon(device(agent.port).id)
        assert running.more(1) == ["result"]


def test_without_a_credential_it_says_so() -> None:
    with Running() as running:
        running.fleet.assign([(device(9), None)])
        assert running.more(1) == ["down"]
        assert running.heard.results()[0].errors[0].code == "no-credential"


def test_poll_soon_reads_now() -> None:
    tree = TreeAgent(switch())
    with UdpAgent(tree.handle) as agent, Running() as running:
        running.fleet.assign([(device(agent.port, interval=600.0), V2)])
        running.fleet.poll_soon(device(agent.port).id)
        assert running.more(1) == ["result"]
        running.fleet.poll_soon(device(agent.port).id)
        assert running.more(1) == ["result"]


def test_read_again_after_an_hour() -> None:
    clock = _Ahead()
    tree = TreeAgent(switch())
    with UdpAgent(tree.handle) as agent, Running(clock) as running:
        batched(running, agent)
        assert running.more(2) == ["columns", "columns"]
        clock.ahead += REREAD_SECONDS
        before = len(running.heard.told)
        running.until(lambda: "result" in running.heard.kinds[before:])
        assert running.more(2) == ["columns", "columns"]


def test_snmpd_v3_restarted_during_polling_is_back_within_a_cycle(tmp_path: Path) -> None:
    with (
        LoopbackSnmpd(tmp_path, user="ops", auth="SHA:authpass1", priv="AES:privpass1") as agent,
        Running() as running,
    ):
        running.fleet.assign([(device(agent.port, interval=1.0, timeout=0.5), V3)])
        running.until(lambda: running.heard.kinds[-1:] == ["columns"], 20)
        agent.stop()
        agent.start()
        started, before = time.monotonic(), len(running.heard.told)
        running.until(lambda: {"result", "columns"} & set(running.heard.kinds[before:]) != set(), 10)
        assert time.monotonic() - started < 3.5, "within one cycle and the retries of the poll under way"
        running.until(lambda: running.heard.kinds[-1] == "columns", 10)


def test_an_engine_that_lost_count_of_its_boots_is_believed_again(tmp_path: Path) -> None:
    """With fewer boots than we know its answers look replayed, until it is read plainly: also after it was down."""
    with (
        LoopbackSnmpd(tmp_path, user="ops", auth="SHA:authpass1", priv="AES:privpass1") as agent,
        Running() as running,
    ):
        known = device(agent.port, interval=0.5, timeout=0.5, retries=0)
        running.fleet.assign([(known, V3)])
        running.until(lambda: running.heard.kinds[-1:] == ["columns"], 20)
        process = agent._process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        running.until(lambda: running.heard.kinds[-3:] == ["down", "down", "down"], 20)
        peer = running.poller.peer(known, V3)
        assert peer is not None
        peer._boots += 5
        os.kill(process.pid, signal.SIGCONT)
        before = len(running.heard.told)
        running.until(lambda: "result" in running.heard.kinds[before:], 10)
        running.until(lambda: running.heard.kinds[-1] == "columns", 10)
        assert running.fleet.state()["refused"] >= 1
