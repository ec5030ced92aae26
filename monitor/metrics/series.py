"""Ordered sets of series, and the numbers their label values go by.

A `SeriesSet` is the label side of a vector: immutable, in a fixed order, the same object for as long as a selector
finds the same series. What was once worked out from its labels (groups, join partners) is remembered on it and
goes away with it. Label values are compared as the numbers a `Dictionary` gives them, a whole column at a time.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar, overload

import numpy as np

from monitor.metrics.arrays import Bools, Codes, Ints, Labels

Result = TypeVar("Result")
_REMEMBERED = 128


class Dictionary:
    """Numbers for the values of each label name, from 1; 0 is the empty value. Safe in several threads."""

    __slots__ = ("_codes", "_lock")

    def __init__(self) -> None:
        self._codes: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()

    def codes(self, name: str, values: Iterable[str]) -> Codes:
        """The numbers of some values of a label, new values numbered."""
        known = self.of(name)
        wanted = list(values)
        found = [known.get(value, 0) for value in wanted]
        if 0 in found:
            with self._lock:
                found = [known.setdefault(value, len(known) + 1) if value else 0 for value in wanted]
        return np.array(found, np.int32)

    def of(self, name: str) -> dict[str, int]:
        """All values of a label with their numbers; not to be changed."""
        found = self._codes.get(name)
        if found is None:
            with self._lock:
                found = self._codes.setdefault(name, {})
        return found

    def __len__(self) -> int:
        return sum(map(len, list(self._codes.values())))


class SeriesSet(Sequence[Labels]):
    """See the module. Items are worked out when asked for; equal to a list of the same label sets."""

    __slots__ = ("_memory",)

    def __init__(self) -> None:
        self._memory: dict[Hashable, object] = {}

    @abstractmethod
    def at(self, column: int) -> Labels:
        """One label set; 0 <= column < len."""

    @property
    def coded(self) -> bool:
        """Whether `codes` are at hand without looking at each label set."""
        return False

    @property
    def distinct(self) -> bool:
        """Whether it is known that no two label sets are equal."""
        return False

    def some(self, columns: Ints) -> list[Labels]:
        """Several label sets."""
        return [self.at(column) for column in columns.tolist()]

    @overload
    def __getitem__(self, key: int) -> Labels: ...
    @overload
    def __getitem__(self, key: slice) -> list[Labels]: ...
    def __getitem__(self, key: int | slice) -> Labels | list[Labels]:
        if isinstance(key, slice):
            return [self.at(column) for column in range(*key.indices(len(self)))]
        column = key + len(self) if key < 0 else key
        if not 0 <= column < len(self):
            raise IndexError(f"no series {key} among {len(self)}")
        return self.at(column)

    def __iter__(self) -> Iterator[Labels]:
        return map(self.at, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Sequence) and len(self) == len(other) and list(self) == list(other)

    def __hash__(self) -> int:
        return id(self)

    def remembered(self, kind: Hashable, compute: Callable[[], Result]) -> Result:
        """What `compute` gave for this kind of question, asked once."""
        found = self._memory.get(kind, self)
        if found is not self:
            return found  # type: ignore[return-value]  # a kind always has the same type of answer
        answer = compute()
        if len(self._memory) >= _REMEMBERED:
            self._memory.clear()
        self._memory[kind] = answer
        return answer

    def codes(self, name: str, dictionary: Dictionary) -> Codes:
        """The number of each series' value of a label, 0 where it has none. Shape [n]."""
        return self.remembered(("codes", name, dictionary), lambda: self._codes(name, dictionary))

    def _codes(self, name: str, dictionary: Dictionary) -> Codes:
        return dictionary.codes(name, (value_of(labels, name) for labels in self))

    def names(self) -> frozenset[str]:
        """Every label name that some series has."""
        return self.remembered("names", lambda: frozenset(name for labels in self for name, _ in labels))

    def pick(self, columns: Ints, *, repeated: bool = False) -> SeriesSet:
        """Some of the series, in the order of `columns`; `repeated`: some perhaps more than once."""
        return Picked(self, columns, distinct=self.distinct and not repeated)


class Listed(SeriesSet):
    """Label sets that are at hand."""

    __slots__ = ("_labels",)

    def __init__(self, labels: Iterable[Labels]) -> None:
        super().__init__()
        self._labels = tuple(labels)

    def __len__(self) -> int:
        return len(self._labels)

    def at(self, column: int) -> Labels:
        """One label set."""
        return self._labels[column]

    def __iter__(self) -> Iterator[Labels]:
        return iter(self._labels)


class Picked(SeriesSet):
    """Some series of another set."""

    __slots__ = ("_base", "_columns", "_distinct")

    def __init__(self, base: SeriesSet, columns: Ints, *, distinct: bool = False) -> None:
        super().__init__()
        self._distinct = distinct
        self._base: SeriesSet = base._base if isinstance(base, Picked) else base
        self._columns: Ints = base._columns[columns] if isinstance(base, Picked) else columns

    def __len__(self) -> int:
        return len(self._columns)

    def at(self, column: int) -> Labels:
        """One label set."""
        return self._base.at(int(self._columns[column]))

    def __iter__(self) -> Iterator[Labels]:
        return iter(self._base.some(self._columns))

    def some(self, columns: Ints) -> list[Labels]:
        """Several label sets."""
        return self._base.some(self._columns[columns])

    @property
    def coded(self) -> bool:
        """As the set it was picked from."""
        return self._base.coded

    @property
    def distinct(self) -> bool:
        """As it was made."""
        return self._distinct

    def _codes(self, name: str, dictionary: Dictionary) -> Codes:
        return self._base.codes(name, dictionary)[self._columns]

    def names(self) -> frozenset[str]:
        """Every label name that some series of the base has; more than needed does no harm."""
        return self._base.names()


class Trimmed(SeriesSet):
    """Another set without some labels in some columns: `gone` says which names, `where` [n] in which columns."""

    __slots__ = ("_base", "_gone", "_where")

    def __init__(self, base: SeriesSet, gone: Callable[[str], bool], where: Bools) -> None:
        super().__init__()
        self._base = base
        self._gone = gone
        self._where = where

    def __len__(self) -> int:
        return len(self._base)

    def at(self, column: int) -> Labels:
        """One label set."""
        labels = self._base.at(column)
        return tuple([pair for pair in labels if not self._gone(pair[0])]) if self._where[column] else labels

    @property
    def coded(self) -> bool:
        """As the set it was made from."""
        return self._base.coded

    def _codes(self, name: str, dictionary: Dictionary) -> Codes:
        codes = self._base.codes(name, dictionary)
        return np.where(self._where, 0, codes).astype(np.int32) if self._gone(name) else codes

    def names(self) -> frozenset[str]:
        """Every label name that some series of the base has; more than needed does no harm."""
        return self._base.names()


class Mapped(SeriesSet):
    """Label sets worked out by a function of the column."""

    __slots__ = ("_at", "_size")

    def __init__(self, size: int, at: Callable[[int], Labels]) -> None:
        super().__init__()
        self._size = size
        self._at = at

    def __len__(self) -> int:
        return self._size

    def at(self, column: int) -> Labels:
        """One label set."""
        return self._at(column)


class Joined(SeriesSet):
    """Several sets, one after the other."""

    __slots__ = ("_distinct", "_ends", "_sets")

    def __init__(self, sets: Sequence[SeriesSet], *, distinct: bool = False) -> None:
        super().__init__()
        self._distinct = distinct
        self._sets = tuple(sets)
        self._ends = np.cumsum([len(one) for one in self._sets]).tolist()

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._ends else 0

    def at(self, column: int) -> Labels:
        """One label set."""
        place = bisect_right(self._ends, column)
        return self._sets[place].at(column - (self._ends[place - 1] if place else 0))

    @property
    def distinct(self) -> bool:
        """As it was made."""
        return self._distinct

    @property
    def coded(self) -> bool:
        """When all of them are."""
        return all(one.coded for one in self._sets)

    def _codes(self, name: str, dictionary: Dictionary) -> Codes:
        if not self._sets:  # a metric nobody has told of, on one side of an operator
            return np.empty(0, np.int32)
        return np.concatenate([one.codes(name, dictionary) for one in self._sets])

    def names(self) -> frozenset[str]:
        """Every label name that some series has."""
        return frozenset().union(*(one.names() for one in self._sets))


def value_of(labels: Labels, name: str) -> str:
    """The value of a label, empty when it is missing."""
    for key, value in labels:
        if key == name:
            return value
    return ""
