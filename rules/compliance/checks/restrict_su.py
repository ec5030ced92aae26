"""LNX-033: only a named group may use su."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import pam


def judge(facts: Facts) -> Outcome:
    """pam_wheel as required or requisite in /etc/pam.d/su."""
    stack = pam(facts.rows("pam"), "auth", {"su"})
    if not stack:
        return not_checked("没有读到 su 的 PAM 配置", "the PAM stack of su was not read")
    lines = [e.line for e in stack if e.module == "pam_wheel" and e.control in {"required", "requisite"}]
    if lines:
        return passed("只有指定组可以使用 su", "only a named group may use su", lines)
    return failed(
        "任何用户都可以使用 su(没有启用 pam_wheel)", "everybody may use su (pam_wheel is not active)"
    )


CHECK = Check("LNX-033", "8.1.4.2.d", "限制可以使用 su 的用户", "Only a group may use su", ("pam",), judge)
