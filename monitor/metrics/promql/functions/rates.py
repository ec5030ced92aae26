"""Change over a window: rate, increase, delta, irate, idelta, deriv, predict_linear, resets, changes.

rate, increase and delta extrapolate to the window's edges exactly as Prometheus 3's `extrapolatedRate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from monitor.metrics.interface import Bools, Floats, Ints, Labels
from monitor.metrics.promql import notes
from monitor.metrics.promql.functions.signature import Apply, Function
from monitor.metrics.promql.functions.windowed import (
    Reduce,
    as_table,
    compensated,
    first_index,
    last_index,
    lengths,
    over_windows,
    positions,
    zeros,
)
from monitor.metrics.promql.nodes import Call
from monitor.metrics.promql.values import (
    NAME,
    Budget,
    Context,
    Table,
    Value,
    Windows,
    scalar_of,
    table_of,
    windows_of,
)


def _lost_to_resets(windows: Windows, budget: Budget) -> Floats:
    """What counter resets hid: the sum of the values just before each reset, per window [s, n]."""
    values = windows.samples.values
    total = np.zeros(windows.first.shape)
    if len(values) < 2:
        return total
    drops = np.flatnonzero(values[1:] < values[:-1]) + 1
    starts = np.zeros(len(values) + 1, np.bool_)
    starts[windows.samples.bounds] = True
    drops = drops[~starts[drops]]
    if not len(drops):
        return total
    owner = np.searchsorted(windows.samples.bounds, drops, side="right") - 1
    columns = np.unique(owner)
    depth = int(lengths(windows)[:, columns].max())
    if len(drops) > depth:
        total[:, columns] = _lost_by_position(windows, columns, depth, budget)
        return total
    for drop, column in zip(drops.tolist(), owner.tolist(), strict=True):
        inside = (windows.first[:, column] < drop) & (drop < windows.stop[:, column])
        total[inside, column] += values[drop - 1]
    return total


def _lost_by_position(windows: Windows, columns: Ints, depth: int, budget: Budget) -> Floats:
    """The same for the named columns, when resets are so many that going through the windows is shorter."""
    values = windows.samples.values
    first, stop = windows.first[:, columns], windows.stop[:, columns]
    total = np.zeros(first.shape)
    for position in range(1, depth):
        budget.check()
        index = np.minimum(first + position, len(values) - 1)
        before = values[index - 1]
        total += np.where((first + position < stop) & (values[index] < before), before, 0)
    return total


@dataclass(frozen=True, slots=True)
class _Edges:
    """What extrapolation knows from time stamps alone, in seconds, for each different clock [s, c]."""

    present: Bools
    sampled: Floats
    before: Floats
    after: Floats


def _edges(windows: Windows, clocks: Ints) -> _Edges:
    times = windows.samples.times
    first, stop = windows.first[:, clocks], windows.stop[:, clocks]
    size = stop - first
    head, tail = times[np.minimum(first, len(times) - 1)], times[np.maximum(stop - 1, 0)]
    sampled = (tail - head) / 1000
    average = sampled / np.maximum(size - 1, 1)
    before = (head - windows.starts[:, None]) / 1000
    after = (windows.ends[:, None] - tail) / 1000
    return _Edges(
        size >= 2,
        sampled,
        np.where(before >= average * 1.1, average / 2, before),
        np.where(after >= average * 1.1, average / 2, after),
    )


def _extrapolated(*, counter: bool, per_second: bool) -> Reduce:
    def reduce(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
        values = windows.samples.values
        if not len(values):
            return np.zeros(windows.first.shape), np.zeros(windows.first.shape, np.bool_)
        clocks, place = windows.samples.clocks()
        edges = _edges(windows, clocks)
        seconds = (
            (windows.ends - windows.starts)[:, None] / 1000 if per_second else np.ones((len(windows.ends), 1))
        )
        factor = (edges.sampled + edges.before + edges.after) / edges.sampled / seconds
        start = values[first_index(windows)]
        result = values[last_index(windows)] - start
        if not counter:
            return result * factor[:, place], edges.present[:, place]
        result = result + _lost_to_resets(windows, budget)
        output = result * factor[:, place]
        # A counter was zero at the earliest: few windows reach back that far.
        share = (edges.before / edges.sampled)[:, place]
        steps, columns = np.nonzero((result > 0) & (start >= 0) & (start < share * result))
        clock = place[columns]
        sampled = edges.sampled[steps, clock]
        to_zero = sampled * (start[steps, columns] / result[steps, columns])
        before = np.minimum(edges.before[steps, clock], to_zero)
        short = (sampled + before + edges.after[steps, clock]) / sampled
        output[steps, columns] = result[steps, columns] * (short / seconds[steps, 0])
        return output, edges.present[:, place]

    return reduce


def _instantaneous(*, rate: bool) -> Reduce:
    def reduce(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
        times, values = windows.samples.times, windows.samples.values
        present = lengths(windows) >= 2
        if not len(times):
            return np.zeros(present.shape), present
        newest = last_index(windows)
        before = np.maximum(newest - 1, 0)
        result = values[newest] - values[before]
        if rate:
            result = np.where(values[newest] < values[before], values[newest], result)
            result = result / ((times[newest] - times[before]) / 1000)
        return result, present

    return reduce


def _regression(windows: Windows, origin: Floats, budget: Budget) -> tuple[Floats, Floats]:
    """Least squares over each window; (slope per second, value at `origin` [s, n] ms)."""
    times, values = windows.samples.times, windows.samples.values
    size = lengths(windows).astype(np.float64)
    sums = [(zeros(windows), zeros(windows)) for _ in range(4)]
    start = values[first_index(windows)]
    constant = np.ones(start.shape, np.bool_)
    for valid, index in positions(windows, budget):
        y = values[index].astype(np.longdouble)
        x = ((times[index] - origin) / 1000).astype(np.longdouble)
        constant &= ~valid | (values[index] == start)
        for place, term in enumerate((x, y, x * y, x * x)):
            sums[place] = compensated(*sums[place], term, valid)
    sum_x, sum_y, sum_xy, sum_xx = ((total + lost).astype(np.float64) for total, lost in sums)
    slope = (sum_xy - sum_x * sum_y / size) / (sum_xx - sum_x * sum_x / size)
    intercept = sum_y / size - slope * sum_x / size
    flat = np.where(np.isinf(start), np.nan, 0.0)
    return np.where(constant, flat, slope), np.where(constant, start + flat, intercept)


def _deriv(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
    present = lengths(windows) >= 2
    if not len(windows.samples.times):
        return np.zeros(present.shape), present
    origin = windows.samples.times[first_index(windows)].astype(np.float64)
    return _regression(windows, origin, budget)[0], present


def _predict_linear(context: Context, call: Call, args: Sequence[Value]) -> Table:
    windows = windows_of(args[0])
    present = lengths(windows) >= 2
    if not len(windows.samples.times):
        return as_table(windows, np.zeros(present.shape), present)
    origin = np.broadcast_to(windows.steps[:, None].astype(np.float64), present.shape)
    slope, intercept = _regression(windows, origin, context.budget)
    return as_table(windows, slope * scalar_of(args[1])[:, None] + intercept, present)


def _transitions(*, resets: bool) -> Reduce:
    def reduce(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
        values = windows.samples.values
        present = lengths(windows) >= 1
        if not len(values):
            return np.zeros(present.shape), present
        before, after = values[:-1], values[1:]
        event = after < before if resets else (after != before) & ~(np.isnan(after) & np.isnan(before))
        seen = np.concatenate(([0, 0], np.cumsum(event)))
        head = np.minimum(windows.first + 1, windows.stop)
        return (seen[windows.stop] - seen[head]).astype(np.float64), present

    return reduce


_COUNTER_ENDINGS = ("_total", "_sum", "_count", "_bucket")
_MOST_NOTES = 10


def _of_counter(apply: Apply) -> Apply:
    """The same, with a note for series whose name is not one of a counter."""

    def noting(context: Context, call: Call, args: Sequence[Value]) -> Value:
        table = table_of(apply(context, call, args))
        _note_no_counters(context, call, table, windows_of(args[0]).samples.dropped)
        return table

    return noting


def _note_no_counters(context: Context, call: Call, table: Table, lost: Bools | None = None) -> None:
    """`lost` [n] marks series whose name is not theirs any more."""
    labels = table.labels
    doubtful = labels.remembered("names of no counter", lambda: _names_of_no_counter(labels))
    for name, columns in doubtful[:_MOST_NOTES]:
        own = columns if lost is None else columns[~lost[columns]]
        if bool(table.present[:, own].any()):
            notes.possible_non_counter(context.budget.report, name, call.place_of(0))


def _names_of_no_counter(labels: Sequence[Labels]) -> list[tuple[str, Ints]]:
    """The metric names that do not end as those of counters do, each with its columns."""
    columns: dict[str, list[int]] = {}
    for column, item in enumerate(labels):
        name = next((value for key, value in item if key == NAME), "")
        if name and not name.endswith(_COUNTER_ENDINGS):
            columns.setdefault(name, []).append(column)
    return [(name, np.array(members, np.int64)) for name, members in columns.items()]


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "rate": Function(
            _of_counter(over_windows(_extrapolated(counter=True, per_second=True))), note=_note_no_counters
        ),
        "increase": Function(
            _of_counter(over_windows(_extrapolated(counter=True, per_second=False))), note=_note_no_counters
        ),
        "delta": Function(over_windows(_extrapolated(counter=False, per_second=False))),
        "irate": Function(over_windows(_instantaneous(rate=True))),
        "idelta": Function(over_windows(_instantaneous(rate=False))),
        "deriv": Function(over_windows(_deriv)),
        "predict_linear": Function(_predict_linear),
        "resets": Function(over_windows(_transitions(resets=True))),
        "changes": Function(over_windows(_transitions(resets=False))),
    }
)
