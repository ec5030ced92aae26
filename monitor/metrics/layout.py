"""Where the samples of a request that comes every minute go: worked out once, used until a series moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.metrics.block import Block
from monitor.metrics.class_table import ClassTable
from monitor.metrics.interface import Codes, Floats, Ints
from monitor.metrics.places import NOWHERE, Places, runs


@dataclass(frozen=True, slots=True)
class _Share:
    """What goes to one block: these samples of the request to these columns."""

    block: Block
    samples: Ints
    columns: Codes


@dataclass(frozen=True, slots=True)
class _TableShare:
    """What goes to one table: `samples` of the request, of `groups`; sample i is of groups[group[i]]."""

    table: ClassTable
    samples: Ints
    groups: Codes
    first: Ints
    group: Ints
    shares: Sequence[_Share]


class Layout:
    """The plan for one sample of each of some distinct series that all have a column."""

    __slots__ = ("_tables", "version")

    def __init__(
        self,
        series: Codes,
        places: Places,
        tables: Sequence[ClassTable],
        blocks: Sequence[Block],
        version: int,
    ) -> None:
        self.version = version
        self._tables = []
        for number, samples in runs(places.table[series]):
            members = series[samples]
            groups, first, group = np.unique(places.group[members], return_index=True, return_inverse=True)
            shares = [
                _Share(blocks[block], samples[some], places.column[members[some]])
                for block, some in runs(places.block[members])
            ]
            self._tables.append(
                _TableShare(tables[number], samples, groups.astype(np.int32), first, group, shares)
            )

    def write(self, times: Ints, values: Floats) -> bool:
        """Store one sample of each series. False, and nothing is stored, when they do not all come as planned:
        the series of a group at one time, newer than what the group has."""
        fresh = []
        for share in self._tables:
            own = times[share.samples]
            at = own[share.first]
            if (own != at[share.group]).any() or (at <= share.table.newest[share.groups]).any():
                return False
            if not share.table.suits(share.groups, at):
                return False
            fresh.append(at)
        rows = np.empty(len(times), np.int64)
        for share, at in zip(self._tables, fresh, strict=True):
            placed, _ = share.table.place(share.groups, at)
            rows[share.samples] = placed[share.group]
            for part in share.shares:
                part.block.write(rows[part.samples], part.columns, values[part.samples])
        return True


def placed(series: Codes, places: Places) -> bool:
    """Whether every series has a column."""
    return not bool((places.table[series] == NOWHERE).any())
