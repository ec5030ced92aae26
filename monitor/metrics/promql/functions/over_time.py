"""Aggregations over a window: `*_over_time`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from monitor.metrics.interface import Bools, Floats
from monitor.metrics.promql.functions.signature import Function
from monitor.metrics.promql.functions.windowed import (
    Extended,
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
from monitor.metrics.promql.values import Budget, Context, Table, Value, Windows, scalar_of, windows_of


def _sum(windows: Windows, budget: Budget) -> tuple[Extended, Bools]:
    values = windows.samples.values
    total, lost = zeros(windows), zeros(windows)
    for valid, index in positions(windows, budget):
        total, lost = compensated(total, lost, values[index].astype(np.longdouble), valid)
    return total + lost, lengths(windows) > 0


def _sum_over_time(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
    total, present = _sum(windows, budget)
    return total.astype(np.float64), present


def _avg_over_time(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
    total, present = _sum(windows, budget)
    return (total / lengths(windows)).astype(np.float64), present


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
    def reduce(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
        values = windows.samples.values
        mean, mean_lost, square, square_lost = (zeros(windows) for _ in range(4))
        for count, (valid, index) in enumerate(positions(windows, budget), start=1):
            value = values[index].astype(np.longdouble)
            delta = value - (mean + mean_lost)
            mean, mean_lost = compensated(mean, mean_lost, delta / count, valid)
            term = delta * (value - (mean + mean_lost))
            square, square_lost = compensated(square, square_lost, term, valid)
        variance = ((square + square_lost) / lengths(windows)).astype(np.float64)
        return np.sqrt(variance) if root else variance, lengths(windows) > 0

    return reduce


def _gather(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
    """All samples of all windows, [position, s, n], and which positions are samples."""
    size = lengths(windows)
    depth = int(size.max(initial=0))
    budget.charge(depth * size.size)
    stack = np.full((depth, *size.shape), np.nan)
    valid = np.zeros(stack.shape, np.bool_)
    for position, (reaches, index) in enumerate(positions(windows, budget)):
        stack[position] = windows.samples.values[index]
        valid[position] = reaches
    return stack, valid


def _quantile(context: Context, call: Call, args: Sequence[Value]) -> Table:
    windows = windows_of(args[1])
    stack, valid = _gather(windows, context.budget)
    values = quantile_of(scalar_of(args[0])[:, None], stack, valid)
    return as_table(windows, values, lengths(windows) > 0)


def _mad(windows: Windows, budget: Budget) -> tuple[Floats, Bools]:
    stack, valid = _gather(windows, budget)
    half = np.full((windows.first.shape[0], 1), 0.5)
    median = quantile_of(half, stack, valid)
    return quantile_of(half, np.abs(stack - median), valid), lengths(windows) > 0


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "sum_over_time": Function(over_windows(_sum_over_time)),
        "avg_over_time": Function(over_windows(_avg_over_time)),
        "min_over_time": Function(over_windows(_extreme(np.fmin))),
        "max_over_time": Function(over_windows(_extreme(np.fmax))),
        "count_over_time": Function(over_windows(_count)),
        "present_over_time": Function(over_windows(_present)),
        "last_over_time": Function(over_windows(_last, keep_name=True)),
        "first_over_time": Function(over_windows(_first, keep_name=True)),
        "stddev_over_time": Function(over_windows(_spread(root=True))),
        "stdvar_over_time": Function(over_windows(_spread(root=False))),
        "quantile_over_time": Function(_quantile),
        "mad_over_time": Function(over_windows(_mad)),
    }
)
