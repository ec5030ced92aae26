"""How the metric store is: figures for people, and what of them needs somebody's attention.

The core gathers a `StoreReport` and answers with it on its socket; the console and `zhishou doctor` read it there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from monitor.metrics.refusals import Refusal

ADDRESS = "/api/v1/platform/store"
MIN_FREE_BYTES = 2 << 30
LAG_SECONDS = (
    300.0  # a back end that is further behind needs attention; batches of a healthy one take seconds
)
_HOUR_MS = 3_600_000


class Trouble(StrEnum):
    """What may be wrong, the worst first."""

    REFUSING = "refusing"  # the disk takes no samples
    DAMAGED = "damaged"  # something on disk is not what was written
    SEALING = "sealing"  # samples cannot be moved from memory and log to files
    DISK_FULL = "disk_full"
    REMOTE_DROPPED = "remote_dropped"
    REMOTE_DOWN = "remote_down"
    REMOTE_BEHIND = "remote_behind"
    SERIES_REFUSED = "series_refused"
    QUERIES_REFUSED = "queries_refused"


@dataclass(frozen=True, slots=True)
class RemoteReport:
    """The metrics back end. `dropped`: samples in the last hour that it will never get; `failure` empty: it takes."""

    failure: str
    failing_since_ms: int
    lag_seconds: float
    pending_bytes: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Count:
    """How many of what."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class StoreReport:
    """The store at one moment.

    `samples_per_second`: None in the first half minute. `damaged`: pieces by kind (wal, chunk, index, file, catalog)
    found since the store was opened. `set_aside`: files kept in quarantine folders. `held_from_ms`: since when samples
    are held, 0 when there are none. `series_refused` and `queries_refused`: in the last hour, the former by site.
    """

    at_ms: int
    series: int
    samples_per_second: float | None
    wal_bytes: int
    chunk_bytes: int
    memory_bytes: int
    free_bytes: int
    held_from_ms: int
    damaged: tuple[Count, ...]
    set_aside: int
    queries_running: int
    queries_waiting: int
    queries_places: int
    queries_refused: int
    series_refused: tuple[Count, ...] = ()
    writing: Refusal | None = None
    sealing: Refusal | None = None
    remote: RemoteReport | None = None

    @property
    def pieces(self) -> int:
        """How many pieces are damaged."""
        return sum(kind.count for kind in self.damaged)


def troubles(report: StoreReport) -> list[Trouble]:
    """What needs attention, the worst first; empty when all is well."""
    remote = report.remote
    held = {
        Trouble.REFUSING: report.writing is not None,
        Trouble.DAMAGED: report.pieces > 0,
        Trouble.SEALING: report.sealing is not None,
        Trouble.DISK_FULL: report.free_bytes < MIN_FREE_BYTES,
        Trouble.REMOTE_DROPPED: remote is not None and remote.dropped > 0,
        Trouble.REMOTE_DOWN: remote is not None and bool(remote.failure),
        Trouble.REMOTE_BEHIND: remote is not None and not remote.failure and remote.lag_seconds > LAG_SECONDS,
        Trouble.SERIES_REFUSED: bool(report.series_refused),
        Trouble.QUERIES_REFUSED: report.queries_refused > 0,
    }
    return [trouble for trouble in Trouble if held[trouble]]


class Recent:
    """How much counters grew in the last hour, from looks once in a while. Not for several threads at once."""

    __slots__ = ("_looks",)

    def __init__(self) -> None:
        self._looks: deque[tuple[int, Mapping[str, float]]] = deque()

    def note(self, at_ms: int, counts: Mapping[str, float]) -> None:
        """One look. What is older than an hour is forgotten but for one look."""
        self._looks.append((at_ms, counts))
        while len(self._looks) > 1 and self._looks[1][0] <= at_ms - _HOUR_MS:
            self._looks.popleft()

    def grown(self, counts: Mapping[str, float]) -> dict[str, int]:
        """By name, how much each counter grew since the oldest look; a new one grew from nothing."""
        before = self._looks[0][1] if self._looks else counts
        found = {name: round(value - before.get(name, 0.0)) for name, value in counts.items()}
        return {name: grown for name, grown in found.items() if grown > 0}

    def per_second(self, at_ms: int, name: str, value: float) -> float | None:
        """How fast a counter grows, from the newest look that is at least half a minute old; None without one."""
        for then, counts in reversed(self._looks):
            if at_ms - then >= 30_000:
                return max(0.0, (value - counts.get(name, 0.0)) * 1000 / (at_ms - then))
        return None
