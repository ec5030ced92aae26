"""What is refused before the parser sees it: a native parser must never take the process down.

The recursive-descent parser overflows its stack on thousands of nested brackets or chained operators, and
panics on time stamps outside the range of its clock type, which are taken out of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Limits
from monitor.metrics.promql.places import line_and_column

_TOKEN = re.compile(
    r"""(?P<skip>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`|\#[^\n]*)"""
    r"""|(?P<open>[(\[{])|(?P<close>[)\]}])"""
    r"""|(?P<at>@\s*(?P<time>[-+]?\s*[0-9.][0-9a-zA-Z_.]*(?:(?<=[eE])[-+][0-9]+)?)?)"""
    r"""|(?P<op>[-+*/%^<>]|==|!=|\b(?:and|or|unless|atan2)\b)""",
    re.IGNORECASE,
)
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_DURATION = re.compile(rf"[-+]?(?:{_PART.pattern})+")
_UNITS = MappingProxyType(
    {
        "ms": 1,
        "s": 1000,
        "m": 60_000,
        "h": 3_600_000,
        "d": 86_400_000,
        "w": 604_800_000,
        "y": 31_536_000_000,
    }
)
_MAX_OPERATORS = 300  # keeps the deepest chain inside Python's default recursion limit
_MAX_AT_SECONDS = 1e11


def check(expression: str, limits: Limits) -> None:
    """Refuse what is too long, nested too deep, chained too far, or outside the clock. Raises QueryError."""
    if len(expression) > limits.expression_chars:
        raise QueryError(
            f"expression has {len(expression)} characters, at most {limits.expression_chars} are allowed"
        )
    depth = braces = operators = 0
    for token in _TOKEN.finditer(expression):
        kind = token.lastgroup
        if kind == "open":
            depth += 1
            braces += token.group() == "{"
            if depth > limits.nesting:
                raise QueryError(f"{_place(expression, token)}: nested deeper than {limits.nesting}")
        elif kind == "close":
            depth -= 1
            braces -= token.group() == "}"
        elif kind == "op" and braces <= 0:
            operators += 1
            if operators > _MAX_OPERATORS:
                raise QueryError(f"{_place(expression, token)}: more than {_MAX_OPERATORS} operators")


@dataclass(frozen=True, slots=True)
class Timeless:
    """An expression with the n-th `@ <number>` as `@ n`; `moments` are those times in ms since the epoch, `written`
    how they stood in the text.

    The parser's clock type begins in 1970 and rounds; PromQL's times may be earlier.
    """

    text: str
    moments: tuple[int, ...]
    written: tuple[str, ...]

    def with_times(self, text: str) -> str:
        """A text made of this one, with the times put back."""
        parts: list[str] = []
        done = 0
        for token in _times(text):
            parts += text[done : token.start("time")], self.written[round(float(token.group("time")))]
            done = token.end()
        return "".join((*parts, text[done:]))


def without_times(expression: str) -> Timeless:
    """Take the times after `@` out. Raises QueryError for what is no time."""
    parts: list[str] = []
    moments: list[int] = []
    written: list[str] = []
    done = 0
    for token in _times(expression):
        parts += expression[done : token.start()], f"@ {len(moments)}"
        done = token.end()
        moments.append(round(_seconds(expression, token) * 1000))
        written.append(token.group("time"))
    return Timeless("".join((*parts, expression[done:])), tuple(moments), tuple(written))


def _times(expression: str) -> Iterator[re.Match[str]]:
    """Every `@ <number>` outside of strings, comments and label matchers."""
    braces = 0
    for token in _TOKEN.finditer(expression):
        braces += (token.group() == "{") - (token.group() == "}")
        if token.group("time") is not None and braces <= 0:
            yield token


def _seconds(expression: str, token: re.Match[str]) -> float:
    text = token.group("time")
    plain = re.sub(r"[\s_]", "", text).lower()
    try:
        seconds = _duration(plain) if _DURATION.fullmatch(plain) else _plain_number(plain)
    except ValueError:
        raise QueryError(f"{_place(expression, token)}: {text!r} is not a time after @") from None
    if not abs(seconds) < _MAX_AT_SECONDS:
        raise QueryError(f"{_place(expression, token)}: timestamp out of bounds for @ modifier: {text}")
    return seconds


def _plain_number(text: str) -> float:
    return float(int(text, 16)) if "x" in text else float(text)


def _duration(text: str) -> float:
    total = sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text))
    return (-total if text.startswith("-") else total) / 1000


def _place(expression: str, token: re.Match[str]) -> str:
    return line_and_column(expression, token.start())
