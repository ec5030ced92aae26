"""How values move over the day: a closed form of time, so that a restart continues where the city would be.

`t` is seconds since the Unix epoch; `seed` tells one signal from another.
"""

from __future__ import annotations

import math

DAY = 86_400.0
UTC_OFFSET = 8 * 3600.0


def _phase(seed: int) -> float:
    return (seed * 2654435761 % 2**32) / 2**32 * 2 * math.pi


# (amplitude, seconds): together below the quietest hour's activity, so that no counter ever falls.
UNREST = ((0.05, 47.0), (0.04, 171.0), (0.03, 13.0))
ORIGIN = 1_767_225_600.0  # 2026-01-01T00:00:00Z; counters start there, which keeps them far below 2^53


def activity(t: float, seed: int) -> float:
    """How busy the city is: about 0.2 at night, about 1 around noon, with some minute-scale unrest."""
    hour = (t + UTC_OFFSET) % DAY / DAY * 2 * math.pi
    phase = _phase(seed)
    unrest = sum(size * math.sin(t / period + n * phase) for n, (size, period) in enumerate(UNREST, 1))
    return 0.62 - 0.38 * math.cos(hour) - 0.08 * math.cos(2 * hour) + unrest


def counter(t: float, rate: float, seed: int) -> int:
    """The integral of `rate * activity` since ORIGIN."""
    w = 2 * math.pi / DAY
    u = t + UTC_OFFSET
    phase = _phase(seed)
    daily = 0.62 * (u - ORIGIN) - 0.38 * math.sin(w * u) / w - 0.08 * math.sin(2 * w * u) / (2 * w)
    unrest = -sum(
        size * period * math.cos(t / period + n * phase) for n, (size, period) in enumerate(UNREST, 1)
    )
    return max(0, int(rate * (daily + unrest)))


def between(t: float, low: float, high: float, seed: int) -> float:
    """A value that follows activity between two bounds."""
    return low + (high - low) * min(1.0, activity(t, seed))
