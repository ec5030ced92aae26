"""LNX-017: idle shells log out within 15 minutes (TMOUT)."""

from __future__ import annotations

import re

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import active

MAX_SECONDS = 900
_TMOUT = re.compile(r"(?:^|[\s;])TMOUT=[\"']?(\d+)")


def judge(facts: Facts) -> Outcome:
    """ClientAlive of sshd is no idle timeout since OpenSSH 8.2, so only TMOUT counts."""
    rows = active(facts.rows("environment", "profile", "profile-d", "bash-bashrc", "bashrc"))
    found = [(int(m[1]), row.line) for row in rows if (m := _TMOUT.search(row.text.split(" #", 1)[0]))]
    good = [line for seconds, line in found if 1 <= seconds <= MAX_SECONDS]
    if found and len(good) == len(found):
        return passed(f"空闲 {found[0][0]} 秒自动退出", f"idle shells log out after {found[0][0]} s", good)
    if found:
        return failed(
            f"TMOUT 应为 1 至 {MAX_SECONDS} 秒",
            f"TMOUT must be 1 to {MAX_SECONDS} s",
            (line for _, line in found),
        )
    return failed("没有设置 TMOUT,空闲会话不会退出", "TMOUT is not set, idle shells stay logged in")


CHECK = Check(
    "LNX-017",
    "8.1.4.1.b",
    "空闲会话 15 分钟内自动退出",
    "Idle shells log out within 15 minutes",
    ("environment", "profile", "profile-d", "bash-bashrc", "bashrc"),
    judge,
)
