"""LNX-014: an account is locked after at most ten failed logins."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import AUTH_STACKS, Setting, last, number, pam, settings

MAX_DENY = 10
MODULES = frozenset({"pam_faillock", "pam_tally2"})
DEFAULT_DENY = 3  # faillock.conf(5)


def judge(facts: Facts) -> Outcome:
    """The module must be in the auth stack; faillock.conf alone locks nobody. Arguments win over the file."""
    stack = pam(facts.rows("pam"), "auth", AUTH_STACKS)
    if not stack:
        return not_checked("没有读到认证相关的 PAM 配置", "no PAM auth stack was read")
    modules = [e for e in stack if e.module in MODULES]
    if not modules:
        return failed(
            "PAM 认证栈中没有登录失败锁定模块(pam_faillock 等)",
            "the PAM auth stack has no lockout module",
            (e.line for e in stack),
        )
    found = settings(facts.rows("faillock"))
    found += [Setting("deny", e.arguments["deny"], e.line) for e in modules if "deny" in e.arguments]
    setting = last(found, "deny")
    deny = number(setting) if setting else DEFAULT_DENY
    lines = [setting.line] if setting else [e.line for e in modules]
    if deny is not None and 1 <= deny <= MAX_DENY:
        return passed(f"连续失败 {deny} 次锁定", f"accounts lock after {deny} failures", lines)
    return failed(f"锁定次数 deny 应为 1 至 {MAX_DENY}", f"deny must be 1 to {MAX_DENY}", lines)


CHECK = Check(
    "LNX-014",
    "8.1.4.1.b",
    "登录失败达到次数后锁定账户",
    "Accounts lock after failed logins",
    ("pam", "faillock"),
    judge,
)
