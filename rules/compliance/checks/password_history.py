"""LNX-011: the last five passwords cannot be used again."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import PASSWORD_STACKS, Setting, number, pam, settings

MIN_REMEMBER = 5


def judge(facts: Facts) -> Outcome:
    """pam_pwhistory or pam_unix with remember=, or pwhistory.conf when pam_pwhistory is active."""
    stack = [
        e
        for e in pam(facts.rows("pam"), "password", PASSWORD_STACKS)
        if e.module in {"pam_pwhistory", "pam_unix"}
    ]
    if not stack:
        return not_checked("没有读到口令相关的 PAM 配置", "no PAM password stack was read")
    found = [Setting("remember", e.arguments["remember"], e.line) for e in stack if "remember" in e.arguments]
    if any(e.module == "pam_pwhistory" for e in stack):
        found += [s for s in settings(facts.rows("pwhistory")) if s.key == "remember"]
    good = [s for s in found if (number(s) or 0) >= MIN_REMEMBER]
    if good:
        return passed(
            f"记住最近 {good[0].value} 个口令",
            f"the last {good[0].value} passwords are remembered",
            [good[0].line],
        )
    return failed(
        f"没有记住最近 {MIN_REMEMBER} 个口令",
        f"fewer than {MIN_REMEMBER} passwords are remembered",
        (s.line for s in found),
    )


CHECK = Check(
    "LNX-011",
    "8.1.4.1.a",
    "不得重复使用最近 5 个口令",
    "The last 5 passwords cannot be reused",
    ("pam", "pwhistory"),
    judge,
)
