"""LNX-012: stored passwords are hashed with SHA-256, SHA-512, yescrypt or SM3."""

from __future__ import annotations

import re

from rules.compliance.check import Check, Outcome, failed, not_applicable, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import accounts

STRONG = frozenset({"5", "6", "7", "y", "gy", "sm3"})
_SCHEME = re.compile(r"^\$([a-z0-9]+)\$")


def judge(facts: Facts) -> Outcome:
    """The scheme stays visible in the masked fact; the hash itself is never stored."""
    entries = [e for e in accounts(facts.rows("shadow")) if e.can_log_in_by_password]
    if not entries:
        return not_applicable("没有可用口令登录的账户", "no account has a stored password")
    weak = [e for e in entries if _scheme(e.fields[1]) not in STRONG]
    if weak:
        names = "、".join(f"{e.name}({_scheme(e.fields[1])})" for e in weak)
        return failed(f"口令散列算法过弱:{names}", f"weak password hashes: {names}", (e.line for e in weak))
    return passed(
        "口令散列算法均为强算法", "all stored passwords use a strong hash", (e.line for e in entries)
    )


def _scheme(field: str) -> str:
    match = _SCHEME.match(field)
    return match[1] if match else "des"


CHECK = Check(
    "LNX-012",
    "8.1.4.1.a",
    "口令以强散列算法存储",
    "Passwords are stored with a strong hash",
    ("shadow",),
    judge,
)
