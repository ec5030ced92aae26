"""Where samples live in the head: series housed in groups, groups in the table of their interval, and moved between.

A series that is new joins the series of its target that came at the same moment. A group that runs ahead of its
table, or keeps to a longer interval from the start, moves to another one; a series that has samples its group has not
gets a group of its own, in a table without rhythm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from monitor.metrics.arrays import Bools, Codes, Floats, Ints
from monitor.metrics.block import NOBODY, Block
from monitor.metrics.cardinality import Cardinality
from monitor.metrics.class_table import DEFAULT_INTERVAL_MS, INTERVALS_MS, ClassTable, Target, interval_of
from monitor.metrics.index import SeriesIndex
from monitor.metrics.layers import columns_of
from monitor.metrics.piece import HOLE, NEVER, Columns, Piece, is_present
from monitor.metrics.places import NOWHERE, Places, runs

_NO_GROUPS: Final = np.empty(0, np.int32)


class Housing:
    """See the module. `version` changes whenever a series gets another column. Not locked."""

    __slots__ = (
        "_by_target",
        "_cardinality",
        "_index",
        "_interval_of_job",
        "_places",
        "blocks",
        "tables",
        "version",
    )

    def __init__(self, index: SeriesIndex, places: Places, cardinality: Cardinality) -> None:
        self._index = index
        self._places = places
        self._cardinality = cardinality
        self.tables: list[ClassTable] = []
        self.blocks: list[Block] = []
        self.version = 0
        self._by_target: dict[Target, list[tuple[int, int]]] = {}
        self._interval_of_job: dict[str, int] = {}

    def count(self, series: int) -> None:
        """A series takes its place under the limits, which it leaves when it has no sample in the head."""
        if not self._places.counted[series]:
            self._places.counted[series] = True
            self._cardinality.note(self._index.labels[series])

    def cells(self, series: Codes, times: Ints) -> Floats:
        """The values the head holds at exact times, HOLE where it holds none."""
        found = np.full(len(series), HOLE)
        for number, members in runs(self._places.table[series]):
            if number == NOWHERE:
                continue
            table = self.tables[number]
            rows = table.find(self._places.group[series[members]], times[members])
            for block, some in runs(self._places.block[series[members]]):
                there = some[rows[some] >= 0]
                columns = self._places.column[series[members[there]]]
                found[members[there]] = self.blocks[block].values[rows[there], columns]
        return found

    def store(self, series: Codes, timestamps: Ints, values: Floats) -> None:
        """Store samples newer than what their series hold, sorted by time; series without a column get one."""
        if len(series) > 1 and not (np.diff(series) >= 0).all():
            order = np.argsort(series, kind="stable")
            series, timestamps, values = series[order], timestamps[order], values[order]
        homeless = self._places.table[series] == NOWHERE
        if not homeless.any():
            self._write(series, timestamps, values)
            return
        if not homeless.all():
            housed = np.flatnonzero(~homeless)
            self._write(series[housed], timestamps[housed], values[housed])
        late = np.flatnonzero(homeless)
        firsts = late[np.diff(series[late], prepend=-1) > 0]
        for at in firsts.tolist():
            self._house(int(series[at]), int(timestamps[at]))
        self._write(series[late], timestamps[late], values[late])

    def _house(self, series: int, first_ms: int) -> None:
        """Give a series a column in a group of its target whose newest time is `first_ms`, else in a new group."""
        self.count(series)
        labels = dict(self._index.labels[series])
        target = labels.get("job", ""), labels.get("instance", ""), labels.get("device", "")
        for number, group in self._by_target.get(target, ()):
            if self.tables[number].newest[group] == first_ms:
                break
        else:
            interval = self._interval_of_job.get(target[0], DEFAULT_INTERVAL_MS)
            number, group = self._new_group(interval, target, first_ms)
            # Others of the target that come at the same moment find the group by this time.
            self.tables[number].place(np.array([group], np.int32), np.array([first_ms], np.int64))
        self._settle(series, number, group)

    def _new_group(
        self, interval: int, target: Target, first_ms: int, *, settled: bool = False
    ) -> tuple[int, int]:
        number = self._table(interval)
        group = self.tables[number].add_group(target, first_ms, settled=settled)
        self._by_target.setdefault(target, []).append((number, group))
        return number, group

    def _table(self, interval: int) -> int:
        """The table of an interval; one without rhythm is always new."""
        for number, table in enumerate(self.tables):
            if interval and table.interval_ms == interval:
                return number
        self.tables.append(ClassTable(interval))
        return len(self.tables) - 1

    def _settle(self, series: int, number: int, group: int) -> None:
        metric = self._index.metric[series]
        block, column = self.tables[number].add_column(metric, series, self._index.labels[series], group)
        if block.number == NOBODY:
            block.number = len(self.blocks)
            self.blocks.append(block)
        self._places.put(series, number, block.number, column, group)
        self.version += 1

    def _write(self, series: Codes, timestamps: Ints, values: Floats) -> None:
        """Store samples of series that have columns, sorted by series and time."""
        for number, members in runs(self._places.table[series]):
            rows = self._rows(number, self._places.group[series[members]], timestamps[members])
            fits = _unbroken(series[members], rows >= 0)
            some = members[fits]
            for block, share in runs(self._places.block[series[some]]):
                at = some[share]
                self.blocks[block].write(rows[fits][share], self._places.column[series[at]], values[at])
            if not fits.all():
                self._misfits(number, members[~fits], series, timestamps, values)

    def _rows(self, number: int, groups: Codes, times: Ints) -> Ints:
        """The row of each sample of one table, new rows made; -1 for those that do not fit into the table."""
        table = self.tables[number]
        order = np.lexsort((times, groups))
        group, time = groups[order], times[order]
        new = np.ones(len(group), np.bool_)
        new[1:] = (group[1:] != group[:-1]) | (time[1:] != time[:-1])
        pair_of = np.empty(len(group), np.int64)
        pair_of[order] = np.cumsum(new) - 1
        pair_group, pair_time = group[new], time[new]
        fresh = np.flatnonzero(pair_time > table.newest[pair_group])
        refused = table.place_all(pair_group[fresh], pair_time[fresh])
        rows = table.find(pair_group, pair_time)
        rows[fresh[refused]] = NOWHERE
        return rows[pair_of]

    def _misfits(self, number: int, members: Ints, series: Codes, timestamps: Ints, values: Floats) -> None:
        """Groups that do not keep the interval move to another table; series behind their group part from it."""
        table = self.tables[number]
        some = series[members]
        groups = self._places.group[some]
        ahead = timestamps[members] > table.newest[groups]
        moving, at = np.unique(groups[ahead], return_inverse=True)
        if len(moving):
            first = np.full(len(moving), NEVER)
            np.minimum.at(first, at, timestamps[members][ahead])
            pairs = zip(moving.tolist(), first.tolist(), strict=True)
            self._move(number, moving, [_interval_for(table, *pair) for pair in pairs])
        for one in np.unique(some[~ahead & (self._places.table[some] == number)]).tolist():
            if self._places.table[one] == number:
                self._part(one)
        self.store(some, timestamps[members], values[members])

    def _move(self, number: int, groups: Codes, intervals: Sequence[int]) -> None:
        """Bring groups, with their samples, into the tables of other intervals."""
        old = self.tables[number]
        series, of = old.members(groups)
        targets, first = [old.targets[group] for group in groups.tolist()], old.newest[groups]
        left = self._leave(series, number, groups)
        np.minimum.at(first, of[np.searchsorted(series, left.series)], left.timestamps)
        homes = []
        for target, interval, begin in zip(targets, intervals, first.tolist(), strict=True):
            self._interval_of_job[target[0]] = interval or DEFAULT_INTERVAL_MS
            homes.append(self._new_group(interval, target, begin, settled=True))
        order = np.argsort(of, kind="stable")  # the columns of a group stay together
        for one, home in zip(series[order].tolist(), of[order].tolist(), strict=True):
            self._settle(one, *homes[home])
        self._write(left.series, left.timestamps, left.values)

    def _part(self, series: int) -> None:
        """Give a series a group of its own, for it has samples the others of its group have not."""
        number, group = int(self._places.table[series]), int(self._places.group[series])
        table = self.tables[number]
        left = self._leave(np.array([series], np.int32), number, _NO_GROUPS)
        first = int(left.timestamps.min()) if len(left.timestamps) else int(table.newest[group])
        where, place = self._new_group(0, table.targets[group], first)
        self._settle(series, where, place)
        self._write(left.series, left.timestamps, left.values)

    def _leave(self, series: Codes, number: int, groups: Codes) -> Columns:
        """The samples of series of one table, which have no column any more; of whole groups, no trace."""
        table = self.tables[number]
        left = columns_of(self.extract(series, -NEVER, NEVER - 1))
        for block, some in runs(self._places.block[series]):
            self.blocks[block].leave(self._places.column[series[some]])
        self._places.table[series] = NOWHERE
        for group in groups.tolist():
            table.empty_group(group)
            self._by_target[table.targets[group]].remove((number, group))
        self.version += 1
        return left

    def pack(self, block: Block) -> None:
        """Take out the columns that series left."""
        columns = np.flatnonzero(block.series[: block.width] != NOBODY)
        block.keep(columns, block.group[columns])
        self._places.column[block.series[: block.width]] = np.arange(block.width)
        self.version += 1

    def extract(self, series: Codes, after_ms: int, until_ms: int) -> list[Piece]:
        """The samples of some series in (after_ms, until_ms], one piece a table."""
        found = []
        for number, members in runs(self._places.table[series]):
            if number != NOWHERE:
                piece = self._piece(self.tables[number], series[members], after_ms, until_ms)
                if len(piece.values):
                    found.append(piece)
        return found

    def _piece(self, table: ClassTable, series: Codes, after_ms: int, until_ms: int) -> Piece:
        low, high = table.reach(after_ms, until_ms)
        groups, codes = np.unique(self._places.group[series], return_inverse=True)
        times = np.take(table.times[low:high], groups, axis=1)
        inside = (times > after_ms) & (times <= until_ms)
        rows = inside.sum(0)
        depth = int(rows.max(initial=0))
        values = np.empty((high - low, len(series)))
        for block, some in runs(self._places.block[series]):
            values[:, some] = self.blocks[block].values[low:high][:, self._places.column[series[some]]]
        if depth < len(times) or not inside.all():
            take = np.argsort(~inside, axis=0, kind="stable")[:depth]
            times = np.take_along_axis(times, take, 0)
            values = np.take_along_axis(values, take[:, codes], 0)
            values[np.arange(depth)[:, None] >= rows[codes]] = HOLE
        return Piece(series, codes.astype(np.int32), rows, times, values)

    def drop_before(self, boundary_ms: int) -> None:
        """Forget the samples older than the boundary; the order of each series is remembered."""
        self._places.table[:] = NOWHERE
        self.blocks, self._by_target = [], {}
        for table in self.tables:
            table.drop_before(boundary_ms)
            self._keep_used(table)
        self.tables = [table for table in self.tables if table.groups]
        for number, table in enumerate(self.tables):
            for group, target in enumerate(table.targets):
                self._by_target.setdefault(target, []).append((number, group))
            for block in table.blocks.values():
                block.number = len(self.blocks)
                self.blocks.append(block)
                series = block.series[: block.width]
                self._places.table[series] = number
                self._places.block[series] = block.number
                self._places.column[series] = np.arange(block.width)
                self._places.group[series] = block.group[: block.width]
        for left in np.flatnonzero(self._places.counted & (self._places.table == NOWHERE)).tolist():
            self._places.counted[left] = False
            self._cardinality.forget(self._index.labels[left])
        self.version += 1

    def _keep_used(self, table: ClassTable) -> None:
        """Only the columns with a sample stay, and only the groups with a time stamp."""
        kept, number = table.survivors()
        for metric, block in list(table.blocks.items()):
            used = is_present(block.values[: table.depth, : block.width]).any(0)
            used &= (block.series[: block.width] != NOBODY) & (number[block.group[: block.width]] >= 0)
            columns = np.flatnonzero(used)
            if not len(columns):
                del table.blocks[metric]
            else:
                block.keep(columns, number[block.group[columns]])
        table.keep_groups(kept)


def _interval_for(table: ClassTable, group: int, next_ms: int) -> int:
    """The interval a group that does not fit its table keeps to; 0 when it keeps to none."""
    stamps = table.times[: table.depth, group]
    steps = np.diff(np.append(stamps[stamps != NEVER], next_ms))
    longer = interval_of(float(steps.min()))
    if longer > table.interval_ms and not table.settled[group]:
        return longer
    typical = interval_of(float(np.median(steps[-8:])))
    return max((one for one in INTERVALS_MS if one <= typical and one < table.interval_ms), default=0)


def _unbroken(series: Codes, fits: Bools) -> Bools:
    """Without the samples behind one of their series that does not fit: they must not be stored before it."""
    if fits.all():
        return fits
    here = np.arange(len(series))
    begin = np.maximum.accumulate(np.where(np.diff(series, prepend=-1) != 0, here, 0))
    return np.asarray(np.maximum.accumulate(np.where(fits, -1, here)) < begin)
