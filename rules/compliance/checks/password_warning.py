"""LNX-007: users are warned at least seven days before a password expires."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import last, number, settings

MIN_DAYS = 7


def judge(facts: Facts) -> Outcome:
    """PASS_WARN_AGE of login.defs."""
    setting = last(settings(facts.rows("login-defs")), "PASS_WARN_AGE")
    days = number(setting)
    if setting is not None and days is not None and days >= MIN_DAYS:
        return passed(f"到期前 {days} 天提醒", f"users are warned {days} days ahead", [setting.line])
    shown = "未设置" if setting is None else setting.value
    return failed(
        f"PASS_WARN_AGE {shown},应不少于 {MIN_DAYS}",
        f"PASS_WARN_AGE is below {MIN_DAYS} or not set",
        [setting.line] if setting else [],
    )


CHECK = Check(
    "LNX-007",
    "8.1.4.1.a",
    "口令到期前至少 7 天提醒",
    "Users are warned 7 days before a password expires",
    ("login-defs",),
    judge,
)
