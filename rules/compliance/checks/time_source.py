"""LNX-044: a time source is configured."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import settings

_FACTS = ("chrony", "chrony-debian", "chrony-sources", "ntp")


def judge(facts: Facts) -> Outcome:
    """server, pool or peer of chrony and ntpd, or NTP= of systemd-timesyncd."""
    found = [
        s for s in settings(facts.rows(*_FACTS), "#!;%") if s.key in {"server", "pool", "peer"} and s.value
    ]
    found += [s for s in settings(facts.rows("timesyncd")) if s.key == "ntp" and s.value]
    if found:
        return passed(
            f"已配置时间源 {found[0].value.split()[0]}",
            f"a time source is configured: {found[0].value.split()[0]}",
            (s.line for s in found),
        )
    return failed("没有配置时间源", "no time source is configured")


CHECK = Check(
    "LNX-044", "8.1.4.3.b", "配置统一的时间源", "A time source is configured", (*_FACTS, "timesyncd"), judge
)
