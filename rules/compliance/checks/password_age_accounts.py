"""LNX-006: the password of every existing login account expires within 90 days (shadow field 5)."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_applicable, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import accounts

MAX_DAYS = 90


def judge(facts: Facts) -> Outcome:
    """login.defs does not change existing accounts, so each entry counts; locked ones have no password to expire."""
    entries = [e for e in accounts(facts.rows("shadow")) if e.can_log_in_by_password]
    bad = [e for e in entries if not _within(e.fields[4] if len(e.fields) > 4 else "")]
    if bad:
        names = "、".join(e.name for e in bad)
        return failed(
            f"这些账户的口令不会在 {MAX_DAYS} 天内到期:{names}",
            f"passwords that do not expire within {MAX_DAYS} days: {names}",
            (e.line for e in bad),
        )
    if not entries:
        return not_applicable("没有可用口令登录的账户", "no account can log in with a password")
    return passed(
        f"{len(entries)} 个口令账户均在 {MAX_DAYS} 天内到期",
        f"{len(entries)} accounts with a password all expire within {MAX_DAYS} days",
        (e.line for e in entries),
    )


def _within(days: str) -> bool:
    return days.isdigit() and 1 <= int(days) <= MAX_DAYS


CHECK = Check(
    "LNX-006",
    "8.1.4.1.a",
    "现有账户口令最长有效期不超过 90 天",
    "Passwords of existing accounts expire within 90 days",
    ("shadow",),
    judge,
)
