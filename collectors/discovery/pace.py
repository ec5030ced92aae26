"""A token bucket that the sweep and the inspections of a scan draw from together."""

from __future__ import annotations

import threading

_BURST_SECONDS = 0.05  # what may be caught up at once after a pause


class Pace:
    """At most `rate` packets a second. Safe from several threads; times are seconds of a monotonic clock."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._room = max(1.0, rate * _BURST_SECONDS)
        self._left = 1.0
        self._at = now
        self._lock = threading.Lock()
        self._taken = 0

    @property
    def taken(self) -> int:
        """How many packets were let through."""
        return self._taken

    def take(self, now: float) -> float:
        """0 when a packet may be sent now (and counts as sent), else the seconds until one may."""
        with self._lock:
            self._left = min(self._room, self._left + max(0.0, now - self._at) * self._rate)
            self._at = max(now, self._at)
            if self._left >= 1.0:
                self._left -= 1.0
                self._taken += 1
                return 0.0
            return (1.0 - self._left) / self._rate
