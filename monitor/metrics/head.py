"""The head: the newest hours of every series in memory, and the judge of what may be appended.

Samples of a series come in time order. One that repeats a stored sample is a duplicate; one with another value
at the same time, an older one, one further than ten minutes ahead or beyond the retention is rejected with a
reason, and the rest of its block is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from monitor.metrics.index import SeriesIndex
from monitor.metrics.interface import (
    STALE_BITS,
    AppendResult,
    Bools,
    Codes,
    Floats,
    Ints,
    Labels,
    SampleBlock,
)
from monitor.metrics.page import MAX_CELLS, Page
from monitor.metrics.piece import HOLE, NEVER, Columns, Piece, Slot, is_present

MAX_AHEAD_MS = 600_000
MAX_LABELS = 64
MAX_NAME_CHARS = 256
MAX_VALUE_CHARS = 4096
_CANONICAL_NAN = np.array([0x7FF8000000000001], np.uint64).view(np.float64)
_REMEMBERED_LABEL_LISTS = 256


@dataclass(frozen=True, slots=True)
class Judged:
    """Samples that may be stored, sorted by series and time, and the verdict on the whole block.

    `late` are samples older than the newest of their series and not in the head at their time; the result counts
    them as rejected, `out_of_order`, for those who have no place for them.
    """

    series: Codes
    timestamps: Ints
    values: Floats
    late: Columns
    result: AppendResult


class Head:
    """Not locked: the store does that. `index` may be read freely."""

    __slots__ = (
        "_known_lists",
        "_max_cells",
        "_max_series",
        "_open_page",
        "column_of",
        "first_ms",
        "index",
        "last_ms",
        "last_value",
        "page_of",
        "pages",
    )

    def __init__(self, max_series: int = 2_000_000, max_cells: int = MAX_CELLS) -> None:
        self._max_cells = max_cells
        self.index = SeriesIndex()
        self.pages: list[Page] = []
        self._open_page: dict[str, int] = {}
        self._max_series = max_series
        self._known_lists: dict[tuple[int, ...], tuple[tuple[Labels, ...], Codes]] = {}
        self.page_of = np.empty(0, np.int32)
        self.column_of = np.empty(0, np.int32)
        self.first_ms = np.empty(0, np.int64)
        self.last_ms = np.empty(0, np.int64)
        self.last_value = np.empty(0, np.float64)

    def judge(self, block: SampleBlock, oldest_ms: int, newest_ms: int) -> Judged:
        """What of a block may be stored. Registers new series, stores no sample."""
        reasons: Counter[str] = Counter()
        times = np.asarray(block.timestamps, np.int64)
        old, ahead = times < oldest_ms, times > newest_ms
        numbers = self._numbers(block, ~(old | ahead), reasons)
        series = numbers[block.series]
        keep = ~(old | ahead) & (series >= 0)
        reasons.update(too_old=int(old.sum()), too_far_ahead=int(ahead.sum()))
        values = canonical(np.asarray(block.values, np.float64))
        if not keep.all():
            series, times, values = series[keep], times[keep], values[keep]
        if len(series) > 1 and not (np.diff(series) > 0).all():
            order = np.lexsort((times, series))
            series, times, values = series[order], times[order], values[order]
        fresh, late, duplicates = self._in_order(series, times, values, reasons)
        reasons = +reasons
        result = AppendResult(int(fresh.sum()), duplicates, reasons.total(), dict(reasons))
        behind = Columns(series[late], times[late], values[late])
        return Judged(series[fresh], times[fresh], values[fresh], behind, result)

    def _numbers(self, block: SampleBlock, usable: Bools, reasons: Counter[str]) -> Codes:
        """The series of each label set, new ones registered; -1 for those without a usable sample or not valid."""
        # A decoder hands out the same label objects every minute: recognised by identity, which is far cheaper
        # than hashing them. The remembered tuple keeps the objects alive, so no id in a key is ever reused.
        key = tuple(map(id, block.labels))
        known = self._known_lists.get(key)
        if known is not None:
            return known[1]
        numbers = self.index.numbers(block.labels)
        per_set = np.bincount(block.series[usable], minlength=len(numbers))
        for code in np.flatnonzero((numbers < 0) & (per_set > 0)).tolist():
            problem = self._problem(block.labels[code])
            if problem:
                reasons[problem] += int(per_set[code])
            else:
                numbers[code] = self.register(block.labels[code])
        if (numbers >= 0).all():
            if len(self._known_lists) >= _REMEMBERED_LABEL_LISTS:
                self._known_lists.clear()
            self._known_lists[key] = (tuple(block.labels), numbers)
        return numbers

    def _problem(self, labels: Labels) -> str:
        """Why a label set is refused, empty when it is fine."""
        if len(labels) > MAX_LABELS:
            return "too_many_labels"
        if any(len(name) > MAX_NAME_CHARS or len(value) > MAX_VALUE_CHARS for name, value in labels):
            return "label_too_long"
        names = [name for name, _ in labels]
        if not labels or names != sorted(set(names)) or not all(name and value for name, value in labels):
            return "invalid_labels"
        if self.index.number(labels) < 0 and len(self.index) >= self._max_series:
            return "too_many_series"
        return ""

    def register(self, labels: Labels, number: int | None = None) -> int:
        """The number of a label set, new ones under the given number or the next."""
        known = self.index.number(labels)
        if known >= 0:
            return known
        number = self.index.add(labels, number)
        if number >= len(self.page_of):
            more = max(number + 1, 2 * len(self.page_of), 1024) - len(self.page_of)
            self.page_of = np.concatenate([self.page_of, np.full(more, -1, np.int32)])
            self.column_of = np.concatenate([self.column_of, np.full(more, -1, np.int32)])
            self.first_ms = np.concatenate([self.first_ms, np.full(more, NEVER)])
            self.last_ms = np.concatenate([self.last_ms, np.full(more, -NEVER)])
            self.last_value = np.concatenate([self.last_value, np.full(more, HOLE)])
        return number

    def _in_order(
        self, series: Codes, times: Ints, values: Floats, reasons: Counter[str]
    ) -> tuple[Bools, Bools, int]:
        """Which of the sorted samples extend their series, which are late, how many others are duplicates."""
        bits = values.view(np.uint64)
        newer = times > self.last_ms[series]
        repeat = np.zeros(len(series), np.bool_)
        repeat[1:] = (series[1:] == series[:-1]) & (times[1:] == times[:-1])
        fresh = newer & ~repeat
        if fresh.all():
            return fresh, np.zeros(len(series), np.bool_), 0
        original = np.maximum.accumulate(np.where(repeat, 0, np.arange(len(series))))
        stored = bits[original].copy()
        old = np.flatnonzero(~newer)
        stored[old] = self._stored(series[old], times[old]).view(np.uint64)
        same = ~fresh & (stored == bits)
        absent = np.zeros(len(series), np.bool_)
        absent[old] = ~is_present(stored[old].view(np.float64))
        reasons.update(out_of_order=int(absent.sum()), conflicting=int((~fresh & ~same & ~absent).sum()))
        return fresh, absent, int(same.sum())

    def _stored(self, series: Codes, times: Ints) -> Floats:
        """The values the head holds at exact times, HOLE where it holds none."""
        stored = np.where(times == self.last_ms[series], self.last_value[series], HOLE)
        for page, member in self._by_page(series):
            missing = member[~is_present(stored[member])]
            stored[missing] = self.pages[page].cells(self.column_of[series[missing]], times[missing])
        return stored

    def _by_page(self, series: Codes) -> Iterator[tuple[int, Ints]]:
        """The pages of some series, each with the positions of its series; those without a page are left out."""
        pages = self.page_of[series]
        order = np.argsort(pages, kind="stable")
        used, starts = np.unique(pages[order], return_index=True)
        ends = [*starts.tolist(), len(order)][1:]
        for page, start, end in zip(used.tolist(), starts.tolist(), ends, strict=True):
            if page >= 0:
                yield page, order[start:end]

    def store(self, series: Codes, timestamps: Ints, values: Floats) -> None:
        """Store judged samples (sorted by series and time, newer than what their series hold)."""
        if not len(series):
            return
        first = np.ones(len(series), np.bool_)
        first[1:] = series[1:] != series[:-1]
        last = np.roll(first, -1)
        homeless = first & (self.page_of[series] < 0)
        housed = np.flatnonzero(self.page_of[series] >= 0)
        self._write(series[housed], timestamps[housed], values[housed])
        if homeless.any():
            late = np.flatnonzero(self.page_of[series] < 0)
            for at in np.flatnonzero(homeless).tolist():
                self._house(int(series[at]), int(timestamps[at]))
            self._write(series[late], timestamps[late], values[late])
        self.first_ms[series[first]] = np.minimum(self.first_ms[series[first]], timestamps[first])
        self.last_ms[series[last]] = timestamps[last]
        self.last_value[series[last]] = values[last]

    def _write(self, series: Codes, timestamps: Ints, values: Floats) -> None:
        for number, member in self._by_page(series):
            page = self.pages[number]
            deep = page.write(self.column_of[series[member]], timestamps[member], values[member])
            for group in deep:
                alone = page.groups == 1
                piece = page.take_group(group)
                for columns in (
                    np.arange(len(piece.series))[:, None] if alone else [np.arange(len(piece.series))]
                ):
                    self._set_apart(piece, columns)
            if deep:
                self._write(series[member], timestamps[member], values[member])

    def _set_apart(self, piece: Piece, columns: Ints) -> None:
        """Give some series of a group a page of their own."""
        page = Page(columns=len(columns), max_cells=self._max_cells, apart=True)
        for series in piece.series[columns].tolist():
            self.column_of[series] = page.add_column(series, (), None)
            self.page_of[series] = len(self.pages)
        self.pages.append(page)
        self._write(*_flat(piece, columns))

    def _house(self, series: int, first_ms: int) -> None:
        """Give a series a column in the open page of its job."""
        labels = dict(self.index.labels[series])
        job = labels.get("job", "")
        page = self._open_page.get(job)
        if page is None or self.pages[page].full:
            page = self._open_page[job] = len(self.pages)
            self.pages.append(Page(max_cells=self._max_cells))
        target = (labels.get("instance", ""), labels.get("device", ""))
        self.column_of[series] = self.pages[page].add_column(series, target, first_ms)
        self.page_of[series] = page

    def extract(self, series: Codes, after_ms: int, until_ms: int) -> list[Piece]:
        """The samples of some series in (after_ms, until_ms], one piece a page."""
        pieces = [
            self.pages[page].extract(self.column_of[series[member]], after_ms, until_ms)
            for page, member in self._by_page(series)
        ]
        return [piece for piece in pieces if len(piece.values)]

    def named(self, series: Codes) -> Bools:
        """Which numbers belong to a series (a damaged log can leave gaps)."""
        return ~np.isin(series, self.index.gaps)

    def oldest_ms(self) -> int:
        """The oldest time stamp held, NEVER when there is none."""
        return min((page.oldest_ms() for page in self.pages), default=NEVER)

    def slots(self, boundary_ms: int, length_ms: int) -> Iterator[Slot]:
        """All samples older than the boundary, cut by page and by slots of `length_ms`."""
        metric = self.index.metric
        for page in self.pages:
            for start in page.slot_starts(boundary_ms, length_ms):
                piece = page.everything(start - 1, min(start + length_ms, boundary_ms) - 1)
                if len(piece.series):
                    yield Slot(start, piece, [metric[number] for number in piece.series.tolist()])

    def drop_before(self, boundary_ms: int) -> None:
        """Forget the samples older than the boundary; the order of each series is remembered."""
        for at, page in list(enumerate(self.pages)):
            page.drop_before(boundary_ms)
            if page.empty or page.apart:
                piece = page.everything(-NEVER, NEVER - 1)
                self._evict(at)
                self._rehouse(piece)

    def _evict(self, at: int) -> None:
        """Start a page afresh; its series have no page any more."""
        series = self.pages[at].series[: self.pages[at].width]
        self.page_of[series[self.page_of[series] == at]] = -1
        self.pages[at] = Page(max_cells=self._max_cells)

    def _rehouse(self, piece: Piece) -> None:
        """Bring series that had a page of their own back among those of their job."""
        if not len(piece.series):
            return
        for series in piece.series.tolist():
            self._house(series, int(piece.timestamps[0, 0]))
        self._write(*_flat(piece, np.arange(len(piece.series))))

    def forget(self, older_than_ms: int) -> list[int]:
        """Forget the series without a sample since a time and outside the pages; their numbers."""
        count = len(self.index)
        gone = (self.last_ms[:count] < older_than_ms) & (self.page_of[:count] < 0)
        gone[self.index.gaps] = False
        numbers: list[int] = np.flatnonzero(gone).tolist()
        self.index.remove(numbers)
        self._known_lists.clear()
        return numbers

    def numbers(self) -> Mapping[str, float]:
        """Series and memory, for `stats`."""
        return {
            "series": float(len(self.index) - len(self.index.gaps)),
            "head_bytes": float(sum(page.size for page in self.pages)),
        }


def canonical(values: Floats) -> Floats:
    """Every NaN but the staleness marker as Prometheus's canonical NaN."""
    odd = np.isnan(values)
    if not odd.any():
        return values
    odd &= values.view(np.uint64) != STALE_BITS
    return np.where(odd, _CANONICAL_NAN, values)


def _flat(piece: Piece, columns: Ints) -> tuple[Codes, Ints, Floats]:
    """The samples of some series of a piece as columns, sorted by series and time."""
    position, row = np.nonzero(is_present(piece.values[:, columns]).T)
    column = columns[position]
    return piece.series[column], piece.timestamps[row, piece.group[column]], piece.values[row, column]
