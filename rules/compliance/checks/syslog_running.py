"""LNX-043: a syslog daemon runs and keeps login events."""

from __future__ import annotations

import re

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import active

DAEMONS = frozenset({"rsyslogd", "syslog-ng"})
_AUTH = re.compile(r"(?:^|[,;\s])(?:auth|authpriv|\*)[.,]")


def judge(facts: Facts) -> Outcome:
    """rsyslog needs a rule for auth or authpriv (or every facility); the journal alone is LNX-050's matter."""
    running = [row.line for row in facts.rows("processes") if row.text.strip() in DAEMONS]
    if not running:
        return failed("没有运行 rsyslog 或 syslog-ng", "neither rsyslog nor syslog-ng is running")
    rules = [
        row.line
        for row in active(facts.rows("rsyslog", "rsyslog-d", "syslog-ng"))
        if _AUTH.search(row.text) or "filter(f_auth" in row.text
    ]
    if rules:
        return passed("登录事件被记录", "login events are recorded", (*running, *rules))
    return failed(
        "日志服务没有记录 auth/authpriv", "the syslog daemon does not record auth or authpriv", running
    )


CHECK = Check(
    "LNX-043",
    "8.1.4.3.a",
    "记录登录事件",
    "Login events are recorded",
    ("processes", "rsyslog", "rsyslog-d", "syslog-ng"),
    judge,
)
