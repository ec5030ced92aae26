"""LNX-055: no high-risk service that others can reach."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import reachable_listeners

PORTS = frozenset({69, 111, 135, 137, 138, 139, 445, 873, 2049, 2375, 6379, 9200, 11211, 27017})


def judge(facts: Facts) -> Outcome:
    """Ports of clear-text management are LNX-020's matter; a source limit in a firewall is for a person to prove."""
    bad = [found for found in reachable_listeners(facts.rows("listeners")) if found.port in PORTS]
    if bad:
        names = "、".join(sorted({f"{b.protocol}/{b.port}" for b in bad}))
        return failed(
            f"高危端口可从外部访问:{names}", f"high-risk ports are reachable: {names}", (b.line for b in bad)
        )
    return passed("没有可从外部访问的高危端口", "no high-risk port is reachable")


CHECK = Check(
    "LNX-055",
    "8.1.4.4.b",
    "关闭高危端口",
    "High-risk ports are closed",
    ("listeners",),
    judge,
    high_risk="A-21",
)
