"""Samples on their way between the head and the chunks: matrices of a few series with the series' numbers.

A cell without a sample holds the `HOLE` bit pattern, a row that a group of time stamps does not have is `NEVER`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.metrics.interface import Bools, Codes, Floats, Ints

NEVER = np.iinfo(np.int64).max
HOLE_BITS = 0x7FF8000000000000
_NONE: Ints = np.empty(0, np.int64)
HOLE = float(np.array([HOLE_BITS], np.uint64).view(np.float64)[0])


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples of m series on g groups of time stamps, k rows at most.

    series, group [m]; rows [g] says how many rows each group has; timestamps [k, g]; values [k, m], HOLE where
    there is no sample and in the rows a group does not have.
    """

    series: Codes
    group: Codes
    rows: Ints
    timestamps: Ints
    values: Floats


@dataclass(frozen=True, slots=True)
class Columns:
    """Samples as three columns of n, sorted by series and then by time."""

    series: Codes
    timestamps: Ints
    values: Floats


@dataclass(frozen=True, slots=True)
class Slot:
    """What one page held in the hours from `start_ms`; metric [m] names the metric of each series."""

    start_ms: int
    piece: Piece
    metric: Sequence[str]


def odd_columns(values: Floats) -> list[Ints]:
    """For each row the columns whose value is NaN."""
    odd = np.isnan(values)
    return [np.flatnonzero(row) for row in odd] if odd.any() else [_NONE] * len(values)


def is_present(values: Floats) -> Bools:
    """Which cells hold a sample."""
    return np.asarray(values.view(np.uint64) != HOLE_BITS)
