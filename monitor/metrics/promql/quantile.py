"""Prometheus's quantile: linear between ranks, NaN counts as the smallest value."""

from __future__ import annotations

import numpy as np

from monitor.metrics.interface import Bools, Floats, Ints


def quantile_of(wanted: Floats, stack: Floats, valid: Bools) -> Floats:
    """The quantile along axis 0 of `stack` [k, ...] among the valid entries.

    `wanted` broadcasts to the rest of the shape. q < 0 gives -Inf, q > 1 +Inf, NaN or no entry NaN.
    """
    shape = stack.shape[1:]
    wanted = np.broadcast_to(wanted, shape)
    if not stack.shape[0]:
        return np.full(shape, np.nan)
    real = valid & ~np.isnan(stack)
    ordered = np.sort(np.where(real, stack, np.nan), axis=0)
    size = valid.sum(axis=0)
    nans = size - real.sum(axis=0)
    inside = (wanted >= 0) & (wanted <= 1) & (size > 0)
    rank = np.where(inside, wanted, 0) * np.maximum(size - 1, 0)
    lower: Ints = np.floor(rank).astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(size - 1, 0))
    weight = rank - lower
    result = _ranked(ordered, lower, nans) * (1 - weight) + _ranked(ordered, upper, nans) * weight
    result = np.where(wanted < 0, -np.inf, np.where(wanted > 1, np.inf, result))
    return np.where(np.isnan(wanted) | (size == 0), np.nan, result)


def _ranked(ordered: Floats, rank: Ints, nans: Ints) -> Floats:
    index = np.clip(rank - nans, 0, ordered.shape[0] - 1)
    value = np.take_along_axis(ordered, index[None], axis=0)[0]
    return np.where(rank < nans, np.nan, value)
