"""Instant selectors: the newest sample of each series in the look-back, unless it is a stale marker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.metrics.interface import Bools, Floats, Ints, Selection, is_stale
from monitor.metrics.piece import HOLE_BITS
from monitor.metrics.promql.columns.frame import Frame, Rows
from monitor.metrics.promql.values import Budget, Table


def latest(selection: Selection, at: Ints, lookback_ms: int, budget: Budget, *, times: bool = False) -> Table:
    """The vector at each of the times; with `times` the values are the samples' time stamps in seconds."""
    rows = [Rows(part) for part in selection.parts]
    values = np.empty((len(at), len(selection.labels)))
    present = np.empty(values.shape, np.bool_)
    for step, moment in enumerate(at.tolist()):
        frames = [one.frame(moment - lookback_ms, moment) for one in rows]
        budget.charge(len(selection.labels))
        _fill(values[step], present[step], [_newest(frame, times=times) for frame in frames])
    return Table(selection.labels, values, present, np.zeros(len(selection.labels), np.bool_))


def _fill(values: Floats, present: Bools, found: Sequence[tuple[Floats, Bools]]) -> None:
    end = 0
    for some, there in found:
        start, end = end, end + len(some)
        values[start:end] = some
        present[start:end] = there


def _newest(frame: Frame, *, times: bool) -> tuple[Floats, Bools]:
    values = frame.pick(frame.last)
    present = frame.here
    low, high = frame.span(frame.last)
    odd = None if low >= 0 and not any(map(len, frame.odd[low : high + 1])) else np.isnan(values)
    if odd is None or not odd.any():
        return (_stamps(frame, frame.last[frame.group]) if times else values), present
    odd &= present
    holes = np.flatnonzero(odd & (values.view(np.uint64) == HOLE_BITS))
    rows = frame.last[frame.group]
    if len(holes):
        held = (frame.values[:, holes].view(np.uint64) != HOLE_BITS) & frame.inside[:, frame.group[holes]]
        rows[holes] = frame.depth - 1 - held[::-1].argmax(0)
        values, present = values.copy(), present.copy()
        values[holes] = frame.values[rows[holes], holes]
        present[holes] = held.any(0)
    present = present & ~is_stale(values)
    return (_stamps(frame, rows) if times else values), present


def _stamps(frame: Frame, rows: Ints) -> Floats:
    """The time stamps of each series' row, in seconds."""
    if not frame.depth:
        return np.zeros(len(rows))
    return frame.times[rows, frame.group] / 1000
