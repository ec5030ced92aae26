"""LNX-035: key files belong to root and are not open to others."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts

LIMITS = {
    "/etc/passwd": 0o644,
    "/etc/group": 0o644,
    "/etc/shadow": 0o640,
    "/etc/gshadow": 0o640,
    "/etc/ssh/sshd_config": 0o644,
    "/etc/sudoers": 0o440,
    "/etc/crontab": 0o644,
}


def judge(facts: Facts) -> Outcome:
    """`stat -c '%a %U %G %n'`; a mode may have fewer bits than the limit, never others."""
    found = [(row.text.split(maxsplit=3), row.line) for row in facts.rows("key-files")]
    known = [(words, line) for words, line in found if len(words) == 4 and words[3] in LIMITS]
    if not known:
        return not_checked("没有读到关键文件的权限", "no file modes were read")
    bad = [
        (words, line) for words, line in known if words[1] != "root" or int(words[0], 8) & ~LIMITS[words[3]]
    ]
    if bad:
        shown = "、".join(f"{words[3]}({words[0]} {words[1]})" for words, _ in bad)
        return failed(
            f"关键文件权限过宽:{shown}", f"key files are too open: {shown}", (line for _, line in bad)
        )
    return passed(
        f"{len(known)} 个关键文件权限正确",
        f"the modes of {len(known)} key files are right",
        (line for _, line in known),
    )


CHECK = Check(
    "LNX-035",
    "8.1.4.2.f",
    "关键文件的属主和权限",
    "Owners and modes of key files",
    ("key-files",),
    judge,
    levels=frozenset({3}),
)
