"""The Prometheus text format 0.0.4, byte for byte as Go's client library writes it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from collectors.profiles.modules_read import Family, Sample

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PLAIN_POWERS: Final = range(-4, 6)  # of ten; below and above Go writes an exponent


def render(families: Iterable[Family]) -> str:
    """Families in the given order, their samples by label values."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        lines.append(f"# TYPE {family.name} {family.type}")
        lines += [_line(family.name, sample) for sample in sorted(family.samples, key=_order)]
    return "".join(f"{line}\n" for line in lines)


def _order(sample: Sample) -> tuple[int, list[str]]:
    return len(sample.labels), [value for _, value in sample.labels]


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{key}="{_escaped(value, quote=True)}"' for key, value in sample.labels)
    return f"{name}{{{labels}}} {go_number(sample.value)}" if labels else f"{name} {go_number(sample.value)}"


def _escaped(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quote else text


def go_number(value: float) -> str:
    """The shortest form that reads back the same, with an exponent below 1e-4 and from 1e+06 on."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    sign, digit_tuple, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digit_tuple))
    power = int(exponent) + len(text) - 1
    digits = text.rstrip("0") or "0"
    minus = "-" if sign else ""
    if power in _PLAIN_POWERS:
        return minus + _plain(digits, power)
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{minus}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _plain(digits: str, power: int) -> str:
    if power < 0:
        return "0." + "0" * (-power - 1) + digits
    whole = digits[: power + 1].ljust(power + 1, "0")
    rest = digits[power + 1 :]
    return f"{whole}.{rest}" if rest else whole
