"""Columns become the same samples as a result's readings; series end, states are told, a full spool drops and says so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from collectors.enrich import STILL_EVERY_MS, ReadingKey
from collectors.intake import PAUSE_SECONDS, Intake
from collectors.interface import PollError, PollResult, Reading
from collectors.outbox import Lane, Outbox
from collectors.telemetry import CollectorMetrics
from collectors.timetable import Task
from monitor.clock import ManualClock
from monitor.metrics.interface import STALE
from monitor.metrics.remote_write import decode
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess
from tests.conftest import NOON

Samples = dict[tuple[str, str, int], float]
PORTS = 3


def device(name: str = "S1") -> Device:
    access = SnmpAccess("c", interval=60)
    return Device(DeviceId(name), SiteId("H1"), "核心交换机", Kind.NETWORK, "10.1.1.1", snmp=access)


def readings(base: float, ports: int = PORTS) -> list[Reading]:
    found = [Reading("ifHCInOctets", (("ifIndex", str(at)),), base + at) for at in range(ports)]
    return [*found, Reading("sysUpTime", (), base)]


def keys_of(some: Sequence[Reading]) -> list[ReadingKey]:
    return [(one.name, one.labels) for one in some]


def result(some: Sequence[Reading] = (), *, at: int = NOON, up: bool = True) -> PollResult:
    errors = [] if up else [PollError("timeout", "no answer", "没有应答")]
    return PollResult("snmp", up, at, 0.5, some, errors, {"vendor": "Huawei"} if up else {})


class Rig:
    """An intake, and what it spooled."""

    def __init__(self, folder: Path, clock: ManualClock, **limits: int) -> None:
        self.clock = clock
        self.outbox = Outbox(folder, **limits)
        self.metrics = CollectorMetrics(CollectorRegistry())
        self.intake = Intake("c1", self.outbox, self.metrics, clock)

    def _frames(self, lane: Lane) -> list[bytes]:
        frames = lane.read(max_bytes=1 << 24, max_entries=1 << 20)
        lane.acknowledge(frames)
        return [frame.payload for frame in frames]

    def samples(self) -> Samples:
        """What was spooled since: (metric, index or device, ms) -> bits of the value."""
        found: Samples = {}
        for payload in self._frames(self.outbox.metrics):
            block = decode(payload, content_type="application/x-protobuf", content_encoding="snappy")
            for code, at, value in zip(block.series, block.timestamps, block.values, strict=True):
                labels = dict(block.labels[code])
                assert labels["site"] == "H1"
                assert labels["vendor"] == "Huawei"
                assert labels["region"] == "R1"
                key = labels["__name__"], labels.get("ifIndex", ""), int(at)
                assert key not in found
                found[key] = float(value)
        return found

    def events(self) -> list[dict[str, object]]:
        lines = b"".join(self._frames(self.outbox.events)).splitlines()
        return [json.loads(line)["event"] for line in lines]

    def columns(self, at: int, values: Sequence[float], name: str = "S1", seconds: float = 0.5) -> None:
        self.intake.take_columns(
            {DeviceId("S1"): device(), DeviceId("S2"): device("S2")}, "snmp", at, [DeviceId(name)],
            np.array([len(values)]), np.array(values), np.array([seconds]),
        )  # fmt: skip


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, ManualClock(NOON))
    yield made
    made.outbox.close()


def is_stale(value: float) -> bool:
    return bool(np.float64(value).view(np.uint64) == np.float64(STALE).view(np.uint64))


def test_columns_are_the_samples_a_result_would_give(rig: Rig) -> None:
    first = readings(100.0)
    rig.intake.take(device(), "R1", result(first), keys_of(first))
    rig.samples()
    rig.columns(NOON + 60_000, [one.value for one in readings(500.0)])
    columns = rig.samples()
    rig.intake.take(device(), "R1", result(readings(500.0), at=NOON + 60_000), keys_of(first))
    assert columns == rig.samples()
    assert columns["up", "", NOON + 60_000] == 1.0
    assert columns["device_poll_duration_seconds", "", NOON + 60_000] == 0.5
    assert columns["ifHCInOctets", "2", NOON + 60_000] == 502.0
    assert len(columns) == PORTS + 3


def test_many_devices_in_one_call(rig: Rig) -> None:
    some = readings(1.0)
    for name in ("S1", "S2"):
        rig.intake.take(
            device(name), "R1", result(some), keys_of(some) if name == "S1" else keys_of(some[:1])
        )
    rig.outbox.metrics.acknowledge(rig.outbox.metrics.read(max_bytes=1 << 24, max_entries=1 << 20))
    rig.intake.take_columns(
        {DeviceId("S1"): device(), DeviceId("S2"): device("S2")}, "snmp", NOON + 1,
        [DeviceId("S2"), DeviceId("S1"), DeviceId("gone")], np.array([1, 4, 2]), np.arange(7.0), np.ones(3),
    )  # fmt: skip
    (frame,) = rig.outbox.metrics.read(max_bytes=1 << 24, max_entries=1 << 20)
    block = decode(frame.payload, content_type="application/x-protobuf", content_encoding="snappy")
    found = {
        (dict(block.labels[code])["device"], dict(block.labels[code]).get("ifIndex")): value
        for code, value in zip(block.series, block.values.tolist(), strict=True)
        if dict(block.labels[code])["__name__"] == "ifHCInOctets"
    }
    assert found == {("S2", "0"): 0.0, ("S1", "0"): 1.0, ("S1", "1"): 2.0, ("S1", "2"): 3.0}
    assert frame.entries == 3 + 6


def test_a_series_that_is_gone_with_the_next_result_is_ended(rig: Rig) -> None:
    some = readings(1.0)
    rig.intake.take(device(), "R1", result(some), keys_of(some))
    rig.columns(NOON + 1000, [2.0] * 4)
    rig.samples()
    fewer = readings(3.0, ports=2)
    rig.intake.take(device(), "R1", result(fewer, at=NOON + 2000), keys_of(fewer))
    found = rig.samples()
    ended = {key for key, value in found.items() if is_stale(value)}
    assert ended == {("ifHCInOctets", "2", NOON + 2000)}
    rig.columns(NOON + 3000, [4.0] * 3)
    assert len(rig.samples()) == 5


def test_columns_of_what_nobody_announced_are_left_out(rig: Rig) -> None:
    some = readings(1.0)
    rig.columns(NOON, [1.0] * 4)
    rig.intake.take(device(), "R1", result(some), keys_of(some))
    rig.intake.take(device(), "R1", result(some, at=NOON + 1))
    rig.samples()
    rig.columns(NOON + 2, [1.0] * 4)
    assert not rig.samples(), "the last result announced none"


def test_what_is_not_polled_any_more_is_ended_once(rig: Rig) -> None:
    some = readings(1.0)
    rig.intake.take(device(), "R1", result(some), keys_of(some))
    rig.samples()
    rig.clock.advance(60)
    rig.intake.end([Task(DeviceId("S1"), "snmp", 60.0)])
    found = rig.samples()
    assert len(found) == PORTS + 3
    assert all(is_stale(value) for value in found.values())
    rig.columns(NOON + 120_000, [1.0] * 4)
    assert not rig.samples()


def test_still_polled_is_told_now_and_then(rig: Rig) -> None:
    some = readings(1.0)
    rig.intake.take(device(), "R1", result(some), keys_of(some))
    (first,) = rig.events()
    assert first["zhishou.up"] is True
    told = []
    for at in range(1000, 3 * STILL_EVERY_MS, 10_000):
        rig.columns(NOON + at, [1.0] * 4)
        told += [event["@timestamp"] for event in rig.events()]
    assert len(told) == 2
    assert all(isinstance(at, int) for at in told)
    rig.intake.take(device(), "R1", result(at=NOON + 4 * STILL_EVERY_MS, up=False), keys_of(some))
    (down,) = rig.events()
    assert down["zhishou.up"] is False


def test_a_full_spool_drops_counts_and_pauses(tmp_path: Path) -> None:
    rig = Rig(tmp_path, ManualClock(NOON), metric_bytes=700, event_bytes=100_000)
    some = readings(1.0)
    rig.intake.take(device(), "R1", result(some), keys_of(some))
    paused = [rig.intake.paused]
    for at in range(1, 10):
        rig.columns(NOON + at, [float(at)] * 4)
    paused.append(rig.intake.paused)
    dropped = rig.metrics.registry.get_sample_value("collector_spool_dropped_total", {"lane": "metrics"})
    assert dropped is not None
    assert dropped >= 6
    rig.clock.advance(PAUSE_SECONDS + 0.1)
    paused.append(rig.intake.paused)
    assert paused == [False, True, False]
    rig.outbox.close()
