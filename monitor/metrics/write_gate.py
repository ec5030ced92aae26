"""How many write requests are worked on at the same time, in number and in bytes of memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from monitor.metrics.errors import IngestError

WRITERS = 16
WAITING = 4
MESSAGE_BYTES = 128 << 20
WAIT_SECONDS = 10.0


class WriteGate:
    """Lets `writers` requests in that together hold `max_bytes`; `waiting` more wait a while for their turn.

    A single request is let in whatever its size, so that `max_bytes` refuses none for ever.
    """

    __slots__ = ("_bytes", "_free", "_max_bytes", "_state", "_used", "_wait_seconds", "_writers")

    def __init__(
        self,
        *,
        writers: int = WRITERS,
        waiting: int = WAITING,
        max_bytes: int = MESSAGE_BYTES,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._writers = writers
        self._max_bytes = max_bytes
        self._wait_seconds = wait_seconds
        self._free = waiting
        self._used = 0
        self._bytes = 0
        self._state = threading.Condition()

    @contextmanager
    def place(self, size: int) -> Iterator[None]:
        """Hold a place for a message of `size` bytes. Raises IngestError 429 when none becomes free in time."""
        with self._state:
            if not self._has_room(size):
                self._wait(size)
            self._used += 1
            self._bytes += size
        try:
            yield
        finally:
            with self._state:
                self._used -= 1
                self._bytes -= size
                self._state.notify_all()

    def _has_room(self, size: int) -> bool:
        return not self._used or (self._used < self._writers and self._bytes + size <= self._max_bytes)

    def _wait(self, size: int) -> None:
        if not self._free:
            raise _busy()
        self._free -= 1
        try:
            if not self._state.wait_for(lambda: self._has_room(size), self._wait_seconds):
                raise _busy()
        finally:
            self._free += 1


def _busy() -> IngestError:
    return IngestError("too many writers at the same time", status=429, hint="try again later")
