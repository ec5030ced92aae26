"""Looking samples up: from the store's time-major window to flat samples, and from those to steps x series."""

from __future__ import annotations

import numpy as np

from monitor.metrics.interface import Floats, Ints, Window, is_stale
from monitor.metrics.promql.values import Samples, Table, Windows, compact

LOOKBACK_MS = 300_000


def flatten(window: Window, *, keep_stale: bool) -> Samples:
    """The present samples of a window, series after series. Stale markers end instant look-ups only."""
    wanted = window.present
    if not keep_stale:
        wanted = wanted & ~is_stale(np.ascontiguousarray(window.values))
    columns, rows = np.nonzero(wanted.T)
    counts = np.bincount(columns, minlength=len(window.labels))
    bounds = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Samples(
        window.labels,
        np.zeros(len(window.labels), np.bool_),
        window.timestamps[rows, window.group[columns]],
        window.values[rows, columns],
        bounds,
    )


def from_table(table: Table, grid: Ints) -> Samples:
    """The points of an evaluated table as samples (for subqueries)."""
    columns, rows = np.nonzero(table.present.T)
    counts = np.bincount(columns, minlength=len(table.labels))
    bounds = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Samples(table.labels, table.dropped, grid[rows], table.values[rows, columns], bounds)


def _count_until(samples: Samples, at: Ints) -> Ints:
    """For each time in `at` [s] and each series: the flat index after its last sample with time <= at. [s, n]."""
    series = len(samples.labels)
    if not len(samples.times):
        return np.zeros((len(at), series), np.int64)
    oldest = int(samples.times.min())
    span = int(samples.times.max()) - oldest + 2
    owner = np.repeat(np.arange(series, dtype=np.int64), np.diff(samples.bounds))
    keys = owner * span + (samples.times - oldest + 1)
    wanted = np.clip(at - oldest + 1, 0, span - 1)
    queries = np.arange(series, dtype=np.int64)[None, :] * span + wanted[:, None]
    return np.searchsorted(keys, queries.ravel(), side="right").reshape(queries.shape).astype(np.int64)


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
