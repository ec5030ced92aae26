"""The newest sample of every series of a window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.metrics.interface import Floats, Ints, Labels, Window, is_stale


@dataclass(frozen=True, slots=True)
class Newest:
    """labels, times (ms) and values [n]: one sample a series, in the order of the window."""

    labels: list[Labels]
    times: Ints
    values: Floats


def newest(window: Window) -> Newest:
    """The last sample of each series; a series whose last sample is a staleness marker is left out."""
    if not len(window.labels):
        return Newest([], np.zeros(0, np.int64), np.zeros(0))
    columns = np.arange(len(window.labels))
    rows = len(window.present) - 1 - np.argmax(window.present[::-1], axis=0)
    values = np.ascontiguousarray(window.values[rows, columns])
    alive = np.flatnonzero(window.present[rows, columns] & ~is_stale(values))
    times = window.timestamps[rows, window.group]
    return Newest([window.labels[i] for i in alive.tolist()], times[alive], values[alive])
