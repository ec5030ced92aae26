"""LNX-015: a lock lasts at least five minutes, or until somebody unlocks it."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_applicable, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import AUTH_STACKS, Setting, last, number, pam, settings

MIN_SECONDS = 300
DEFAULT_SECONDS = 600  # faillock.conf(5)


def judge(facts: Facts) -> Outcome:
    """unlock_time of faillock.conf or of the module's arguments; 0 and never mean by hand."""
    modules = [
        e for e in pam(facts.rows("pam"), "auth", AUTH_STACKS) if e.module in {"pam_faillock", "pam_tally2"}
    ]
    if not modules:
        return not_applicable("未启用登录失败锁定,见 LNX-014", "no lockout module is active, see LNX-014")
    found = settings(facts.rows("faillock"))
    found += [
        Setting("unlock_time", e.arguments["unlock_time"], e.line)
        for e in modules
        if "unlock_time" in e.arguments
    ]
    setting = last(found, "unlock_time")
    if setting is None:
        return passed(
            f"默认锁定 {DEFAULT_SECONDS} 秒",
            f"locks last {DEFAULT_SECONDS} s by default",
            (e.line for e in modules),
        )
    seconds = number(setting)
    if setting.value == "never" or seconds == 0 or (seconds or -1) >= MIN_SECONDS:
        return passed(f"锁定时间 {setting.value}", f"unlock_time is {setting.value}", [setting.line])
    return failed(
        f"锁定时间 {setting.value} 秒,应不少于 {MIN_SECONDS}",
        f"unlock_time is {setting.value}, below {MIN_SECONDS} s",
        [setting.line],
    )


CHECK = Check(
    "LNX-015",
    "8.1.4.1.b",
    "锁定时间不少于 5 分钟",
    "Locks last at least 5 minutes",
    ("pam", "faillock"),
    judge,
)
