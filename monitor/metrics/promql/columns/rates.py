"""rate, increase, delta, irate, idelta: as in functions/rates.py, for many series."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monitor.metrics.interface import Bools, Codes, Floats, Ints
from monitor.metrics.promql.columns.frame import Frame

Kernel = Callable[[Frame, int], tuple[Floats, Bools]]
"""A frame and the evaluation time in ms to values and presence [n]."""


def extrapolated(*, counter: bool, per_second: bool) -> Kernel:
    """Extrapolation to the edges of the window exactly as Prometheus 3's `extrapolatedRate`."""

    def kernel(frame: Frame, _step_ms: int) -> tuple[Floats, Bools]:
        seconds = (frame.end_ms - frame.start_ms) / 1000 if per_second else 1.0
        alive = np.arange(len(frame.alive))
        head, tail = frame.pick(frame.first), frame.pick(frame.last)
        if not frame.depth:
            return tail, np.zeros(len(tail), np.bool_)
        opening, closing = frame.times[frame.first, alive], frame.times[frame.last, alive]
        edges = _Edges(frame, opening, closing, frame.counts)
        change = tail - head
        if counter:
            _add_lost(frame, change)
        result = change * frame.spread(edges.factor / seconds)
        if counter:
            # A counter was zero at the earliest: few windows reach back that far.
            near = np.flatnonzero(head < frame.spread(edges.share) * change)
            near = near[(change[near] > 0) & (head[near] >= 0)]
            group = frame.group[near]
            result[near] = _to_zero(edges, group, head[near], change[near]) * (change[near] / seconds)
        present = frame.more_than_one()
        if len(frame.ragged):
            present = present.copy()
            result[frame.ragged], present[frame.ragged] = _ragged(
                frame, frame.ragged, seconds, counter=counter
            )
        return result, present

    return kernel


class _Edges:
    """What extrapolation knows from time stamps alone, in seconds, for each clock."""

    __slots__ = ("after", "before", "factor", "sampled", "share")

    def __init__(self, frame: Frame, opening: Ints, closing: Ints, counts: Ints) -> None:
        self.sampled = (closing - opening) / 1000
        average = self.sampled / np.maximum(counts - 1, 1)
        before = (opening - frame.start_ms) / 1000
        after = (frame.end_ms - closing) / 1000
        self.before = np.where(before >= average * 1.1, average / 2, before)
        self.after = np.where(after >= average * 1.1, average / 2, after)
        self.factor = (self.sampled + self.before + self.after) / self.sampled
        self.share = self.before / self.sampled


def _to_zero(edges: _Edges, clock: Ints | Codes, head: Floats, change: Floats) -> Floats:
    """The extrapolation factor of windows in which the counter may have started."""
    sampled = edges.sampled[clock]
    before = np.minimum(edges.before[clock], sampled * (head / change))
    return (sampled + before + edges.after[clock]) / sampled


def _add_lost(frame: Frame, change: Floats) -> None:
    """What counter resets hid: the values just before each reset."""
    for row in np.flatnonzero(frame.falling[1:]).tolist():
        before, after = frame.values[row], frame.values[row + 1]
        columns = np.flatnonzero(after < before)
        group = frame.group[columns]
        columns = columns[(frame.first[group] <= row) & (row < frame.last[group])]
        change[columns] += before[columns]


def _ragged(frame: Frame, columns: Ints, seconds: float, *, counter: bool) -> tuple[Floats, Bools]:
    """The same for series with holes, each by its own time stamps."""
    values, valid, times = frame.samples(columns)
    counts = valid.sum(0)
    width = np.arange(len(columns))
    first, last = valid.argmax(0), len(valid) - 1 - valid[::-1].argmax(0)
    head, tail = values[first, width], values[last, width]
    change = tail - head
    if counter:
        before = head
        for row in range(len(valid)):
            falls = valid[row] & (values[row] < before)
            change = np.where(falls, change + before, change)
            before = np.where(valid[row], values[row], before)
    edges = _Edges(frame, times[first, width], times[last, width], counts)
    factor = edges.factor
    if counter:
        near = np.flatnonzero((change > 0) & (head >= 0) & (head < edges.share * change))
        factor[near] = _to_zero(edges, near, head[near], change[near])
    return change * (factor / seconds), counts >= 2


def instantaneous(*, rate: bool) -> Kernel:
    """The change between the last two samples; as a rate, a fall is a reset to zero."""

    def kernel(frame: Frame, _step_ms: int) -> tuple[Floats, Bools]:
        if not frame.depth:
            return np.zeros(len(frame.group)), np.zeros(len(frame.group), np.bool_)
        groups = np.arange(len(frame.alive))
        before = np.maximum(frame.last - 1, 0)
        newest, older = frame.pick(frame.last), frame.pick(before)
        seconds = frame.spread((frame.times[frame.last, groups] - frame.times[before, groups]) / 1000)
        result, present = _step(newest, older, seconds, rate=rate), frame.more_than_one()
        if len(frame.ragged):
            present = present.copy()
            result[frame.ragged], present[frame.ragged] = _last_two(frame, frame.ragged, rate=rate)
        return result, present

    return kernel


def _step(newest: Floats, older: Floats, seconds: Floats, *, rate: bool) -> Floats:
    change = newest - older
    return np.where(newest < older, newest, change) / seconds if rate else change


def _last_two(frame: Frame, columns: Ints, *, rate: bool) -> tuple[Floats, Bools]:
    values, valid, times = frame.samples(columns)
    width = np.arange(len(columns))
    last = len(valid) - 1 - valid[::-1].argmax(0)
    earlier = valid.copy()
    earlier[last, width] = False
    older = len(valid) - 1 - earlier[::-1].argmax(0)
    seconds = (times[last, width] - times[older, width]) / 1000
    return _step(values[last, width], values[older, width], seconds, rate=rate), valid.sum(0) >= 2
