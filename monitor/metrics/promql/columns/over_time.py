"""Folds over the rows of a frame: `*_over_time`, changes, resets, deriv, predict_linear."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monitor.metrics.interface import Bools, Floats, Ints
from monitor.metrics.promql.columns.frame import Frame


def counted(frame: Frame) -> Ints:
    """How many samples each series has in the window."""
    if not len(frame.ragged):
        return frame.counts[frame.group]
    counts = frame.counts[frame.group]
    _, valid, _ = frame.samples(frame.ragged)
    counts[frame.ragged] = valid.sum(0)
    return counts


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
    for _, values, valid in frame.walk():
        if (values < 0).any():
            return _compensated_sum(frame)
        plain += values if valid is None else np.where(valid, values, 0)
    return plain


def _compensated_sum(frame: Frame) -> Floats:
    """Neumaier's sum."""
    found = np.zeros(len(frame.group))
    lost = np.zeros(len(frame.group))
    for _, values, valid in frame.walk():
        term = values if valid is None else np.where(valid, values, 0)
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


def extreme(better: Callable[[Floats, Floats], Floats]) -> Callable[[Frame, int], tuple[Floats, Bools]]:
    """min_over_time and max_over_time; NaN only when there is nothing else."""

    def kernel(frame: Frame, _step_ms: int) -> tuple[Floats, Bools]:
        best = np.full(len(frame.group), np.nan)
        for _, values, valid in frame.walk():
            best = better(best, values if valid is None else np.where(valid, values, np.nan))
        return best, counted(frame) > 0

    return kernel


def transitions(*, resets: bool) -> Callable[[Frame, int], tuple[Floats, Bools]]:
    """resets and changes."""

    def kernel(frame: Frame, _step_ms: int) -> tuple[Floats, Bools]:
        events = np.zeros(len(frame.group))
        before = np.full(len(frame.group), np.nan)
        known = np.zeros(len(frame.group), np.bool_)
        started = False
        for row, values, valid in frame.walk():
            if resets:
                event = values < before
            elif started and frame.clean[row] and frame.clean[row - 1]:
                event = values != before
            else:
                event = (values != before) & ~(np.isnan(values) & np.isnan(before))
            if not started:
                event = event & known
            if valid is not None:
                event &= valid
            if event.any():
                events += event
            if valid is None:
                before, started = values, True
                known[:] = True
            else:
                before = np.where(valid, values, before)
                known |= valid
        return events, counted(frame) > 0

    return kernel


def regression(*, predict: bool) -> Callable[[Frame, int, float], tuple[Floats, Bools]]:
    """deriv, and predict_linear of `ahead` seconds after the step: least squares about the mean of the times."""

    def kernel(frame: Frame, origin_ms: int, ahead: float) -> tuple[Floats, Bools]:
        width = len(frame.group)
        counts = counted(frame)
        start, _ = edge(newest=False)(frame, 0)
        seconds = np.where(frame.inside, (frame.times - origin_ms) / 1000, 0.0)
        sum_x, sum_y = np.zeros(width), np.zeros(width)
        constant = np.ones(width, np.bool_)
        for row, values, valid in frame.walk():
            x, y = seconds[row][frame.group], values - start
            if valid is not None:
                x, y = np.where(valid, x, 0), np.where(valid, y, 0)
            sum_x += x
            sum_y += y
            constant &= y == 0
        mean_x, mean_y = sum_x / counts, sum_y / counts
        sum_xy, sum_xx = np.zeros(width), np.zeros(width)
        for row, values, valid in frame.walk():
            x = seconds[row][frame.group] - mean_x
            y = values - start
            if valid is not None:
                x, y = np.where(valid, x, 0), np.where(valid, y, 0)
            sum_xy += x * y
            sum_xx += x * x
        slope = np.where(constant, 0.0, sum_xy / sum_xx)
        slope = np.where(np.isfinite(sum_y), slope, np.nan)
        found = start + mean_y + slope * (ahead - mean_x) if predict else slope
        return found, counts >= 2

    return kernel
