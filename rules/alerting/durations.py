"""Prometheus durations: `5m`, `1h30m`, `0`. Source: https://prometheus.io/docs (prometheus/common, model/time.go)."""

from __future__ import annotations

import re

from rules.alerting.go_format import go_quote

_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII
)
_UNITS_MS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1_000, 1)
_MAX_MS = (1 << 63) // 1_000_000  # int64 nanoseconds, about 292 years


def parse_duration(text: str) -> int:
    """A Prometheus duration in ms. Raises ValueError."""
    if text == "0":
        return 0
    if not text:
        raise ValueError("empty duration string")
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"not a valid duration string: {go_quote(text)}")
    total = sum(int(n) * unit for n, unit in zip(match.groups(), _UNITS_MS, strict=True) if n)
    if total > _MAX_MS:
        raise ValueError("duration out of range")
    return total
