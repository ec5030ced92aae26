"""Samples as text: the Prometheus text format 0.0.4 and OpenMetrics 1.0, with time stamps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from monitor.metrics.api.encoding import number_tokens
from monitor.metrics.interface import Labels
from monitor.metrics.latest import Newest
from monitor.metrics.notation import seconds_text

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_OTHER = re.compile(r"[^a-zA-Z0-9_:]", re.ASCII)
_SPECIAL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

Row = tuple[str, str, int, str]
"""Metric name, labels as text, ms and value."""


@dataclass(frozen=True, slots=True)
class TextFormat:
    """How one of the two formats differs from the other."""

    content_type: str
    unknown: str
    in_seconds: bool
    end: str


PROMETHEUS = TextFormat("text/plain; version=0.0.4; charset=utf-8", "untyped", in_seconds=False, end="")
OPENMETRICS = TextFormat(
    "application/openmetrics-text; version=1.0.0; charset=utf-8", "unknown", in_seconds=True, end="# EOF\n"
)


def accepted(header: str) -> TextFormat:
    """The format an Accept header asks for: OpenMetrics where it is named and not refused, else the older one."""
    for choice in header.split(","):
        kind, *parameters = (part.strip().lower() for part in choice.split(";"))
        if kind == "application/openmetrics-text" and not {"q=0", "q=0.0"} & set(parameters):
            return OPENMETRICS
    return PROMETHEUS


def write_text(samples: Iterable[Newest], form: TextFormat) -> str:
    """The samples, metric by metric; of a series that comes twice the first counts.

    Nothing is said of types: a stored series does not tell its family. Characters that the formats do not allow in
    names become `_`.
    """
    return "".join(_lines(samples, form)) + form.end


def _lines(samples: Iterable[Newest], form: TextFormat) -> Iterator[str]:
    rows: dict[tuple[str, str], Row] = {}
    known = _Pairs()
    for part in samples:
        tokens = number_tokens(part.values)
        for labels, at, token in zip(part.labels, part.times.tolist(), tokens, strict=True):
            name, shown = _series(labels, known)
            rows.setdefault((name, shown), (name, shown, at, token.decode()))
    for name, group in groupby(sorted(rows.values()), key=itemgetter(0)):
        yield f"# TYPE {name} {form.unknown}\n"
        for _, shown, at, value in group:
            yield f"{name}{shown} {value} {seconds_text(at) if form.in_seconds else at}\n"


class _Pairs(dict[tuple[str, str], str]):
    """Labels as text. Many series share them, so that each is written once."""

    def __missing__(self, pair: tuple[str, str]) -> str:
        label, value = pair
        text = f'{_allowed(label)}="{value.translate(_SPECIAL)}"'
        self[pair] = text
        return text


def _series(labels: Labels, known: _Pairs) -> tuple[str, str]:
    shown = ",".join([known[pair] for pair in labels if pair[0] != "__name__"])
    name = next((value for label, value in labels if label == "__name__"), "")
    return _allowed(name), f"{{{shown}}}" if shown else ""


def _allowed(name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    replaced = _OTHER.sub("_", name)
    return "_" + replaced if replaced[:1].isdigit() else replaced
