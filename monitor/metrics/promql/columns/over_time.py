"""Folds over the rows of a frame: `*_over_time`, changes, resets, deriv, predict_linear."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monitor.metrics.interface import Bools, Floats, Ints
from monitor.metrics.promql.columns.frame import Frame

_CELLS = 1 << 18


def counted(frame: Frame) -> Ints:
    """How many samples each series has in the window."""
    counts = frame.spread(frame.counts)
    missing = [frame.missing(row) for row, odd in enumerate(frame.odd) if len(odd)]
    if not missing:
        return counts
    return np.asarray(counts - np.bincount(np.concatenate(missing), minlength=len(counts)))


def count(frame: Frame, _step_ms: int) -> tuple[Floats, Bools]:
    """count_over_time."""
    counts = counted(frame)
    return counts.astype(np.float64), counts > 0


def present(frame: Frame, _step_ms: int) -> tuple[Floats, Bools]:
    """present_over_time."""
    return np.ones(len(frame.group)), counted(frame) > 0


def edge(*, newest: bool) -> Callable[[Frame, int], tuple[Floats, Bools]]:
    """last_over_time and first_over_time."""

    def kernel(frame: Frame, _step_ms: int) -> tuple[Floats, Bools]:
        found, there = frame.pick(frame.last if newest else frame.first), frame.here
        if len(frame.ragged):
            found, there = found.copy(), there.copy()
            values, valid, _ = frame.samples(frame.ragged)
            row = len(valid) - 1 - valid[::-1].argmax(0) if newest else valid.argmax(0)
            found[frame.ragged] = values[row, np.arange(len(row))]
            there[frame.ragged] = valid.any(0)
        return found, there

    return kernel


def total(frame: Frame, _step_ms: int) -> tuple[Floats, Bools]:
    """sum_over_time: compensated as soon as terms could cancel out."""
    found = _sum(frame)
    return found, counted(frame) > 0


def _sum(frame: Frame) -> Floats:
    plain = np.zeros(len(frame.group))
    for _, values, missing in frame.walk():
        if (values < 0).any():
            return _compensated_sum(frame)
        plain += _without(values, missing)
    return plain


def _without(values: Floats, missing: Ints) -> Floats:
    """The values with 0 where there is no sample."""
    if not len(missing):
        return values
    some = values.copy()
    some[missing] = 0
    return some


def _compensated_sum(frame: Frame) -> Floats:
    """Neumaier's sum."""
    found = np.zeros(len(frame.group))
    lost = np.zeros(len(frame.group))
    for _, values, missing in frame.walk():
        term = _without(values, missing)
        moved = found + term
        slip = np.where(np.abs(found) >= np.abs(term), (found - moved) + term, (term - moved) + found)
        lost = np.where(np.isinf(moved), 0, lost + slip)
        found = moved
    return found + lost


def mean(frame: Frame, _step_ms: int) -> tuple[Floats, Bools]:
    """avg_over_time; a sum that overflows still has a mean."""
    counts = counted(frame)
    found = _sum(frame)
    average = found / counts
    wide = np.flatnonzero(~np.isfinite(found) & (counts > 0))
    if len(wide):
        values, valid, _ = frame.samples(wide)
        average[wide] = np.where(valid, values / np.maximum(valid.sum(0), 1), 0).sum(0)
    return average, counts > 0


def extreme(better: np.ufunc) -> Callable[[Frame, int], tuple[Floats, Bools]]:
    """min_over_time and max_over_time; NaN only when there is nothing else."""

    def kernel(frame: Frame, _step_ms: int) -> tuple[Floats, Bools]:
        # What is NaN is passed over by itself; only rows that some groups do not have in the window need care.
        best = np.full(len(frame.group), np.nan)
        rows = np.flatnonzero(frame.full)
        if len(rows):
            low, high = int(rows[0]), int(rows[-1]) + 1
            whole = frame.values[low:high] if len(rows) == high - low else frame.values[rows]
            best = better.reduce(whole, axis=0, initial=np.nan)
        for row in np.flatnonzero(~frame.full).tolist():
            inside = frame.inside[row][frame.group]
            best = better(best, np.where(inside, frame.values[row], np.nan))
        stale = frame.with_stale_markers()
        if len(stale):
            # A stale marker is a signalling NaN: fmin and fmax may give NaN for it, whatever the other value is.
            values, valid, _ = frame.samples(stale)
            best[stale] = better.reduce(np.where(valid, values, np.nan), axis=0, initial=np.nan)
        return best, counted(frame) > 0

    return kernel


def transitions(*, resets: bool) -> Callable[[Frame, int], tuple[Floats, Bools]]:
    """resets and changes."""

    def kernel(frame: Frame, _step_ms: int) -> tuple[Floats, Bools]:
        events = np.zeros(len(frame.group))
        before = np.full(len(frame.group), np.nan)
        was_nan = np.zeros(len(frame.group), np.bool_)  # a NaN that is a sample
        unset = np.arange(len(frame.group))  # where `before` is NaN
        for row, found, missing in frame.walk():
            event = found < before if resets else found != before
            if len(unset) and not resets:
                event[unset] &= was_nan[unset] & ~np.isnan(found[unset])
            values = found
            if len(missing):
                event[missing] = False
                values = found.copy()
                values[missing] = before[missing]
            events[np.flatnonzero(event)] += 1
            unset = unset[np.isnan(values[unset])]
            if len(frame.odd[row]) > len(missing) or (len(frame.odd[row]) and not frame.full[row]):
                true = np.setdiff1d(frame.odd[row], missing)
                was_nan[true] = True
                unset = np.union1d(unset, true)
            before = values
        return events, counted(frame) > 0

    return kernel


def regression(*, predict: bool) -> Callable[[Frame, int, float], tuple[Floats, Bools]]:
    """deriv, and predict_linear of `ahead` seconds after the step: least squares about the mean of the times."""

    def kernel(frame: Frame, origin_ms: int, ahead: float) -> tuple[Floats, Bools]:
        slope, found = np.empty(len(frame.group)), np.empty(len(frame.group))
        counts = np.empty(len(frame.group), np.int64)
        width = max(1, _CELLS // max(frame.depth, 1))
        for first in range(0, len(slope), width):
            columns = np.arange(first, min(first + width, len(slope)))
            values, valid, times = frame.samples(columns)
            line = _Line(values, valid, (times - origin_ms) / 1000)
            counts[columns] = line.counts
            slope[columns], found[columns] = line.slope, line.at(ahead)
        return (found if predict else slope), counts >= 2

    return kernel


class _Line:
    """Least squares through the valid points of each column, [k, n]."""

    __slots__ = ("_mean_x", "_mean_y", "counts", "slope")

    def __init__(self, values: Floats, valid: Bools, seconds: Floats) -> None:
        everywhere = bool(valid.all())
        start = (
            values[valid.argmax(0), np.arange(values.shape[1])] if len(values) else np.zeros(values.shape[1])
        )
        self.counts: Ints = valid.sum(0)
        x = seconds if everywhere else np.where(valid, seconds, 0)
        y = values - start if everywhere else np.where(valid, values - start, 0)
        self._mean_x = x.sum(0) / self.counts
        risen = y.sum(0) / self.counts
        self._mean_y = start + risen
        away = x - self._mean_x
        if not everywhere:
            away[~valid] = 0
        slope = np.einsum("kn,kn->n", away, y) / np.einsum("kn,kn->n", away, away)
        # A sum that is not finite leaves nothing to fit; a constant has no slope, whatever rounding says.
        self.slope: Floats = np.where(np.isfinite(risen), np.where((y == 0).all(0), 0.0, slope), np.nan)

    def at(self, seconds: float) -> Floats:
        """The value of the line."""
        return np.asarray(self._mean_y + self.slope * (seconds - self._mean_x))
