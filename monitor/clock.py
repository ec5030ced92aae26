"""Time handed in, so that everything that waits or ages can be tested without sleeping."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump back."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never jump back."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to; for tests and for replay."""

    __slots__ = ("_now_ms",)

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the Unix epoch."""
        return self._now_ms

    def monotonic(self) -> float:
        """Seconds, in step with the wall clock."""
        return self._now_ms / 1000

    def advance(self, seconds: float) -> None:
        """Move both clocks forward (or, to test clock jumps, back)."""
        self._now_ms += round(seconds * 1000)


def to_datetime(ms: int) -> datetime:
    """Milliseconds since the epoch as an aware UTC datetime."""
    return datetime.fromtimestamp(ms / 1000, UTC)
