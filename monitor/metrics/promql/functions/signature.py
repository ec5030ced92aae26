"""What a PromQL function is to the evaluator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitor.metrics.promql.nodes import Call
from monitor.metrics.promql.values import Context, Value

Apply = Callable[[Context, Call, Sequence[Value]], Value]


@dataclass(frozen=True, slots=True)
class Function:
    """`apply` gets the evaluated arguments and the call itself; `returns` is vector, scalar or string."""

    apply: Apply
    returns: str = "vector"
