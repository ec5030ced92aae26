"""What the metric store says about one device: one query a metric for the whole device, never one a row of a table.

A device that falls silent keeps its last reading: everything is then asked as of its last answer, and `late` says that
the page must grey it. Nothing here raises when the store does not answer; `trouble` keeps the reason for the page.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from dashboards.scope import backend
from dashboards.series import lines, quote
from monitor.errors import ZhishouError
from monitor.metrics.client import Sample, Series
from monitor.model import Device

log = structlog.get_logger(__name__)

JOBS: Mapping[str, str] = {"snmp": "snmp", "node": "ssh"}  # label value -> module of a status
LATE_INTERVALS = 3.0  # a value older than this many polls is grey
SLACK_MS = 5_000
_FACTS = (
    "sysUpTime|node_boot_time_seconds|device_(cpu|memory|storage|component|sensor)_.+|device_sessions|ups_.+"
    "|snmp_module_up"
)


@dataclass(frozen=True, slots=True)
class Heard:
    """How one way of polling went last. Times in ms, None when not within a day."""

    job: str
    interval: float  # seconds
    asked_at: int | None = None
    answered_at: int | None = None

    def silent(self) -> bool:
        """Whether the last poll got no answer, or there was none."""
        return self.answered_at is None or (self.asked_at or 0) > self.answered_at

    def late(self, now_ms: int) -> bool:
        """Whether its values are too old to stand for now."""
        return self.answered_at is None or now_ms - self.answered_at > late_after_ms(self.interval)


def late_after_ms(interval: float) -> int:
    """How old a value may be, for a device that is polled every `interval` seconds."""
    return round(interval * LATE_INTERVALS * 1000) + SLACK_MS


def any_of(values: Iterable[str]) -> str:
    """A PromQL string literal: the regular expression that matches exactly these values."""
    return quote("|".join(re.escape(value) for value in values))


@dataclass(slots=True)
class Readings:
    """The numbers of one device as of now, or as of its last answer. Lives as long as one request."""

    device: Device
    now_ms: int
    heard: Mapping[str, Heard] = field(default_factory=dict)
    facts: Mapping[str, Sequence[tuple[Series, float]]] = field(default_factory=dict)
    trouble: ZhishouError | None = None

    @property
    def match(self) -> str:
        """The label matcher of this device."""
        return f"device={quote(self.device.id)}"

    def at(self, job: str = "snmp") -> int | None:
        """When readings of a job are asked for: now while it answers, else its last answer; None without one."""
        known = self.heard.get(job)
        if known is None or known.answered_at is None:
            return None
        return known.answered_at if known.silent() or known.late(self.now_ms) else self.now_ms

    def late(self, job: str = "snmp") -> bool:
        """Whether the readings of a job must be shown as old."""
        known = self.heard.get(job)
        return known is None or known.late(self.now_ms)

    def answered_at(self, job: str = "snmp") -> int | None:
        """When the job last got an answer, in ms."""
        known = self.heard.get(job)
        return known.answered_at if known else None

    def instant(self, expression: str, at_ms: int | None) -> list[Sample]:
        """Finite values at a time; none without a time, or when the store does not answer."""
        if at_ms is None or self.trouble is not None:
            return []
        try:
            found = backend().metrics.instant(expression, at_ms)
        except ZhishouError as error:
            self._fail(error)
            return []
        return [(labels, value) for labels, value in found if math.isfinite(value)]

    def by(self, label: str, expression: str, at_ms: int | None) -> dict[str, float]:
        """The same by the value of a label."""
        return {labels.get(label, ""): value for labels, value in self.instant(expression, at_ms)}

    def lines(
        self, expression: str, times: Sequence[int], label: str | tuple[str, ...]
    ) -> dict[str, list[float | None]]:
        """Several lines on a grid of seconds, by the value of a label (or of several, joined by NUL)."""
        if self.trouble is not None:
            return {}
        try:
            return lines(expression, times, label)
        except ZhishouError as error:
            self._fail(error)
            return {}

    def one(self, name: str) -> float | None:
        """A fact that a device has once; the highest where several series tell it."""
        return max((value for _, value in self.facts.get(name, ())), default=None)

    def fact(self, name: str, label: str) -> dict[str, float]:
        """A fact by the value of a label."""
        return {labels.get(label, ""): value for labels, value in self.facts.get(name, ())}

    def _fail(self, error: ZhishouError) -> None:
        log.warning("no-readings", device=self.device.id, error=str(error))
        self.trouble = error


def read(device: Device) -> Readings:
    """Ask how polling goes, and for every fact that is not one of an interface."""
    readings = Readings(device, backend().clock.now_ms())
    readings.heard = _heard(readings)
    readings.facts = _facts(readings)
    return readings


def _heard(readings: Readings) -> dict[str, Heard]:
    device, now = readings.device, readings.now_ms
    intervals = {
        "snmp": device.snmp.interval if device.snmp else 0.0,
        "node": device.ssh.interval if device.ssh else 0.0,
    }
    ups = f'up{{{readings.match},job=~"snmp|node"}}'
    asked = _newest(readings.instant(f"timestamp({ups})", now))
    good = _newest(readings.instant(f"timestamp({ups}) and {ups} == 1", now))
    if set(asked) - set(good) or not asked:
        past = readings.instant(f"max_over_time((timestamp({ups}) and {ups} == 1)[1d:1m])", now)
        good = {**_newest(past), **good}
    if not asked:
        asked = _newest(readings.instant(f"max_over_time(timestamp({ups})[1d:1m])", now))
    jobs = {job for job, interval in intervals.items() if interval} | set(asked) | set(good)
    return {
        job: Heard(job, intervals.get(job) or 60.0, asked.get(job, good.get(job)), good.get(job))
        for job in sorted(jobs)
    }


def _newest(found: Sequence[Sample]) -> dict[str, int]:
    times: dict[str, int] = {}
    for labels, seconds in found:
        job = labels.get("job", "")
        times[job] = max(times.get(job, 0), round(seconds * 1000))
    return times


def _facts(readings: Readings) -> dict[str, list[tuple[Series, float]]]:
    times = {job: readings.at(job) for job in readings.heard}
    now = readings.now_ms
    selector = f'__name__=~"{_FACTS}",{readings.match}'
    if all(at in (None, now) for at in times.values()):
        found = readings.instant(f"{{{selector}}}", now if now in times.values() else None)
    else:
        found = [
            sample
            for job, at in times.items()
            for sample in readings.instant(f'{{{selector},job="{job}"}}', at)
        ]
    facts: dict[str, list[tuple[Series, float]]] = {}
    for labels, value in found:
        facts.setdefault(labels.get("__name__", ""), []).append((labels, value))
    return facts
