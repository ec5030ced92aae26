"""Samples that came late: older than the newest of their series, so no longer a matter of the head.

They wait here, in memory and in the log, until the next sealing writes them to files of the days they belong to. The
first sample stored at a time stays: another with the same value is a duplicate, one with another value conflicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.metrics.interface import Bools, Codes, Floats, Ints
from monitor.metrics.layers import merge, no_columns
from monitor.metrics.piece import HOLE, NEVER, Columns, is_present

_RATIO = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """The samples that are new, and how many others have a stored value or contradict it."""

    fresh: Columns
    same: int
    conflicting: int


NOTHING = Verdict(no_columns(), 0, 0)


class LateBuffer:
    """See the module. Not locked: the store does that.

    Sorted runs, each much longer than the one after it: filling in a day costs each sample a few merges only.
    """

    __slots__ = ("_count", "_runs")

    def __init__(self) -> None:
        self._runs: list[Columns] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def runs(self) -> Sequence[Columns]:
        """What is here, in a few sorted runs; a sample of an earlier one wins."""
        return tuple(self._runs)

    def judge(self, columns: Columns) -> Verdict:
        """What of some samples is not here yet."""
        merged = merge([columns])
        fresh = merged.columns
        stored = self._find(fresh.series, fresh.timestamps)
        there = is_present(stored)
        same = there & (stored.view(np.uint64) == fresh.values.view(np.uint64))
        count = int(same.sum())
        kept = Columns(fresh.series[~there], fresh.timestamps[~there], fresh.values[~there])
        return Verdict(kept, merged.same + count, merged.conflicting + int(there.sum()) - count)

    def add(self, columns: Columns) -> None:
        """Take sorted samples in; of two at one time the one that was here first stays."""
        if not len(columns.series):
            return
        self._runs.append(columns)
        while len(self._runs) > 1 and len(self._runs[-2].series) <= _RATIO * len(self._runs[-1].series):
            newer = self._runs.pop()
            self._runs[-1] = merge([self._runs[-1], newer]).columns
        self._count = sum(len(run.series) for run in self._runs)

    def columns(self) -> Columns:
        """Everything, sorted by series and time."""
        if len(self._runs) > 1:
            self._runs = [merge(self._runs).columns]
            self._count = len(self._runs[0].series)
        return self._runs[0] if self._runs else no_columns()

    def oldest_ms(self) -> int:
        """The oldest time stamp, NEVER when there is none."""
        return min((int(run.timestamps.min()) for run in self._runs), default=NEVER)

    def within(self, wanted: Bools, after_ms: int, until_ms: int) -> Columns:
        """The samples of wanted series in (after_ms, until_ms]."""
        found = []
        for run in self._runs:
            chosen = np.flatnonzero((run.timestamps > after_ms) & (run.timestamps <= until_ms))
            numbers = run.series[chosen]
            inside = numbers < len(wanted)
            chosen = chosen[inside][wanted[numbers[inside]]]
            if len(chosen):
                found.append(Columns(run.series[chosen], run.timestamps[chosen], run.values[chosen]))
        return merge(found).columns

    def take_before(self, boundary_ms: int) -> Columns:
        """Remove and return the samples older than the boundary."""
        held = self.columns()
        old = held.timestamps < boundary_ms
        left = Columns(held.series[~old], held.timestamps[~old], held.values[~old])
        self._runs = [left] if len(left.series) else []
        self._count = len(left.series)
        return Columns(held.series[old], held.timestamps[old], held.values[old])

    def _find(self, series: Codes, times: Ints) -> Floats:
        """The values held at exact times, HOLE where there is none."""
        found = np.full(len(series), HOLE)
        for run in reversed(self._runs):
            at = _lower_bound(run, series, times)
            near = np.minimum(at, len(run.series) - 1)
            hit = (at < len(run.series)) & (run.series[near] == series) & (run.timestamps[near] == times)
            found[hit] = run.values[near[hit]]
        return found


def _lower_bound(run: Columns, series: Codes, times: Ints) -> Ints:
    """Where each (series, time) is in sorted samples, or would be."""
    low = np.searchsorted(run.series, series, "left")
    high = np.searchsorted(run.series, series, "right")
    while (low < high).any():
        middle = (low + high) // 2
        older = (low < high) & (run.timestamps[np.minimum(middle, len(run.series) - 1)] < times)
        high = np.where((low < high) & ~older, middle, high)
        low = np.where(older, middle + 1, low)
    return np.asarray(low, np.int64)
