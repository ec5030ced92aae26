"""LNX-004: account and group names are unique."""

from __future__ import annotations

from collections import Counter

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import accounts


def judge(facts: Facts) -> Outcome:
    """Reads field 1 of passwd and of group."""
    doubles = []
    for fact in ("passwd", "group"):
        entries = accounts(facts.rows(fact))
        counts = Counter(e.name for e in entries)
        doubles += [e for e in entries if counts[e.name] > 1]
    if doubles:
        names = "、".join(sorted({e.name for e in doubles}))
        return failed(f"账户名或组名重复:{names}", f"names occur twice: {names}", (e.line for e in doubles))
    return passed("账户名和组名没有重复", "no account or group name occurs twice")


CHECK = Check(
    "LNX-004",
    "8.1.4.1.a",
    "账户名和组名不得重复",
    "Account and group names are unique",
    ("passwd", "group"),
    judge,
)
