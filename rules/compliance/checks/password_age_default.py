"""LNX-005: new accounts get a maximum password age of 1 to 90 days."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import last, number, settings

MAX_DAYS = 90


def judge(facts: Facts) -> Outcome:
    """PASS_MAX_DAYS of login.defs; it says nothing about existing accounts, see LNX-006."""
    setting = last(settings(facts.rows("login-defs")), "PASS_MAX_DAYS")
    days = number(setting)
    if setting is None or days is None:
        return failed("login.defs 没有设置 PASS_MAX_DAYS", "login.defs does not set PASS_MAX_DAYS")
    if 1 <= days <= MAX_DAYS:
        return passed(f"PASS_MAX_DAYS 为 {days} 天", f"PASS_MAX_DAYS is {days} days", [setting.line])
    return failed(
        f"PASS_MAX_DAYS 为 {days} 天,应为 1 至 {MAX_DAYS}",
        f"PASS_MAX_DAYS is {days} days, expected 1 to {MAX_DAYS}",
        [setting.line],
    )


CHECK = Check(
    "LNX-005",
    "8.1.4.1.a",
    "新账户口令最长有效期不超过 90 天",
    "Passwords of new accounts expire within 90 days",
    ("login-defs",),
    judge,
)
