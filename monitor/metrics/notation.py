"""How Prometheus writes numbers, times and durations in its HTTP API and tools."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from monitor.metrics.errors import QueryError
from monitor.metrics.promql.aggregate import plain_number

_UNIT_MS = (
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
)
_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII
)
_LARGEST_MS = 1 << 53


def number(value: float) -> str:
    """A sample value as Prometheus's JSON has it: `1`, `0.5`, `1e+21`, `NaN`, `+Inf`."""
    if math.isnan(value) or math.isinf(value):
        return plain_number(value)
    text = repr(value)
    if text.endswith(".0"):
        return text[:-2]
    if "e" in text and 1e-6 <= abs(value) < 1e21:
        return plain_number(value)
    return text


def seconds(ms: int) -> int | float:
    """Milliseconds as JSON seconds, whole where they are whole."""
    return ms // 1000 if ms % 1000 == 0 else ms / 1000


def time_ms(text: str, parameter: str = "time") -> int:
    """Unix seconds (with fraction) or RFC 3339 as milliseconds. Raises QueryError naming the parameter."""
    try:
        value = float(text) * 1000
    except ValueError:
        return _rfc3339_ms(text, parameter)
    if not abs(value) < _LARGEST_MS:
        raise QueryError(f'invalid parameter "{parameter}": {text!r} is out of range')
    return round(value)


def _rfc3339_ms(text: str, parameter: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise QueryError(
            f'invalid parameter "{parameter}": cannot parse {text!r} to a valid timestamp',
            hint="give Unix seconds or RFC 3339",
        ) from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def duration_ms(text: str, parameter: str = "step") -> int:
    """Seconds (`15`, `0.5`) or a Prometheus duration (`1h30m`) as milliseconds. Raises QueryError."""
    try:
        value = float(text) * 1000
    except ValueError:
        match = _DURATION.fullmatch(text)
        if match is None or not text:
            raise QueryError(
                f'invalid parameter "{parameter}": cannot parse {text!r} to a valid duration',
                hint="give seconds or a duration such as 5m",
            ) from None
        units = [*(unit for _, unit in _UNIT_MS), 1]
        value = float(sum(int(part) * unit for part, unit in zip(match.groups(), units, strict=True) if part))
    if not abs(value) < _LARGEST_MS:
        raise QueryError(f'invalid parameter "{parameter}": {text!r} is out of range')
    return round(value)
