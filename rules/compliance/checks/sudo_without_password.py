"""LNX-032: nobody gets every command through sudo without a password."""

from __future__ import annotations

import re

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import active

_ALL = re.compile(r"NOPASSWD:\s*(?:\w+:\s*)*ALL\s*(?:,|$)")


def judge(facts: Facts) -> Outcome:
    """A NOPASSWD rule for named commands is left to the site."""
    rows = [row for row in active(facts.rows("sudoers", "sudoers-d")) if _ALL.search(row.text)]
    if rows:
        return failed(
            "sudo 允许免口令执行任意命令",
            "sudo allows every command without a password",
            (row.line for row in rows),
        )
    return passed(
        "没有免口令执行任意命令的 sudo 规则", "no sudo rule allows every command without a password"
    )


CHECK = Check(
    "LNX-032",
    "8.1.4.2.d",
    "不得免口令执行任意命令",
    "No unrestricted sudo without a password",
    ("sudoers", "sudoers-d"),
    judge,
)
