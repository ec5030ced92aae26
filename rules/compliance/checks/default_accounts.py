"""LNX-028: accounts the system brings along are locked."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import accounts

NAMES = frozenset(
    [
        "adm",
        "lp",
        "sync",
        "shutdown",
        "halt",
        "news",
        "uucp",
        "operator",
        "games",
        "gopher",
        "ftp",
        "nobody",
        "bin",
        "daemon",
        "sys",
        "man",
        "proxy",
        "backup",
        "list",
        "irc",
        "gnats",
    ]
)


def judge(facts: Facts) -> Outcome:
    """An empty password is the matter of LNX-001."""
    entries = [e for e in accounts(facts.rows("shadow")) if e.name in NAMES]
    open_ = [e for e in entries if e.can_log_in_by_password]
    if open_:
        names = "、".join(e.name for e in open_)
        return failed(
            f"系统默认账户未锁定:{names}",
            f"default accounts are not locked: {names}",
            (e.line for e in open_),
        )
    return passed(
        f"{len(entries)} 个系统默认账户均已锁定",
        f"all {len(entries)} default accounts are locked",
        (e.line for e in entries),
    )


CHECK = Check(
    "LNX-028",
    "8.1.4.2.b",
    "锁定系统默认账户",
    "Default accounts are locked",
    ("shadow",),
    judge,
    high_risk="6.4.2.1",
)
