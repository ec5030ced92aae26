"""One run from warrant to end: gate, watch, journal and runner put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from monitor.audit import AuditLog, Detail
from monitor.clock import Clock
from monitor.database import Database
from playbooks.capture import host_capture
from playbooks.formats import Check, Engagement
from playbooks.gate import Gate, StopSignal
from playbooks.guard import Decision, Target, Warrant, resolve
from playbooks.journal import RunJournal
from playbooks.runner import RunEnd, Runner, divide, no_capture
from playbooks.steps.interface import Step
from playbooks.watch import AlertCounts, Registry, Watch

Progress = Callable[[int, int, str], bool]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run needs of the house."""

    database: Database
    directory: Registry
    audit: AuditLog
    clock: Clock
    alerts: AlertCounts | None
    steps: Mapping[str, Step]
    stop_file: Path
    captures: Path


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run, under which warrant. `spent` packets of the budget are gone already."""

    run: int
    engagement: Engagement
    checks: tuple[Check, ...]
    decision: Decision
    warrant: Warrant
    spent: int
    actor: str


async def execute(order: Order, house: Surroundings, progress: Progress | None) -> RunEnd:
    """Run to the end or to a stop."""
    engagement = order.engagement
    stop = StopSignal(house.stop_file)
    gate = Gate(order.warrant, engagement.limits, house.clock, stop, spent=order.spent)
    watch = Watch(engagement, order.decision, house.directory, house.alerts)

    def stop_reason(done: int, total: int) -> str:
        if progress is not None and not progress(done, total, engagement.title):
            return "cancelled"
        if watch.inventory_changed() and not still_targets(order, house.directory):
            return "the inventory changed: a target is no longer one"
        return watch.reason()

    def audit(action: str, target: str, detail: Detail) -> None:
        house.audit.record(order.actor, action, target, detail)

    journal = RunJournal(house.database, house.clock, order.run, engagement.credentials, stop_reason, audit)
    runner = Runner(gate, house.steps, engagement, house.clock, journal, _capture(order, house.captures))
    return await runner.run(divide(engagement, order.checks, order.decision.targets))


def still_targets(order: Order, directory: Registry) -> bool:
    """Whether every target would be one today. Names keep the addresses they had: the gate asks for them again."""
    names: dict[str, list[str]] = {}
    for target in order.decision.targets:
        names.setdefault(target.host, []).append(target.address)
    now = resolve(order.engagement, directory.inventory(), names)
    return set(order.decision.targets) <= set(now.targets)


def _capture(order: Order, folder: Path) -> Callable[[Target], AbstractContextManager[None]]:
    rule = order.engagement.capture

    def capture(target: Target) -> AbstractContextManager[None]:
        if target.device not in rule.devices:
            return no_capture(target)
        name = f"{order.run}-{target.address.replace(':', '_')}.pcap"
        return host_capture(target.address, folder / name, rule.max_bytes)

    return capture
