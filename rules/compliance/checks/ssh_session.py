"""LNX-076: sshd forwards no X11 and records logins."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_applicable, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import SSHD_FACTS, sshd


def judge(facts: Facts) -> Outcome:
    """X11Forwarding no; LogLevel INFO or more."""
    daemon = sshd(facts)
    if daemon is None:
        return not_applicable("没有 sshd", "there is no sshd")
    x11, x11_lines = daemon.get("x11forwarding", "no")
    level, level_lines = daemon.get("loglevel", "info")
    if x11 == "no" and level in {"info", "verbose", "debug", "debug1", "debug2", "debug3"}:
        return passed("SSH 会话设置正确", "SSH sessions are set up right", (*x11_lines, *level_lines))
    if x11 != "no":
        return failed("SSH 允许 X11 转发", "SSH forwards X11", x11_lines)
    return failed(f"SSH 日志级别 {level} 不记录登录", f"SSH log level {level} records no logins", level_lines)


CHECK = Check(
    "LNX-076",
    "8.1.4.1.c",
    "SSH 会话保护与登录记录",
    "SSH session protection and login records",
    SSHD_FACTS,
    judge,
)
