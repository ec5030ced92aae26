"""What of a block of samples may be stored.

Samples of a series come in time order. One that repeats a stored sample is a duplicate; one with another value at
the same time, one further than ten minutes ahead or beyond the retention is rejected with a reason, and the rest
of its block is kept. Older ones than the newest of their series are late: judged apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.metrics.cardinality import Cardinality
from monitor.metrics.index import SeriesIndex
from monitor.metrics.interface import (
    AppendResult,
    Bools,
    Codes,
    Floats,
    Ints,
    Labels,
    SampleBlock,
)
from monitor.metrics.piece import HOLE, Columns, is_present
from monitor.metrics.places import Places
from monitor.metrics.selection import canonical

MAX_AHEAD_MS = 600_000
MAX_LABELS = 64
MAX_NAME_CHARS = 256
MAX_VALUE_CHARS = 4096
_REMEMBERED_LAYOUTS = 1024
_NONE = Columns(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64))

Register = Callable[[Labels], int]
Stored = Callable[[Codes, Ints], Floats]


@dataclass(frozen=True, slots=True)
class Judged:
    """Samples that may be stored, and the verdict on the whole block.

    They are sorted by series and time, or of distinct series in the order of a request seen before; then `series`
    is the same array each time. `late` are samples older than the newest of their series and not in the head at
    their time; the result counts them as rejected, `out_of_order`, for those who have no place for them.
    """

    series: Codes
    timestamps: Ints
    values: Floats
    late: Columns
    result: AppendResult


class Judge:
    """Judges blocks by what `places` says of the series. `register` makes a new series known, `stored` looks up
    the values the head holds at exact times (HOLE where none)."""

    __slots__ = ("_cardinality", "_index", "_known", "_places", "_register", "_stored")

    def __init__(
        self, index: SeriesIndex, places: Places, cardinality: Cardinality, register: Register, stored: Stored
    ) -> None:
        self._index = index
        self._places = places
        self._cardinality = cardinality
        self._register = register
        self._stored = stored
        # Request layouts by the identity of their label tuple, which is kept alive here, so no id comes twice.
        self._known: dict[int, tuple[Sequence[Labels], Codes]] = {}

    def forget_layouts(self) -> None:
        """Series went away: what was remembered of requests may name them."""
        self._known.clear()

    def judge(self, block: SampleBlock, oldest_ms: int, newest_ms: int) -> Judged:
        """What of a block may be stored. Registers new series, stores no sample."""
        times = np.asarray(block.timestamps, np.int64)
        values = canonical(np.asarray(block.values, np.float64))
        known = self._known.get(id(block.labels))
        if known is not None and len(times) and times.min() >= oldest_ms and times.max() <= newest_ms:
            series = known[1]
            if _one_each(block, len(series)) and (times > self._places.last_ms[series]).all():
                return Judged(series, times, values, _NONE, AppendResult(len(times)))
        return self._judge(block, times, values, (times < oldest_ms), (times > newest_ms))

    def _judge(self, block: SampleBlock, times: Ints, values: Floats, old: Bools, ahead: Bools) -> Judged:
        reasons: Counter[str] = Counter()
        examples: dict[str, Labels] = {}
        for reason, wrong in (("too_old", old), ("too_far_ahead", ahead)):
            if wrong.any():
                examples[reason] = block.labels[int(block.series[wrong.argmax()])]
        numbers = self._numbers(block, ~(old | ahead), reasons, examples)
        series = numbers[block.series]
        keep = ~(old | ahead) & (series >= 0)
        reasons.update(too_old=int(old.sum()), too_far_ahead=int(ahead.sum()))
        if not keep.all():
            series, times, values = series[keep], times[keep], values[keep]
        if len(series) > 1 and not (np.diff(series) > 0).all():
            order = np.lexsort((times, series))
            series, times, values = series[order], times[order], values[order]
        fresh, late, duplicates = self._in_order(series, times, values, reasons, examples)
        reasons = +reasons
        result = AppendResult(int(fresh.sum()), duplicates, reasons.total(), dict(reasons), examples)
        behind = Columns(series[late], times[late], values[late])
        return Judged(series[fresh], times[fresh], values[fresh], behind, result)

    def _numbers(
        self, block: SampleBlock, usable: Bools, reasons: Counter[str], examples: dict[str, Labels]
    ) -> Codes:
        """The series of each label set, new ones registered; -1 for those without a usable sample or not valid."""
        known = self._known.get(id(block.labels))
        if known is not None:
            return known[1]
        numbers = self._index.numbers(block.labels)
        if (numbers < 0).any():
            per_set = np.bincount(block.series[usable], minlength=len(numbers))
            for code in np.flatnonzero((numbers < 0) & (per_set > 0)).tolist():
                problem = self._problem(block.labels[code])
                if problem:
                    reasons[problem] += int(per_set[code])
                    examples.setdefault(problem, block.labels[code])
                else:
                    numbers[code] = self._register(block.labels[code])
        # Only a tuple stays what it is; and only distinct series can be told in the order they come.
        if (
            isinstance(block.labels, tuple)
            and (numbers >= 0).all()
            and len(np.unique(numbers)) == len(numbers)
        ):
            if len(self._known) >= _REMEMBERED_LAYOUTS:
                self._known.clear()
            self._known[id(block.labels)] = (block.labels, numbers)
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
        return "" if self._index.number(labels) >= 0 else self._cardinality.admit(labels)

    def _in_order(
        self,
        series: Codes,
        times: Ints,
        values: Floats,
        reasons: Counter[str],
        examples: dict[str, Labels],
    ) -> tuple[Bools, Bools, int]:
        """Which of the sorted samples extend their series, which are late, how many others are duplicates."""
        bits = values.view(np.uint64)
        newer = times > self._places.last_ms[series]
        repeat = np.zeros(len(series), np.bool_)
        repeat[1:] = (series[1:] == series[:-1]) & (times[1:] == times[:-1])
        fresh = newer & ~repeat
        if fresh.all():
            return fresh, np.zeros(len(series), np.bool_), 0
        original = np.maximum.accumulate(np.where(repeat, 0, np.arange(len(series))))
        stored = bits[original].copy()
        old = np.flatnonzero(~newer)
        stored[old] = self._stored_at(series[old], times[old]).view(np.uint64)
        same = ~fresh & (stored == bits)
        absent = np.zeros(len(series), np.bool_)
        absent[old] = ~is_present(stored[old].view(np.float64))
        conflicting = ~fresh & ~same & ~absent
        for reason, wrong in (("out_of_order", absent), ("conflicting", conflicting)):
            if wrong.any():
                reasons[reason] += int(wrong.sum())
                examples[reason] = self._index.labels[int(series[wrong.argmax()])]
        return fresh, absent, int(same.sum())

    def _stored_at(self, series: Codes, times: Ints) -> Floats:
        newest = times == self._places.last_ms[series]
        stored = np.where(newest, self._places.last_value[series], HOLE)
        missing = np.flatnonzero(~newest)
        if len(missing):
            stored[missing] = self._stored(series[missing], times[missing])
        return stored


def _one_each(block: SampleBlock, count: int) -> bool:
    """Whether sample i is of label set i."""
    return len(block.series) == count and bool((block.series == np.arange(count)).all())
