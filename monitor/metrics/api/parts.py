"""What the doors of the API share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from flask import request

from monitor.clock import Clock
from monitor.metrics.api.gate import QueryGate
from monitor.metrics.interface import Limits, MetricStore, QueryEngine
from monitor.metrics.metadata import Metadata

Targets = Callable[[], Sequence[Mapping[str, object]]]
TRUNCATED = "results truncated due to limit"


@dataclass(frozen=True, slots=True)
class Server:
    """Facts about this server that the status pages tell. Times in ms, days and seconds as named."""

    started_ms: int = 0
    retention_days: int = 0
    evaluation_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class Parts:
    """A store, an engine over it, and how much one request may use of them."""

    store: MetricStore
    queries: QueryEngine
    clock: Clock
    gate: QueryGate
    limits: Limits
    targets: Targets
    metadata: Metadata
    server: Server

    @contextmanager
    def place(self) -> Iterator[float]:
        """A place among the running queries for the current request; gives the seconds waited. QueryError."""
        with self.gate.place(client_gone()) as waited:
            yield waited


def client_gone() -> Callable[[], bool]:
    """Whether the client of the current request has closed its connection; asked from any thread."""
    told: Callable[[], bool] | None = request.environ.get("waitress.client_disconnected")
    return told or _still_there


def _still_there() -> bool:
    # Other servers do not tell.
    return False
