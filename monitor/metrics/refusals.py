"""What the disk refused: kept by whoever writes to the store, shown to whoever looks after the platform."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from monitor.clock import Clock
from monitor.errors import ZhishouError


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the disk takes nothing, in English and Chinese, and since when (ms)."""

    text: str
    zh: str
    since_ms: int


class Refusals:
    """The refusal that holds at this moment, and how many there were. Safe to use from several threads."""

    __slots__ = ("_clock", "_count", "_lock", "_refusal")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._refusal: Refusal | None = None
        self._count = 0

    def refused(self, error: Exception) -> None:
        """The disk did not take something."""
        zh = error.zh if isinstance(error, ZhishouError) else str(error)
        with self._lock:
            since = self._refusal.since_ms if self._refusal else self._clock.now_ms()
            self._refusal = Refusal(str(error), zh, since)
            self._count += 1

    def taken(self) -> None:
        """The disk took something: whatever it refused before is over."""
        if self._refusal is not None:
            with self._lock:
                self._refusal = None

    @property
    def now(self) -> Refusal | None:
        """The refusal that holds, None when the disk took the last thing it was given."""
        return self._refusal

    @property
    def count(self) -> int:
        """How often the disk refused since the start."""
        return self._count
