"""The functions of alert templates that put numbers into people's units, as Prometheus does it. Pure.

Source: Prometheus template/template.go.
"""

from __future__ import annotations

import math

from monitor.clock import to_datetime
from rules.alerting import durations
from rules.alerting.go_format import go_float, go_quote, go_text
from rules.alerting.template_values import CallError, Moment, Value, go_type

_MAX_INT64 = float(1 << 63)


def _number(value: Value) -> float:
    if isinstance(value, str):
        try:
            if value != value.strip():
                raise ValueError
            return float(value.replace("_", "~"))
        except ValueError:
            raise CallError(f"strconv.ParseFloat: parsing {go_quote(value)}: invalid syntax") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CallError(f"can't convert {go_type(value)} to float")
    return float(value)


def _short(value: float) -> str:
    return go_float(value) if not math.isfinite(value) else f"{value:.4g}"


def _scaled(number: float) -> str:
    """Below 1: a thousandfold until it is not, with the prefix for that."""
    prefix = ""
    for step in "munpfazy":
        if abs(number) >= 1:
            break
        prefix, number = step, number * 1000
    return _short(number) + prefix


def humanize(value: Value) -> str:
    """Four significant digits with a metric prefix: 1234567 -> 1.235M."""
    number = _number(value)
    if number == 0 or not math.isfinite(number):
        return _short(number)
    if abs(number) < 1:
        return _scaled(number)
    prefix = ""
    for step in "kMGTPEZY":
        if abs(number) < 1000:
            break
        prefix, number = step, number / 1000
    return _short(number) + prefix


def humanize1024(value: Value) -> str:
    """Four significant digits with a binary prefix: 1048576 -> 1Mi."""
    number = _number(value)
    if abs(number) <= 1 or not math.isfinite(number):
        return _short(number)
    prefix = ""
    for step in ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"):
        if abs(number) < 1024:
            break
        prefix, number = step, number / 1024
    return _short(number) + prefix


def humanize_duration(value: Value) -> str:
    """Seconds as days, hours, minutes and seconds: 93784 -> 1d 2h 3m 4s."""
    number = _number(value)
    if not math.isfinite(number):
        return _short(number)
    if abs(number) < 1:
        return ("0" if number == 0 else _scaled(number)) + "s"
    sign = "-" if number < 0 else ""
    days, rest = divmod(int(min(abs(number), _MAX_INT64)), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    if abs(number) >= _MAX_INT64:  # beyond Go's integers, where every part comes out negative
        days, hours, minutes, seconds = -days, -hours, -minutes, -seconds
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{_short(abs(number))}s"


def humanize_percentage(value: Value) -> str:
    """A ratio as a percentage: 0.853 -> 85.3%."""
    return _short(_number(value) * 100) + "%"


def _time(value: Value) -> Moment | float:
    """Seconds since the epoch as a time; NaN and Inf stay as they are."""
    number = _number(value)
    if not math.isfinite(number):
        return number
    if not -_MAX_INT64 <= number * 1e9 < _MAX_INT64:
        raise CallError(
            f"{go_float(number)} cannot be represented as a nanoseconds timestamp since it overflows int64"
        )
    return Moment(to_datetime(int(number * 1e9) // 1_000_000))


def humanize_timestamp(value: Value) -> str:
    """Seconds since the epoch as a UTC time."""
    return go_text(_time(value))


def to_time(value: Value) -> Moment:
    """Seconds since the epoch as a time that has methods."""
    moment = _time(value)
    if isinstance(moment, float):
        raise CallError(f"{go_float(moment)} cannot be represented as a nanoseconds timestamp")
    return moment


def parse_duration(text: str) -> float:
    """A Prometheus duration in seconds."""
    try:
        return durations.parse_duration(text) / 1000
    except ValueError as error:
        raise CallError(str(error)) from None
