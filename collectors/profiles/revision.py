"""A short digest of how a profile reads a device's identity. Pure.

Told with the identity, it lets whoever compares two identities tell a device that changed from one that is merely read
otherwise since the product was updated.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from collectors.profiles.profile import Profile


def revision(profile: Profile) -> str:
    """Eight hex digits, the same in every process as long as the identity rules are the same."""
    return hashlib.sha256(_plain(profile.identity).encode()).hexdigest()[:8]


def _plain(value: object) -> str:
    """A text that depends on the content alone: not on hash order, nor on where an object lies in memory."""
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}({','.join(_plain(getattr(value, f.name)) for f in fields(value))})"
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{_plain(key)}:{_plain(item)}" for key, item in value.items())) + "}"
    if isinstance(value, frozenset | set):
        return "<" + ",".join(sorted(_plain(item) for item in value)) + ">"
    if isinstance(value, tuple | list):
        return "[" + ",".join(_plain(item) for item in value) + "]"
    if isinstance(value, re.Pattern):
        return f"/{value.pattern}/{value.flags}"
    if value is None or isinstance(value, str | bytes | int | float):
        return repr(value)
    return type(value).__name__
