"""LNX-051: audit rules cannot be changed without a restart (-e 2)."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import active


def judge(facts: Facts) -> Outcome:
    """`-e 2` as an active rule."""
    rows = active(facts.rows("audit-rules", "audit-rules-compiled"))
    lines = [row.line for row in rows if row.text.split() == ["-e", "2"]]
    if lines:
        return passed("审计规则已锁定", "audit rules are locked", lines)
    return failed("审计规则可以在运行中修改(没有 -e 2)", "audit rules can be changed at run time (no -e 2)")


CHECK = Check(
    "LNX-051",
    "8.1.4.3.d",
    "审计规则不可随意修改",
    "Audit rules are locked",
    ("audit-rules", "audit-rules-compiled"),
    judge,
    levels=frozenset({3}),
)
