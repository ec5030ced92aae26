"""What a plan and a check look like to people; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from playbooks.formats import Check, Engagement
from playbooks.guard import Decision, digest_of
from playbooks.interface import CheckView, Plan, PlanRow
from playbooks.runner import divide
from playbooks.steps.interface import Step

ANSWER_SECONDS = 0.3  # a service that answers; silence costs the exchange's whole timeout


def check_view(check: Check) -> CheckView:
    """A check of the library."""
    return CheckView(
        id=check.id,
        name=check.name,
        severity=check.severity,
        protocol=check.protocol,
        safety=check.safety,
        description=check.description,
        remediation=check.remediation,
        mlps=check.mlps,
        max_packets=check.max_packets,
    )


def plan_of(
    engagement: Engagement, checks: Sequence[Check], decision: Decision, steps: Mapping[str, Step]
) -> Plan:
    """Exact targets x checks x packets x duration. What will not run is not counted."""
    work = divide(engagement, checks, decision.targets)
    counts = {check.id: sum(check in host.checks for host in work) for check in checks}
    rows = tuple(_row(engagement, check, counts[check.id], steps) for check in checks)
    packets = sum(row.packets for row in rows)
    slowest = max((sum(_host_seconds(engagement, c) for c in host.checks) for host in work), default=0.0)
    slots = max(1, min(engagement.limits.concurrent_hosts, len(work)))
    seconds = max(packets / engagement.limits.pps, slowest * math.ceil(len(work) / slots))
    return Plan(
        digest=digest_of(engagement, checks, decision),
        rows=rows,
        targets=tuple((str(target.device), target.address) for target in decision.targets),
        excluded=decision.excluded,
        packets=packets,
        packet_budget=engagement.limits.max_packets,
        seconds=round(seconds, 1),
    )


def _row(engagement: Engagement, check: Check, targets: int, steps: Mapping[str, Step]) -> PlanRow:
    limits = engagement.limits
    slots = max(1, min(limits.concurrent_hosts, targets))
    seconds = max(
        targets * check.max_packets / limits.pps,
        _host_seconds(engagement, check) * math.ceil(targets / slots),
    )
    return PlanRow(
        check=check.id,
        name=check.name,
        safety=check.safety,
        protocol=f"{steps[check.protocol].transport}/{check.exchanges[0].port}",
        targets=targets,
        packets=targets * check.max_packets,
        seconds=round(seconds, 1),
        per_host_pps=limits.per_host_pps,
    )


def _host_seconds(engagement: Engagement, check: Check) -> float:
    """Seconds one check takes on one host that answers."""
    return max(check.max_packets / engagement.limits.per_host_pps, ANSWER_SECONDS * len(check.exchanges))
