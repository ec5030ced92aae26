"""LNX-013: no hash and no NIS entry in world-readable files."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import accounts, active


def judge(facts: Facts) -> Outcome:
    """Field 2 of passwd is `x` (or locked); `+` entries come from NIS."""
    rows = active(facts.rows("passwd"))
    if not rows:
        return not_checked("没有读到 /etc/passwd", "/etc/passwd was not read")
    bad = [
        e.line
        for e in accounts(facts.rows("passwd"))
        if e.fields[1] not in {"x", "*", "!", "!!"} or e.name.startswith("+")
    ]
    if bad:
        return failed(
            "/etc/passwd 中有口令字段或 NIS 条目", "/etc/passwd holds password fields or NIS entries", bad
        )
    return passed(
        "/etc/passwd 中没有口令字段和 NIS 条目", "/etc/passwd holds no password field and no NIS entry"
    )


CHECK = Check(
    "LNX-013",
    "8.1.4.1.a",
    "口令散列不得放在人人可读的文件",
    "No hashes in world-readable files",
    ("passwd",),
    judge,
    high_risk="A-18",
)
