"""Samples that came late: older than the newest of their series, so no longer a matter of the head.

They wait here, in memory and in the log, until the next sealing writes them to files of the days they belong to. The
first sample stored at a time stays: another with the same value is a duplicate, one with another value conflicts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.metrics.interface import Bools, Codes, Floats, Ints
from monitor.metrics.layers import merge, no_columns
from monitor.metrics.piece import HOLE, Columns, is_present

_PENDING_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """The samples that are new, and how many others have a stored value or contradict it."""

    fresh: Columns
    same: int
    conflicting: int


NOTHING = Verdict(no_columns(), 0, 0)


class LateBuffer:
    """See the module. Not locked: the store does that."""

    __slots__ = ("_blocks", "_count", "_sorted")

    def __init__(self) -> None:
        self._sorted = no_columns()
        self._blocks: list[Columns] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def judge(self, columns: Columns) -> Verdict:
        """What of sorted samples is not here yet."""
        merged = merge([columns])
        fresh = merged.columns
        stored = self._find(fresh.series, fresh.timestamps)
        there = is_present(stored)
        same = there & (stored.view(np.uint64) == fresh.values.view(np.uint64))
        count = int(same.sum())
        kept = Columns(fresh.series[~there], fresh.timestamps[~there], fresh.values[~there])
        return Verdict(kept, merged.same + count, merged.conflicting + int(there.sum()) - count)

    def add(self, columns: Columns) -> None:
        """Take samples in; of two at one time the one that was here first stays."""
        if len(columns.series):
            self._blocks.append(columns)
            self._count += len(columns.series)
            if len(self._blocks) >= _PENDING_BLOCKS:
                self.columns()

    def columns(self) -> Columns:
        """Everything, sorted by series and time."""
        if self._blocks:
            self._sorted = merge([self._sorted, *self._blocks]).columns
            self._blocks = []
            self._count = len(self._sorted.series)
        return self._sorted

    def within(self, wanted: Bools, after_ms: int, until_ms: int) -> Columns:
        """The samples of wanted series in (after_ms, until_ms]."""
        if not self._count:
            return self._sorted
        held = self.columns()
        chosen = (held.timestamps > after_ms) & (held.timestamps <= until_ms)
        inside = held.series < len(wanted)
        chosen &= inside & wanted[np.where(inside, held.series, 0)]
        return Columns(held.series[chosen], held.timestamps[chosen], held.values[chosen])

    def take_before(self, boundary_ms: int) -> Columns:
        """Remove and return the samples older than the boundary."""
        held = self.columns()
        old = held.timestamps < boundary_ms
        self._sorted = Columns(held.series[~old], held.timestamps[~old], held.values[~old])
        self._count = len(self._sorted.series)
        return Columns(held.series[old], held.timestamps[old], held.values[old])

    def _find(self, series: Codes, times: Ints) -> Floats:
        """The values held at exact times, HOLE where there is none."""
        found = np.full(len(series), HOLE)
        held = self.columns()
        if len(held.series) and len(series):
            low = min(int(held.timestamps.min()), int(times.min()))
            width = max(int(held.timestamps.max()), int(times.max())) - low + 1
            keys = held.series.astype(np.int64) * width + (held.timestamps - low)
            wanted = series.astype(np.int64) * width + (times - low)
            at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            hit = keys[at] == wanted
            found[hit] = held.values[at[hit]]
        return found
