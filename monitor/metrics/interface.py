"""The seam of the metric store: samples in as columns, windows out as time-major matrices.

Time is int64 milliseconds since the epoch. A label set is a tuple of (name, value) pairs sorted by name,
`__name__` among them, no empty values. Two special NaNs: `STALE` (Prometheus's staleness marker, its exact bit
pattern) is a stored sample that ends a series; `HOLE` (plain NaN padding of a window) is no sample at all.
An ordinary stored NaN value is kept as Prometheus's canonical NaN (0x7ff8000000000001); `Window.present` tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np

from monitor.metrics.arrays import Bools as Bools
from monitor.metrics.arrays import Codes as Codes
from monitor.metrics.arrays import Floats as Floats
from monitor.metrics.arrays import Ints as Ints
from monitor.metrics.arrays import Labels as Labels
from monitor.metrics.series import Dictionary, SeriesSet

STALE_BITS = 0x7FF0000000000002
STALE = float(np.array([STALE_BITS], np.uint64).view(np.float64)[0])


def make_labels(labels: Mapping[str, str], name: str | None = None) -> Labels:
    """A canonical label set: sorted, empty values dropped, `name` as `__name__` when given."""
    items = dict(labels)
    if name is not None:
        items["__name__"] = name
    return tuple(sorted((k, v) for k, v in items.items() if v))


def is_stale(values: Floats) -> Bools:
    """Which values carry the staleness marker (bit-exact; other NaNs are ordinary values)."""
    return np.asarray(values.view(np.uint64) == STALE_BITS)


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Samples as columns: sample i is `values[i]` at `timestamps[i]` of the series `labels[series[i]]`.

    Shapes: series, timestamps, values [n]; labels any length.
    """

    labels: Sequence[Labels]
    series: Codes
    timestamps: Ints
    values: Floats


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What became of a block. accepted + duplicate + rejected = n; `reasons` counts the rejected by reason.

    `examples` may name one series for each reason, for the message to the sender.
    """

    accepted: int
    duplicate: int = 0
    rejected: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, Labels] = field(default_factory=dict)


class MatchOp(StrEnum):
    """The four PromQL label matchers."""

    EQ = "="
    NE = "!="
    RE = "=~"
    NRE = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label matcher; a missing label matches as the empty string; regexes are anchored RE2."""

    name: str
    op: MatchOp
    value: str


@dataclass(frozen=True, slots=True)
class Window:
    """The samples of n series in the half-open interval (start, end], time-major, oldest row first.

    Series i is column i of `values` [k, n] and uses the time stamps of column `group[i]` of `timestamps` [k, g].
    `present` [k, n] says where there is a sample (a stale marker is present too); elsewhere value and time
    stamp are padding. Within a column the time stamps of present samples increase strictly.
    """

    labels: Sequence[Labels]
    group: Codes
    timestamps: Ints
    values: Floats
    present: Bools


@dataclass(frozen=True, slots=True)
class Part:
    """Some series of a selection, polled at one interval, time-major, oldest row first.

    Series i is column i of `values` [k, n] and uses the time stamps of column `group[i]` of `timestamps` [k, g]
    (the largest int64 where the group has none). A cell is a sample unless it holds the HOLE pattern (piece.py)
    or its row has no time stamp for the group; time stamps of a group increase strictly with the row. The rows
    may hold samples somewhat before and after the interval that was asked for. `values` may be a view of memory
    that grows: it is not to be changed, and only what `timestamps` name is to be read. `odd` names for every row the
    columns whose value is NaN, for whatever reason; `falling` [k] marks rows with a value lower than the one above it
    (perhaps of a series that is not in the part).
    """

    labels: SeriesSet
    group: Codes
    timestamps: Ints
    values: Floats
    odd: Sequence[Ints]
    falling: Bools


@dataclass(frozen=True, slots=True)
class Selection:
    """What matches a selector: `labels` are those of the parts, one after the other.

    The same `SeriesSet` object comes again as long as the same series match.
    """

    labels: SeriesSet
    parts: Sequence[Part]


class MetricStore(Protocol):
    """A store of float samples. Safe to use from several threads."""

    def append(self, block: SampleBlock, *, durable: bool = False) -> AppendResult:
        """Store a block. With `durable` it returns only when the samples are on disk (fdatasync), else within
        a second. A too old or conflicting sample is rejected and counted, never an exception; whether one that is
        older than the newest of its series is taken is the store's own affair (LocalStore takes it).
        """
        ...

    def sync(self) -> None:
        """Return when everything appended so far is on disk."""
        ...

    def window(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Window:
        """All samples of the matching series in (start_ms, end_ms]; series without a sample are left out."""
        ...

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """The matching series with all their samples in (start_ms, end_ms] and perhaps some around it."""
        ...

    @property
    def dictionary(self) -> Dictionary:
        """The numbers of label values that `select` knows without looking at the label sets."""
        ...

    def series(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Labels]:
        """The label sets of matching series that may have a sample in the interval."""
        ...

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """Sorted label names of the matching series."""
        ...

    def label_values(self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """Sorted values of one label over the matching series."""
        ...

    def stats(self) -> Mapping[str, float]:
        """Numbers about the store itself: series, samples_appended, wal_bytes, chunk_bytes, quarantined ..."""
        ...

    def close(self) -> None:
        """Flush and release."""
        ...


@dataclass(frozen=True, slots=True)
class Vector:
    """An instant vector: labels [n], values [n], all at one time. `scalar` results have one empty label set."""

    at_ms: int
    labels: Sequence[Labels]
    values: Floats


@dataclass(frozen=True, slots=True)
class Matrix:
    """A range result on one grid: timestamps [s], values [s, n], present [s, n] (False = no point)."""

    labels: Sequence[Labels]
    timestamps: Ints
    values: Floats
    present: Bools


@dataclass(frozen=True, slots=True)
class RawMatrix:
    """A range-vector selector evaluated at one instant: each series with its own samples."""

    series: Sequence[tuple[Labels, Ints, Floats]]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single number at a time."""

    at_ms: int
    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A string literal."""

    at_ms: int
    value: str


Result = Vector | Scalar | Text | RawMatrix


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may use before it is refused with a QueryError. `memory` is bytes held at one time, estimated."""

    expression_chars: int = 16_384
    nesting: int = 64
    samples: int = 50_000_000
    seconds: float = 30.0
    points: int = 11_000
    memory: int = 2 * 1024**3


class QueryReport:
    """What one evaluation tells besides its result; filled while it runs, by its own thread.

    Warnings say that the result may be wrong or incomplete, infos that the question may be; each text counts once.
    `samples` is how many samples were loaded or computed.
    """

    __slots__ = ("_infos", "_warnings", "samples")

    def __init__(self) -> None:
        self._warnings: dict[str, None] = {}
        self._infos: dict[str, None] = {}
        self.samples = 0

    def warn(self, text: str) -> None:
        """The result may be wrong or incomplete, e.g. `PromQL warning: ...`."""
        self._warnings[text] = None

    def inform(self, text: str) -> None:
        """The expression may not mean what its author thinks, e.g. `PromQL info: ...`."""
        self._infos[text] = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """In the order they came up."""
        return tuple(self._warnings)

    @property
    def infos(self) -> tuple[str, ...]:
        """In the order they came up."""
        return tuple(self._infos)


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class QueryControl:
    """What goes with one run of a query.

    `cancelled` is asked often, from the thread that evaluates: it must be cheap and must not block.
    `lookback_ms` is how far back an instant selector looks for a series' latest sample.
    """

    cancelled: Callable[[], bool] = _never
    lookback_ms: int = 300_000
    report: QueryReport = field(default_factory=QueryReport)


class Plan(Protocol):
    """A compiled expression, reusable for any time and store."""

    @property
    def expression(self) -> str:
        """The text it was compiled from."""
        ...


class QueryEngine(Protocol):
    """PromQL. Raises monitor.metrics.errors.QueryError with the position and a reason."""

    def compile(self, expression: str) -> Plan:
        """Parse and check; the plan may be kept for as long as wanted."""
        ...

    def instant(
        self, query: str | Plan, at_ms: int, limits: Limits = ..., control: QueryControl | None = None
    ) -> Result:
        """The value at one time. A QueryError of kind `canceled` says that `control.cancelled` became true."""
        ...

    def range(
        self,
        query: str | Plan,
        start_ms: int,
        end_ms: int,
        step_ms: int,
        limits: Limits = ...,
        control: QueryControl | None = None,
    ) -> Matrix:
        """The value at start, start + step ... up to end."""
        ...


def block_of(samples: Iterable[tuple[Labels, int, float]]) -> SampleBlock:
    """A block from (labels, ms, value) triples; for small hand-made batches and tests."""
    index: dict[Labels, int] = {}
    series: list[int] = []
    times: list[int] = []
    values: list[float] = []
    for labels, at, value in samples:
        series.append(index.setdefault(labels, len(index)))
        times.append(at)
        values.append(value)
    return SampleBlock(
        list(index), np.array(series, np.int32), np.array(times, np.int64), np.array(values, np.float64)
    )
