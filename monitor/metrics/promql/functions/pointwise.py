"""Functions of one value at a time: rounding, clamping, logarithms, trigonometry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from monitor.metrics.interface import Floats
from monitor.metrics.promql.functions.signature import Apply, Function
from monitor.metrics.promql.nodes import Call
from monitor.metrics.promql.values import (
    Context,
    Table,
    Value,
    empty,
    scalar_of,
    table_of,
    with_dropped_names,
)


def pointwise(compute: Callable[[Floats], Floats]) -> Apply:
    """A function of an instant vector from a function of its values."""

    def apply(context: Context, call: Call, args: Sequence[Value]) -> Table:
        table = table_of(args[0])
        return with_dropped_names(replace(table, values=compute(table.values)))

    return apply


def _clamp(context: Context, call: Call, args: Sequence[Value]) -> Table:
    table = table_of(args[0])
    low = high = None
    if call.name != "clamp_max":
        low = scalar_of(args[1])[:, None]
    if call.name != "clamp_min":
        high = scalar_of(args[-1])[:, None]
    values, present = table.values, table.present
    if low is not None and high is not None:
        if bool((high < low).all()):
            return empty(len(context.steps))
        present = present & ~(high < low)
    if low is not None:
        values = np.maximum(values, low)
    if high is not None:
        values = np.minimum(values, high)
    return with_dropped_names(replace(table, values=values, present=present))


def _round(context: Context, call: Call, args: Sequence[Value]) -> Table:
    table = table_of(args[0])
    # Multiplying by the inverse, not dividing, is what Prometheus does: it decides the last digit.
    inverse = 1.0 / scalar_of(args[1])[:, None] if len(args) > 1 else 1.0
    return with_dropped_names(replace(table, values=np.floor(table.values * inverse + 0.5) / inverse))


def _sign(values: Floats) -> Floats:
    return np.sign(values)


def _of_two(context: Context, call: Call, args: Sequence[Value]) -> Floats:
    pick = np.minimum if call.name == "min_of" else np.maximum
    return pick(scalar_of(args[0]), scalar_of(args[1]))


def _pi(context: Context, call: Call, args: Sequence[Value]) -> Floats:
    return np.full(len(context.steps), np.pi)


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "abs": Function(pointwise(np.abs)),
        "ceil": Function(pointwise(np.ceil)),
        "floor": Function(pointwise(np.floor)),
        "exp": Function(pointwise(np.exp)),
        "sqrt": Function(pointwise(np.sqrt)),
        "ln": Function(pointwise(np.log)),
        "log2": Function(pointwise(np.log2)),
        "log10": Function(pointwise(np.log10)),
        "sgn": Function(pointwise(_sign)),
        "sin": Function(pointwise(np.sin)),
        "cos": Function(pointwise(np.cos)),
        "tan": Function(pointwise(np.tan)),
        "asin": Function(pointwise(np.arcsin)),
        "acos": Function(pointwise(np.arccos)),
        "atan": Function(pointwise(np.arctan)),
        "sinh": Function(pointwise(np.sinh)),
        "cosh": Function(pointwise(np.cosh)),
        "tanh": Function(pointwise(np.tanh)),
        "asinh": Function(pointwise(np.arcsinh)),
        "acosh": Function(pointwise(np.arccosh)),
        "atanh": Function(pointwise(np.arctanh)),
        "deg": Function(pointwise(np.degrees)),
        "rad": Function(pointwise(np.radians)),
        "min_of": Function(_of_two, "scalar"),
        "max_of": Function(_of_two, "scalar"),
        "pi": Function(_pi, "scalar"),
        "clamp": Function(_clamp),
        "clamp_min": Function(_clamp),
        "clamp_max": Function(_clamp),
        "round": Function(_round),
    }
)
