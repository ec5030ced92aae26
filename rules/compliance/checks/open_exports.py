"""LNX-057: NFS exports are neither for everybody nor with root rights."""

from __future__ import annotations

import re

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import active

_EVERYBODY = re.compile(r"\s\*\s*\(|\s\*\s*$|^\S+\s*$|\bno_root_squash\b")


def judge(facts: Facts) -> Outcome:
    """/etc/exports."""
    rows = active(facts.rows("exports"))
    bad = [row.line for row in rows if _EVERYBODY.search(row.text)]
    if bad:
        return failed(
            "NFS 共享对所有主机开放或带 root 权限",
            "NFS exports are open to everybody or keep root rights",
            bad,
        )
    return passed("没有过宽的 NFS 共享", "no NFS export is too open", (row.line for row in rows))


CHECK = Check(
    "LNX-057", "8.1.4.4.b", "不得开放默认共享", "No open file shares", ("exports",), judge, high_risk="A-21"
)
