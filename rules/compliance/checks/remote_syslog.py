"""LNX-047: logs are copied off the host."""

from __future__ import annotations

import re

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import active

_FORWARD = re.compile(r"(?:^|\s)@@?[0-9A-Za-z\[(]|\btype=\"?om(?:fwd|relp)\"?|^\s*:omrelp:")
_NG = re.compile(r"\b(?:syslog|network|tcp|udp|tls)\(\s*\"?[0-9A-Za-z\[]")
_LOOPBACK = re.compile(r"@@?(?:\(\w+\))?(?:127\.|localhost|\[::1\])|target=\"?(?:127\.|localhost|::1)")


def judge(facts: Facts) -> Outcome:
    """rsyslog `@host`, `@@host`, omfwd, omrelp or a network destination of syslog-ng; loopback is not off the host."""
    rows = active(facts.rows("rsyslog", "rsyslog-d"))
    found = [row for row in rows if _FORWARD.search(row.text) and not _LOOPBACK.search(row.text)]
    found += [
        row
        for row in active(facts.rows("syslog-ng"))
        if row.text.strip().startswith("destination") and _NG.search(row.text)
    ]
    if found:
        return passed("日志转发到其他主机", "logs are forwarded to another host", (row.line for row in found))
    return failed("日志没有转发到其他主机", "logs are not forwarded to another host")


CHECK = Check(
    "LNX-047",
    "8.1.4.3.c",
    "日志备份到其他主机",
    "Logs are copied off the host",
    ("rsyslog", "rsyslog-d", "syslog-ng"),
    judge,
    high_risk="6.5.1.2",
)
