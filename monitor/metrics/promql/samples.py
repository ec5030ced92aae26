"""Looking samples up: from the store's time-major window to flat samples, and from those to steps x series."""

from __future__ import annotations

import numpy as np

from monitor.metrics.interface import Bools, Codes, Floats, Ints, Part, Selection, is_stale
from monitor.metrics.piece import HOLE_BITS, NEVER
from monitor.metrics.promql.values import Samples, Table, Windows, compact


def flatten(selection: Selection, *, keep_stale: bool) -> Samples:
    """The samples of a selection, series after series. Stale markers end instant look-ups only."""
    parts = [_flat(part, keep_stale=keep_stale) for part in selection.parts]
    if len(parts) == 1:
        return parts[0]
    sizes = np.cumsum([0, *(len(part.times) for part in parts)])
    columns = np.cumsum([0, *(len(part.labels) for part in parts)])
    ends = [part.bounds[1:] + size for part, size in zip(parts, sizes.tolist(), strict=False)]
    return Samples(
        selection.labels,
        np.zeros(len(selection.labels), np.bool_),
        np.concatenate([np.empty(0, np.int64), *(part.times for part in parts)]),
        np.concatenate([np.empty(0), *(part.values for part in parts)]),
        np.concatenate([np.zeros(1, np.int64), *ends]),
        np.concatenate(
            [np.empty(0, np.int64), *(p.leader + c for p, c in zip(parts, columns.tolist(), strict=False))]
        ),
    )


def _flat(part: Part, *, keep_stale: bool) -> Samples:
    held = part.timestamps != NEVER
    wanted = held[:, part.group] & (part.values.view(np.uint64) != HOLE_BITS)
    if not keep_stale:
        wanted &= ~is_stale(part.values)
    dropped = np.zeros(len(part.labels), np.bool_)
    if wanted.size and bool(wanted.all()):
        depth, series = wanted.shape
        times, values = part.timestamps.T[part.group].ravel(), part.values.T.ravel()
        bounds = np.arange(series + 1, dtype=np.int64) * depth
        return Samples(part.labels, dropped, times, values, bounds, _leaders(part.group, wanted))
    columns, rows = np.nonzero(wanted.T)
    return Samples(
        part.labels,
        dropped,
        part.timestamps[rows, part.group[columns]],
        part.values[rows, columns],
        _bounds(columns, len(part.labels)),
        _leaders(part.group, wanted),
    )


def from_table(table: Table, grid: Ints) -> Samples:
    """The points of an evaluated table as samples (for subqueries)."""
    columns, rows = np.nonzero(table.present.T)
    series = len(table.labels)
    leader = _leaders(np.zeros(series, np.int32), table.present)
    return Samples(
        table.labels, table.dropped, grid[rows], table.values[rows, columns], _bounds(columns, series), leader
    )


def _bounds(columns: Ints, series: int) -> Ints:
    return np.concatenate(([0], np.cumsum(np.bincount(columns, minlength=series)))).astype(np.int64)


def _leaders(group: Codes, present: Bools) -> Ints:
    """For each series the first one of its group, if both have samples at the same times, else itself."""
    series = np.arange(len(group), dtype=np.int64)
    if not len(group):
        return series
    first = np.zeros(int(group.max()) + 1, np.int64)
    first[group[::-1]] = series[::-1]
    leader = first[group]
    return np.where(np.all(present == present[:, leader], axis=0), leader, series)


def _count_until(samples: Samples, at: Ints) -> Ints:
    """For each time in `at` [s] and each series: the flat index after its last sample with time <= at. [s, n]."""
    series = len(samples.labels)
    if not len(samples.times):
        return np.zeros((len(at), series), np.int64)
    leaders, place = samples.clocks()
    begin, sizes = samples.bounds[leaders], np.diff(samples.bounds)[leaders]
    ends = np.cumsum(sizes)
    flat = np.arange(int(ends[-1])) + np.repeat(begin - (ends - sizes), sizes)
    oldest = int(samples.times.min())
    span = int(samples.times.max()) - oldest + 2
    places = np.arange(len(leaders), dtype=np.int64)
    keys = np.repeat(places, sizes) * span + (samples.times[flat] - oldest + 1)
    wanted = places[None, :] * span + np.clip(at - oldest + 1, 0, span - 1)[:, None]
    found = np.searchsorted(keys, wanted.ravel(), side="right").reshape(wanted.shape) - (ends - sizes)
    return np.asarray(samples.bounds[:-1] + found[:, place], np.int64)


def windows(samples: Samples, ends: Ints, range_ms: int, steps: Ints) -> Windows:
    """Left-open windows (end - range, end] over the samples."""
    starts = ends - range_ms
    return Windows(samples, _count_until(samples, starts), _count_until(samples, ends), starts, ends, steps)


def latest(samples: Samples, at: Ints, lookback_ms: int, *, times: bool = False) -> Table:
    """The newest sample of each series in (at - lookback, at], unless it is a stale marker.

    With `times` the values are the samples' own time stamps in seconds.
    """
    series = len(samples.labels)
    if not len(samples.times):
        shape = (len(at), series)
        return compact(Table(samples.labels, np.zeros(shape), np.zeros(shape, np.bool_), samples.dropped))
    index = _count_until(samples, at) - 1
    found = index >= samples.bounds[:-1][None, :]
    safe = np.maximum(index, 0)
    stamps = samples.times[safe]
    values: Floats = samples.values[safe]
    present = found & (stamps > (at - lookback_ms)[:, None]) & ~is_stale(values)
    if times:
        values = stamps / 1000
    return compact(Table(samples.labels, values, present, samples.dropped))
