"""How values move over the day: a closed form of time, so that a restart continues where the city would be.

`t` is seconds since the Unix epoch; `seed` tells one signal from another.
"""

from __future__ import annotations

import math

DAY = 86_400.0
UTC_OFFSET = 8 * 3600.0


def _phase(seed: int) -> float:
    return (seed * 2654435761 % 2**32) / 2**32 * 2 * math.pi


def activity(t: float, seed: int) -> float:
    """How busy the city is: about 0.25 at night, about 1 at ten and three o'clock, with some minute-scale unrest."""
    hour = (t + UTC_OFFSET) % DAY / DAY * 2 * math.pi
    phase = _phase(seed)
    daily = 0.62 - 0.38 * math.cos(hour) - 0.08 * math.cos(2 * hour)
    unrest = (
        0.09 * math.sin(t / 47 + phase)
        + 0.06 * math.sin(t / 171 + 2 * phase)
        + 0.04 * math.sin(t / 13 + 3 * phase)
    )
    return max(0.05, daily + unrest)


def counter(t: float, rate: float, seed: int) -> int:
    """The integral of `rate * activity` since the epoch's last new year of this form: a counter that never falls."""
    w = 2 * math.pi / DAY
    u = t + UTC_OFFSET
    phase = _phase(seed)
    daily = 0.62 * u - 0.38 * math.sin(w * u) / w - 0.08 * math.sin(2 * w * u) / (2 * w)
    unrest = (
        -0.09 * 47 * math.cos(t / 47 + phase)
        - 0.06 * 171 * math.cos(t / 171 + 2 * phase)
        - 0.04 * 13 * math.cos(t / 13 + 3 * phase)
    )
    # Counted from a fixed day in 2026, so that the numbers stay far below 2^53.
    return max(0, int(rate * (daily + unrest - 0.62 * ORIGIN)))


ORIGIN = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def between(t: float, low: float, high: float, seed: int) -> float:
    """A value that follows activity between two bounds."""
    return low + (high - low) * min(1.0, activity(t, seed))
