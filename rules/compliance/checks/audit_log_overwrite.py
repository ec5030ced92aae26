"""LNX-049: audit records are not silently overwritten or dropped."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_applicable, partial, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import last, settings


def judge(facts: Facts) -> Outcome:
    """max_log_file_action keep_logs (or rotate, when copies leave the host); a full disk is not ignored."""
    if facts.absent("auditd"):
        return not_applicable("没有安装 auditd,见 LNX-041", "auditd is not installed, see LNX-041")
    found = settings(facts.rows("auditd"))
    action, full = last(found, "max_log_file_action"), last(found, "disk_full_action")
    lines = [s.line for s in (action, full) if s]
    if action is None or action.value.lower() not in {"keep_logs", "rotate"}:
        return failed(
            "审计日志写满后的处理方式未设为保留", "max_log_file_action does not keep the records", lines
        )
    if full is not None and full.value.lower() == "ignore":
        return failed("磁盘写满时审计记录会被丢弃", "audit records are dropped when the disk is full", lines)
    if action.value.lower() == "rotate":
        return partial(
            "审计日志轮转覆盖,需确认已转发", "audit logs rotate; make sure that copies leave the host", lines
        )
    return passed("审计记录不会被覆盖", "audit records are not overwritten", lines)


CHECK = Check(
    "LNX-049", "8.1.4.3.c", "审计记录不被覆盖", "Audit records are not overwritten", ("auditd",), judge
)
