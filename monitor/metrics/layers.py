"""Layers of pieces: cut them, join them along time, and merge samples that came late into them.

A layer is a list of pieces with disjoint series; layers are in time order, so that for every series all samples of a
layer are newer than those of the layers before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.metrics.interface import Bools, Codes, Floats, Ints
from monitor.metrics.piece import HOLE, NEVER, Columns, Piece, is_present

Layer = list[Piece]
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Merged:
    """Samples of several sources, the first of those at one time; `same` and `conflicting` count the others."""

    columns: Columns
    same: int
    conflicting: int


def no_columns() -> Columns:
    """No samples at all."""
    return Columns(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64))


def columns_of(pieces: Iterable[Piece]) -> Columns:
    """The samples of pieces with disjoint series, sorted by series and time."""
    parts = [_flat(piece) for piece in pieces]
    if len(parts) == 1 and (np.diff(parts[0].series) >= 0).all():
        return parts[0]
    return merge(parts).columns


def _flat(piece: Piece) -> Columns:
    column, row = np.nonzero(is_present(piece.values).T)
    return Columns(
        piece.series[column], piece.timestamps[row, piece.group[column]], piece.values[row, column]
    )


def merge(parts: Sequence[Columns]) -> Merged:
    """Samples of several sources in one; where two have the same time the earlier source wins."""
    if not parts:
        return Merged(no_columns(), 0, 0)
    series = np.concatenate([part.series for part in parts])
    times = np.concatenate([part.timestamps for part in parts])
    values = np.concatenate([part.values for part in parts])
    order = np.lexsort((times, series))
    series, times, values = series[order], times[order], values[order]
    repeat = np.zeros(len(series), np.bool_)
    repeat[1:] = (series[1:] == series[:-1]) & (times[1:] == times[:-1])
    if not repeat.any():
        return Merged(Columns(series, times, values), 0, 0)
    bits = values.view(np.uint64)
    first = np.maximum.accumulate(np.where(repeat, 0, np.arange(len(series))))
    same = int((repeat & (bits == bits[first])).sum())
    kept = Columns(series[~repeat], times[~repeat], values[~repeat])
    return Merged(kept, same, int(repeat.sum()) - same)


def piece_of(columns: Columns) -> Piece:
    """Sorted samples as one piece; series with the same time stamps share a group."""
    starts = np.flatnonzero(np.diff(columns.series, prepend=-1))
    counts = np.diff(starts, append=len(columns.series))
    group, leaders = _alike(columns.timestamps, starts, counts)
    rows = counts[leaders]
    depth = int(rows.max(initial=0))
    row = np.arange(len(columns.series)) - np.repeat(starts, counts)
    column = np.repeat(np.arange(len(starts)), counts)
    values = np.full((depth, len(starts)), HOLE)
    values[row, column] = columns.values
    timestamps = np.full((depth, len(leaders)), NEVER)
    leading = np.zeros(len(starts), np.bool_)
    leading[leaders] = True
    mine = leading[column]
    timestamps[row[mine], group[column[mine]]] = columns.timestamps[mine]
    return Piece(columns.series[starts].astype(np.int32), group.astype(np.int32), rows, timestamps, values)


def _alike(times: Ints, starts: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """The group of each series, and for each group the first series in it; alike means the same time stamps."""
    if not len(starts):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    mixed = (times.astype(np.uint64) ^ (times.astype(np.uint64) >> np.uint64(7))) * _MIX
    digest = np.add.reduceat(mixed ^ (mixed >> np.uint64(29)), starts) * _MIX + counts.astype(np.uint64)
    _, leaders, group = np.unique(digest, return_index=True, return_inverse=True)
    column = np.repeat(np.arange(len(starts)), counts)
    offset = np.arange(len(times)) - np.repeat(starts, counts)
    leader = leaders[group]
    comparable = counts == counts[leader]
    sample_of_leader = np.where(comparable[column], starts[leader][column] + offset, 0)
    equal = comparable.copy()
    unequal = (times != times[sample_of_leader]) & comparable[column]
    equal[column[unequal]] = False
    if not equal.all():
        # Two different columns of time stamps with one digest: give the later ones a group of their own.
        odd = np.flatnonzero(~equal)
        group[odd] = len(leaders) + np.arange(len(odd))
        leaders = np.concatenate([leaders, odd])
    return group, leaders


def clip(piece: Piece, after_ms: int, until_ms: int) -> Piece:
    """The part of a piece in (after_ms, until_ms]."""
    steps = np.arange(len(piece.timestamps))[:, None]
    there = steps < piece.rows
    low = (there & (piece.timestamps <= after_ms)).sum(0)
    rows = (there & (piece.timestamps <= until_ms)).sum(0) - low
    depth = int(rows[np.unique(piece.group)].max(initial=0))
    if not low.any() and (rows == piece.rows).all():
        return replace(piece, timestamps=piece.timestamps[:depth], values=piece.values[:depth])
    take = np.minimum(low + np.arange(depth)[:, None], len(steps) - 1)
    values = np.take_along_axis(piece.values, take[:, piece.group], 0)
    values[np.arange(depth)[:, None] >= rows[piece.group]] = HOLE
    return replace(piece, rows=rows, timestamps=np.take_along_axis(piece.timestamps, take, 0), values=values)


def beside(pieces: Sequence[Piece]) -> Piece:
    """Pieces that share their time stamps as one piece."""
    if len(pieces) == 1:
        return pieces[0]
    return replace(
        pieces[0],
        series=np.concatenate([piece.series for piece in pieces]),
        group=np.concatenate([piece.group for piece in pieces]),
        values=np.concatenate([piece.values for piece in pieces], axis=1),
    )


def split(piece: Piece, chosen: Bools) -> tuple[Piece | None, Piece | None]:
    """The series of a piece that are chosen (by column) and the others."""
    if chosen.all():
        return piece, None
    if not chosen.any():
        return None, piece
    return columns_at(piece, chosen), columns_at(piece, ~chosen)


def columns_at(piece: Piece, columns: Bools | Ints) -> Piece:
    """Some columns of a piece."""
    return replace(
        piece, series=piece.series[columns], group=piece.group[columns], values=piece.values[:, columns]
    )


def overlay(layers: Sequence[Layer], late: Columns) -> list[Layer]:
    """Layers with late samples merged in; what a layer holds wins over a late sample of the same time."""
    if not len(late.series):
        return list(layers)
    low, high = int(late.timestamps.min()), int(late.timestamps.max())
    spans = [_span(layer) for layer in layers]
    first = next((at for at, (_, newest) in enumerate(spans) if newest >= low), len(layers))
    last = max((at for at, (oldest, _) in enumerate(spans) if oldest <= high), default=-1)
    first = min(first, last + 1)
    return [*layers[:first], *fuse(layers[first : last + 1], late), *layers[last + 1 :]]


def _span(layer: Layer) -> tuple[int, int]:
    """The oldest and the newest time stamp of a layer."""
    oldest, newest = NEVER, -NEVER
    for piece in layer:
        there = np.arange(len(piece.timestamps))[:, None] < piece.rows
        times = piece.timestamps[there]
        oldest = min(oldest, int(times.min(initial=NEVER)))
        newest = max(newest, int(times.max(initial=-NEVER)))
    return oldest, newest


def fuse(layers: Sequence[Layer], late: Columns) -> list[Layer]:
    """As `overlay`, with every layer: the series that have late samples move to a layer of their own."""
    affected = np.unique(late.series)
    kept: list[Layer] = []
    taken: list[Columns] = []
    for layer in layers:
        rest: Layer = []
        for piece in layer:
            mine, others = split(piece, np.isin(piece.series, affected))
            taken.extend([columns_of([mine])] if mine else [])
            rest.extend([others] if others else [])
        kept.append(rest)
    return [*kept, [piece_of(merge([*taken, late]).columns)]]


def stack(layers: Sequence[Layer]) -> Piece:
    """Layers joined along time to one piece; series that share their groups in every layer share one."""
    layers = [layer for layer in layers if layer]
    series = np.unique(np.concatenate([np.empty(0, np.int32), *(p.series for la in layers for p in la)]))
    group, codes = _joined_groups(series, layers)
    width = int(group.max(initial=-1)) + 1
    counts = []
    for layer, code in zip(layers, codes, strict=True):
        own = np.full(width, -1, np.int64)
        own[group] = code
        counts.append((own, np.concatenate([*(piece.rows for piece in layer), [0]])[own]))
    total = sum((rows for _, rows in counts), np.zeros(width, np.int64))
    depth = int(total.max(initial=0))
    timestamps = np.full((depth, width), NEVER)
    values = np.full((depth, len(series)), HOLE)
    first = np.zeros(width, np.int64)
    for layer, (own, rows) in zip(layers, counts, strict=True):
        _place(layer, own, first, timestamps)
        for piece in layer:
            at = np.searchsorted(series, piece.series)
            _place_values(piece, first[group[at]], at, values)
        first += rows
    return Piece(series.astype(np.int32), group.astype(np.int32), total, timestamps, values)


def _joined_groups(series: Codes, layers: Sequence[Layer]) -> tuple[Ints, list[Ints]]:
    """The group of each series over all layers, and its group in each layer (-1 = it has none)."""
    group = np.zeros(len(series), np.int64)
    codes = []
    for layer in layers:
        code = np.full(len(series), -1, np.int64)
        base = 0
        for piece in layer:
            code[np.searchsorted(series, piece.series)] = piece.group + base
            base += len(piece.rows)
        codes.append(code)
        _, group = np.unique(group * (base + 1) + code + 1, return_inverse=True)
    return group, codes


def _place(layer: Layer, own: Ints, first: Ints, timestamps: Ints) -> None:
    base = 0
    for piece in layer:
        mine = np.flatnonzero((own >= base) & (own < base + len(piece.rows)))
        local = own[mine] - base
        base += len(piece.rows)
        row, column = np.nonzero(np.arange(len(piece.timestamps))[:, None] < piece.rows[local])
        timestamps[first[mine][column] + row, mine[column]] = piece.timestamps[row, local[column]]


def _place_values(piece: Piece, first: Ints, at: Ints, values: Floats) -> None:
    if len(first) and (first == first[0]).all() and (piece.rows == len(piece.values)).all():
        values[int(first[0]) : int(first[0]) + len(piece.values), at] = piece.values
        return
    row, column = np.nonzero(np.arange(len(piece.values))[:, None] < piece.rows[piece.group])
    values[first[column] + row, at[column]] = piece.values[row, column]
