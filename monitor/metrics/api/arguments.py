"""The parameters of a request, read as Prometheus reads them: the form body first, then the address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from flask import request

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Limits, Matcher
from monitor.metrics.notation import duration_ms, time_ms
from monitor.metrics.promql.compile import selector_matchers

_MAX_FORM = 1 << 20
_MAX_FIELDS = 10_000
_MAX_SELECTORS = 256
_FORM_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Arguments:
    """Parameters by name; every method raises QueryError that names the parameter."""

    given: Mapping[str, Sequence[str]]

    def text(self, name: str) -> str:
        """The first value; empty when there is none."""
        return next(iter(self.given.get(name, ())), "")

    def texts(self, name: str) -> Sequence[str]:
        """Every value."""
        return self.given.get(name, ())

    def required(self, name: str) -> str:
        """A value that must be there."""
        value = self.text(name)
        if not value.strip():
            raise QueryError(f'invalid parameter "{name}": it is missing or empty')
        return value

    def time_ms(self, name: str, default: int | None = None) -> int:
        """A moment in ms."""
        if default is not None and not self.text(name):
            return default
        return time_ms(self.required(name), name)

    def duration_ms(self, name: str, default: int | None = None) -> int:
        """A length of time in ms."""
        if default is not None and not self.text(name):
            return default
        return duration_ms(self.required(name), name)

    def limit(self, name: str = "limit") -> int:
        """The most a client wants; 0 is no limit."""
        value = self.text(name)
        if not value:
            return 0
        if not (value.isascii() and value.isdecimal() and len(value) < 19):
            raise QueryError(f'invalid parameter "{name}": {name} must be a whole number, not negative')
        return int(value)

    def selections(self, name: str = "match[]") -> list[tuple[Matcher, ...]]:
        """Series selectors."""
        texts = self.texts(name)
        if len(texts) > _MAX_SELECTORS:
            raise QueryError(
                f'invalid parameter "{name}": given {len(texts)} times, at most {_MAX_SELECTORS}'
            )
        found = []
        for text in texts:
            if text.lstrip().startswith("("):
                raise QueryError(f'invalid parameter "{name}": unexpected "(" before a series selector')
            found.append(selector_matchers(text, Limits()))
        return found

    def interval(self, now_ms: int) -> tuple[int, int]:
        """`start` and `end` in ms; everything up to a day from now when they are missing."""
        return self.time_ms("start", 0), self.time_ms("end", now_ms + 86_400_000)


def read_arguments() -> Arguments:
    """The parameters of the current request. Raises QueryError when it is too large or not UTF-8."""
    given: dict[str, list[str]] = {}
    if request.method == "POST" and request.mimetype == _FORM_TYPE:
        if (request.content_length or 0) > _MAX_FORM:
            raise QueryError(f"the form has more than {_MAX_FORM} bytes", kind="too_large")
        _add(given, request.get_data(cache=False), "the form")
    _add(given, request.query_string, "the address")
    return Arguments(given)


def read_address() -> Arguments:
    """The parameters of the address only: the body is something else, whatever its type says."""
    given: dict[str, list[str]] = {}
    _add(given, request.query_string, "the address")
    return Arguments(given)


def _add(given: dict[str, list[str]], raw: bytes, where: str) -> None:
    try:
        pairs = parse_qsl(
            raw.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except UnicodeDecodeError as error:
        raise QueryError(f"{where} is not valid UTF-8: {error.reason} at byte {error.start}") from None
    except ValueError:
        raise QueryError(f"{where} has more than {_MAX_FIELDS} parameters") from None
    for name, value in pairs:
        given.setdefault(name, []).append(value)
