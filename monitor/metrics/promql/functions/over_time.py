"""Aggregations over a window: `*_over_time`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from monitor.metrics.interface import Bools, Floats
from monitor.metrics.promql import notes
from monitor.metrics.promql.functions.signature import Function
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
from monitor.metrics.promql.quantile import quantile_of
from monitor.metrics.promql.values import (
    Budget,
    Context,
    Table,
    Value,
    Windows,
    execution_error,
    scalar_of,
    windows_of,
)

_MOST_NOTES = 10


def _sum(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
    values = windows.samples.values
    total: Floats = np.zeros(windows.first.shape)
    lost = total
    for valid, index in positions(windows, budget):
        total, lost = compensated(total, lost, values[index], valid)
    return total + lost, lengths(windows) > 0


def _avg(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
    total, present = _sum(windows, budget)
    if bool(np.isfinite(total).all()):
        return total / lengths(windows), present
    # A sum that overflows still has a mean: again, with a wider exponent.
    values = windows.samples.values
    wide, lost = zeros(windows), zeros(windows)
    for valid, index in positions(windows, budget):
        wide, lost = compensated(wide, lost, values[index].astype(np.longdouble), valid)
    mean = np.where(np.isfinite(total), total / lengths(windows), (wide + lost) / lengths(windows))
    return mean.astype(np.float64), present


def _extreme(pick: Callable[[Floats, Floats], Floats]) -> Reduce:
    def reduce(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
        values = windows.samples.values
        best = np.full(windows.first.shape, np.nan)
        for valid, index in positions(windows, budget):
            best = np.where(valid, pick(best, values[index]), best)
        return best, lengths(windows) > 0

    return reduce


def _count(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
    size = lengths(windows)
    return size.astype(np.float64), size > 0


def _present(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
    present = lengths(windows) > 0
    return np.ones(present.shape), present


def _last(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
    return _take(windows, newest=True)


def _first(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
    return _take(windows, newest=False)


def _take(windows: Windows, *, newest: bool) -> tuple[Floats, Bools]:
    present = lengths(windows) > 0
    values = windows.samples.values
    if not len(values):
        return np.zeros(present.shape), present
    return values[last_index(windows) if newest else first_index(windows)], present


def _spread(*, root: bool) -> Reduce:
    """In two passes: the mean, then the squares around it, less what rounding of the mean adds to them."""

    def reduce(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
        values = windows.samples.values
        size = lengths(windows)
        total, present = _sum(windows, budget)
        mean = total / size
        squares: Floats = np.zeros(mean.shape)
        rest = squares
        for valid, index in positions(windows, budget):
            apart = np.where(valid, values[index] - mean, 0.0)
            squares = squares + apart * apart
            rest = rest + apart
        variance = np.maximum(squares - rest * rest / size, 0.0) / size
        return np.sqrt(variance) if root else variance, present

    return reduce


def _smoothed(context: Context, call: Call, args: Sequence[Value]) -> Table:
    """Holt's double exponential smoothing; the factors must be inside (0, 1)."""
    windows = windows_of(args[0])
    factor, trend_factor = (scalar_of(arg)[:, None] for arg in args[1:3])
    for name, value in (("smoothing", factor), ("trend", trend_factor)):
        if not bool(((value > 0) & (value < 1)).all()):
            raise execution_error(
                f"invalid {name} factor. Expected: 0 < {name[0]}f < 1, got: {value.flat[0]:f}"
            )
    values = windows.samples.values
    level = trend = before = np.zeros(windows.first.shape)
    for position, (valid, index) in enumerate(positions(windows, context.budget)):
        value = values[index]
        if position == 0:
            level = value
            continue
        if position == 1:
            trend = value - level
        else:
            trend = np.where(valid, trend_factor * (level - before) + (1 - trend_factor) * trend, trend)
        smooth = factor * value + (1 - factor) * (level + trend)
        before, level = np.where(valid, level, before), np.where(valid, smooth, level)
    return as_table(windows, level, lengths(windows) >= 2)


def _moment(better: Callable[[Floats, Floats], Bools] | None, *, newest: bool) -> Reduce:
    """The time stamp in seconds of the first, last, least or greatest sample (the later of equals)."""

    def reduce(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
        present = lengths(windows) > 0
        values, times = windows.samples.values, windows.samples.times
        if not len(times):
            return np.zeros(present.shape), present
        chosen = last_index(windows) if newest else first_index(windows)
        if better is not None:
            for valid, index in positions(windows, budget, start=1):
                take = better(values[index], values[chosen]) | np.isnan(values[chosen])
                chosen = np.where(valid & take, index, chosen)
        return times[chosen] / 1000, present

    return reduce


def _gather(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
    """All samples of all windows, [position, s, n], and which positions are samples."""
    size = lengths(windows)
    depth = int(size.max(initial=0))
    budget.charge(depth * size.size)
    budget.room(4 * 8 * depth * size.size)
    stack = np.full((depth, *size.shape), np.nan)
    valid = np.zeros(stack.shape, np.bool_)
    for position, (reaches, index) in enumerate(positions(windows, budget)):
        stack[position] = windows.samples.values[index]
        valid[position] = reaches
    return stack, valid


def _quantile(context: Context, call: Call, args: Sequence[Value]) -> Table:
    windows, wanted = windows_of(args[1]), scalar_of(args[0])
    outside = wanted[~((wanted >= 0) & (wanted <= 1)) & (lengths(windows) > 0).any(axis=1)]
    for value in np.unique(outside).tolist()[:_MOST_NOTES]:
        notes.quantile_out_of_range(context.budget.report, value, call.place_of(0))
    stack, valid = _gather(windows, context.budget)
    values = quantile_of(wanted[:, None], stack, valid)
    return as_table(windows, values, lengths(windows) > 0)


def _mad(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
    stack, valid = _gather(windows, budget)
    half = np.full((windows.first.shape[0], 1), 0.5)
    median = quantile_of(half, stack, valid)
    deviation = quantile_of(half, np.abs(stack - median), valid)
    unknown = (valid & np.isnan(stack)).any(axis=0)
    return np.where(unknown, np.nan, deviation), lengths(windows) > 0


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "sum_over_time": Function(over_windows(_sum)),
        "avg_over_time": Function(over_windows(_avg)),
        "min_over_time": Function(over_windows(_extreme(np.fmin))),
        "max_over_time": Function(over_windows(_extreme(np.fmax))),
        "count_over_time": Function(over_windows(_count)),
        "present_over_time": Function(over_windows(_present)),
        "last_over_time": Function(over_windows(_last, keep_name=True)),
        "first_over_time": Function(over_windows(_first, keep_name=True)),
        "stddev_over_time": Function(over_windows(_spread(root=True))),
        "stdvar_over_time": Function(over_windows(_spread(root=False))),
        "quantile_over_time": Function(_quantile),
        "ts_of_first_over_time": Function(over_windows(_moment(None, newest=False))),
        "ts_of_last_over_time": Function(over_windows(_moment(None, newest=True))),
        "ts_of_min_over_time": Function(over_windows(_moment(np.less_equal, newest=False))),
        "ts_of_max_over_time": Function(over_windows(_moment(np.greater_equal, newest=False))),
        "double_exponential_smoothing": Function(_smoothed),
        "mad_over_time": Function(over_windows(_mad)),
    }
)
