"""LNX-046: logs are not open to everybody."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts

LIMITS = {"/var/log/wtmp": 0o664, "/var/log/btmp": 0o660, "/var/log/audit": 0o750}
OWNERS = frozenset({"root", "syslog"})


def judge(facts: Facts) -> Outcome:
    """640 or stricter, wtmp 664, btmp 660, the audit folder 750; owned by root or syslog."""
    found = [(row.text.split(maxsplit=3), row.line) for row in facts.rows("log-files")]
    known = [(words, line) for words, line in found if len(words) == 4 and words[3].startswith("/")]
    if not known:
        return not_checked("没有读到日志文件的权限", "no log file was found")
    bad = [
        (w, line)
        for w, line in known
        if w[1] not in OWNERS or int(w[0], 8) & 0o777 & ~LIMITS.get(w[3], 0o640)
    ]
    if bad:
        shown = "、".join(f"{words[3]}({words[0]} {words[1]})" for words, _ in bad)
        return failed(
            f"日志文件权限过宽:{shown}", f"log files are too open: {shown}", (line for _, line in bad)
        )
    return passed(
        f"{len(known)} 个日志文件权限正确",
        f"the modes of {len(known)} log files are right",
        (line for _, line in known),
    )


CHECK = Check(
    "LNX-046", "8.1.4.3.c", "日志文件的属主和权限", "Owners and modes of log files", ("log-files",), judge
)
