"""Whether a label value satisfies a matcher.

Regular expressions are RE2, match the whole text, and their `.` matches line breaks too; they are bounded in size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import re2

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Matcher, MatchOp

MAX_CHARS = 4096
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.dot_nl = True


def full_match(pattern: str) -> Callable[[str], Any]:
    """A function from a text to its match (of the whole text) or None. Raises ValueError with the reason."""
    if len(pattern) > MAX_CHARS:
        raise ValueError(f"{len(pattern)} characters, at most {MAX_CHARS} are allowed")
    try:
        found: Callable[[str], Any] = re2.compile(pattern, _OPTIONS).fullmatch
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        raise ValueError(
            reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        ) from None
    return found


def predicate(matcher: Matcher) -> Callable[[str], bool]:
    """Whether a label value satisfies a matcher. Raises QueryError when its regex is not valid."""
    if matcher.op is MatchOp.EQ:
        return lambda value: value == matcher.value
    if matcher.op is MatchOp.NE:
        return lambda value: value != matcher.value
    try:
        match = full_match(matcher.value)
    except ValueError as error:
        raise QueryError(f"bad regex {matcher.value!r} for label {matcher.name}: {error}") from error
    if matcher.op is MatchOp.RE:
        return lambda value: match(value) is not None
    return lambda value: match(value) is None
