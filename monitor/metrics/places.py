"""Where each series of the head lives, and the first and last of its samples; one array a fact, by series number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.metrics.interface import Codes, Ints
from monitor.metrics.piece import HOLE, NEVER

NOWHERE = -1
_FIRST = 1024


class Places:
    """Arrays grown together. `table`, `block`, `column`, `group` are `NOWHERE` for a series without a column;
    `counted` says which series the limits count."""

    __slots__ = ("block", "column", "counted", "first_ms", "group", "last_ms", "last_value", "table")

    def __init__(self) -> None:
        self.table = np.empty(0, np.int32)
        self.block = np.empty(0, np.int32)
        self.column = np.empty(0, np.int32)
        self.group = np.empty(0, np.int32)
        self.counted = np.empty(0, np.bool_)
        self.first_ms = np.empty(0, np.int64)
        self.last_ms = np.empty(0, np.int64)
        self.last_value = np.empty(0, np.float64)

    def make_room(self, count: int) -> None:
        """Room for the series 0 .. count - 1."""
        have = len(self.table)
        if count <= have:
            return
        more = max(count, have + have // 4, _FIRST) - have
        for name in ("table", "block", "column", "group"):
            setattr(self, name, np.concatenate([getattr(self, name), np.full(more, NOWHERE, np.int32)]))
        self.counted = np.concatenate([self.counted, np.zeros(more, np.bool_)])
        self.first_ms = np.concatenate([self.first_ms, np.full(more, NEVER)])
        self.last_ms = np.concatenate([self.last_ms, np.full(more, -NEVER)])
        self.last_value = np.concatenate([self.last_value, np.full(more, HOLE)])

    def put(self, series: int, table: int, block: int, column: int, group: int) -> None:
        """A series got a column."""
        self.table[series] = table
        self.block[series] = block
        self.column[series] = column
        self.group[series] = group


def runs(codes: Codes) -> Iterator[tuple[int, Ints]]:
    """The distinct codes, each with the positions it is at, ascending."""
    if not len(codes):
        return
    first = int(codes[0])
    if (codes == first).all():
        yield first, np.arange(len(codes))
        return
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
        yield int(ordered[start]), order[start:end]
