"""Arithmetic of classic histograms: many cells (a histogram at a step) with the same upper bounds at once.

`counts` [cells, bounds] are cumulative, `bounds` ascend. What is compared, and in which order, follows Prometheus, so
that broken histograms (falling counts, NaN, no +Inf bucket) give the same answers there and here.
"""

from __future__ import annotations

import numpy as np

from monitor.metrics.interface import Bools, Floats, Ints

_SMALL_DELTA = 1e-12
_TINIEST = float(np.finfo(np.float64).tiny)


def monotonic(counts: Floats) -> tuple[Floats, Bools]:
    """Counts that never fall from bucket to bucket, and which cells [cells] needed more than rounding for that."""
    fixed = counts.copy()
    forced = np.zeros(len(counts), np.bool_)
    before = fixed[:, 0].copy()
    for place in range(1, counts.shape[1]):
        count = fixed[:, place]
        close = _almost_equal(before, count)
        falls = ~close & (count < before)
        forced |= falls
        fixed[:, place] = np.where(close | falls, before, count)
        before = fixed[:, place].copy()
    return fixed, forced


def _almost_equal(a: Floats, b: Floats) -> Bools:
    gap, size = np.abs(a - b), np.abs(a) + np.abs(b)
    small = (a == 0) | (b == 0) | (size < _TINIEST)
    near = np.where(
        small, gap < _SMALL_DELTA * _TINIEST, gap / np.minimum(size, np.finfo(np.float64).max) < _SMALL_DELTA
    )
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)) | near)


def quantile(wanted: Floats, counts: Floats, bounds: Floats) -> tuple[Floats, Bools]:
    """The quantiles `wanted` [cells], linear inside a bucket; and which cells were not monotonic."""
    cells, size = counts.shape
    outside = np.where(np.isnan(wanted), np.nan, np.where(wanted < 0, -np.inf, np.inf))
    asked = (wanted >= 0) & (wanted <= 1)
    forced = np.zeros(cells, np.bool_)
    if not np.isposinf(bounds[-1]):
        return np.where(asked, np.nan, outside), forced
    counts, forced = monotonic(counts)
    if size < 2:
        return np.where(asked, np.nan, outside), forced & asked
    total = counts[:, -1]
    rank = wanted * total
    place = _search(counts[:, :-1], rank)
    inner = np.minimum(place, size - 2)
    below = np.maximum(inner - 1, 0)
    start = np.where(inner > 0, bounds[below], 0.0)
    under = np.where(inner > 0, _at(counts, below), 0.0)
    value = start + (bounds[inner] - start) * ((rank - under) / (_at(counts, inner) - under))
    value = np.where((inner == 0) & (bounds[0] <= 0), bounds[0], value)
    value = np.where(place == size - 1, bounds[-2], value)
    value = np.where(total == 0, np.nan, value)
    return np.where(asked, value, outside), forced & asked


def _at(counts: Floats, place: Ints) -> Floats:
    return np.take_along_axis(counts, place[:, None], axis=1)[:, 0]


def _search(counts: Floats, rank: Floats) -> Ints:
    """The first bucket that reaches the rank, by bisection (which decides what NaN among the counts does)."""
    low = np.zeros(len(rank), np.int64)
    high = np.full(len(rank), counts.shape[1], np.int64)
    while bool((low < high).any()):
        middle = (low + high) >> 1
        reached = _at(counts, np.minimum(middle, counts.shape[1] - 1)) >= rank
        open_ = low < high
        high = np.where(open_ & reached, middle, high)
        low = np.where(open_ & ~reached, middle + 1, low)
    return low


def fraction(lower: Floats, upper: Floats, counts: Floats, bounds: Floats) -> Floats:
    """The share of observations between `lower` and `upper` [cells], linear inside a bucket."""
    total = counts[:, -1]
    if not np.isposinf(bounds[-1]):
        return np.full(len(counts), np.nan)
    share = (_rank(upper, counts, bounds) - _rank(lower, counts, bounds)) / total
    share = np.where(lower >= upper, 0.0, share)
    return np.where((total == 0) | np.isnan(lower) | np.isnan(upper), np.nan, share)


def _rank(value: Floats, counts: Floats, bounds: Floats) -> Floats:
    """How many observations are below a value [cells]."""
    result = counts[:, -1].copy()
    known = np.zeros(len(counts), np.bool_)
    start, below = -np.inf, np.zeros(len(counts))
    for place, end in enumerate(bounds.tolist()):
        here = ~known & (start >= value)
        result[here] = below[here]
        known |= here
        here = ~known & (end > value)
        if start == -np.inf and end <= 0:
            inside = np.where(value > -np.inf, counts[:, place], 0.0)
        else:
            first = 0.0 if start == -np.inf else start
            share = np.maximum(value - first, 0.0) / (end - first)
            inside = below + (counts[:, place] - below) * share
        result[here] = inside[here]
        known |= here
        start, below = end, counts[:, place]
    return result
