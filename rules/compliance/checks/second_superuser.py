"""LNX-002: exactly one account has uid 0, and it is root."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import accounts


def judge(facts: Facts) -> Outcome:
    """Reads passwd field 3."""
    entries = accounts(facts.rows("passwd"))
    if not entries:
        return not_checked("没有读到 /etc/passwd 的账户", "no account was read from /etc/passwd")
    others = [e for e in entries if e.fields[2] == "0" and e.name != "root"]
    if others:
        names = "、".join(e.name for e in others)
        return failed(
            f"除 root 外还有 uid 为 0 的账户:{names}",
            f"accounts with uid 0 besides root: {names}",
            (e.line for e in others),
        )
    return passed(
        "只有 root 的 uid 为 0", "only root has uid 0", (e.line for e in entries if e.fields[2] == "0")
    )


CHECK = Check("LNX-002", "8.1.4.1.a", "只允许 root 的 uid 为 0", "Only root has uid 0", ("passwd",), judge)
