"""Metric stores for page tests: one that has nothing."""

from __future__ import annotations

import numpy as np

from monitor.metrics.interface import Matrix, Vector


class NoMetrics:
    """Answers every query with no series."""

    def instant(self, expression: str, at_ms: int | None = None) -> Vector:
        return Vector(at_ms or 0, [], np.array([], np.float64))

    def range(self, expression: str, start_ms: int, end_ms: int, step_ms: int) -> Matrix:
        times = np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64)
        return Matrix([], times, np.zeros((len(times), 0)), np.zeros((len(times), 0), np.bool_))
