"""Intermediate values: tables of steps x series, and the label arithmetic every operation needs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Bools, Floats, Ints, Labels, Limits, QueryControl, QueryReport
from monitor.metrics.series import Dictionary, Listed, SeriesSet, Trimmed

NAME = "__name__"
_MANY = 128
IDENTITY = frozenset((NAME, "__type__", "__unit__"))
"""What a metric is; goes away when an operation makes something else of it."""


@dataclass(frozen=True, slots=True)
class Table:
    """Instant vectors on a grid: `values`, `present` [s, n]; column i has `labels[i]`.

    `dropped[i]` says that the metric name of column i goes away at the end of the query.
    """

    labels: SeriesSet
    values: Floats
    present: Bools
    dropped: Bools


@dataclass(frozen=True, slots=True)
class Samples:
    """Raw samples of n series as one flat list, series after series, oldest first.

    Series i owns `times[bounds[i]:bounds[i + 1]]`; it has the same time stamps as series `leader[i]` (often itself),
    so that look-ups are done once for all values of a device.
    """

    labels: SeriesSet
    dropped: Bools
    times: Ints
    values: Floats
    bounds: Ints
    leader: Ints

    def clocks(self) -> tuple[Ints, Ints]:
        """The series that have time stamps of their own, and for each series its place among them."""
        series = np.arange(len(self.labels))
        leaders = np.flatnonzero(self.leader == series)
        place = np.zeros(len(series), np.int64)
        place[leaders] = np.arange(len(leaders))
        return leaders, place[self.leader]


@dataclass(frozen=True, slots=True)
class Windows:
    """Range vectors on a grid: at step k series i sees flat samples [first[k, i], stop[k, i]).

    `starts` and `ends` [s] are the left-open window in ms; `steps` [s] the evaluation times.
    """

    samples: Samples
    first: Ints
    stop: Ints
    starts: Ints
    ends: Ints
    steps: Ints


Value = Table | Windows | Floats | str
"""Scalars are an array [s]."""


class Budget:
    """What the running query may still use, and where it reports. Raises QueryError when it is spent."""

    __slots__ = ("_cancelled", "_deadline", "_held", "_limits", "lookback_ms", "report")

    def __init__(self, limits: Limits, control: QueryControl | None = None) -> None:
        control = control or QueryControl()
        self._limits = limits
        self._held = 0
        self._cancelled = control.cancelled
        self._deadline = time.monotonic() + limits.seconds
        self.lookback_ms = control.lookback_ms
        self.report: QueryReport = control.report

    def check(self) -> None:
        """Stop a query that runs too long, or that nobody waits for any more."""
        if self._cancelled():
            raise QueryError("query was canceled in expression evaluation", kind="canceled")
        if time.monotonic() > self._deadline:
            raise QueryError(
                f"query timed out after {self._limits.seconds:g} s in expression evaluation", kind="timeout"
            )

    def charge(self, samples: int) -> None:
        """Count samples loaded or computed."""
        self.report.samples += samples
        if self.report.samples > self._limits.samples:
            raise QueryError(
                "query processing would load too many samples into memory in query execution",
                kind="execution",
            )
        self.check()

    def room(self, size: int) -> None:
        """Refuse what would need `size` more bytes than the query may hold at one time."""
        if self._held + size > self._limits.memory:
            raise QueryError(
                f"query needs more than {self._limits.memory >> 20} MiB of memory in query execution",
                kind="execution",
                hint="Ask for fewer series, a shorter time or a longer step.",
            )

    @contextmanager
    def holding(self, value: Value) -> Iterator[None]:
        """While another part is evaluated, this value stays in memory."""
        size = _size(value)
        self._held += size
        try:
            yield
        finally:
            self._held -= size


def _size(value: Value) -> int:
    """The bytes of a value's arrays."""
    match value:
        case str():
            return len(value)
        case Table():
            return value.values.nbytes + value.present.nbytes
        case Windows():
            return value.samples.times.nbytes + value.samples.values.nbytes + 2 * value.first.nbytes
        case _:
            return value.nbytes


@dataclass(frozen=True, slots=True)
class Context:
    """What an operation needs besides its arguments: the evaluation times [s] and the query's grid, in ms."""

    steps: Ints
    budget: Budget
    dictionary: Dictionary
    start_ms: int
    end_ms: int
    step_ms: int


def execution_error(message: str) -> QueryError:
    """An error of evaluation, not of syntax."""
    return QueryError(message, kind="execution")


def without_name(labels: Labels) -> Labels:
    """The label set without the metric's name, type and unit."""
    return tuple(item for item in labels if item[0] not in IDENTITY)


def show(labels: Labels) -> str:
    """A label set as PromQL writes it."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"


def empty(steps: int) -> Table:
    """A table without series."""
    return Table(Listed(()), np.zeros((steps, 0)), np.zeros((steps, 0), np.bool_), np.zeros(0, np.bool_))


def pick(table: Table, columns: Ints) -> Table:
    """The named columns, in that order."""
    return Table(
        table.labels.pick(columns),
        np.take(table.values, columns, axis=1),
        np.take(table.present, columns, axis=1),
        table.dropped[columns],
    )


def compact(table: Table) -> Table:
    """Without the columns that have no value at any step.

    One step of many series stays as it is: dropping columns would cost more than carrying them, and what is
    remembered of the set of series would be lost.
    """
    if len(table.present) == 1 and len(table.labels) >= _MANY:
        return table
    return alive(table)


def alive(table: Table) -> Table:
    """Without the columns that have no value at any step."""
    keep = table.present.any(axis=0)
    return table if bool(keep.all()) else pick(table, np.flatnonzero(keep))


def with_dropped_names(table: Table) -> Table:
    """Mark every column to lose its name at the end."""
    return replace(table, dropped=np.ones(len(table.labels), np.bool_))


def drop_names(table: Table) -> Table:
    """Carry out the pending name drops and merge columns that became the same series."""
    if bool(table.dropped.any()):
        labels, dropped = table.labels, table.dropped
        shown = labels.remembered(
            ("drop_names", dropped.tobytes()), lambda: Trimmed(labels, IDENTITY.__contains__, dropped)
        )
        table = replace(table, labels=shown, dropped=np.zeros(len(labels), np.bool_))
    return merge(table)


def merge(table: Table, message: str = "vector cannot contain metrics with the same labelset") -> Table:
    """Merge columns with equal labels. Raises QueryError with `message` when both have a value at one step."""
    labels = table.labels
    if labels.distinct:
        return table
    index, codes = labels.remembered("merge", lambda: distinct(labels))
    if len(index) == len(codes):
        return table
    steps = table.present.shape[0]
    values = np.zeros((steps, len(index)))
    present = np.zeros((steps, len(index)), np.bool_)
    dropped = np.zeros(len(index), np.bool_)
    for column, target in enumerate(codes.tolist()):
        mask = table.present[:, column]
        if bool((present[:, target] & mask).any()):
            raise execution_error(message)
        values[mask, target] = table.values[mask, column]
        present[:, target] |= mask
    np.logical_or.at(dropped, codes, table.dropped)
    return Table(Listed(index), values, present, dropped)


def distinct(labels: Iterable[Labels]) -> tuple[list[Labels], Ints]:
    """The different label sets in the order they come, and for each given one its place among them."""
    index: dict[Labels, int] = {}
    codes = [index.setdefault(item, len(index)) for item in labels]
    return list(index), np.array(codes, np.int64)


def scalar_of(value: Value) -> Floats:
    """A value known by its type to be a scalar."""
    if isinstance(value, np.ndarray):
        return value
    raise execution_error("expected a scalar")


def table_of(value: Value) -> Table:
    """A value known by its type to be an instant vector."""
    if isinstance(value, Table):
        return value
    raise execution_error("expected an instant vector")


def windows_of(value: Value) -> Windows:
    """A value known by its type to be a range vector."""
    if isinstance(value, Windows):
        return value
    raise execution_error("expected a range vector")


def text_of(value: Value) -> str:
    """A value known by its type to be a string."""
    if isinstance(value, str):
        return value
    raise execution_error("expected a string")
