"""LNX-020: no telnet, FTP or rsh service that others can reach."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import reachable_listeners

PORTS = {21: "ftp", 23: "telnet", 512: "rexec", 513: "rlogin", 514: "rsh"}


def judge(facts: Facts) -> Outcome:
    """Listeners on loopback addresses are no finding; UDP 514 is syslog."""
    rows = facts.rows("listeners")
    bad = [found for found in reachable_listeners(rows) if found.protocol == "tcp" and found.port in PORTS]
    if bad:
        names = "、".join(sorted({f"{PORTS[b.port]}/{b.port}" for b in bad}))
        return failed(
            f"可从外部访问明文远程管理端口:{names}",
            f"clear-text services are reachable: {names}",
            (b.line for b in bad),
        )
    return passed("没有可从外部访问的明文远程管理端口", "no clear-text management service is reachable")


CHECK = Check(
    "LNX-020",
    "8.1.4.1.c",
    "不得开放明文远程管理服务",
    "No clear-text remote management",
    ("listeners",),
    judge,
    high_risk="6.4.1.2",
)
