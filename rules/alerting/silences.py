"""Silence matching, pure: Alertmanager's matchers over an alert's labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import re2

from monitor.errors import InputError

MAX_SILENCE_MS = 7 * 24 * 3600 * 1000
_MAX_MATCHERS = 64


@dataclass(frozen=True, slots=True)
class SilenceMatcher:
    """One matcher; a missing label matches as the empty string; regexes are anchored RE2."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels matches."""
        have = labels.get(self.name, "")
        same = _regex(self.value).fullmatch(have) is not None if self.is_regex else have == self.value
        return same is self.is_equal

    def as_json(self) -> dict[str, str | bool]:
        """Alertmanager's shape."""
        return {"name": self.name, "value": self.value, "isRegex": self.is_regex, "isEqual": self.is_equal}


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence in force from `starts_at` to `ends_at` (ms)."""

    id: str
    matchers: tuple[SilenceMatcher, ...]
    starts_at: int
    ends_at: int
    created_by: str
    comment: str
    updated_at: int

    def status(self, now: int) -> str:
        """pending, active or expired."""
        if now < self.starts_at:
            return "pending"
        return "active" if now < self.ends_at else "expired"

    def covers(self, labels: Mapping[str, str]) -> bool:
        """Whether every matcher matches."""
        return all(matcher.matches(labels) for matcher in self.matchers)


def silenced_until(silences: Iterable[Silence], labels: Mapping[str, str], now: int) -> int | None:
    """Until when (ms) an alert is silenced by the silences active now; None when it is not."""
    ends = [s.ends_at for s in silences if s.status(now) == "active" and s.covers(labels)]
    return max(ends, default=None)


def exact(labels: Mapping[str, str]) -> tuple[SilenceMatcher, ...]:
    """Matchers for exactly this label set."""
    return tuple(SilenceMatcher(name, value) for name, value in sorted(labels.items()))


def parse_matchers(raw: object) -> tuple[SilenceMatcher, ...]:
    """Matchers from Alertmanager's JSON list; raises InputError. One must not match the empty string."""
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not 0 < len(raw) <= _MAX_MATCHERS:
        raise InputError("matchers must be a list of at least one matcher", where="silence")
    found = tuple(_matcher(item) for item in raw)
    if all(matcher.matches({}) for matcher in found):
        raise InputError(
            "at least one matcher must not match the empty string",
            where="silence",
            hint="name a label the alert must have",
        )
    return found


def _matcher(item: object) -> SilenceMatcher:
    if not isinstance(item, Mapping):
        raise InputError("a matcher must be an object", where="silence")
    name, value = item.get("name"), item.get("value")
    regex, equal = item.get("isRegex", False), item.get("isEqual", True)
    if not isinstance(name, str) or not name or not isinstance(value, str):
        raise InputError("a matcher needs a name and a value, both strings", where="silence")
    if not isinstance(regex, bool) or not isinstance(equal, bool):
        raise InputError("isRegex and isEqual must be true or false", where="silence")
    if regex:
        _regex(value)
    return SilenceMatcher(name, value, regex, equal)


def _regex(pattern: str) -> re2._Regexp:
    try:
        return re2.compile(pattern)
    except re2.error as error:
        raise InputError(f"not a regular expression: {pattern!r}: {error}", where="silence") from None


def dump_matchers(matchers: Iterable[SilenceMatcher]) -> str:
    """As stored."""
    return json.dumps([matcher.as_json() for matcher in matchers], ensure_ascii=False)


def load_matchers(text: str) -> tuple[SilenceMatcher, ...]:
    """As stored, back."""
    return tuple(_matcher(item) for item in json.loads(text))
