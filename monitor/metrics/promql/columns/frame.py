"""One part of a selection at one step: which of its rows lie in the window, by group of series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from monitor.metrics.interface import STALE_BITS, Bools, Codes, Floats, Ints, Part
from monitor.metrics.piece import HOLE_BITS, NEVER

Kind = TypeVar("Kind", np.float64, np.bool_, np.int64)


class Rows:
    """The newest and oldest time stamp of every row of a part: which rows a window can touch."""

    __slots__ = ("_newest", "_oldest", "_part", "_runs")

    def __init__(self, part: Part) -> None:
        self._part = part
        groups = part.timestamps.shape[1]
        # The set of series is the same object as long as its columns are, and so are their groups.
        self._runs = part.labels.remembered(("runs", groups), lambda: _runs(part.group, groups))
        if part.timestamps.size:
            held = part.timestamps != NEVER
            self._oldest = np.minimum.accumulate(part.timestamps.min(1)[::-1])[::-1]
            self._newest = np.maximum.accumulate(np.where(held, part.timestamps, -NEVER).max(1))
        else:
            self._oldest = self._newest = np.empty(0, np.int64)

    def frame(self, start_ms: int, end_ms: int) -> Frame:
        """The window (start, end]."""
        low = int(np.searchsorted(self._newest, start_ms, "right"))
        high = int(np.searchsorted(self._oldest, end_ms, "right"))
        return Frame(self._part, self._runs, low, max(low, high), start_ms, end_ms)


def _runs(group: Codes, groups: int) -> Ints | None:
    """How many columns each group has, when the columns are in the order of the groups."""
    return np.bincount(group, minlength=groups) if (np.diff(group) >= 0).all() else None


class Frame:
    """See the module. `first`, `last` [g] are rows of `values` for groups with `counts` > 0, which are `alive`."""

    def __init__(
        self, part: Part, runs: Ints | None, low: int, high: int, start_ms: int, end_ms: int
    ) -> None:
        self._runs = runs
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.group = part.group
        self.times: Ints = part.timestamps[low:high]
        self.values: Floats = part.values[low:high]
        self.odd: Sequence[Ints] = part.odd[low:high]
        self.falling: Bools = part.falling[low:high]
        self.inside: Bools = (self.times > start_ms) & (self.times <= end_ms)
        depth, groups = self.inside.shape
        self.counts: Ints = self.inside.sum(0)
        self.alive: Bools = self.counts > 0
        if depth:
            self.first: Ints = self.inside.argmax(0)
            self.last: Ints = depth - 1 - self.inside[::-1].argmax(0)
        else:
            self.first = self.last = np.zeros(groups, np.int64)

    @property
    def depth(self) -> int:
        """Rows."""
        return len(self.times)

    @property
    def size(self) -> int:
        """Cells to look at."""
        return self.values.size

    def spread(self, of_group: npt.NDArray[Kind]) -> npt.NDArray[Kind]:
        """Something of each group, for each of its series."""
        return of_group[self.group] if self._runs is None else np.repeat(of_group, self._runs)

    @cached_property
    def here(self) -> Bools:
        """Which series are of a group with a time stamp in the window; read-only."""
        if self.alive.all():
            return np.broadcast_to(np.True_, len(self.group))
        return self.spread(self.alive)

    def more_than_one(self) -> Bools:
        """Which series are of a group with two time stamps in the window or more; read-only."""
        enough = self.counts >= 2
        return np.broadcast_to(np.True_, len(self.group)) if enough.all() else self.spread(enough)

    def span(self, rows: Ints) -> tuple[int, int]:
        """The least and the greatest of the rows of groups that are alive; -1 when none is."""
        living = rows if self.alive.all() else rows[self.alive]
        return (int(living.min()), int(living.max())) if len(living) else (-1, -1)

    def pick(self, rows: Ints) -> Floats:
        """For each series its value in its group's row; anything for groups that are not alive."""
        low, high = self.span(rows)
        if low < 0:
            return np.full(len(self.group), np.nan)
        if low == high:
            return np.asarray(self.values[low])
        if high == low + 1:
            picked: Floats = np.where(self.spread(rows == high), self.values[high], self.values[low])
            return picked
        return np.asarray(
            self.values[np.where(self.alive, rows, low)[self.group], np.arange(len(self.group))]
        )

    @cached_property
    def ragged(self) -> Ints:
        """Series that lack a sample, or have a NaN, in some row between the first and the last of their group."""
        found = np.zeros(len(self.group), np.bool_)
        for row, columns in enumerate(self.odd):
            if len(columns):
                group = self.group[columns]
                between = (self.first[group] <= row) & (row <= self.last[group]) & self.alive[group]
                found[columns[between]] = True
        return np.flatnonzero(found)

    def with_stale_markers(self) -> Ints:
        """Series with a stale marker in some row."""
        found = np.zeros(len(self.group), np.bool_)
        for row, odd in enumerate(self.odd):
            if len(odd):
                found[odd[self.values[row][odd].view(np.uint64) == STALE_BITS]] = True
        return np.flatnonzero(found)

    def samples(self, columns: Ints) -> tuple[Floats, Bools, Ints]:
        """Values, which of them are samples (stale markers are not), and time stamps of some series, [k, m]."""
        values = np.take(self.values, columns, axis=1)
        bits = values.view(np.uint64)
        group = self.group[columns]
        return (
            values,
            (bits != HOLE_BITS) & (bits != STALE_BITS) & np.take(self.inside, group, axis=1),
            np.take(self.times, group, axis=1),
        )

    @cached_property
    def full(self) -> Bools:
        """Rows without a time stamp beside the window [k]: what is no sample there is NaN."""
        return np.asarray((self.inside | (self.times == NEVER)).all(1))

    def missing(self, row: int) -> Ints:
        """The columns of groups that have the row in the window, but no sample in it."""
        odd = self.odd[row]
        bits = self.values[row][odd].view(np.uint64)
        missing = odd[(bits == HOLE_BITS) | (bits == STALE_BITS)]
        return np.asarray(missing[self.inside[row][self.group[missing]]])

    def walk(self) -> Iterator[tuple[int, Floats, Ints]]:
        """Row by row: its number, the values, and the columns that have no sample there (perhaps named twice)."""
        full = self.full.tolist()
        for row, odd in enumerate(self.odd):
            values = self.values[row]
            missing = odd
            if len(odd):
                bits = values[odd].view(np.uint64)
                missing = odd[(bits == HOLE_BITS) | (bits == STALE_BITS)]
            if not full[row]:
                outside = np.flatnonzero(~self.inside[row][self.group])
                missing = np.concatenate([missing, outside]) if len(missing) else outside
            yield row, values, missing
