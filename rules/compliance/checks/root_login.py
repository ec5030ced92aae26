"""LNX-027: root does not log in over SSH with a password."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_applicable, partial, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import SSHD_FACTS, sshd


def judge(facts: Facts) -> Outcome:
    """PermitRootLogin; without a setting OpenSSH takes prohibit-password."""
    daemon = sshd(facts)
    if daemon is None:
        return not_applicable("没有 sshd", "there is no sshd")
    value, lines = daemon.get("permitrootlogin", "prohibit-password")
    if value == "no":
        return passed("禁止 root 远程登录", "root cannot log in over SSH", lines)
    if value == "yes":
        return failed("允许 root 以口令远程登录", "root may log in over SSH with a password", lines)
    return partial(
        f"root 只能以密钥登录({value}),需登记使用人",
        f"root may log in with a key only ({value}); register who does",
        lines,
    )


CHECK = Check(
    "LNX-027",
    "8.1.4.2.b",
    "禁止 root 远程登录",
    "root does not log in over SSH",
    SSHD_FACTS,
    judge,
    high_risk="6.4.2.1",
)
