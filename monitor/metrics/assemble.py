"""Pieces of samples from the head and from chunks, put together as one `Window`.

A layer is a list of pieces with disjoint series; layers are in time order, so that for every series all samples
of a layer are newer than those of the layers before it. Series that share their groups in every layer share one
column of time stamps in the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.metrics.interface import Codes, Floats, Ints, Labels, Window
from monitor.metrics.piece import HOLE, Piece, is_present

Layer = Sequence[Piece]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a layer lies in the window: its group of each window group (-1 = none) and its first row there."""

    group: Ints
    first: Ints


def assemble(labels: Sequence[Labels], series: Codes, layers: Sequence[Layer]) -> Window:
    """The window of `series` (ascending, named by `labels`); series without any sample are left out."""
    layers = [layer for layer in layers if layer]
    group, places, depth = _plan(series, layers)
    width = int(group.max(initial=-1)) + 1
    timestamps = np.zeros((depth, width), np.int64)
    values = np.full((depth, len(series)), HOLE, np.float64)
    for layer, place in zip(layers, places, strict=True):
        _fill_times(timestamps, layer, place)
        for piece in layer:
            _fill_values(values, piece, np.searchsorted(series, piece.series), group, place)
    return _without_empty(labels, group, timestamps, values)


def _plan(series: Codes, layers: Sequence[Layer]) -> tuple[Ints, list[_Place], int]:
    """The window group of each series, the place of each layer, and the number of rows."""
    group = np.zeros(len(series), np.int64)
    found: list[Ints] = []
    for layer in layers:
        code = np.full(len(series), -1, np.int64)
        base = 0
        for piece in layer:
            code[np.searchsorted(series, piece.series)] = piece.group + base
            base += len(piece.rows)
        found.append(code)
        _, group = np.unique(group * (base + 1) + code + 1, return_inverse=True)
    width = int(group.max(initial=-1)) + 1
    places = []
    total = np.zeros(width, np.int64)
    for layer, code in zip(layers, found, strict=True):
        own = np.full(width, -1, np.int64)
        own[group] = code
        rows = np.concatenate([*(piece.rows for piece in layer), [0]])
        places.append(_Place(own, total.copy()))
        total += rows[own]
    return group, places, int(total.max(initial=0))


def _fill_times(timestamps: Ints, layer: Layer, place: _Place) -> None:
    base = 0
    for piece in layer:
        mine = np.flatnonzero((place.group >= base) & (place.group < base + len(piece.rows)))
        local = place.group[mine] - base
        base += len(piece.rows)
        steps = np.arange(len(piece.timestamps))[:, None]
        row, column = np.nonzero(steps < piece.rows[local])
        timestamps[place.first[mine][column] + row, mine[column]] = piece.timestamps[row, local[column]]


def _fill_values(values: Floats, piece: Piece, position: Ints, group: Ints, place: _Place) -> None:
    depth = len(piece.values)
    first = place.first[group[position]]
    if len(first) and (first == first[0]).all():
        # Padding of short groups lands on rows that only later layers use, and those are filled afterwards.
        values[int(first[0]) : int(first[0]) + depth, position] = piece.values
        return
    row, column = np.nonzero(np.arange(depth)[:, None] < piece.rows[piece.group])
    values[first[column] + row, position[column]] = piece.values[row, column]


def _without_empty(labels: Sequence[Labels], group: Ints, timestamps: Ints, values: Floats) -> Window:
    present = is_present(values)
    keep = present.any(0)
    if not keep.all():
        left = np.flatnonzero(keep)
        labels = [labels[i] for i in left.tolist()]
        used, group = np.unique(group[left], return_inverse=True)
        timestamps = np.take(timestamps, used, axis=1)
        values, present = np.take(values, left, axis=1), np.take(present, left, axis=1)
    return Window(labels, group.astype(np.int32), timestamps, values, present)
