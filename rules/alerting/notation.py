"""The series notation of promtool's unit tests: `up{job="a"}` and `1+2x3 _x2 stale NaN`.

Source: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/#series
"""

from __future__ import annotations

import re

from monitor.metrics.interface import STALE, Labels, make_labels
from rules.alerting.errors import RuleFileError

_NUMBER = r"(?:[+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|inf(?:inity)?|nan))"
_UNSIGNED = _NUMBER.replace("[+-]?", "", 1)
_ITEM = re.compile(
    rf"(?P<skip>_)(?:x(?P<skips>\d+))?|(?P<stale>stale)"
    rf"|(?P<start>{_NUMBER})(?:(?:(?P<sign>[+-])(?P<delta>{_UNSIGNED}))?x(?P<times>\d+))?",
    re.IGNORECASE,
)
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')\s*(,|$)')
_METRIC = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)?\s*(?:\{(.*)\})?\s*", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_MAX_SAMPLES = 1_000_000


def parse_series(text: str, where: str) -> Labels:
    """The label set of `name{label="value", ...}`; the empty text is the empty label set. Raises RuleFileError."""
    match = _METRIC.fullmatch(text)
    if match is None:
        raise RuleFileError(f"not a series: {text!r}", where=where)
    labels: dict[str, str] = {}
    inner, at = (match[2] or "").strip(), 0
    while at < len(inner):
        label = _LABEL.match(inner, at)
        if label is None:
            raise RuleFileError(f"not a label set: {text!r}", where=where)
        labels[label[1]] = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), label[2][1:-1])
        at = label.end()
    return make_labels(labels, match[1])


def parse_values(text: str, where: str) -> list[float | None]:
    """One value an interval; None where there is no sample. Raises RuleFileError."""
    values: list[float | None] = []
    for item in text.split():
        match = _ITEM.fullmatch(item)
        if match is None:
            raise RuleFileError(f"not a value of the series notation: {item!r}", where=where)
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
    start = float(match["start"])
    if match["times"] is None:
        return [start]
    delta = float(match["delta"]) if match["delta"] else 0.0
    if match["sign"] == "-":
        delta = -delta
    values: list[float | None] = []
    for _ in range(int(match["times"]) + 1):
        values.append(start)
        start += delta
    return values
