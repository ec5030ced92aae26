"""Regular expressions as PromQL means them: RE2, whole text, `.` matches line breaks too; bounded in size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import re2

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
        raise ValueError(str(error)) from None
    return found
