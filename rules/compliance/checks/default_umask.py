"""LNX-025: new files are closed to others (umask 027 or stricter)."""

from __future__ import annotations

import re

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import active, last, settings

_UMASK = re.compile(r"^umask\s+0?([0-7]{3})\b")


def judge(facts: Facts) -> Outcome:
    """UMASK of login.defs, or umask in the shells' start files, which run later and win."""
    shells = [
        (m[1], row.line)
        for row in active(facts.rows("profile", "bash-bashrc", "bashrc"))
        if (m := _UMASK.match(row.text.strip()))
    ]
    setting = last(settings(facts.rows("login-defs")), "UMASK")
    found = shells or ([(setting.value[-3:], setting.line)] if setting else [])
    good = [line for value, line in found if value[0] in "0" and value[1] in "2367" and value[2] == "7"]
    if found and len(good) == len(found):
        return passed(f"默认 umask 为 {found[0][0]}", f"the default umask is {found[0][0]}", good)
    shown = found[0][0] if found else "未设置"
    return failed(
        f"默认 umask {shown},应为 027 或 077",
        f"the default umask is {found[0][0] if found else 'not set'}, expected 027 or 077",
        (line for _, line in found),
    )


CHECK = Check(
    "LNX-025",
    "8.1.4.2.a",
    "默认 umask 为 027 或 077",
    "The default umask is 027 or 077",
    ("login-defs", "profile", "bash-bashrc", "bashrc"),
    judge,
)
