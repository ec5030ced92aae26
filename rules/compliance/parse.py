"""Readers of Linux configuration, pure: rows of facts in, settings with their deciding lines out.

Comments never count. Where a program takes the first or the last of several settings, so do these.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rules.compliance.facts import Facts, Row
from rules.compliance.interface import Line

AUTH_STACKS = frozenset({"common-auth", "system-auth", "password-auth", "sshd", "login"})
PASSWORD_STACKS = frozenset({"common-password", "system-auth", "password-auth"})


def active(rows: Iterable[Row], marks: str = "#") -> list[Row]:
    """The rows that are neither blank nor comments."""
    return [row for row in rows if (text := row.text.strip()) and text[0] not in marks]


@dataclass(frozen=True, slots=True)
class Setting:
    """One `key value` or `key = value`, the key in lower case."""

    key: str
    value: str
    line: Line


def settings(rows: Iterable[Row], marks: str = "#;") -> list[Setting]:
    """Settings of a file whose lines are `key value` or `key = value`; a bare key has an empty value."""
    found = []
    for row in active(rows, marks):
        if row.text.strip().startswith("["):
            continue
        key, value = [*re.split(r"\s*=\s*|\s+", row.text.strip(), maxsplit=1), ""][:2]
        found.append(Setting(key.lower(), value.split(" #", 1)[0].strip(), row.line))
    return found


def last(found: Iterable[Setting], key: str) -> Setting | None:
    """The setting that wins where later lines override earlier ones."""
    return next((item for item in reversed(list(found)) if item.key == key.lower()), None)


def number(setting: Setting | None) -> int | None:
    """The value as an integer, None when there is none."""
    try:
        return int(setting.value) if setting else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Account:
    """One line of passwd or shadow, by position."""

    name: str
    fields: tuple[str, ...]
    line: Line

    @property
    def can_log_in_by_password(self) -> bool:
        """A shadow entry with a password that is neither empty nor locked."""
        return self.fields[1] != "" and self.fields[1][0] not in "!*"


def accounts(rows: Iterable[Row]) -> list[Account]:
    """The entries of passwd, group or shadow; comments and malformed lines are no accounts."""
    found = []
    for row in active(rows):
        fields = tuple(row.text.split(":"))
        if len(fields) >= 3:
            found.append(Account(fields[0], fields, row.line))
    return found


@dataclass(frozen=True, slots=True)
class PamLine:
    """One active PAM line: the stack (file) it stands in, its module without path and suffix, its arguments."""

    stack: str
    control: str
    module: str
    arguments: Mapping[str, str]
    line: Line


_PAM = re.compile(r"^-?(\w+)\s+(\[[^]]*\]|\S+)\s+(\S+)\s*(.*)$")


def pam(rows: Iterable[Row], kind: str, stacks: Iterable[str]) -> list[PamLine]:
    """The lines of one kind (auth, password, ...) in these stacks."""
    wanted, found = frozenset(stacks), []
    for row in active(rows):
        stack = row.file.rsplit("/", 1)[-1]
        match = _PAM.match(row.text.strip())
        if stack not in wanted or match is None or match[1] != kind:
            continue
        module = match[3].rsplit("/", 1)[-1].removesuffix(".so")
        words = match[4].split("#", 1)[0].split()
        arguments = {word.partition("=")[0]: word.partition("=")[2] for word in words}
        found.append(PamLine(stack, match[2], module, arguments, row.line))
    return found


@dataclass(frozen=True, slots=True)
class Sshd:
    """What sshd is told. `effective`: from `sshd -T`, so that absent keys do not occur; otherwise from its files."""

    values: Mapping[str, Setting]
    effective: bool

    def get(self, key: str, default: str) -> tuple[str, tuple[Line, ...]]:
        """The value in lower case and the deciding line; OpenSSH's own default when nothing sets it."""
        setting = self.values.get(key)
        return (setting.value.lower(), (setting.line,)) if setting else (default, ())


SSHD_FACTS = ("sshd-effective", "sshd-config", "sshd-config-d")


def sshd(facts: Facts) -> Sshd | None:
    """`sshd -T` when it worked (it needs /run/sshd and root), else the files; None without any sshd."""
    if facts.readable("sshd-effective"):
        return Sshd(_first(settings(facts.rows("sshd-effective"))), effective=True)
    if facts.absent("sshd-config"):
        return None
    rows: list[Row] = []
    for row in facts.rows("sshd-config"):
        words = row.text.split()
        if words and words[0].lower() == "include":
            rows.extend(facts.rows("sshd-config-d"))
        elif words and words[0].lower() == "match":
            break
        else:
            rows.append(row)
    return Sshd(_first(settings(rows)), effective=False)


def _first(found: Iterable[Setting]) -> dict[str, Setting]:
    values: dict[str, Setting] = {}
    for setting in found:
        values.setdefault(setting.key, setting)
    return values


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket that something off the host can reach."""

    protocol: str
    port: int
    line: Line


def reachable_listeners(rows: Iterable[Row]) -> Iterator[Listener]:
    """The sockets of `ss -H -lntu` that are not bound to a loopback address."""
    for row in rows:
        words = row.text.split()
        if len(words) < 5 or words[0] not in {"tcp", "udp"}:
            continue
        address, _, port = words[4].rpartition(":")
        if port.isdigit() and not _loopback(address):
            yield Listener(words[0], int(port), row.line)


def _loopback(address: str) -> bool:
    bare = address.strip("[]").partition("%")[0]
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return False  # `*` is every address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


_SPAN = re.compile(r"^(\d+)\s*([a-z]*)$")
_DAYS = {"": 1 / 86400, "s": 1 / 86400, "min": 1 / 1440, "m": 1 / 1440, "h": 1 / 24, "hr": 1 / 24}
_LONG_DAYS = {"d": 1.0, "day": 1.0, "w": 7.0, "week": 7.0, "month": 30.44, "y": 365.25, "year": 365.25}


def span_days(text: str) -> float | None:
    """A systemd time span of one unit in days; None when it is not one."""
    match = _SPAN.match(text.strip().lower())
    if match is None:
        return None
    unit = match[2] if match[2] in _DAYS or match[2] in _LONG_DAYS else match[2].removesuffix("s")
    factor = {**_DAYS, **_LONG_DAYS}.get(unit)
    return None if factor is None else int(match[1]) * factor
