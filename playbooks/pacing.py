"""Pure pacing: token buckets and the packet budget. Times in seconds of any clock that never jumps back."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class TokenBucket:
    """At most `rate` packets a second, with bursts of at most `burst`; callers queue by the delay they are given."""

    rate: float
    burst: float
    _tokens: float = field(init=False)
    _at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def take(self, packets: int, now: float) -> float:
        """Reserve; returns the seconds to wait before sending."""
        if self._at is not None:
            self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now
        self._tokens -= packets
        return max(0.0, -self._tokens / self.rate)


@dataclass(slots=True)
class Budget:
    """A hard ceiling of packets."""

    most: int
    used: int = 0

    def spend(self, packets: int) -> bool:
        """Take from the budget; False (and nothing taken) when it would be exceeded."""
        if self.used + packets > self.most:
            return False
        self.used += packets
        return True
