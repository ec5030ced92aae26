"""A fleet with everything it hands on kept, for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from collectors.interface import Credential, PollResult
from collectors.profiles.loader import load_profiles
from collectors.profiles.recipe import SeriesKey
from collectors.snmp.batch.engine import Engine
from collectors.snmp.batch.fleet import Fleet
from collectors.snmp.poller import SnmpPoller
from monitor.clock import Clock, SystemClock
from monitor.metrics.arrays import Floats, Ints
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess

V2 = Credential("snmp-v2c", community="public")
PROFILES = load_profiles()


@dataclass
class Heard:
    """An Outlet. `told` has, in order, ("result", device, PollResult) and ("columns", device, {series: value})."""

    told: list[tuple[str, str, object]] = field(default_factory=list)
    series: dict[str, tuple[SeriesKey, ...]] = field(default_factory=dict)
    missed: int = 0

    def result(self, device: DeviceId, result: PollResult, series: Sequence[SeriesKey] | None) -> None:
        if series is not None:
            self.series[device] = tuple(series)
        self.told.append(("result", device, result))

    def columns(
        self, at_ms: int, devices: Sequence[DeviceId], counts: Ints, values: Floats, seconds: Floats
    ) -> None:
        assert at_ms > 0
        assert (seconds >= 0).all()
        assert counts.sum() == len(values)
        at = 0
        for device, count in zip(devices, counts.tolist(), strict=True):
            found = dict(zip(self.series[device], values[at : at + count].tolist(), strict=True))
            at += count
            self.told.append(("columns", device, found))

    def lateness(self, seconds: Floats, missed: int) -> None:
        self.missed += missed

    @property
    def kinds(self) -> list[str]:
        return [
            "down" if isinstance(what, PollResult) and not what.up else kind for kind, _, what in self.told
        ]

    def results(self) -> list[PollResult]:
        return [what for _, _, what in self.told if isinstance(what, PollResult)]

    def columns_of(self) -> list[dict[SeriesKey, float]]:
        return [what for _, _, what in self.told if isinstance(what, dict)]


class Running:
    """A fleet, stepped by the test."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.heard = Heard()
        self.engine = Engine(self.clock)
        self.poller = SnmpPoller(self.clock, PROFILES)
        self.fleet = Fleet(self.clock, self.poller, self.engine, self.heard, readers=4)

    def until(self, holds: Callable[[], bool], seconds: float = 8.0) -> None:
        """Work until something holds."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"it never did: {self.heard.kinds}"
            self.fleet.step()

    def more(self, count: int, seconds: float = 8.0) -> list[str]:
        """Work until `count` more polls were told; their kinds."""
        before = len(self.heard.told)
        self.until(lambda: len(self.heard.told) >= before + count, seconds)
        return self.heard.kinds[before:]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.fleet.stop()
        self.fleet.close()


def device(
    port: int,
    name: str = "d",
    *,
    host: str = "127.0.0.1",
    interval: float = 0.3,
    profile: str = "auto",
    timeout: float = 0.3,
    retries: int = 1,
) -> Device:
    access = SnmpAccess("c", port=port, profile=profile, interval=interval, timeout=timeout, retries=retries)
    return Device(DeviceId(name), SiteId("s"), name, Kind.NETWORK, host, snmp=access)
