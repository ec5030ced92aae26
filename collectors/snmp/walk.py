"""What to ask next when reading several columns of tables at once. Pure: fed replies, it gives requests.

Each column keeps its own cursor, so sparse tables and replies cut short by the agent's size limit lose nothing.
It always ends: every reply advances a cursor, ends a column, shrinks the request or spends the row budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from collectors.snmp.ber import EMPTY, Oid, Typed, VarBind, dotted, increases
from collectors.snmp.errors import AgentError, BudgetError, EmptyBulkError, LoopError, SnmpError
from collectors.snmp.message import GET_BULK, GET_NEXT

TOO_BIG: Final = 1
NO_SUCH_NAME: Final = 2

_VARBINDS_PER_REPLY: Final = 48  # about 1,300 octets: below one Ethernet frame for counters and short names
_COLUMNS_PER_REQUEST: Final = 12

Column = dict[bytes, Typed]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: message.GET, GET_NEXT or GET_BULK."""

    kind: int
    oids: Sequence[Oid]
    max_repetitions: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `error_index` counts from 1."""

    error_status: int
    error_index: int
    varbinds: Sequence[VarBind]


@dataclass(frozen=True, slots=True)
class WalkResult:
    """Per column, index octets to value; and what stopped the walk early, if anything. Columns may be empty."""

    columns: dict[Oid, Column]
    problems: list[SnmpError] = field(default_factory=list)


class TableWalk:
    """One walk of `columns`; `bulk` is False for v1. `max_varbinds` bounds what one table may return."""

    def __init__(
        self, columns: Sequence[Oid], *, where: str, bulk: bool, max_varbinds: int = 200_000
    ) -> None:
        self.result = WalkResult({column: {} for column in columns})
        self._where = where
        self._bulk = bulk
        self._left = max_varbinds
        self._cursors: dict[Oid, Oid] = {column: column for column in columns}
        self._asked: list[Oid] = []
        self._per_reply = _VARBINDS_PER_REPLY
        self._width = _COLUMNS_PER_REQUEST

    def next_ask(self) -> Ask | None:
        """The next request, or None when every column is at its end."""
        self._asked = list(self._cursors)[: self._width]
        if not self._asked:
            return None
        oids = [self._cursors[column] for column in self._asked]
        if self._bulk:
            return Ask(GET_BULK, oids, max(1, self._per_reply // len(oids)))
        return Ask(GET_NEXT, oids)

    def feed(self, reply: Reply) -> None:
        """Take the reply to the last request."""
        if reply.error_status:
            self._refused(reply.error_status, reply.error_index)
        elif not reply.varbinds:
            self._empty()
        else:
            width = len(self._asked)
            for position, column in enumerate(self._asked):
                self._take(column, reply.varbinds[position::width])
            self._left -= len(reply.varbinds)
            if self._left <= 0 and self._cursors:
                self.stop(BudgetError(self._where, "too many rows"))

    def unanswered(self) -> bool:
        """The last request got no answer: whether a smaller one is worth trying."""
        if self._bulk and self._per_reply > len(self._asked):
            self._per_reply = len(self._asked)
            return True
        return False

    def stop(self, problem: SnmpError) -> None:
        """End the walk with what has been read."""
        self.result.problems.append(problem)
        self._cursors.clear()

    def _take(self, column: Oid, varbinds: Sequence[VarBind]) -> None:
        rows = self.result.columns[column]
        cursor = self._cursors[column]
        size = len(column)
        for oid, tag, value in varbinds:
            if not oid.startswith(column) or tag in EMPTY:
                del self._cursors[column]
                return
            if not increases(cursor, oid):
                self.result.problems.append(LoopError(self._where, dotted(oid)))
                del self._cursors[column]
                return
            rows[oid[size:]] = (tag, value)
            cursor = oid
        self._cursors[column] = cursor

    def _refused(self, status: int, index: int) -> None:
        if status == TOO_BIG and self._shrink():
            return
        if 1 <= index <= len(self._asked):
            ended = [self._asked[index - 1]]
        elif len(self._asked) > 1:
            self._width = 1
            return
        else:
            ended = self._asked
        for column in ended:
            del self._cursors[column]
            if status != NO_SUCH_NAME:
                self.result.problems.append(AgentError(self._where, status, dotted(column)))

    def _shrink(self) -> bool:
        width = len(self._asked)
        if self._bulk and self._per_reply > width:
            self._per_reply //= 2
            return True
        if width > 1:
            self._width = width // 2
            return True
        return False

    def _empty(self) -> None:
        if self._bulk:
            self._bulk = False  # some agents fail at GETBULK alone
            return
        self.result.problems.append(EmptyBulkError(self._where))
        for column in self._asked:
            del self._cursors[column]
