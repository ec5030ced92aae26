"""Between kinds of values: scalar, vector, time, timestamp, absent, absent_over_time, sort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from monitor.metrics.interface import Bools, Floats, Labels, MatchOp
from monitor.metrics.promql import notes
from monitor.metrics.promql.functions.signature import Function
from monitor.metrics.promql.functions.windowed import lengths
from monitor.metrics.promql.nodes import Call, Fixed, Node, Range, Selector
from monitor.metrics.promql.values import (
    NAME,
    Context,
    Table,
    Value,
    pick,
    scalar_of,
    table_of,
    windows_of,
    with_dropped_names,
)
from monitor.metrics.series import Listed


def _vector(context: Context, call: Call, args: Sequence[Value]) -> Table:
    values = scalar_of(args[0])[:, None]
    return Table(Listed([()]), values, np.ones(values.shape, np.bool_), np.zeros(1, np.bool_))


def _scalar(context: Context, call: Call, args: Sequence[Value]) -> Floats:
    table = table_of(args[0])
    if not len(table.labels):
        return np.full(table.present.shape[0], np.nan)
    single = table.present.sum(axis=1) == 1
    column = table.present.argmax(axis=1)
    return np.where(single, table.values[np.arange(len(column)), column], np.nan)


def _time(context: Context, call: Call, args: Sequence[Value]) -> Floats:
    return context.steps / 1000


def _grid(context: Context, call: Call, args: Sequence[Value]) -> Floats:
    """start(), end(), range() and step() of the query, in seconds."""
    known = {
        "start": context.start_ms,
        "end": context.end_ms,
        "range": context.end_ms - context.start_ms,
        "step": context.step_ms,
    }
    return np.full(len(context.steps), known[call.name] / 1000)


def _timestamp(context: Context, call: Call, args: Sequence[Value]) -> Table:
    # A plain selector's own time stamps are put in by the evaluator; any other vector is as old as the step.
    table = table_of(args[0])
    argument = call.args[0]
    if isinstance(argument.inner if isinstance(argument, Fixed) else argument, Selector):
        return with_dropped_names(table)
    values = np.broadcast_to((context.steps / 1000)[:, None], table.values.shape)
    return with_dropped_names(Table(table.labels, values, table.present, table.dropped))


def _labels_of_absent(node: Node) -> Labels:
    """The labels an absent series would have had, from the equality matchers of a plain selector."""
    if isinstance(node, Fixed):
        node = node.inner
    if isinstance(node, Range):
        node = node.selector
    if not isinstance(node, Selector):
        return ()
    known: dict[str, str] = {}
    refused: set[str] = {NAME}
    for matcher in node.matchers:
        if matcher.op is not MatchOp.EQ or matcher.name in known:
            refused.add(matcher.name)
        known[matcher.name] = matcher.value
    return tuple(sorted((name, value) for name, value in known.items() if name not in refused and value))


def _ones_where(absent: Bools, labels: Labels) -> Table:
    return Table(Listed([labels]), np.ones((len(absent), 1)), absent[:, None], np.zeros(1, np.bool_))


def _absent(context: Context, call: Call, args: Sequence[Value]) -> Table:
    return _ones_where(~np.any(table_of(args[0]).present, axis=1), _labels_of_absent(call.args[0]))


def _absent_over_time(context: Context, call: Call, args: Sequence[Value]) -> Table:
    return _ones_where(~np.any(lengths(windows_of(args[0])) > 0, axis=1), _labels_of_absent(call.args[0]))


def _sort(context: Context, call: Call, args: Sequence[Value]) -> Table:
    table = table_of(args[0])
    if len(context.steps) != 1:
        notes.useless_sort(context.budget.report, call.place)
        return table
    values = table.values[0]
    keys = -values if call.name == "sort_desc" else values
    return pick(table, np.argsort(keys, kind="stable"))  # NaN goes last both ways


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "vector": Function(_vector),
        "scalar": Function(_scalar, "scalar"),
        "time": Function(_time, "scalar"),
        "start": Function(_grid, "scalar"),
        "end": Function(_grid, "scalar"),
        "range": Function(_grid, "scalar"),
        "step": Function(_grid, "scalar"),
        "timestamp": Function(_timestamp),
        "absent": Function(_absent),
        "absent_over_time": Function(_absent_over_time),
        "sort": Function(_sort),
        "sort_desc": Function(_sort),
    }
)
