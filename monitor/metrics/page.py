"""A page: the recent samples of up to `MAX_COLUMNS` series of one job, time-major.

A group is a set of series that were first polled together; it has one column of time stamps, each series one
column of values. Row r of a group is its r-th time stamp; rows of different groups need not be of the same time.
A cell without a sample holds the `HOLE` bit pattern. Time stamps of a group increase strictly with the row and
the rest of its column is `NEVER`. All work on samples is vectorised; only new series cost Python time.

A matrix wastes room when one group has far more rows than the others, so a page takes at most `max_cells`: beyond
that it names the groups that are too deep for it, and the head gives them pages of their own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from monitor.metrics.interface import Codes, Floats, Ints
from monitor.metrics.piece import HOLE, NEVER, Piece, is_present

MAX_COLUMNS = 4096
MAX_CELLS = 1 << 22
_FIRST_ROWS = 16
_FIRST_COLUMNS = 64


class Page:
    """See the module. Not locked."""

    __slots__ = (
        "_by_target",
        "_columns",
        "_groups",
        "_max_cells",
        "_times",
        "_values",
        "apart",
        "count",
        "group_of",
        "series",
    )

    def __init__(
        self, *, columns: int = _FIRST_COLUMNS, max_cells: int = MAX_CELLS, apart: bool = False
    ) -> None:
        self._times = np.full((_FIRST_ROWS, columns), NEVER, np.int64)
        self._values = np.full((_FIRST_ROWS, columns), HOLE, np.float64)
        self._columns = 0
        self._groups = 0
        self._max_cells = max_cells
        self.apart = apart
        self.count = np.zeros(columns, np.int64)
        self.group_of = np.zeros(columns, np.int32)
        self.series = np.zeros(columns, np.int32)
        self._by_target: dict[tuple[str, ...], list[int]] = {}

    @property
    def full(self) -> bool:
        """No room for another series."""
        return self._columns >= MAX_COLUMNS

    @property
    def width(self) -> int:
        """How many series have a column."""
        return self._columns

    @property
    def size(self) -> int:
        """Memory held by the matrices."""
        return self._times.nbytes + self._values.nbytes

    def add_column(self, series: int, target: tuple[str, ...], first_ms: int | None) -> int:
        """Give a series a column, in a group of its target whose newest row is `first_ms`, else a new one.

        Without a time it joins whatever group the target has.
        """
        if self._columns == self._values.shape[1]:
            self._values = _wider_values(self._values)
            self.group_of = np.concatenate([self.group_of, np.zeros_like(self.group_of)])
            self.series = np.concatenate([self.series, np.zeros_like(self.series)])
        column = self._columns
        self._columns += 1
        self.series[column] = series
        self.group_of[column] = self._group_for(target, first_ms)
        return column

    def _group_for(self, target: tuple[str, ...], first_ms: int | None) -> int:
        groups = self._by_target.setdefault(target, [])
        for group in reversed(groups):
            rows = self.count[group]
            if first_ms is None or (rows and self._times[rows - 1, group] == first_ms):
                return group
        if self._groups == self._times.shape[1]:
            self._times = _wider_times(self._times)
            self.count = np.concatenate([self.count, np.zeros_like(self.count)])
        group = self._groups
        self._groups += 1
        groups.append(group)
        if first_ms is not None:
            self._times[0, group] = first_ms
            self.count[group] = 1
        return group

    def write(self, columns: Codes, timestamps: Ints, values: Floats) -> list[int]:
        """Store samples; (column, time stamp) pairs are unique and not yet present.

        When that would make the page too large nothing is stored, and the groups to blame are returned.
        """
        groups = self.group_of[columns]
        order = np.lexsort((timestamps, groups))
        pairs, member = _pairs(groups[order], timestamps[order])
        pair_groups, pair_times = groups[order][pairs], timestamps[order][pairs]
        needed = self.count + np.bincount(pair_groups, minlength=len(self.count))
        if self._columns > 1 and int(needed.max()) * self._columns > self._max_cells:
            deep: list[int] = np.flatnonzero(needed * self._columns > self._max_cells).tolist()
            return deep
        newest = self._newest(pair_groups)
        for group, at in self._missing(pair_groups, pair_times, newest):
            self._insert_row(group, at)
        later = pair_times > newest
        rows = np.empty(len(pairs), np.int64)
        rows[~later] = self.find(pair_groups[~later], pair_times[~later])
        rows[later] = self._new_rows(pair_groups[later], pair_times[later])
        self._values[rows[member], columns[order]] = values[order]
        return []

    def take_group(self, group: int) -> Piece:
        """Take all samples of a group out of the page; its columns stay behind empty."""
        columns = np.flatnonzero(self.group_of[: self._columns] == group).astype(np.int32)
        piece = self.extract(columns, -NEVER, NEVER - 1)
        self._times[:, group] = NEVER
        self._values[:, columns] = HOLE
        self.count[group] = 0
        return piece

    @property
    def groups(self) -> int:
        """How many groups of time stamps there are, also those without any now."""
        return self._groups

    def _newest(self, groups: Codes) -> Ints:
        counts = self.count[groups]
        newest = self._times[np.maximum(counts - 1, 0), groups]
        return np.where(counts > 0, newest, -NEVER)

    def _missing(self, groups: Codes, times: Ints, newest: Ints) -> list[tuple[int, int]]:
        """Pairs older than the newest row of their group for which there is no row yet."""
        old = times < newest
        if not old.any():
            return []
        groups, times = groups[old], times[old]
        absent = self.find(groups, times) < 0
        return list(zip(groups[absent].tolist(), times[absent].tolist(), strict=True))

    def _insert_row(self, group: int, at: int) -> None:
        """Open a row in the middle of a group (its series came in different requests)."""
        count = int(self.count[group])
        self._ensure_rows(count + 1)
        row = int(np.searchsorted(self._times[:count, group], at))
        self._times[row + 1 : count + 1, group] = self._times[row:count, group].copy()
        self._times[row, group] = at
        columns = np.flatnonzero(self.group_of[: self._columns] == group)
        self._values[row + 1 : count + 1, columns] = self._values[row:count, columns]
        self._values[row, columns] = HOLE
        self.count[group] += 1

    def _new_rows(self, groups: Codes, times: Ints) -> Ints:
        """Append rows for pairs sorted by (group, time), all newer than their group; the rows they get."""
        if not len(groups):
            return np.empty(0, np.int64)
        first = np.diff(groups, prepend=-1) != 0
        starts = np.flatnonzero(first)
        rank = np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))
        rows = self.count[groups] + rank
        self._ensure_rows(int(rows.max()) + 1)
        self._times[rows, groups] = times
        self.count += np.bincount(groups, minlength=len(self.count))
        return np.asarray(rows)

    def _ensure_rows(self, rows: int) -> None:
        have = len(self._times)
        if rows > have:
            more = max(rows, have + have // 2) - have
            self._times = np.concatenate([self._times, np.full((more, self._times.shape[1]), NEVER)])
            self._values = np.concatenate([self._values, np.full((more, self._values.shape[1]), HOLE)])

    def find(self, groups: Codes, times: Ints) -> Ints:
        """The row of each (group, time stamp), -1 where there is none."""
        if not len(groups):
            return np.empty(0, np.int64)
        match = self._times[: self.count.max(initial=0), groups] == times
        return np.where(match.any(0), match.argmax(0), -1)

    def cells(self, columns: Codes, times: Ints) -> Floats:
        """The stored values at exact time stamps, HOLE where there is none."""
        rows = self.find(self.group_of[columns], times)
        return np.where(rows >= 0, self._values[rows, columns], HOLE)

    def extract(self, columns: Codes, after_ms: int, until_ms: int) -> Piece:
        """A copy of the samples of some columns in (after_ms, until_ms]."""
        groups, codes = np.unique(self.group_of[columns], return_inverse=True)
        times = self._times[: int(self.count[groups].max(initial=0))][:, groups]
        low = (times <= after_ms).sum(0)
        rows = (times <= until_ms).sum(0) - low
        depth = int(rows.max(initial=0))
        steps = np.arange(depth)[:, None]
        if (low == low[:1]).all():
            first = int(low[0]) if len(low) else 0
            values = self._values[first : first + depth, _as_slice(columns)]
            values = values.copy() if values.base is not None else values
            stamps = times[first : first + depth]
        else:
            values = self._values[np.minimum(low[codes] + steps, len(self._values) - 1), columns]
            stamps = np.take_along_axis(times, np.minimum(low + steps, len(times) - 1), 0)
        if (rows != depth).any():
            values[steps >= rows[codes]] = HOLE
        return Piece(self.series[columns], codes.astype(np.int32), rows, stamps, values)

    def everything(self, after_ms: int, until_ms: int) -> Piece:
        """The samples in (after_ms, until_ms] of the series that have any."""
        piece = self.extract(np.arange(self._columns, dtype=np.int32), after_ms, until_ms)
        some = np.flatnonzero(is_present(piece.values).any(0))
        return replace(
            piece, series=piece.series[some], group=piece.group[some], values=piece.values[:, some]
        )

    def slot_starts(self, boundary_ms: int, length_ms: int) -> list[int]:
        """Beginnings of the slots that hold a time stamp older than the boundary, ascending."""
        times = self._times[self._times < boundary_ms]
        starts: list[int] = (np.unique(times // length_ms) * length_ms).tolist()
        return starts

    @property
    def empty(self) -> bool:
        """Whether it has series but no sample any more."""
        return self._columns > 0 and not self.count.any()

    def oldest_ms(self) -> int:
        """The oldest time stamp, NEVER when the page is empty."""
        return int(self._times[0].min(initial=NEVER))

    def drop_before(self, boundary_ms: int) -> None:
        """Forget every sample older than the boundary."""
        gone = (self._times < boundary_ms).sum(0)
        if not gone.any():
            return
        self.count -= gone
        depth = max(int(self.count.max(initial=0)), _FIRST_ROWS)
        steps = np.arange(depth)[:, None]
        take = gone + steps
        times = np.take_along_axis(self._times, np.minimum(take, len(self._times) - 1), 0)
        times[steps >= self.count] = NEVER
        group_of = self.group_of
        take = np.minimum(take[:, group_of], len(self._values) - 1)
        values = np.take_along_axis(self._values, take, 0)
        values[steps >= self.count[group_of]] = HOLE
        values[:, self._columns :] = HOLE
        self._times, self._values = times, values


def _pairs(groups: Codes, times: Ints) -> tuple[Ints, Ints]:
    """First index of each distinct (group, time) in sorted columns, and for each element its pair."""
    new = np.ones(len(groups), np.bool_)
    new[1:] = (groups[1:] != groups[:-1]) | (times[1:] != times[:-1])
    return np.flatnonzero(new), np.cumsum(new) - 1


def _wider_times(times: Ints) -> Ints:
    return np.concatenate([times, np.full_like(times, NEVER)], axis=1)


def _wider_values(values: Floats) -> Floats:
    return np.concatenate([values, np.full_like(values, HOLE)], axis=1)


def _as_slice(columns: Codes) -> Codes | slice:
    """A run of consecutive columns as a slice (a view is far cheaper than a gather)."""
    if len(columns) and columns[-1] - columns[0] + 1 == len(columns) and (np.diff(columns) == 1).all():
        return slice(int(columns[0]), int(columns[-1]) + 1)
    return columns
