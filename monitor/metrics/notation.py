"""How Prometheus writes and reads numbers, times and durations in its HTTP API and tools."""

from __future__ import annotations

import math
import re
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from monitor.metrics.errors import QueryError

_UNITS_MS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1)
_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII
)
_NUMBER = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[-+]\d\d:\d\d)", re.ASCII)
_LARGEST_MS = 1 << 53
_BORDERS = MappingProxyType(  # as Prometheus's own clients write them
    {
        "-292273086-05-16T16:47:06Z": -_LARGEST_MS,
        "292277025-08-18T07:12:54.999999999Z": _LARGEST_MS,
    }
)
_LONGEST_CHARS = 80  # longer texts are no times; the patterns would take long over them


def number(value: float) -> str:
    """A sample value as Prometheus's JSON has it: `1`, `0.5`, `1e+21`, `NaN`, `+Inf`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if text.endswith(".0"):
        return text[:-2]
    if "e" in text and 1e-6 <= abs(value) < 1e21:
        return format(Decimal(text), "f")
    return text


def seconds(ms: int) -> int | float:
    """Milliseconds as JSON seconds, whole where they are whole."""
    return ms // 1000 if ms % 1000 == 0 else ms / 1000


def seconds_text(ms: int) -> str:
    """Milliseconds as decimal seconds, with three decimals or none."""
    whole, rest = divmod(abs(ms), 1000)
    sign = "-" if ms < 0 else ""
    return f"{sign}{whole}.{rest:03d}" if rest else f"{sign}{whole}"


def time_ms(text: str, parameter: str = "time") -> int:
    """Unix seconds (with fraction) or RFC 3339 as milliseconds. Raises QueryError naming the parameter.

    Clients ask from the beginning to the end of their own time: what lies beyond ours (some 285,000 years from 1970)
    is its border.
    """
    if len(text) > _LONGEST_CHARS:
        raise _no_time(text, parameter)
    if _NUMBER.fullmatch(text) and not math.isnan(value := float(text)):
        return round(max(-_LARGEST_MS, min(_LARGEST_MS, value * 1000)))
    if text in _BORDERS:
        return _BORDERS[text]
    if _RFC3339.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text.replace(",", "."))
        except ValueError:
            raise _no_time(text, parameter) from None
        return int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000
    raise _no_time(text, parameter)


def duration_ms(text: str, parameter: str = "step") -> int:
    """Seconds (`15`, `0.5`) or a Prometheus duration (`1h30m`) as milliseconds. Raises QueryError."""
    readable = 0 < len(text) <= _LONGEST_CHARS
    if readable and _NUMBER.fullmatch(text):
        return _in_range(float(text) * 1000, text, parameter)
    match = _DURATION.fullmatch(text) if readable else None
    if match is None:
        raise QueryError(
            f'invalid parameter "{parameter}": cannot parse {_shown(text)} to a valid duration',
            hint="give seconds or a duration such as 5m",
        )
    parts = zip(match.groups(), _UNITS_MS, strict=True)
    return _in_range(float(sum(int(part) * unit for part, unit in parts if part)), text, parameter)


def _in_range(ms: float, text: str, parameter: str) -> int:
    if not abs(ms) < _LARGEST_MS:
        raise QueryError(f'invalid parameter "{parameter}": {_shown(text)} is out of range')
    return round(ms)


def _no_time(text: str, parameter: str) -> QueryError:
    return QueryError(
        f'invalid parameter "{parameter}": cannot parse {_shown(text)} to a valid timestamp',
        hint="give Unix seconds or RFC 3339",
    )


def _shown(text: str) -> str:
    return f'"{text}"' if len(text) <= _LONGEST_CHARS else f'"{text[:_LONGEST_CHARS]}..."'
