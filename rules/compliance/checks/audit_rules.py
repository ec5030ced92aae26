"""LNX-042: audit rules cover accounts, privileges and logins."""

from __future__ import annotations

import re

from rules.compliance.check import Check, Outcome, failed, partial, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import active

WANTED = {
    "/etc/passwd": "账户",
    "/etc/shadow": "口令",
    "/etc/sudoers": "特权",
    "/var/log/lastlog|/var/run/faillock|/var/log/wtmp": "登录记录",
}


def judge(facts: Facts) -> Outcome:
    """All present: 符合; some: 部分符合; none: 不符合."""
    rows = active(facts.rows("audit-rules", "audit-rules-compiled"))
    covered = {
        name: [row.line for row in rows if any(_watches(row.text, path) for path in paths.split("|"))]
        for paths, name in WANTED.items()
    }
    missing = [name for name, lines in covered.items() if not lines]
    lines = [line for found in covered.values() for line in found]
    if not missing:
        return passed(
            "审计规则覆盖账户、口令、特权和登录记录",
            "audit rules cover accounts, passwords, privileges and logins",
            lines,
        )
    if lines:
        return partial(
            "审计规则未覆盖:" + "、".join(missing),
            f"audit rules leave out {len(missing)} of {len(WANTED)} subjects",
            lines,
        )
    return failed("没有覆盖用户行为的审计规则", "no audit rule covers what users do")


def _watches(text: str, path: str) -> bool:
    return re.search(rf"(?:-w\s+|path=){re.escape(path)}(?:/|\s|$)", text) is not None


CHECK = Check(
    "LNX-042",
    "8.1.4.3.a",
    "审计规则覆盖重要用户行为",
    "Audit rules cover what matters",
    ("audit-rules", "audit-rules-compiled"),
    judge,
)
