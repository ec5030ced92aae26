"""One part of a selection at one step: which of its rows lie in the window, by group of series."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from monitor.metrics.interface import STALE_BITS, Bools, Floats, Ints, Part
from monitor.metrics.piece import HOLE_BITS, NEVER


class Rows:
    """The newest and oldest time stamp of every row of a part: which rows a window can touch."""

    __slots__ = ("_newest", "_oldest", "part")

    def __init__(self, part: Part) -> None:
        self.part = part
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
        return Frame(self.part, low, max(low, high), start_ms, end_ms)


class Frame:
    """See the module. `first`, `last` [g] are rows of `values` for groups with `counts` > 0, which are `alive`."""

    def __init__(self, part: Part, low: int, high: int, start_ms: int, end_ms: int) -> None:
        self.part = part
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.group = part.group
        self.times: Ints = part.timestamps[low:high]
        self.values: Floats = part.values[low:high]
        self.clean: Bools = part.clean[low:high]
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

    def spread(self, of_group: Floats) -> Floats:
        """A figure of each group, for each of its series."""
        return of_group[self.group]

    @cached_property
    def here(self) -> Bools:
        """Which series are of a group with a time stamp in the window."""
        return self.alive[self.group]

    def pick(self, rows: Ints) -> Floats:
        """For each series its value in its group's row; anything for groups that are not alive."""
        living = rows[self.alive]
        if not len(living):
            return np.full(len(self.group), np.nan)
        low, high = int(living.min()), int(living.max())
        if low == high:
            return np.asarray(self.values[low])
        if high == low + 1:
            picked: Floats = np.where((rows == high)[self.group], self.values[high], self.values[low])
            return picked
        return np.asarray(self.values[np.where(self.alive, rows, low)[self.group], np.arange(len(self.group))])

    @cached_property
    def ragged(self) -> Ints:
        """Series that lack a sample, or have a NaN, in some row between the first and the last of their group."""
        rows = np.flatnonzero(~self.clean)
        found = np.zeros(len(self.group), np.bool_)
        for row in rows.tolist():
            odd = np.isnan(self.values[row])
            between = (self.first <= row) & (row <= self.last) & self.alive
            if not between.all():
                odd &= between[self.group]
            found |= odd
        return np.flatnonzero(found)

    def samples(self, columns: Ints) -> tuple[Floats, Bools, Ints]:
        """Values, which of them are samples (stale markers are not), and time stamps of some series, [k, m]."""
        values = self.values[:, columns]
        bits = values.view(np.uint64)
        group = self.group[columns]
        return (
            values,
            (bits != HOLE_BITS) & (bits != STALE_BITS) & self.inside[:, group],
            self.times[:, group],
        )

    def walk(self) -> Iterator[tuple[int, Floats, Bools | None]]:
        """Row by row: its number, the values, and which are samples; None for all of the series that are `here`."""
        for row in range(self.depth):
            values = self.values[row]
            inside = self.inside[row]
            valid: Bools | None = None
            if not inside[self.alive].all():
                valid = inside[self.group]
            if not self.clean[row] and np.isnan(values).any():
                bits = values.view(np.uint64)
                samples = (bits != HOLE_BITS) & (bits != STALE_BITS)
                valid = samples if valid is None else valid & samples
            yield row, values, valid
