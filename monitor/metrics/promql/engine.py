"""The face of PromQL: compile, instant and range queries over any MetricStore."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import (
    Ints,
    Labels,
    Limits,
    Matrix,
    MetricStore,
    Plan,
    QueryControl,
    RawMatrix,
    Result,
    Scalar,
    Text,
    Vector,
)
from monitor.metrics.promql.compile import CompiledPlan, compile_plan
from monitor.metrics.promql.evaluate import Evaluator, table_of_any
from monitor.metrics.promql.values import (
    Budget,
    Value,
    Windows,
    alive,
    drop_names,
    pick,
    scalar_of,
    table_of,
    text_of,
    windows_of,
    without_name,
)

_PLANS_KEPT = 2048
_MANY = 128


class PromqlEngine:
    """PromQL over a store; implements monitor.metrics.interface.QueryEngine. Safe to use from several threads.

    From `many` series on, selectors and range functions go through columns (promql/columns).
    """

    def __init__(self, store: MetricStore, limits: Limits | None = None, *, many: int = _MANY) -> None:
        self._store = store
        self._limits = limits or Limits()
        self._many = many
        self._compile = lru_cache(_PLANS_KEPT)(compile_plan)

    def compile(self, expression: str) -> CompiledPlan:
        """Parse and check an expression. Raises QueryError with the position or reason."""
        return self._compile(expression, self._limits)

    def instant(
        self,
        query: str | Plan,
        at_ms: int,
        limits: Limits | None = None,
        control: QueryControl | None = None,
    ) -> Result:
        """The value at one time. Raises QueryError."""
        plan = self._plan(query, limits)
        value = self._evaluate(plan, np.array([at_ms], np.int64), self._budget(limits, control), at_ms)
        if plan.kind == "scalar":
            return Scalar(at_ms, float(scalar_of(value)[0]))
        if plan.kind == "string":
            return Text(at_ms, text_of(value))
        if plan.kind == "matrix":
            return _raw(windows_of(value))
        table = drop_names(alive(table_of(value)))
        return Vector(at_ms, list(table.labels), np.ascontiguousarray(table.values[0]))

    def range(
        self,
        query: str | Plan,
        start_ms: int,
        end_ms: int,
        step_ms: int,
        limits: Limits | None = None,
        control: QueryControl | None = None,
    ) -> Matrix:
        """The value at start, start + step ... up to end; series sorted by labels. Raises QueryError."""
        plan = self._plan(query, limits)
        if plan.kind not in ("vector", "scalar"):
            raise QueryError(
                f'invalid expression type "{_KINDS[plan.kind]}" for range query, must be Scalar or instant Vector'
            )
        steps = _grid(start_ms, end_ms, step_ms, limits or self._limits)
        value = self._evaluate(plan, steps, self._budget(limits, control), end_ms, step_ms)
        table = drop_names(alive(table_of_any(value)))
        labels = table.labels
        table = pick(table, labels.remembered("sorted", lambda: _sorted(labels)))
        return Matrix(list(table.labels), steps, table.values, table.present)

    def _plan(self, query: str | Plan, limits: Limits | None) -> CompiledPlan:
        if isinstance(query, CompiledPlan):
            return query
        text = query if isinstance(query, str) else query.expression
        return self._compile(text, limits or self._limits)

    def _budget(self, limits: Limits | None, control: QueryControl | None) -> Budget:
        return Budget(limits or self._limits, control)

    def _evaluate(
        self, plan: CompiledPlan, steps: Ints, budget: Budget, end_ms: int, step_ms: int = 0
    ) -> Value:
        evaluator = Evaluator(self._store, int(steps[0]), end_ms, step_ms, budget, self._many)
        # Division by zero, overflow and NaN are ordinary results in PromQL.
        with np.errstate(all="ignore"):
            return evaluator.evaluate(plan.root, steps)


_KINDS = MappingProxyType({"matrix": "range vector", "string": "string"})


def _grid(start_ms: int, end_ms: int, step_ms: int, limits: Limits) -> Ints:
    if step_ms <= 0:
        raise QueryError(
            'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
            "Try a positive integer"
        )
    if end_ms < start_ms:
        raise QueryError('invalid parameter "end": end timestamp must not be before start time')
    if (end_ms - start_ms) // step_ms >= limits.points:
        raise QueryError(
            f"exceeded maximum resolution of {limits.points:,} points per timeseries. "
            "Try decreasing the query resolution (?step=XX)"
        )
    return np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64)


def _sorted(labels: Sequence[Labels]) -> Ints:
    return np.array(sorted(range(len(labels)), key=labels.__getitem__), np.int64)


def _raw(windows: Windows) -> RawMatrix:
    found = []
    for column, labels in enumerate(windows.samples.labels):
        inside = slice(int(windows.first[0, column]), int(windows.stop[0, column]))
        if inside.start < inside.stop:
            shown = without_name(labels) if windows.samples.dropped[column] else labels
            found.append((shown, windows.samples.times[inside], windows.samples.values[inside]))
    return RawMatrix(sorted(found, key=lambda item: item[0]))
