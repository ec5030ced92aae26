"""LNX-001: accounts without a password (shadow field 2 empty)."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import accounts


def judge(facts: Facts) -> Outcome:
    """Names only; a locked account (`!` or `*`) has no empty password."""
    entries = accounts(facts.rows("shadow"))
    if not entries:
        return not_checked("没有读到 /etc/shadow 的账户", "no account was read from /etc/shadow")
    empty = [entry for entry in entries if entry.fields[1] == ""]
    if empty:
        names = "、".join(entry.name for entry in empty)
        return failed(
            f"存在空口令账户:{names}", f"accounts without a password: {names}", (e.line for e in empty)
        )
    return passed(
        f"{len(entries)} 个账户均无空口令", f"none of {len(entries)} accounts has an empty password"
    )


CHECK = Check(
    "LNX-001",
    "8.1.4.1.a",
    "不得有空口令账户",
    "No account without a password",
    ("shadow",),
    judge,
    high_risk="A-18",
)
