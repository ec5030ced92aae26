"""Walking the nodes of a plan over a grid of evaluation times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from monitor.metrics.interface import Ints, MetricStore, Selection
from monitor.metrics.promql import binary, columns, info, samples
from monitor.metrics.promql.aggregate import aggregate
from monitor.metrics.promql.functions import FUNCTIONS
from monitor.metrics.promql.nodes import (
    Aggregate,
    At,
    Binary,
    Bound,
    Call,
    Fixed,
    Info,
    Negate,
    Node,
    Number,
    Range,
    Selector,
    String,
    Subquery,
)
from monitor.metrics.promql.values import (
    Budget,
    Context,
    Samples,
    Table,
    Value,
    Windows,
    compact,
    empty,
    scalar_of,
    table_of,
    with_dropped_names,
)
from monitor.metrics.series import Listed

DEFAULT_SUBQUERY_STEP_MS = 60_000
_BYTES_OF_A_SAMPLE = 8 * 6
_BYTES_OF_A_CELL = 8 + 1
_TABLES_OF_A_LOOK_UP = 8 * 6  # bytes: indices, their bounds, values and results, each steps x series


class Evaluator:
    """One query over one store. `start_ms` and `end_ms` are what `@ start()` and `@ end()` mean."""

    __slots__ = ("_bounds", "_budget", "_many", "_step_ms", "_store")

    def __init__(
        self, store: MetricStore, start_ms: int, end_ms: int, step_ms: int, budget: Budget, many: int
    ) -> None:
        self._store = store
        self._many = many
        self._bounds = {Bound.START: start_ms, Bound.END: end_ms}
        self._step_ms = step_ms
        self._budget = budget

    def evaluate(self, node: Node, steps: Ints) -> Value:
        """The value of a node at every step. Raises QueryError."""
        self._budget.check()
        match node:
            case Number(value=value):
                return np.full(len(steps), value)
            case String(value=text):
                return text
            case Selector():
                return self._select(node, steps)
            case Range():
                return self._range(node, steps)
            case Subquery():
                return self._subquery(node, steps)
            case Call():
                return self._call(node, steps)
            case Info():
                return self._info(node, steps)
            case Aggregate():
                param = None if node.param is None else self.evaluate(node.param, steps)
                return aggregate(
                    self._context(steps), node, table_of(self.evaluate(node.inner, steps)), param
                )
            case Binary():
                left = self.evaluate(node.left, steps)
                with self._budget.holding(left):
                    right = self.evaluate(node.right, steps)
                return binary.apply(self._context(steps), node, left, right)
            case Negate(inner=inner):
                return _negated(self.evaluate(inner, steps))
            case Fixed(inner=inner):
                return _spread(self.evaluate(inner, steps[:1]), len(steps))

    def _context(self, steps: Ints) -> Context:
        return Context(
            steps,
            self._budget,
            self._store.dictionary,
            self._bounds[Bound.START],
            self._bounds[Bound.END],
            self._step_ms,
        )

    def _times(self, steps: Ints, at: At, offset_ms: int) -> Ints:
        if at is None:
            return steps - offset_ms
        moment = self._bounds[at] if isinstance(at, Bound) else at
        return np.full(len(steps), moment - offset_ms, np.int64)

    def _fetch(self, node: Selector, times: Ints, reach_ms: int) -> Selection:
        return self._store.select(node.matchers, int(times.min()) - reach_ms, int(times.max()))

    def _is_wide(self, selection: Selection, times: Ints) -> bool:
        """Whether the series are so many, for the number of steps, that it pays to go through them step by step."""
        series = len(selection.labels)
        self._budget.room(_BYTES_OF_A_CELL * series * len(times))
        enough = series >= self._many * max(1, len(selection.parts)) and 4 * series >= len(times)
        return enough or not self._many

    def _flat(self, selection: Selection, times: Ints, *, keep_stale: bool) -> Samples:
        cells = sum(part.values.size for part in selection.parts)
        self._budget.room(_BYTES_OF_A_SAMPLE * cells)
        found = samples.flatten(selection, keep_stale=keep_stale)
        self._budget.charge(len(found.times) + len(found.labels) * len(times))
        self._budget.room(
            found.times.nbytes + found.values.nbytes + _TABLES_OF_A_LOOK_UP * len(found.labels) * len(times)
        )
        return found

    def _select(self, node: Selector, steps: Ints, *, times: bool = False) -> Table:
        at = self._times(steps, node.at, node.offset_ms)
        reach = self._budget.lookback_ms
        selection = self._fetch(node, at, reach)
        if self._is_wide(selection, at):
            return compact(columns.latest(selection, at, reach, self._budget, times=times))
        return samples.latest(self._flat(selection, at, keep_stale=True), at, reach, times=times)

    def _range(self, node: Range, steps: Ints) -> Windows:
        ends = self._times(steps, node.selector.at, node.selector.offset_ms)
        selection = self._fetch(node.selector, ends, node.range_ms)
        return samples.windows(self._flat(selection, ends, keep_stale=False), ends, node.range_ms, steps)

    def _subquery(self, node: Subquery, steps: Ints) -> Windows:
        ends = self._times(steps, node.at, node.offset_ms)
        step = node.step_ms or DEFAULT_SUBQUERY_STEP_MS
        first = ((int(ends.min()) - node.range_ms) // step + 1) * step
        count = max(0, (int(ends.max()) - first) // step + 1)
        self._budget.charge(count)
        self._budget.room(_TABLES_OF_A_LOOK_UP * count)
        grid = np.arange(count, dtype=np.int64) * step + first
        inner = table_of_any(self.evaluate(node.inner, grid)) if count else empty(0)
        found = samples.from_table(inner, grid)
        self._budget.charge(len(found.times) + len(found.labels) * len(steps))
        return samples.windows(found, ends, node.range_ms, steps)

    def _call(self, node: Call, steps: Ints) -> Value:
        if node.name == "timestamp":
            argument = node.args[0].inner if isinstance(node.args[0], Fixed) else node.args[0]
            if isinstance(argument, Selector):
                args: Sequence[Value] = [self._select(argument, steps, times=True)]
                return FUNCTIONS[node.name].apply(self._context(steps), node, args)
        function = FUNCTIONS[node.name]
        if node.name in columns.KERNELS and isinstance(node.args[0], Range):
            return self._range_call(node, node.args[0], steps)
        args = [self.evaluate(arg, steps) for arg in node.args]
        return function.apply(self._context(steps), node, args)

    def _range_call(self, node: Call, argument: Range, steps: Ints) -> Value:
        """A function of a range selector: many series by columns, few one after the other."""
        ends = self._times(steps, argument.selector.at, argument.selector.offset_ms)
        selection = self._fetch(argument.selector, ends, argument.range_ms)
        others = [self.evaluate(arg, steps) for arg in node.args[1:]]
        function = FUNCTIONS[node.name]
        if not self._is_wide(selection, ends):
            found = self._flat(selection, ends, keep_stale=False)
            windows = samples.windows(found, ends, argument.range_ms, steps)
            return function.apply(self._context(steps), node, [windows, *others])
        table = columns.sweep(
            columns.KERNELS[node.name],
            selection,
            argument.range_ms,
            ends,
            steps,
            scalar_of(others[0]) if others else None,
            self._budget,
        )
        return function.noted(self._context(steps), node, compact(table))

    def _info(self, node: Info, steps: Ints) -> Table:
        base = table_of(self.evaluate(node.inner, steps))
        with self._budget.holding(base):
            moments = self._select(node.source, steps, times=True)
        return info.enriched(self._context(steps), node, base, moments)


def table_of_any(value: Value) -> Table:
    """A vector, or a scalar as a vector with one nameless series."""
    if isinstance(value, np.ndarray):
        values = value[:, None]
        return Table(Listed([()]), values, np.ones(values.shape, np.bool_), np.zeros(1, np.bool_))
    return table_of(value)


def _negated(value: Value) -> Value:
    if isinstance(value, np.ndarray):
        return -value
    table = table_of(value)
    return with_dropped_names(replace(table, values=-table.values))


def _spread(value: Value, steps: int) -> Value:
    """A value computed at one step, at all steps."""
    if isinstance(value, np.ndarray):
        return np.broadcast_to(value, (steps,))
    if isinstance(value, Table):
        shape = (steps, len(value.labels))
        return replace(
            value, values=np.broadcast_to(value.values, shape), present=np.broadcast_to(value.present, shape)
        )
    return value
