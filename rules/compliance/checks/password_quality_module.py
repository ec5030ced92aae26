"""LNX-008: a password-quality module is in the PAM password stack."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import PASSWORD_STACKS, pam

MODULES = frozenset({"pam_pwquality", "pam_cracklib", "pam_passwdqc"})


def judge(facts: Facts) -> Outcome:
    """common-password on Debian and UOS, system-auth or password-auth on openEuler and Kylin."""
    stack = pam(facts.rows("pam"), "password", PASSWORD_STACKS)
    if not stack:
        return not_checked("没有读到口令相关的 PAM 配置", "no PAM password stack was read")
    lines = [entry.line for entry in stack if entry.module in MODULES]
    if lines:
        return passed("口令复杂度模块已启用", "a password-quality module is in the stack", lines)
    return failed(
        "PAM 口令栈中没有复杂度模块(pam_pwquality 等)",
        "the PAM password stack has no quality module",
        (e.line for e in stack),
    )


CHECK = Check(
    "LNX-008", "8.1.4.1.a", "启用口令复杂度模块", "A password-quality module is active", ("pam",), judge
)
