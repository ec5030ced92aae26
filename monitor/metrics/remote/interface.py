"""The seams of the back end: what forwarding and long-range questions ask of it, and what they tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from monitor.metrics.interface import Labels, Limits, Matcher, Matrix, Result
from monitor.metrics.remote.backend import Answer
from monitor.metrics.remote.cursor import Cursor


class Door(Protocol):
    """What of monitor.metrics.remote.backend.Backend is used here."""

    @property
    def name(self) -> str:
        """The address for messages."""
        ...

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises BackendError."""
        ...

    def stop(self) -> None:
        """End the exchange under way."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...


@dataclass(frozen=True, slots=True)
class Keep:
    """How much of the log is kept beyond the store's own need."""

    size: int = 8 << 30
    ms: int = 72 * 3_600_000


@dataclass(frozen=True, slots=True)
class ForwardState:
    """What there is to say about forwarding. `lag_seconds` is the age of the oldest sample not yet taken."""

    cursor: Cursor
    pending_bytes: int
    lag_seconds: float
    damaged: int
    missing: int


class Remote(Protocol):
    """What of monitor.metrics.remote.queries.RemoteQueries is used here. Raises RemoteError."""

    @property
    def name(self) -> str:
        """Who answers, for notes."""
        ...

    def instant(self, expression: str, at_ms: int, limits: Limits, lookback_ms: int) -> Result:
        """The value at one time."""
        ...

    def range(self, expression: str, grid: tuple[int, int, int], limits: Limits, lookback_ms: int) -> Matrix:
        """The values on a grid: start, end, step in ms."""
        ...

    def series(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Labels]:
        """The label sets of matching series."""
        ...

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """Label names of the matching series."""
        ...

    def label_values(self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """Values of one label over the matching series."""
        ...
