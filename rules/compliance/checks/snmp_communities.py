"""LNX-062: SNMP has no default and no writing community that others can use."""

from __future__ import annotations

import re

from rules.compliance.check import Check, Outcome, failed, not_applicable, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import settings

_LOOPBACK = re.compile(r"127\.|localhost|\[?::1\]?")
_PUBLISHED = frozenset({"public", "private"})


def judge(facts: Facts) -> Outcome:
    """A community limited to loopback, by its source or by agentaddress, is no finding."""
    if facts.absent("snmpd"):
        return not_applicable("没有 snmpd 配置", "there is no snmpd configuration")
    found = settings(facts.rows("snmpd"), "#")
    addresses = [a for s in found if s.key == "agentaddress" for a in s.value.split(",")]
    if addresses and all(
        _LOOPBACK.match(a.strip().removeprefix("udp:").removeprefix("udp6:")) for a in addresses
    ):
        return passed(
            "SNMP 只监听本机地址",
            "SNMP listens on loopback only",
            (s.line for s in found if s.key == "agentaddress"),
        )
    bad = [s for s in found if _bad(s.key.removesuffix("6"), s.value.split())]
    if bad:
        return failed(
            "SNMP 使用默认或可写团体名", "SNMP has a default or a writing community", (s.line for s in bad)
        )
    return passed("SNMP 没有默认或可写团体名", "SNMP has no default and no writing community")


def _bad(key: str, words: list[str]) -> bool:
    if key == "com2sec":
        return len(words) >= 3 and words[-1].strip('"') in _PUBLISHED and not _LOOPBACK.match(words[-2])
    local = len(words) > 1 and _LOOPBACK.match(words[1]) is not None
    return not local and (
        key == "rwcommunity"
        or (key == "rocommunity" and words[:1] != [] and words[0].strip('"') in _PUBLISHED)
    )


CHECK = Check(
    "LNX-062",
    "8.1.4.4.c",
    "SNMP 不使用默认或可写团体名",
    "No default or writing SNMP community",
    ("snmpd",),
    judge,
    high_risk="A-18",
)
