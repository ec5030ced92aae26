"""What a PromQL function is to the evaluator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitor.metrics.promql.nodes import Call
from monitor.metrics.promql.values import Context, Table, Value

Apply = Callable[[Context, Call, Sequence[Value]], Value]
Note = Callable[[Context, Call, Table], None]


@dataclass(frozen=True, slots=True)
class Function:
    """`apply` gets the evaluated arguments and the call itself; `returns` is vector, scalar or string.

    `note` reports what is doubtful about a result that was worked out elsewhere, by columns.
    """

    apply: Apply
    returns: str = "vector"
    note: Note | None = None

    def noted(self, context: Context, call: Call, table: Table) -> Table:
        """The table, after what there is to note about it."""
        if self.note is not None:
            self.note(context, call, table)
        return table
