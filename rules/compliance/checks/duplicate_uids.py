"""LNX-003: no two accounts share a uid (uid 0 is the matter of LNX-002)."""

from __future__ import annotations

from collections import Counter

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import accounts


def judge(facts: Facts) -> Outcome:
    """Reads passwd field 3."""
    entries = [e for e in accounts(facts.rows("passwd")) if e.fields[2] != "0"]
    counts = Counter(e.fields[2] for e in entries)
    doubles = [e for e in entries if counts[e.fields[2]] > 1]
    if doubles:
        names = "、".join(f"{e.name}({e.fields[2]})" for e in doubles)
        return failed(
            f"多个账户共用 uid:{names}", f"accounts share a uid: {names}", (e.line for e in doubles)
        )
    return passed("uid 没有重复", "no uid is used twice")


CHECK = Check("LNX-003", "8.1.4.1.a", "uid 不得重复", "Every uid is used once", ("passwd",), judge)
