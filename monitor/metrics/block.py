"""One metric in one class table: a column a series, a row a slot, newest hours only.

A cell without a sample holds the `HOLE` bit pattern. Columns are only added; those that a series left are nobody's
until `keep` packs the block. What rows are like (where there are NaNs, whether a value is lower than in the row
before) is found out when somebody asks and remembered until the row is written again. Not locked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.metrics.interface import Bools, Codes, Floats, Ints, Labels, Matcher, MatchOp
from monitor.metrics.matching import predicate
from monitor.metrics.piece import HOLE
from monitor.metrics.series import Dictionary, SeriesSet, value_of

_FIRST_COLUMNS = 4
_CACHED_SELECTIONS = 256
_UNKNOWN, _NO, _YES = 0, 1, 2
NOBODY = -1


class Block:
    """See the module. `values` [rows, capacity]; the first `width` columns were given to series. `number` is the
    head's name for the block."""

    __slots__ = (
        "_codes",
        "_falls",
        "_odd",
        "_selections",
        "_set",
        "group",
        "labels",
        "left",
        "metric",
        "names",
        "number",
        "series",
        "values",
        "width",
    )

    def __init__(self, metric: str, rows: int) -> None:
        self.metric = metric
        self.number = NOBODY
        self.left = 0
        self.width = 0
        self.values = np.full((rows, _FIRST_COLUMNS), HOLE)
        self.series = np.full(_FIRST_COLUMNS, NOBODY, np.int32)
        self.group = np.zeros(_FIRST_COLUMNS, np.int32)
        self.labels: list[Labels] = []
        self.names: set[str] = set()
        self._odd: list[Ints | None] = [None] * rows
        self._falls = np.zeros(rows, np.uint8)
        self._changed()

    def _changed(self) -> None:
        """Forget what was found out about the columns; what was handed out stays as it is."""
        self._selections: dict[tuple[Matcher, ...], tuple[slice | Ints, SeriesSet]] = {}
        self._set = _BlockSeries(self.labels, self.width, self.names, getattr(self, "_codes", {}))
        self._codes: dict[tuple[str, Dictionary], Codes] = self._set.known

    def _forget_rows(self) -> None:
        """Forget what was found out about the rows."""
        self._odd = [None] * len(self._odd)
        self._falls[:] = _UNKNOWN

    @property
    def size(self) -> int:
        """Bytes of the matrix."""
        return self.values.nbytes

    def add(self, series: int, labels: Labels, group: int) -> int:
        """A column for a series."""
        if self.width == len(self.series):
            more = max(_FIRST_COLUMNS, self.width // 4)
            self.values = _wider(self.values, more, HOLE)
            self.series = np.concatenate([self.series, np.full(more, NOBODY, np.int32)])
            self.group = np.concatenate([self.group, np.zeros(more, np.int32)])
        column = self.width
        self.series[column] = series
        self.group[column] = group
        self.labels.append(labels)
        self.names.update(name for name, _ in labels)
        self.width += 1
        self._forget_rows()
        self._changed()
        return column

    def leave(self, columns: Codes) -> None:
        """Series go elsewhere; `left` counts those that did since the block was packed."""
        self.series[columns] = NOBODY
        self.left += len(columns)
        self.labels = self.labels.copy()
        for column in columns.tolist():
            self.labels[column] = ()
        self._forget_rows()
        self._codes = {}
        self._changed()

    def write(self, rows: Ints, columns: Codes, values: Floats) -> None:
        """Put samples into cells."""
        self.values[rows, columns] = values
        low, high = int(rows.min()), int(rows.max()) + 1
        self._odd[low:high] = [None] * (high - low)
        self._falls[low : high + 1] = _UNKNOWN

    def reshape(self, rows: Ints, capacity: int) -> None:
        """Take other rows: row i is what was row rows[i], empty where that is negative; empty up to `capacity`."""
        kept = rows >= 0
        spare = min(len(self.series), self.width + max(_FIRST_COLUMNS, self.width // 32))
        self.series, self.group = self.series[:spare], self.group[:spare]
        values = np.full((capacity, spare), HOLE)
        values[: len(rows)][kept] = self.values[rows[kept], :spare]
        self.values = values
        self._odd = [None] * capacity
        self._falls = np.zeros(capacity, np.uint8)

    def keep(self, columns: Ints, groups: Codes) -> None:
        """Only these columns stay, in this order; their groups have these numbers now."""
        # Unlike indexing, `take` gives rows that lie in one piece in memory.
        self.values = np.take(self.values, columns, axis=1)
        self.left = 0
        self.series = self.series[columns]
        self.group = groups.astype(np.int32)
        self.labels = [self.labels[column] for column in columns.tolist()]
        self.width = len(columns)
        self._forget_rows()
        known = self._codes.copy()  # readers may be adding to it
        self._codes = {
            key: codes[columns] for key, codes in known.items() if len(codes) > columns.max(initial=-1)
        }
        self._changed()

    def forget_codes(self) -> None:
        """The numbers of the label values are to be asked for again."""
        self._codes = {}
        self._changed()

    def odd(self, low: int, high: int) -> list[Ints]:
        """For each row the columns whose value is NaN: holes, stale markers and true NaNs."""
        found = []
        for row in range(low, high):
            columns = self._odd[row]
            if columns is None:
                columns = self._odd[row] = np.flatnonzero(np.isnan(self.values[row, : self.width]))
            found.append(columns)
        return found

    def rows_falling(self, low: int, high: int) -> Bools:
        """Which rows have a value lower than the one in the row before (holes aside)."""
        known = self._falls[low:high]
        for row in np.flatnonzero(known == _UNKNOWN).tolist():
            at = low + row
            falls = at > 0 and (self.values[at, : self.width] < self.values[at - 1, : self.width]).any()
            known[row] = _YES if falls else _NO
        return np.asarray(known == _YES)

    def select(self, matchers: Sequence[Matcher], dictionary: Dictionary) -> tuple[slice | Ints, SeriesSet]:
        """The matching columns and their series; all columns as a slice. Raises QueryError for a bad regex."""
        key = tuple(matchers)
        found = self._selections.get(key)
        if found is None:
            found = self._select(key, dictionary)
            if len(self._selections) >= _CACHED_SELECTIONS:
                self._selections.clear()
            self._selections[key] = found
        return found

    def _select(
        self, matchers: tuple[Matcher, ...], dictionary: Dictionary
    ) -> tuple[slice | Ints, SeriesSet]:
        mask = self.series[: self.width] != NOBODY
        for matcher in (one for one in matchers if one.name != "__name__"):
            codes = self._set.codes(matcher.name, dictionary)
            mask &= accepted(matcher, dictionary)[codes]
        if mask.all():
            return slice(0, self.width), self._set
        columns = np.flatnonzero(mask)
        return columns, self._set.pick(columns)


def accepted(matcher: Matcher, dictionary: Dictionary) -> Bools:
    """For each number of a value of the matcher's label, whether the matcher accepts it."""
    accepts = predicate(matcher)
    known = dict(dictionary.of(matcher.name))
    start = accepts("")
    table = np.full(len(known) + 1, False)
    table[0] = start
    if matcher.op is MatchOp.EQ and matcher.value:
        table[known.get(matcher.value, 0)] = matcher.value in known
        return table
    for value, code in known.items():
        table[code] = accepts(value)
    return table


class _BlockSeries(SeriesSet):
    """The series of a block as they were at one moment; codes of earlier columns are taken over."""

    __slots__ = ("_labels", "_names", "_size", "known")

    def __init__(
        self, labels: list[Labels], size: int, names: set[str], known: dict[tuple[str, Dictionary], Codes]
    ) -> None:
        super().__init__()
        self._names = names
        self._labels = labels
        self._size = size
        self.known = known

    def __len__(self) -> int:
        return self._size

    def at(self, column: int) -> Labels:
        """One label set."""
        return self._labels[column]

    def names(self) -> frozenset[str]:
        """Every label name of the block; more than needed does no harm."""
        return frozenset(self._names)

    def some(self, columns: Ints) -> list[Labels]:
        """Several label sets."""
        labels = self._labels
        return [labels[column] for column in columns.tolist()]

    @property
    def distinct(self) -> bool:
        """Yes: the head has a series once."""
        return True

    @property
    def coded(self) -> bool:
        """Yes: the codes of earlier columns are kept."""
        return True

    def _codes(self, name: str, dictionary: Dictionary) -> Codes:
        before = self.known.get((name, dictionary), np.empty(0, np.int32))
        if len(before) >= self._size:
            return before[: self._size]
        new = [value_of(self._labels[column], name) for column in range(len(before), self._size)]
        found = np.concatenate([before, dictionary.codes(name, new)])
        self.known[name, dictionary] = found
        return found


def _wider(matrix: Floats, more: int, fill: float) -> Floats:
    return np.concatenate([matrix, np.full((len(matrix), more), fill)], axis=1)
