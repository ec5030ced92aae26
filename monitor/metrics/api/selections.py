"""`series`, `labels` and `label/<name>/values`: what is stored, without its samples."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from flask import Response

from monitor.metrics.api.answers import success
from monitor.metrics.api.arguments import read_arguments
from monitor.metrics.api.parts import TRUNCATED, Parts
from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Labels, Matcher

_ESCAPED = re.compile(r"__|_([0-9a-fA-F]{1,6})_")


@dataclass(frozen=True, slots=True)
class SelectionViews:
    """The views; each reads the current request."""

    parts: Parts

    def series(self) -> Response:
        """Label sets of the series that match any of `match[]`."""
        arguments = read_arguments()
        selections = arguments.selections()
        if not selections:
            raise QueryError("no match[] parameter provided")
        start, end = arguments.interval(self.parts.clock.now_ms())
        most = arguments.limit()
        with self.parts.place():
            found: set[Labels] = set()
            for matchers in selections if start <= end else ():
                found.update(self.parts.store.series(matchers, start, end))
            kept = sorted(found)[: most or None]
            data = orjson.dumps([dict(labels) for labels in kept])
        return success(data, warnings=[TRUNCATED] if len(kept) < len(found) else [])

    def labels(self) -> Response:
        """Label names, over everything or the series that match any of `match[]`."""
        return self._names(self.parts.store.label_names)

    def label_values(self, name: str) -> Response:
        """Values of one label, over everything or the series that match any of `match[]`."""
        label = _unescaped(name)

        def values(matchers: Sequence[Matcher], start: int, end: int) -> list[str]:
            return self.parts.store.label_values(label, matchers, start, end)

        return self._names(values)

    def _names(self, read: Callable[[Sequence[Matcher], int, int], list[str]]) -> Response:
        arguments = read_arguments()
        selections: Sequence[tuple[Matcher, ...]] = arguments.selections() or [()]
        start, end = arguments.interval(self.parts.clock.now_ms())
        most = arguments.limit()
        with self.parts.place():
            found: set[str] = set()
            for matchers in selections if start <= end else ():
                found.update(read(matchers, start, end))
        kept = sorted(found)[: most or None]
        return success(kept, warnings=[TRUNCATED] if len(kept) < len(found) else [])


def _unescaped(name: str) -> str:
    """A label name as it is stored; clients write names outside [a-zA-Z0-9_] as `U__` and code points."""
    if not name.startswith("U__"):
        return name

    def one(match: re.Match[str]) -> str:
        code = int(match.group(1), 16) if match.group(1) else ord("_")
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise QueryError(f'invalid label name: "{name}"')
        return chr(code)

    return _ESCAPED.sub(one, name[3:])
