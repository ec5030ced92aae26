"""LNX-041: the audit daemon runs."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts


def judge(facts: Facts) -> Outcome:
    """From the process list, so that it holds on systems without systemd as well."""
    rows = facts.rows("processes")
    if not rows:
        return not_checked("进程列表为空", "the process list is empty")
    lines = [row.line for row in rows if row.text.strip() == "auditd"]
    if lines:
        return passed("auditd 正在运行", "auditd is running", lines)
    return failed("auditd 没有运行,操作不被审计", "auditd is not running, nothing is audited")


CHECK = Check("LNX-041", "8.1.4.3.a", "启用安全审计", "The audit daemon runs", ("processes",), judge)
