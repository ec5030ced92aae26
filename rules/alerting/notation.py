"""The series notation of promtool's unit tests: `up{job="a"}` and `1+2x3 _x2 stale NaN`.

Source: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/#series. As in promtool, a
number with a leading zero is octal, and there are no hexadecimal ones: `0x3` is four zeros.
"""

from __future__ import annotations

import math
import re

from monitor.metrics.interface import STALE, Labels, make_labels
from rules.alerting.errors import RuleFileError, TemplateError
from rules.alerting.template_parser import unquote

_NUMBER = r"(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|(?:inf|nan)(?!x))"
_ITEM = re.compile(
    rf"(?P<skip>_)(?:x(?P<skips>\d+))?|(?P<stale>(?-i:stale))"
    rf"|(?P<start>[+-]?{_NUMBER})(?:(?P<delta>[+-]{_NUMBER})?x(?P<times>\d+))?",
    re.IGNORECASE | re.ASCII,
)
_LABEL = re.compile(
    r"""\s*(?P<name>[a-zA-Z_]\w*)\s*=\s*(?P<value>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)\s*(?P<end>,|$)""",
    re.ASCII,
)
_METRIC = re.compile(r"\s*(?P<name>[a-zA-Z_:][\w:]*)?\s*(?:\{(?P<labels>.*)\})?\s*", re.DOTALL | re.ASCII)
_OCTAL = re.compile(r"0[0-7]+")
_MAX_SAMPLES = 1_000_000


def parse_series(text: str, where: str) -> Labels:
    """The label set of `name{label="value", ...}`; the empty text is the empty label set. Raises RuleFileError."""
    match = _METRIC.fullmatch(text)
    if match is None:
        raise RuleFileError(f"not a series: {text!r}", where=where)
    labels: dict[str, str] = {}
    inner, at = (match["labels"] or "").strip(), 0
    while at < len(inner):
        label = _LABEL.match(inner, at)
        if label is None:
            raise RuleFileError(f"not a label set: {text!r}", where=where)
        if label["name"] in labels:
            raise RuleFileError(f"label {label['name']} is given twice: {text!r}", where=where)
        try:
            labels[label["name"]] = unquote(label["value"])
        except TemplateError as error:
            raise RuleFileError(f"{error.message}: {text!r}", where=where) from error
        at = label.end()
    return make_labels(labels, match["name"])


def parse_values(text: str, where: str) -> list[float | None]:
    """One value an interval; None where there is no sample. Raises RuleFileError."""
    if "{{" in text:
        raise RuleFileError("native histograms ({{schema: ...}}) are not supported", where=where)
    if "\n" in text.strip():
        raise RuleFileError("a line break among the values ends the series; fold them with `>-`", where=where)
    values: list[float | None] = []
    for item in text.split():
        match = _ITEM.fullmatch(item)
        if match is None:
            raise RuleFileError(f"not a value of the series notation: {item!r}", where=where)
        if any(_too_large(match[name]) for name in ("start", "delta")):
            raise RuleFileError(f"a number too large: {item!r}", where=where)
        if max(int(match["skips"] or 0), int(match["times"] or 0)) + len(values) > _MAX_SAMPLES:
            raise RuleFileError(f"more than {_MAX_SAMPLES} samples", where=where)
        if match["skip"]:
            values += [None] * int(match["skips"] or 1)
        elif match["stale"]:
            values.append(STALE)
        else:
            values += _expand(match)
    return values


def _expand(match: re.Match[str]) -> list[float | None]:
    start = _value(match["start"])
    if match["times"] is None:
        return [start]
    delta = _value(match["delta"]) if match["delta"] else 0.0
    values: list[float | None] = []
    for _ in range(int(match["times"]) + 1):
        values.append(start)
        start += delta
    return values


def _too_large(text: str | None) -> bool:
    return text is not None and "n" not in text.lower() and math.isinf(float(text))


def _value(text: str) -> float:
    digits = text.lstrip("+-")
    number = float(int(digits, 8)) if _OCTAL.fullmatch(digits) else float(digits)
    return -number if text.startswith("-") else number
