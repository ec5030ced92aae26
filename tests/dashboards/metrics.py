"""Metric stores for page tests: one that has nothing."""

from __future__ import annotations

from pathlib import Path

from monitor.metrics.client import Line, PrometheusClient, Sample


class NoMetrics(PrometheusClient):
    """Answers every query with no series, and remembers the queries."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere.sock"))
        self.asked: list[str] = []

    def instant(self, expression: str, at_ms: int | None = None) -> list[Sample]:
        self.asked.append(expression)
        return []

    def range(self, expression: str, start_ms: int, end_ms: int, step_ms: int) -> list[Line]:
        self.asked.append(expression)
        return []
