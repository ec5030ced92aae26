"""The collector against a core that speaks the wire protocol: poll, spool, push, cut off, catch up."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest
from prometheus_client import CollectorRegistry

from collectors.agent import Agent, AgentOptions, tasks_of
from collectors.assignment import AssignmentSource, parse_assignment
from collectors.interface import Assignment, Credential, PollError, PollResult, Reading
from collectors.outbox import Outbox
from collectors.telemetry import CollectorMetrics
from collectors.timetable import Task, Timetable
from collectors.uplink import CoreClient
from collectors.workers import DeviceWorkers
from monitor.clock import SystemClock
from monitor.errors import InputError, UnreachableError
from monitor.metrics.interface import STALE_BITS
from monitor.model import Device, DeviceId, Kind, Probe, SiteId, SnmpAccess, SshAccess
from monitor.vault import Vault
from tests.collectors.fake_core import TOKEN, FakeCore

SWITCH = Device(
    DeviceId("SW-1"),
    SiteId("H001"),
    "核心交换机",
    Kind.NETWORK,
    "10.0.0.1",
    snmp=SnmpAccess("ro", interval=0.2),
)
CREDENTIALS = {"ro": {"kind": "snmp-v2c", "community": "sEcret-community"}}


def is_stale(value: float) -> bool:
    return struct.unpack("<Q", struct.pack("<d", value))[0] == STALE_BITS


class ScriptedPoller:
    """Answers with what `script(device, credential, nth call)` returns."""

    def __init__(self, script: Callable[[Device, Credential | None, int], PollResult]) -> None:
        self._script = script
        self.calls = 0
        self.inside: set[str] = set()
        self.overlapped = False

    def poll(self, device: Device, credential: Credential | None) -> PollResult:
        self.calls += 1
        self.overlapped |= device.id in self.inside
        self.inside.add(device.id)
        try:
            return self._script(device, credential, self.calls)
        finally:
            self.inside.discard(device.id)


def answering(device: Device, credential: Credential | None, _call: int) -> PollResult:
    assert credential is not None
    readings = [Reading("ifHCInOctets", (("ifIndex", "1"), ("vendor", "inner")), 7.0)]
    return PollResult("snmp", True, SystemClock().now_ms(), 0.01, readings, identity={"vendor": "Huawei"})


@pytest.fixture
def core() -> Iterator[FakeCore]:
    made = FakeCore()
    made.assign("1", [SWITCH], CREDENTIALS)
    yield made
    made.cut()


class Rig:
    """An agent with fast timers and everything it stands on."""

    def __init__(self, folder: Path, core: FakeCore, poller: ScriptedPoller, **limits: int) -> None:
        self.registry = CollectorRegistry()
        self.outbox = Outbox(folder / "spool", **limits)
        client = CoreClient(core.url, TOKEN, timeout=2)
        source = AssignmentSource(client, "c1", Vault(bytes(32)), folder / "assignment")
        options = AgentOptions("c1", folder, workers=4, refresh=0.1, retry=0.1, heartbeat=0.2, sync=0.05)
        self.agent = Agent(
            options,
            client,
            source,
            {"snmp": poller},
            self.outbox,
            SystemClock(),
            CollectorMetrics(self.registry),
        )

    def __enter__(self) -> Self:
        self.agent.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.agent.stop()


def wait(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_samples_and_events_arrive_with_identity(core: FakeCore, tmp_path: Path) -> None:
    core.start()
    with Rig(tmp_path, core, ScriptedPoller(answering)):
        assert core.wait(lambda: bool(core.series("ifHCInOctets")) and len(core.events) >= 3)
    labels = dict(next(iter(core.series("ifHCInOctets"))))
    assert labels == {
        "__name__": "ifHCInOctets",
        "ifIndex": "1",
        "exported_vendor": "inner",
        "region": "R1",
        "site": "H001",
        "device": "SW-1",
        "kind": "network",
        "vendor": "Huawei",
        "instance": "10.0.0.1",
        "job": "snmp",
    }
    jobs = {dict(labels)["job"]: values[0][1] for labels, values in core.series("up").items()}
    assert jobs == {"snmp": 1.0, "collector": 1.0}
    assert core.series("device_poll_duration_seconds")
    poll = next(event for event in core.events if event["event.dataset"] == "zhishou.poll")
    assert (poll["zhishou.up"], poll["zhishou.device"], poll["zhishou.site"]) == (True, "SW-1", "H001")
    assert json.loads(str(poll["zhishou.identity"])) == {"vendor": "Huawei"}
    beat = next(event for event in reversed(core.events) if event["event.action"] == "collector.heartbeat")
    assert (beat["zhishou.collector"], beat["zhishou.devices"]) == ("c1", 1)


def test_a_cut_uplink_loses_nothing_and_catches_up_in_order(core: FakeCore, tmp_path: Path) -> None:
    core.start()
    poller = ScriptedPoller(answering)
    with Rig(tmp_path, core, poller) as rig:
        assert core.wait(lambda: len(core.series("ifHCInOctets")) > 0)
        core.cut()
        before = poller.calls
        assert wait(lambda: poller.calls > before + 3), "polling goes on while the core is away"
        assert rig.outbox.metrics.state().pending_entries > 0
        core.start()
        assert core.wait(lambda: rig.outbox.metrics.state().pending_entries == 0)
    times = [at for at, _ in next(iter(core.series("ifHCInOctets").values()))]
    assert times == sorted(times)
    assert len(set(times)) >= before + 3
    assert len(core.event_ids) == len(set(core.event_ids))


def test_it_starts_with_a_cut_uplink_from_the_sealed_assignment(core: FakeCore, tmp_path: Path) -> None:
    core.start()
    with Rig(tmp_path, core, ScriptedPoller(answering)):
        assert core.wait(lambda: len(core.samples) > 0)
    core.cut()
    sealed = (tmp_path / "assignment").read_bytes()
    assert b"sEcret" not in sealed
    assert b"SW-1" not in sealed
    poller = ScriptedPoller(answering)
    with Rig(tmp_path, core, poller) as rig:
        assert wait(lambda: poller.calls > 0)
        assert wait(lambda: rig.outbox.metrics.state().pending_entries > 0)


def test_vanished_series_and_a_device_that_goes_down_become_stale(core: FakeCore, tmp_path: Path) -> None:
    def script(device: Device, _credential: Credential | None, call: int) -> PollResult:
        now = SystemClock().now_ms()
        if call > 2:
            return PollResult("snmp", False, now, 0.0, errors=[PollError("timeout", "no answer", "无应答")])
        ports = ("1", "2") if call == 1 else ("1",)
        return PollResult(
            "snmp", True, now, 0.0, [Reading("ifOperStatus", (("ifIndex", port),), 1.0) for port in ports]
        )

    core.start()
    with Rig(tmp_path, core, ScriptedPoller(script)):
        assert core.wait(lambda: sum(len(values) for values in core.series("ifOperStatus").values()) >= 5)
    ports = {
        dict(labels)["ifIndex"]: [v for _, v in values]
        for labels, values in core.series("ifOperStatus").items()
    }
    assert ports["2"][0] == 1.0
    assert is_stale(ports["2"][1])
    assert ports["1"][:2] == [1.0, 1.0]
    assert is_stale(ports["1"][2])
    assert len(ports["1"]) == 3, "one marker, not one at every poll"
    up = next(values for labels, values in core.series("up").items() if dict(labels)["job"] == "snmp")
    assert [value for _, value in up][:3] == [1.0, 1.0, 0.0]
    downs = [event for event in core.events if event.get("zhishou.up") is False]
    assert len(downs) == 1, "an unchanged state is not told again"
    assert json.loads(str(downs[0]["zhishou.errors"])) == [
        {"code": "timeout", "message": "no answer", "zh": "无应答"}
    ]


def test_a_poller_that_raises_is_a_result(core: FakeCore, tmp_path: Path) -> None:
    def script(device: Device, credential: Credential | None, call: int) -> PollResult:
        if device.id == "BAD":
            raise RuntimeError("password=hunter2")
        return answering(device, credential, call)

    core.assign("1", [SWITCH, replace(SWITCH, id=DeviceId("BAD"))], CREDENTIALS)
    core.start()
    with Rig(tmp_path, core, ScriptedPoller(script)):
        assert core.wait(lambda: {event.get("zhishou.device") for event in core.events} >= {"SW-1", "BAD"})
    bad = next(event for event in core.events if event.get("zhishou.device") == "BAD")
    assert json.loads(str(bad["zhishou.errors"]))[0]["code"] == "internal"
    assert "hunter2" not in json.dumps(core.events)


def test_a_removed_device_is_not_polled_and_its_series_end(core: FakeCore, tmp_path: Path) -> None:
    core.start()
    poller = ScriptedPoller(answering)
    with Rig(tmp_path, core, poller):
        assert core.wait(lambda: len(core.series("ifHCInOctets")) > 0)
        core.assign("2", [], {})
        assert core.wait(lambda: any(is_stale(v) for values in core.series("up").values() for _, v in values))
        calls = poller.calls
        time.sleep(0.5)
        assert poller.calls <= calls + 1
    ended = [values[-1][1] for labels, values in core.series("ifHCInOctets").items()]
    assert all(is_stale(value) for value in ended)


def test_a_full_spool_pauses_polling_and_counts_what_is_lost(core: FakeCore, tmp_path: Path) -> None:
    poller = ScriptedPoller(answering)
    core.start()
    with Rig(tmp_path, core, poller) as first:
        assert core.wait(lambda: len(core.samples) > 0)
    core.cut()
    del first
    with Rig(tmp_path, core, poller, metric_bytes=2000) as rig:
        dropped = "collector_spool_dropped_total"
        assert wait(lambda: (rig.registry.get_sample_value(dropped, {"lane": "metrics"}) or 0) > 0)
        calls = poller.calls
        time.sleep(0.6)
        assert poller.calls <= calls + 1, "back-pressure"
        assert (rig.registry.get_sample_value("collector_polls_missed_total") or 0) > 0


def test_stop_does_not_wait_for_a_hanging_device(core: FakeCore, tmp_path: Path) -> None:
    release = threading.Event()

    def script(device: Device, credential: Credential | None, call: int) -> PollResult:
        release.wait(20)
        return answering(device, credential, call)

    core.start()
    poller = ScriptedPoller(script)
    rig = Rig(tmp_path, core, poller)
    rig.agent.start()
    assert wait(lambda: poller.calls > 0)
    started = time.monotonic()
    rig.agent.stop()
    assert time.monotonic() - started < 5
    release.set()


def test_a_collector_that_is_broken_says_so(
    core: FakeCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: Timetable, _now: float) -> None:
        raise ZeroDivisionError

    core.start()
    with Rig(tmp_path, core, ScriptedPoller(answering)) as rig:
        assert not rig.agent.failed
        monkeypatch.setattr(Timetable, "due", broken)
        assert wait(lambda: rig.agent.failed)


def test_one_device_is_polled_by_one_thread_at_a_time() -> None:
    running: dict[str, int] = {}
    overlaps, done = [], []
    lock = threading.Lock()

    def run(task: Task) -> None:
        with lock:
            running[task.device] = running.get(task.device, 0) + 1
            overlaps.append(running[task.device])
        time.sleep(0.005)
        with lock:
            running[task.device] -= 1
            done.append(task)
        if task.module == "boom":
            raise ValueError(task.module)

    workers = DeviceWorkers(8, run)
    workers.start()
    modules = ("snmp", "boom", "ssh", "probe:a")
    tasks = [Task(DeviceId(f"D{device}"), module, 60) for module in modules for device in range(10)]
    assert all(workers.submit(task) for task in tasks)
    assert not workers.submit(tasks[-1]), "already waiting"
    assert wait(lambda: len(done) == len(tasks))
    assert workers.stop(1) == 0
    assert max(overlaps) == 1
    assert [task.module for task in done if task.device == "D3"] == list(modules)


def test_the_timetable_spreads_keeps_places_and_counts_what_it_missed() -> None:
    table = Timetable()
    tasks = [Task(DeviceId(f"D{number}"), "snmp", 60.0) for number in range(600)]
    assert table.replace(tasks, 1000.0) == []
    first = [due for second in range(11) for due in table.due(1000.0 + second)]
    assert {due.task for due in first} == set(tasks), "a new task is polled within ten seconds"
    per_second = [len(table.due(1011.0 + second)) for second in range(150)]
    assert max(per_second[30:]) < 30, "about ten a second"
    assert sum(per_second[90:]) == len(tasks)
    table = Timetable()
    table.replace(tasks[:1], 0.0)
    table.due(10.0)
    at = table.next_at()
    assert at is not None
    late = table.due(at + 200)[0]
    assert (round(late.late), late.missed) == (200, 3)
    again = table.next_at()
    assert again is not None
    assert (again - at) % 60 == pytest.approx(0) or (again - at) % 60 == pytest.approx(60)
    assert table.replace([], 0.0) == tasks[:1]
    assert table.due(1e9) == []


def test_a_device_that_must_not_be_probed_gets_no_probe() -> None:
    probe = Probe("tcp", "his", port=80)
    device = replace(SWITCH, ssh=SshAccess("s"), probes=(probe,))
    forbidden = replace(device, do_not_probe="呼吸机")
    modules = [task.module for task in tasks_of(Assignment("1", [device], {}, {}))]
    assert modules == ["snmp", "topology", "ssh", "probe:his"]
    forbidden_modules = [task.module for task in tasks_of(Assignment("1", [forbidden], {}, {}))]
    assert forbidden_modules == ["snmp", "topology", "ssh"]


def test_only_network_and_security_devices_with_snmp_are_asked_for_their_neighbours() -> None:
    def modules(**changes: object) -> list[str]:
        device = replace(SWITCH, **changes)  # type: ignore[arg-type]
        return [task.module for task in tasks_of(Assignment("1", [device], {}, {}))]

    assert modules(kind=Kind.SECURITY) == ["snmp", "topology"]
    assert modules(kind=Kind.SERVER) == ["snmp"]
    assert modules(snmp=None) == []
    assert modules(snmp=SnmpAccess("c", interval=0)) == []


def test_a_device_the_collector_does_not_understand_leaves_the_others() -> None:
    document = {
        "version": "9",
        "devices": [
            {"id": "X", "novel": 1},
            {"id": "A", "site": "H", "name": "a", "kind": "server", "address": "::1"},
        ],
        "regions": {"H": "R"},
        "credentials": {"good": {"kind": "ssh", "user": "u"}, "bad": {"kind": "ssh", "colour": "red"}},
    }
    assignment = parse_assignment(json.dumps(document))
    assert [device.id for device in assignment.devices] == ["A"]
    assert list(assignment.credentials) == ["good"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 1, "devices": 3, "regions": {}, "credentials": {}}']
)
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_assignment(text)


def test_the_assignment_is_fetched_once_a_version(core: FakeCore, tmp_path: Path) -> None:
    core.start()
    client = CoreClient(core.url, TOKEN)
    source = AssignmentSource(client, "c1", Vault(bytes(32)), tmp_path / "cache")
    assert source.remembered() is None
    fetched = source.fetch()
    assert fetched is not None
    assert fetched.credentials["ro"].community == "sEcret-community"
    assert "sEcret" not in repr(fetched)
    assert source.fetch() is None
    fresh = AssignmentSource(client, "c1", Vault(bytes(32)), tmp_path / "cache")
    assert fresh.remembered() == fetched
    assert fresh.fetch() is None
    other_key = AssignmentSource(client, "c1", Vault(bytes([1]) * 32), tmp_path / "cache")
    assert other_key.remembered() is None
    stranger = CoreClient(core.url, "wrong")
    with pytest.raises(UnreachableError, match="401"):
        AssignmentSource(stranger, "c1", Vault(bytes(32)), tmp_path / "x").fetch()
    stranger.close()
    client.close()
