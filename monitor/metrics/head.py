"""The head: the newest hours of every series in memory, sorted into class tables by how often they are polled.

Series of one target that came at the same moment form a group, which shares its time stamps; a group lives in the
table of its interval and moves when it turns out to be polled more or less often (housing.py). The judge (judging.py)
decides what may be appended; here it is stored, found again, and handed out for sealing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from monitor.metrics.block import NOBODY
from monitor.metrics.cardinality import Cardinality
from monitor.metrics.housing import Housing
from monitor.metrics.index import SeriesIndex
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
from monitor.metrics.layers import columns_at
from monitor.metrics.layout import Layout, placed
from monitor.metrics.matching import predicate
from monitor.metrics.piece import NEVER, Piece, Slot, is_present
from monitor.metrics.places import NOWHERE, Places
from monitor.metrics.series import Dictionary, Joined, SeriesSet

_SEALED_TOGETHER = 4096
_REMEMBERED = 1024
_SPARE_VALUES = 50_000


class Head:
    """Not locked: the store does that. `index` may be read freely."""

    __slots__ = (
        "_housing",
        "_joined",
        "_judge",
        "_layouts",
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
        self._housing = Housing(self.index, self.places, self.cardinality)
        self._judge = Judge(self.index, self.places, self.cardinality, self.register, self._housing.cells)
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
            self._housing.count(number)
        return number

    def store(self, series: Codes, timestamps: Ints, values: Floats) -> None:
        """Store judged samples (newer than what their series hold; sorted by series and time, or of distinct
        series in the order of a request seen before)."""
        if not len(series):
            return
        if not self._store_as_before(series, timestamps, values):
            self._housing.store(series, timestamps, values)
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
        if layout is None or layout.version != self._housing.version:
            if not placed(series, self.places):
                return False
            layout = Layout(
                series, self.places, self._housing.tables, self._housing.blocks, self._housing.version
            )
            self._layouts[id(series)] = series, layout
        return layout.write(timestamps, values)

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """See MetricStore, of what is in the head."""
        wanted = [predicate(matcher) for matcher in matchers if matcher.name == "__name__"]
        parts: list[Part] = []
        for table in self._housing.tables:
            reach = table.reach(start_ms, end_ms)
            if reach[0] >= reach[1]:
                continue
            for metric, block in table.blocks.items():
                if all(accepts(metric) for accepts in wanted):
                    if block.left:
                        self._housing.pack(block)
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
        joined = Joined(sets, distinct=True)
        self._joined[matchers] = sets, joined
        return joined

    def extract(self, series: Codes, after_ms: int, until_ms: int) -> list[Piece]:
        """The samples of some series in (after_ms, until_ms], one piece a table."""
        return self._housing.extract(series, after_ms, until_ms)

    def named(self, series: Codes) -> Bools:
        """Which numbers belong to a series (a damaged log can leave gaps)."""
        return ~np.isin(series, self.index.gaps)

    def oldest_ms(self) -> int:
        """The oldest time stamp held, NEVER when there is none."""
        return min(
            (int(table.times[: table.depth].min(initial=NEVER)) for table in self._housing.tables),
            default=NEVER,
        )

    def slots(self, boundary_ms: int, length_ms: int) -> Iterator[Slot]:
        """All samples older than the boundary, cut by slots of `length_ms` and by some thousand series.

        What is yielded are copies. Series may be added, moved and written between two of them.
        """
        for start, series in self._sealings(boundary_ms, length_ms):
            for piece in self.extract(series, start - 1, min(start + length_ms, boundary_ms) - 1):
                some = np.flatnonzero(is_present(piece.values).any(0))
                if len(some):
                    kept = piece if len(some) == len(piece.series) else columns_at(piece, some)
                    yield Slot(start, kept, [self.index.metric[number] for number in kept.series.tolist()])

    def _sealings(self, boundary_ms: int, length_ms: int) -> list[tuple[int, Codes]]:
        """Beginnings of slots with the series, a few groups at a time, that may have samples in them."""
        found: list[tuple[int, Codes]] = []
        for table in self._housing.tables:
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
        self._housing.drop_before(boundary_ms)
        self._layouts.clear()
        if len(self.dictionary) > 2 * self.index.pairs + _SPARE_VALUES:
            # Most values are of series long gone: number those that are there afresh. Running queries keep theirs.
            self.dictionary = Dictionary()
            for block in self._housing.blocks:
                block.forget_codes()

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
            "head_bytes": float(sum(table.size for table in self._housing.tables)),
        }
