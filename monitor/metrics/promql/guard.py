"""What is refused before the parser sees it: a native parser must never take the process down.

The recursive-descent parser overflows its stack on thousands of nested brackets or chained operators, and
panics on time stamps outside the range of its clock type.
"""

from __future__ import annotations

import re

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Limits

_TOKEN = re.compile(
    r"""(?P<skip>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`|\#[^\n]*)"""
    r"""|(?P<open>[(\[{])|(?P<close>[)\]}])"""
    r"""|(?P<at>@\s*(?P<time>[-+]?[0-9.][0-9a-zA-Z_.]*(?:(?<=[eE])[-+][0-9]+)?)?)"""
    r"""|(?P<op>[-+*/%^<>]|==|!=|\b(?:and|or|unless|atan2)\b)""",
    re.IGNORECASE,
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
                raise QueryError(f"{_place(expression, token.start())}: nested deeper than {limits.nesting}")
        elif kind == "close":
            depth -= 1
            braces -= token.group() == "}"
        elif kind == "op" and braces <= 0:
            operators += 1
            if operators > _MAX_OPERATORS:
                raise QueryError(f"{_place(expression, token.start())}: more than {_MAX_OPERATORS} operators")
        elif token.group("time") is not None and braces <= 0:
            _check_time(expression, token)


def _check_time(expression: str, token: re.Match[str]) -> None:
    text = token.group("time")
    try:
        seconds = float(text)
    except ValueError:
        return
    if not 0 <= seconds < _MAX_AT_SECONDS:
        raise QueryError(f"{_place(expression, token.start())}: @ {text} is outside 1970 to 5138")


def _place(expression: str, offset: int) -> str:
    line = expression.count("\n", 0, offset) + 1
    column = offset - (expression.rfind("\n", 0, offset) + 1) + 1
    return f"{line}:{column}"
