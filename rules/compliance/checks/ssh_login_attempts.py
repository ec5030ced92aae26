"""LNX-019: one SSH connection allows few guesses and little time."""

from __future__ import annotations

import re

from rules.compliance.check import Check, Outcome, failed, not_applicable, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import SSHD_FACTS, sshd

MAX_TRIES = 5
MAX_GRACE = 60


def judge(facts: Facts) -> Outcome:
    """MaxAuthTries and LoginGraceTime; OpenSSH's own defaults, 6 and 120 s, are too many."""
    daemon = sshd(facts)
    if daemon is None:
        return not_applicable("没有 sshd", "there is no sshd")
    tries, tries_lines = daemon.get("maxauthtries", "6")
    grace, grace_lines = daemon.get("logingracetime", "120")
    seconds = _seconds(grace)
    lines = tries_lines + grace_lines
    if tries.isdigit() and int(tries) <= MAX_TRIES and seconds is not None and 1 <= seconds <= MAX_GRACE:
        return passed(
            f"每连接最多 {tries} 次尝试、{seconds} 秒", f"{tries} tries and {seconds} s a connection", lines
        )
    return failed(
        "SSH 单连接尝试次数或登录宽限时间过大", "MaxAuthTries or LoginGraceTime is too large", lines
    )


def _seconds(text: str) -> int | None:
    match = re.fullmatch(r"(\d+)([smh]?)", text)
    return int(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else None


CHECK = Check(
    "LNX-019",
    "8.1.4.1.b",
    "限制 SSH 单连接的登录尝试",
    "SSH limits the guesses of a connection",
    SSHD_FACTS,
    judge,
)
