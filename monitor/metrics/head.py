"""The head: the newest hours of every series in memory, sorted into class tables by how often they are polled.

Series of one target that came at the same moment form a group, which shares its time stamps; a group lives in the
table of its interval and moves when it turns out to be polled more or less often. The judge (judging.py) decides
what may be appended; here it is stored, found again, and handed out for sealing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from monitor.metrics.block import NOBODY, Block
from monitor.metrics.cardinality import Cardinality
from monitor.metrics.class_table import DEFAULT_INTERVAL_MS, INTERVALS_MS, ClassTable, Target, interval_of
from monitor.metrics.index import SeriesIndex, predicate
from monitor.metrics.interface import (
    Bools,
    Codes,
    Floats,
    Ints,
    Labels,
    Matcher,
    Part,
    SampleBlock,
    Selection,
)
from monitor.metrics.judging import Judge, Judged
from monitor.metrics.layout import Layout, placed
from monitor.metrics.piece import HOLE, NEVER, Piece, Slot, is_present
from monitor.metrics.places import NOWHERE, Places, runs
from monitor.metrics.series import Dictionary, Joined, SeriesSet

_SEALED_TOGETHER = 4096
_REMEMBERED = 1024


class Head:
    """Not locked: the store does that. `index` may be read freely."""

    __slots__ = (
        "_blocks",
        "_by_target",
        "_interval_of_job",
        "_joined",
        "_judge",
        "_layouts",
        "_tables",
        "_version",
        "cardinality",
        "dictionary",
        "index",
        "places",
    )

    def __init__(self, cardinality: Cardinality | None = None) -> None:
        self.index = SeriesIndex()
        self.dictionary = Dictionary()
        self.places = Places()
        self.cardinality = cardinality or Cardinality()
        self._judge = Judge(self.index, self.places, self.cardinality, self.register, self._cells)
        self._tables: list[ClassTable] = []
        self._blocks: list[Block] = []
        self._by_target: dict[Target, list[tuple[int, int]]] = {}
        self._interval_of_job: dict[str, int] = {}
        self._version = 0
        self._layouts: dict[int, tuple[Codes, Layout | None]] = {}
        self._joined: dict[tuple[Matcher, ...], tuple[tuple[SeriesSet, ...], Joined]] = {}

    @property
    def first_ms(self) -> Ints:
        """The oldest sample known of each series, NEVER without one."""
        return self.places.first_ms

    @property
    def last_ms(self) -> Ints:
        """The newest sample known of each series, -NEVER without one."""
        return self.places.last_ms

    @property
    def last_value(self) -> Floats:
        """The value at `last_ms`."""
        return self.places.last_value

    def judge(self, block: SampleBlock, oldest_ms: int, newest_ms: int) -> Judged:
        """What of a block may be stored. Registers new series, stores no sample."""
        return self._judge.judge(block, oldest_ms, newest_ms)

    def register(self, labels: Labels, number: int | None = None) -> int:
        """The number of a label set, new ones under the given number or the next."""
        known = self.index.number(labels)
        if known >= 0:
            return known
        fresh = number is None
        number = self.index.add(labels, number)
        self.places.make_room(number + 1)
        if fresh:
            self._count(number)
        return number

    def _count(self, series: int) -> None:
        """A series takes its place under the limits, which it leaves when it has no sample in the head."""
        if not self.places.counted[series]:
            self.places.counted[series] = True
            self.cardinality.note(self.index.labels[series])

    def _cells(self, series: Codes, times: Ints) -> Floats:
        """The values the head holds at exact times, HOLE where it holds none."""
        found = np.full(len(series), HOLE)
        for number, members in runs(self.places.table[series]):
            if number == NOWHERE:
                continue
            table = self._tables[number]
            rows = table.find(self.places.group[series[members]], times[members])
            for block, some in runs(self.places.block[series[members]]):
                there = some[rows[some] >= 0]
                columns = self.places.column[series[members[there]]]
                found[members[there]] = self._blocks[block].values[rows[there], columns]
        return found

    def store(self, series: Codes, timestamps: Ints, values: Floats) -> None:
        """Store judged samples (newer than what their series hold; sorted by series and time, or of distinct
        series in the order of a request seen before)."""
        if not len(series):
            return
        if not self._store_as_before(series, timestamps, values):
            self._store(series, timestamps, values)
        places = self.places
        first = last = np.arange(len(series))
        if (series[1:] == series[:-1]).any():
            first = np.flatnonzero(np.diff(series, prepend=-1))
            last = np.flatnonzero(np.diff(series, append=-1))
        unborn = first[places.first_ms[series[first]] == NEVER]
        places.first_ms[series[unborn]] = timestamps[unborn]
        places.last_ms[series[last]] = timestamps[last]
        places.last_value[series[last]] = values[last]

    def _store_as_before(self, series: Codes, timestamps: Ints, values: Floats) -> bool:
        """Whether the series are those of a request seen before, and its samples went where they went then."""
        known = self._layouts.get(id(series))
        if known is None or known[0] is not series:
            if len(self._layouts) >= _REMEMBERED:
                self._layouts.clear()
            self._layouts[id(series)] = series, None  # worth working out when the same array comes again
            return False
        layout = known[1]
        if layout is None or layout.version != self._version:
            if not placed(series, self.places):
                return False
            layout = Layout(series, self.places, self._tables, self._blocks, self._version)
            self._layouts[id(series)] = series, layout
        return layout.write(timestamps, values)

    def _store(self, series: Codes, timestamps: Ints, values: Floats) -> None:
        if len(series) > 1 and not (np.diff(series) >= 0).all():
            order = np.argsort(series, kind="stable")
            series, timestamps, values = series[order], timestamps[order], values[order]
        homeless = self.places.table[series] == NOWHERE
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
        self._count(series)
        labels = dict(self.index.labels[series])
        target = labels.get("job", ""), labels.get("instance", ""), labels.get("device", "")
        for number, group in self._by_target.get(target, ()):
            if self._tables[number].newest[group] == first_ms:
                break
        else:
            interval = self._interval_of_job.get(target[0], DEFAULT_INTERVAL_MS)
            number, group = self._new_group(interval, target, first_ms)
            # Others of the target that come at the same moment find the group by this time.
            self._tables[number].place(np.array([group], np.int32), np.array([first_ms], np.int64))
        self._settle(series, number, group)

    def _new_group(
        self, interval: int, target: Target, first_ms: int, *, settled: bool = False
    ) -> tuple[int, int]:
        number = self._table(interval)
        group = self._tables[number].add_group(target, first_ms, settled=settled)
        self._by_target.setdefault(target, []).append((number, group))
        return number, group

    def _table(self, interval: int) -> int:
        """The table of an interval; one without rhythm is always new."""
        for number, table in enumerate(self._tables):
            if interval and table.interval_ms == interval:
                return number
        self._tables.append(ClassTable(interval))
        return len(self._tables) - 1

    def _settle(self, series: int, number: int, group: int) -> None:
        metric = self.index.metric[series]
        block, column = self._tables[number].add_column(metric, series, self.index.labels[series], group)
        if block.number == NOBODY:
            block.number = len(self._blocks)
            self._blocks.append(block)
        self.places.put(series, number, block.number, column, group)
        self._version += 1

    def _write(self, series: Codes, timestamps: Ints, values: Floats) -> None:
        """Store samples of series that have columns, sorted by series and time."""
        for number, members in runs(self.places.table[series]):
            rows = self._rows(number, self.places.group[series[members]], timestamps[members])
            fits = _unbroken(series[members], rows >= 0)
            some = members[fits]
            for block, share in runs(self.places.block[series[some]]):
                at = some[share]
                self._blocks[block].write(rows[fits][share], self.places.column[series[at]], values[at])
            if not fits.all():
                self._misfits(number, members[~fits], series, timestamps, values)

    def _rows(self, number: int, groups: Codes, times: Ints) -> Ints:
        """The row of each sample of one table, new rows made; -1 for those that do not fit into the table."""
        table = self._tables[number]
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
        table = self._tables[number]
        some = series[members]
        groups = self.places.group[some]
        ahead = timestamps[members] > table.newest[groups]
        for group in np.unique(groups[ahead]).tolist():
            first = int(timestamps[members][ahead & (groups == group)].min())
            self._move(number, group, _interval_for(table, group, first))
        for one in np.unique(some[~ahead & (self.places.table[some] == number)]).tolist():
            if self.places.table[one] == number:
                self._part(one)
        self._store(some, timestamps[members], values[members])

    def _move(self, number: int, group: int, interval: int) -> None:
        """Bring a group, with its samples, into the table of another interval."""
        old = self._tables[number]
        target = old.targets[group]
        self._interval_of_job[target[0]] = interval or DEFAULT_INTERVAL_MS
        members = [
            series for block, columns in old.members(group) for series in block.series[columns].tolist()
        ]
        piece = self._leave(np.array(members, np.int32), number, group)
        first = int(piece.timestamps[0, 0]) if len(piece.timestamps) else int(old.newest[group])
        where, place = self._new_group(interval, target, first, settled=True)
        for series in members:
            self._settle(series, where, place)
        self._write(*_flat(piece))

    def _part(self, series: int) -> None:
        """Give a series a group of its own, for it has samples the others of its group have not."""
        number, group = int(self.places.table[series]), int(self.places.group[series])
        table = self._tables[number]
        piece = self._leave(np.array([series], np.int32), number, None)
        first = int(piece.timestamps[0, 0]) if len(piece.timestamps) else int(table.newest[group])
        where, place = self._new_group(0, table.targets[group], first)
        self._settle(series, where, place)
        self._write(*_flat(piece))

    def _leave(self, series: Codes, number: int, group: int | None) -> Piece:
        """The samples of series of one group, which have no column any more; of a whole group, no trace."""
        table = self._tables[number]
        pieces = self.extract(series, -NEVER, NEVER - 1)
        for one in series.tolist():
            self._blocks[self.places.block[one]].leave(int(self.places.column[one]))
            self.places.table[one] = NOWHERE
        if group is not None:
            table.empty_group(group)
            self._by_target[table.targets[group]].remove((number, group))
        self._version += 1
        return pieces[0] if pieces else _empty_piece(series)

    def _pack(self, block: Block) -> None:
        """Take out the columns that series left."""
        columns = np.flatnonzero(block.series[: block.width] != NOBODY)
        block.keep(columns, block.group[columns])
        self.places.column[block.series[: block.width]] = np.arange(block.width)
        self._version += 1

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """See MetricStore, of what is in the head."""
        wanted = [predicate(matcher) for matcher in matchers if matcher.name == "__name__"]
        parts: list[Part] = []
        for table in self._tables:
            reach = table.reach(start_ms, end_ms)
            if reach[0] >= reach[1]:
                continue
            for metric, block in table.blocks.items():
                if all(accepts(metric) for accepts in wanted):
                    if block.left:
                        self._pack(block)
                    part = table.part(block, matchers, self.dictionary, reach)
                    if part is not None:
                        parts.append(part)
        if len(parts) == 1:
            return Selection(parts[0].labels, parts)
        return Selection(self._together(tuple(matchers), tuple(part.labels for part in parts)), parts)

    def _together(self, matchers: tuple[Matcher, ...], sets: tuple[SeriesSet, ...]) -> Joined:
        known = self._joined.get(matchers)
        if (
            known is not None
            and len(known[0]) == len(sets)
            and all(a is b for a, b in zip(known[0], sets, strict=True))
        ):
            return known[1]
        if len(self._joined) >= _REMEMBERED:
            self._joined.clear()
        joined = Joined(sets)
        self._joined[matchers] = sets, joined
        return joined

    def extract(self, series: Codes, after_ms: int, until_ms: int) -> list[Piece]:
        """The samples of some series in (after_ms, until_ms], one piece a table."""
        found = []
        for number, members in runs(self.places.table[series]):
            if number != NOWHERE:
                piece = self._piece(self._tables[number], series[members], after_ms, until_ms)
                if len(piece.values):
                    found.append(piece)
        return found

    def _piece(self, table: ClassTable, series: Codes, after_ms: int, until_ms: int) -> Piece:
        low, high = table.reach(after_ms, until_ms)
        groups, codes = np.unique(self.places.group[series], return_inverse=True)
        times = table.times[low:high][:, groups]
        inside = (times > after_ms) & (times <= until_ms)
        rows = inside.sum(0)
        depth = int(rows.max(initial=0))
        values = np.empty((high - low, len(series)))
        for block, some in runs(self.places.block[series]):
            values[:, some] = self._blocks[block].values[low:high][:, self.places.column[series[some]]]
        if depth < len(times) or not inside.all():
            take = np.argsort(~inside, axis=0, kind="stable")[:depth]
            times = np.take_along_axis(times, take, 0)
            values = np.take_along_axis(values, take[:, codes], 0)
            values[np.arange(depth)[:, None] >= rows[codes]] = HOLE
        return Piece(series, codes.astype(np.int32), rows, times, values)

    def named(self, series: Codes) -> Bools:
        """Which numbers belong to a series (a damaged log can leave gaps)."""
        return ~np.isin(series, self.index.gaps)

    def oldest_ms(self) -> int:
        """The oldest time stamp held, NEVER when there is none."""
        return min(
            (int(table.times[: table.depth].min(initial=NEVER)) for table in self._tables), default=NEVER
        )

    def slots(self, boundary_ms: int, length_ms: int) -> Iterator[Slot]:
        """All samples older than the boundary, cut by slots of `length_ms` and by some thousand series.

        What is yielded are copies. Series may be added, moved and written between two of them.
        """
        for start, series in self._sealings(boundary_ms, length_ms):
            for piece in self.extract(series, start - 1, min(start + length_ms, boundary_ms) - 1):
                some = np.flatnonzero(is_present(piece.values).any(0))
                if len(some):
                    kept = piece if len(some) == len(piece.series) else _columns_of(piece, some)
                    yield Slot(start, kept, [self.index.metric[number] for number in kept.series.tolist()])

    def _sealings(self, boundary_ms: int, length_ms: int) -> list[tuple[int, Codes]]:
        """Beginnings of slots with the series, a few groups at a time, that may have samples in them."""
        found: list[tuple[int, Codes]] = []
        for table in self._tables:
            times = table.times[: table.depth]
            starts = (np.unique(times[times < boundary_ms] // length_ms) * length_ms).tolist()
            used = [
                (block, np.flatnonzero(block.series[: block.width] != NOBODY))
                for block in table.blocks.values()
            ]
            if not starts or not used:
                continue
            series = np.concatenate([block.series[columns] for block, columns in used])
            groups = np.concatenate([block.group[columns] for block, columns in used])
            order = np.argsort(groups, kind="stable")
            ends = np.searchsorted(groups[order], np.arange(table.groups), "right")
            cuts = [0]
            for end in ends.tolist():
                if end - cuts[-1] >= _SEALED_TOGETHER:
                    cuts.append(end)
            if cuts[-1] < len(order):
                cuts.append(len(order))
            found += [(start, series[order[low:high]]) for start in starts for low, high in pairwise(cuts)]
        return found

    def drop_before(self, boundary_ms: int) -> None:
        """Forget the samples older than the boundary; the order of each series is remembered."""
        self.places.table[:] = NOWHERE
        self._blocks, self._by_target = [], {}
        for table in self._tables:
            table.drop_before(boundary_ms)
            self._keep_used(table)
        self._tables = [table for table in self._tables if table.groups]
        for number, table in enumerate(self._tables):
            for group, target in enumerate(table.targets):
                self._by_target.setdefault(target, []).append((number, group))
            for block in table.blocks.values():
                block.number = len(self._blocks)
                self._blocks.append(block)
                series = block.series[: block.width]
                self.places.table[series] = number
                self.places.block[series] = block.number
                self.places.column[series] = np.arange(block.width)
                self.places.group[series] = block.group[: block.width]
        for left in np.flatnonzero(self.places.counted & (self.places.table == NOWHERE)).tolist():
            self.places.counted[left] = False
            self.cardinality.forget(self.index.labels[left])
        self._version += 1
        self._layouts.clear()

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

    def forget(self, older_than_ms: int) -> list[int]:
        """Forget the series without a sample since a time and outside the tables; their numbers."""
        count = len(self.index)
        gone = (self.places.last_ms[:count] < older_than_ms) & (self.places.table[:count] == NOWHERE)
        gone[self.index.gaps] = False
        numbers: list[int] = np.flatnonzero(gone).tolist()
        self.index.remove(numbers)
        self._judge.forget_layouts()
        return numbers

    def numbers(self) -> Mapping[str, float]:
        """Series and memory, for `stats`."""
        return {
            "series": float(len(self.index) - len(self.index.gaps)),
            "head_series": float((self.places.table[: len(self.index)] != NOWHERE).sum()),
            "head_bytes": float(sum(table.size for table in self._tables)),
        }


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


def _flat(piece: Piece) -> tuple[Codes, Ints, Floats]:
    """The samples of a piece as columns, sorted by series and time."""
    order = np.argsort(piece.series, kind="stable")
    position, row = np.nonzero(is_present(piece.values[:, order]).T)
    column = order[position]
    return piece.series[column], piece.timestamps[row, piece.group[column]], piece.values[row, column]


def _columns_of(piece: Piece, columns: Ints) -> Piece:
    return Piece(
        piece.series[columns], piece.group[columns], piece.rows, piece.timestamps, piece.values[:, columns]
    )


def _empty_piece(series: Codes) -> Piece:
    return Piece(
        series,
        np.zeros(len(series), np.int32),
        np.zeros(1, np.int64),
        np.empty((0, 1), np.int64),
        np.empty((0, len(series))),
    )
