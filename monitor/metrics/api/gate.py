"""How many queries run at the same time, and who waits."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Lock

from monitor.metrics.errors import QueryError

_LOOK_SECONDS = 0.1  # between two looks at whether a waiting client is still there


class QueryGate:
    """At most `places` queries run; up to `queue` more wait, first come first served, for `wait_seconds` at most."""

    def __init__(self, places: int, *, queue: int, wait_seconds: float) -> None:
        self.places = places
        self._queue = queue
        self._wait_seconds = wait_seconds
        self._lock = Lock()
        self._free = places
        self._waiting: deque[Event] = deque()
        self._refused = 0
        self._cancelled = 0
        self._finished = 0
        self._seconds = 0.0

    @contextmanager
    def place(self, cancelled: Callable[[], bool]) -> Iterator[float]:
        """Hold a place; gives the seconds waited for it.

        Raises QueryError: `unavailable` when too many others wait or none of them ends in time, `canceled` when
        nobody waits for the answer any more.
        """
        waited = self._enter(cancelled)
        started = time.monotonic()
        try:
            yield waited
        except QueryError as error:
            with self._lock:
                self._cancelled += error.kind == "canceled"
            raise
        finally:
            self._leave(time.monotonic() - started)

    def stats(self) -> Mapping[str, float]:
        """running, waiting: now. refused, cancelled, finished (in any way), seconds they took: since the start."""
        with self._lock:
            return {
                "running": self.places - self._free,
                "waiting": len(self._waiting),
                "refused": self._refused,
                "cancelled": self._cancelled,
                "finished": self._finished,
                "seconds": self._seconds,
            }

    def _enter(self, cancelled: Callable[[], bool]) -> float:
        with self._lock:
            if self._free:
                self._free -= 1
                return 0.0
            if len(self._waiting) >= self._queue:
                self._refused += 1
                raise self._busy(f"and {self._queue} wait")
            turn = Event()
            self._waiting.append(turn)
        start = time.monotonic()
        while not turn.wait(_LOOK_SECONDS):
            gone = cancelled()
            if (gone or time.monotonic() - start > self._wait_seconds) and self._withdraw(turn, gone=gone):
                if gone:
                    raise QueryError("query was canceled while queued", kind="canceled")
                raise self._busy(f"and none ended within {self._wait_seconds:g} s")
        return time.monotonic() - start

    def _withdraw(self, turn: Event, *, gone: bool) -> bool:
        with self._lock:
            if turn.is_set():
                return False
            self._waiting.remove(turn)
            self._cancelled += gone
            self._refused += not gone
            return True

    def _leave(self, seconds: float) -> None:
        with self._lock:
            self._finished += 1
            self._seconds += seconds
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1

    def _busy(self, why: str) -> QueryError:
        return QueryError(
            f"too many queries at the same time: {self.places} run {why}",
            kind="unavailable",
            hint="try again in a few seconds",
        )
