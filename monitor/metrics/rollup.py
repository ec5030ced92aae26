"""Rollups: a day of samples at five minutes and at one hour, so that they can be kept for years.

What a series is, is decided for each day by its behaviour (an ordinary name of a counter decides first):

counter  `_total`, `_count`, `_sum`, `_bucket`, or numbers that do not fall all day but for resets (integers that drop
         below half, at most 24 times). Kept are samples as they were: the last of each bucket, the first of the
         day, and those before and after each fall. So `increase()` over what is kept is that over all samples.
state    small integers (0 to 15). Kept as counters are (of series that fall more than 24 times a day only the last
         sample of each bucket), and in `NOT_ONE` the seconds in each bucket the value was not 1.
gauge    everything else. Kept are the average of each bucket, and in `LOWEST` and `HIGHEST` the extremes.

A bucket is [t, t + step), t a multiple of the step. The time stamp of an aggregate is that of the newest sample of the
polled device (the group) in the bucket, so that it is not seen before it happened. Counters and states keep
the stale marker after a sample; it and other NaNs are in no aggregate. A sample counts for `NOT_ONE` until the next
one of its series, five minutes at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.metrics.chunk_file import RAW
from monitor.metrics.interface import Bools, Floats, Ints, is_stale
from monitor.metrics.piece import HOLE, NEVER, Piece, is_present

LOWEST, HIGHEST, NOT_ONE = 1, 2, 3
_COUNTER_SUFFIXES = ("_total", "_count", "_sum", "_bucket")
_LARGEST_STATE = 15
_MOST_FALLS = 24
_LONGEST_MS = 300_000


@dataclass(frozen=True, slots=True)
class Rolled:
    """One aspect of some series of a piece."""

    aspect: int
    piece: Piece
    metric: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Day:
    """A piece with what every rollup of it needs to know. [k, m] but for `metric`."""

    piece: Piece
    metric: Sequence[str]
    times: Ints
    present: Bools
    real: Bools
    falls: Bools

    def columns(self, chosen: Bools) -> _Day:
        """Some series."""
        piece = self.piece
        some = replace(
            piece, series=piece.series[chosen], group=piece.group[chosen], values=piece.values[:, chosen]
        )
        metric = [self.metric[at] for at in np.flatnonzero(chosen).tolist()]
        return _Day(
            some,
            metric,
            self.times[:, chosen],
            self.present[:, chosen],
            self.real[:, chosen],
            self.falls[:, chosen],
        )


def rollups(piece: Piece, metric: Sequence[str], steps_ms: Sequence[int]) -> Iterator[tuple[int, Rolled]]:
    """Everything that is kept of one day of some series: (step, what)."""
    if not len(piece.values) or not len(piece.series):
        return
    day = _day(piece, metric)
    counter, state = _kinds(day)
    as_they_are, aggregated = counter | state, ~(counter | state)
    for chosen, work in ((as_they_are, _thinned), (aggregated, _aggregates), (state, _not_one)):
        if chosen.any():
            some = day.columns(chosen)
            for step in steps_ms:
                for rolled in work(some, step):
                    yield step, rolled


def _day(piece: Piece, metric: Sequence[str]) -> _Day:
    present = is_present(piece.values)
    real = present & ~np.isnan(piece.values)
    falls = np.zeros(present.shape, np.bool_)
    filled = np.where(real, piece.values, -np.inf)
    before = _previous(filled, real)
    falls = real & (filled < before)
    return _Day(piece, metric, piece.timestamps[:, piece.group], present, real, falls)


def _previous(values: Floats, real: Bools) -> Floats:
    """For each cell the newest real value above it, -inf where there is none."""
    if real.all():
        return np.concatenate([np.full((1, values.shape[1]), -np.inf), values[:-1]])
    steps = np.arange(len(values))[:, None]
    newest = np.maximum.accumulate(np.where(real, steps, -1), axis=0)
    above = np.full_like(newest, -1)
    above[1:] = newest[:-1]
    found = np.take_along_axis(values, np.maximum(above, 0), 0)
    return np.where(above >= 0, found, -np.inf)


def _kinds(day: _Day) -> tuple[Bools, Bools]:
    """Which series are counters and which are states."""
    values, real = day.piece.values, day.real
    named = np.array([name.endswith(_COUNTER_SUFFIXES) for name in day.metric], np.bool_)
    with np.errstate(invalid="ignore"):
        whole = ((np.rint(values) == values) | ~real).all(0)
        small = (((values >= 0) & (values <= _LARGEST_STATE)) | ~real).all(0)
    state = whole & small & ~named
    filled = np.where(real, values, -np.inf)
    with np.errstate(invalid="ignore"):
        deep = (~day.falls | (filled < _previous(filled, real) / 2)).all(0)
    falls = day.falls.sum(0)
    resets = whole & deep & (falls <= _MOST_FALLS)
    return named | (~state & ((falls == 0) | resets)), state


def _thinned(day: _Day, step_ms: int) -> Iterator[Rolled]:
    """Rows of a group are kept when one of its series needs them."""
    piece, present = day.piece, day.present
    bucket = np.where(present, day.times // step_ms, -1)
    following = _next(bucket, present)
    keep = present & (following != bucket)
    often = (day.falls.sum(0) > _MOST_FALLS) & ~np.array(
        [name.endswith(_COUNTER_SUFFIXES) for name in day.metric], np.bool_
    )
    falls = day.falls & ~often
    keep |= falls | _before_next(falls, day.real)
    stale = is_stale(piece.values) & present
    keep |= day.real & (_next(stale.astype(np.int64), present) == 1)
    first = day.real.argmax(0)
    keep[first, np.arange(keep.shape[1])] |= day.real.any(0)
    yield Rolled(RAW, _rows(piece, _any_of_group(keep, piece)), day.metric)


def _next(cells: Ints, present: Bools) -> Ints:
    """For each cell what the next present cell below it has, -2 where there is none."""
    if present.all():
        return np.concatenate([cells[1:], np.full((1, cells.shape[1]), -2)])
    steps = np.arange(len(cells))[:, None]
    below = np.where(present, steps, len(cells))[::-1]
    nearest = np.minimum.accumulate(below, axis=0)[::-1]
    after = np.full_like(nearest, len(cells))
    after[:-1] = nearest[1:]
    found = np.take_along_axis(cells, np.minimum(after, len(cells) - 1), 0)
    return np.where(after < len(cells), found, -2)


def _before_next(falls: Bools, real: Bools) -> Bools:
    """The real cells right before a fall."""
    return np.asarray(real & (_next(falls.astype(np.int64), real) == 1))


def _any_of_group(cells: Bools, piece: Piece) -> Bools:
    """[k, g]: whether a row has such a cell in any series of the group."""
    found = np.zeros((len(cells), len(piece.rows)), np.bool_)
    order = np.argsort(piece.group, kind="stable")
    groups = piece.group[order]
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    found[:, groups[starts]] = np.logical_or.reduceat(cells[:, order], starts, axis=1)
    return found


def _rows(piece: Piece, keep: Bools) -> Piece:
    """Only some rows of each group."""
    rows = keep.sum(0)
    depth = int(rows.max(initial=0))
    take = np.argsort(~keep, axis=0, kind="stable")[:depth]
    beyond = np.arange(depth)[:, None] >= rows
    timestamps = np.take_along_axis(piece.timestamps, take, 0)
    timestamps[beyond] = NEVER
    values = np.take_along_axis(piece.values, take[:, piece.group], 0)
    values[beyond[:, piece.group]] = HOLE
    return replace(piece, rows=rows, timestamps=timestamps, values=values)


def _aggregates(day: _Day, step_ms: int) -> Iterator[Rolled]:
    column, row = np.nonzero(day.real.T)
    if not len(column):
        return
    values = day.piece.values[row, column]
    bucket = day.times[row, column] // step_ms
    starts = _changes(column, bucket)
    counts = np.diff(starts, append=len(column))
    for aspect, found in (
        (RAW, np.add.reduceat(values, starts) / counts),
        (LOWEST, np.minimum.reduceat(values, starts)),
        (HIGHEST, np.maximum.reduceat(values, starts)),
    ):
        yield Rolled(aspect, _gridded(day.piece, step_ms, column[starts], bucket[starts], found), day.metric)


def _not_one(day: _Day, step_ms: int) -> Iterator[Rolled]:
    until = _next(np.where(day.present, day.times, 0), day.present)
    lasting = np.where(until >= 0, until - day.times, _LONGEST_MS)
    lasting = np.minimum(lasting, _LONGEST_MS)
    column, row = np.nonzero(day.real.T)
    if not len(column):
        return
    seconds = np.where(day.piece.values[row, column] != 1.0, lasting[row, column] / 1000, 0.0)
    bucket = day.times[row, column] // step_ms
    starts = _changes(column, bucket)
    found = np.add.reduceat(seconds, starts)
    yield Rolled(NOT_ONE, _gridded(day.piece, step_ms, column[starts], bucket[starts], found), day.metric)


def _changes(column: Ints, bucket: Ints) -> Ints:
    """Where a series or a bucket begins in cells sorted by both."""
    new = np.ones(len(column), np.bool_)
    new[1:] = (column[1:] != column[:-1]) | (bucket[1:] != bucket[:-1])
    return np.flatnonzero(new)


def _gridded(piece: Piece, step_ms: int, column: Ints, bucket: Ints, found: Floats) -> Piece:
    """One row for each bucket a group has samples in; found[i] is of column[i] in bucket[i]."""
    there = np.arange(len(piece.timestamps))[:, None] < piece.rows
    group, row = np.nonzero(there.T)
    times = piece.timestamps[row, group]
    base = int(times.min()) // step_ms
    width = int(times.max()) // step_ms - base + 1
    newest = np.full((len(piece.rows), width), -NEVER)
    np.maximum.at(newest, (group, times // step_ms - base), times)
    used = newest > -NEVER
    place = np.cumsum(used, axis=1) - 1
    rows = used.sum(1)
    depth = int(rows.max(initial=0))
    timestamps = np.full((depth, len(rows)), NEVER)
    of_group, of_bucket = np.nonzero(used)
    timestamps[place[of_group, of_bucket], of_group] = newest[of_group, of_bucket]
    values = np.full((depth, len(piece.series)), HOLE)
    values[place[piece.group[column], bucket - base], column] = found
    return replace(piece, rows=rows, timestamps=timestamps, values=values)
