"""What breaks when, in the simulated city: a script in seconds since the responder started, repeated for ever.

The first faults come within a minute, so that a newcomer sees an alert fire and resolve; slow ones overlap, so that
the desk always has something true to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """What a fault does to a device."""

    UPLINK_CUT = "uplink-cut"  # its uplink interface goes down
    SILENT = "silent"  # it does not answer
    DISK_FILLING = "disk-filling"  # its data volume fills up
    FAN_FAILED = "fan-failed"  # one fan stops and it runs hotter
    ON_BATTERY = "on-battery"  # mains are out
    HIGH_CPU = "high-cpu"
    INTERFACE_ERRORS = "interface-errors"


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of the script: active during [start, start + lasts) of every `every` seconds."""

    device: str
    effect: Effect
    start: float
    lasts: float
    every: float

    def progress(self, elapsed: float) -> float | None:
        """How far through the fault is, 0..1, or None while it is not active."""
        within = (elapsed - self.start) % self.every
        if elapsed < self.start or within >= self.lasts:
            return None
        return within / self.lasts


SCRIPT = (
    Fault("H013-ACC-1", Effect.SILENT, 25, 75, 420),
    Fault("H002-WAN-1", Effect.UPLINK_CUT, 40, 200, 900),
    Fault("H005-UPS-1", Effect.ON_BATTERY, 60, 420, 1500),
    Fault("H006-CORE-1", Effect.FAN_FAILED, 30, 5400, 7200),
    Fault("H003-DB-1", Effect.DISK_FILLING, 20, 2400, 3600),
    Fault("H001-HIS-1", Effect.HIGH_CPU, 90, 600, 1800),
    Fault("H009-ACC-2", Effect.INTERFACE_ERRORS, 0, 3600, 3600),  # never ends: a counter must not fall
    Fault("H010-CORE-1", Effect.SILENT, 300, 500, 2100),
    Fault("H017-WAN-1", Effect.UPLINK_CUT, 700, 260, 2400),
    Fault("H004-HIS-1", Effect.SILENT, 1000, 180, 3000),
)


def active(device: str, elapsed: float, script: tuple[Fault, ...] = SCRIPT) -> dict[Effect, float]:
    """The faults a device has now, with how far through each is."""
    found = {}
    for fault in script:
        if fault.device == device and (progress := fault.progress(elapsed)) is not None:
            found[fault.effect] = progress
    return found
