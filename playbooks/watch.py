"""The stop conditions of an engagement that come from the rest of the house: devices down, alerts, changed targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Protocol, cast

from monitor.audit import AuditLog
from monitor.clock import Clock
from monitor.database import Database
from monitor.directory import ModuleStatus
from monitor.model import DeviceId, Inventory, Scope, Severity, SiteId
from playbooks.formats import Engagement
from playbooks.guard import Decision

AlertCounts = Callable[[Scope], Mapping[Severity, int]]


class Registry(Protocol):
    """What the room reads of the inventory (`monitor.directory.Directory`)."""

    def inventory(self) -> Inventory:
        """The whole inventory as one consistent value."""
        ...

    def version(self) -> str:
        """Changes whenever the inventory changes."""
        ...

    def statuses(self, scope: Scope, device_id: str = "") -> list[ModuleStatus]:
        """Last poll of every module of the visible devices."""
        ...


def alert_counts(database: Database, audit: AuditLog, clock: Clock) -> AlertCounts | None:
    """Firing alerts by severity from the alerting room; None when it is not installed."""
    try:
        room = import_module("rules.alerting.desk")
    except ModuleNotFoundError:
        return None
    return cast(AlertCounts, room.SqlDesk(database, audit, clock).counts)


class Watch:
    """Compares now with how it was when the run began: only what got worse stops it."""

    def __init__(
        self, engagement: Engagement, decision: Decision, registry: Registry, alerts: AlertCounts | None
    ) -> None:
        self._kinds = {condition.kind: condition for condition in engagement.stop_if}
        self._scope = Scope(frozenset(SiteId(site) for site in decision.sites))
        self._devices = {target.device for target in decision.targets}
        self._registry = registry
        self._alerts = alerts
        self._version = registry.version()
        self._down = self._devices_down()
        self._alerting = self._count()

    def inventory_changed(self) -> bool:
        """Whether the inventory has another version since the last call that said so."""
        version = self._registry.version()
        changed, self._version = version != self._version, version
        return changed

    def reason(self) -> str:
        """Why to stop; empty when nothing got worse."""
        newly = sorted(self._devices_down() - self._down)
        if newly:
            return f"stop condition device_down_in_scope: {newly[0]}"
        if self._count() > self._alerting:
            return f"stop condition {self._kinds['alert_severity'].text}"
        return ""

    def _devices_down(self) -> frozenset[DeviceId]:
        if "device_down_in_scope" not in self._kinds:
            return frozenset()
        statuses = self._registry.statuses(self._scope)
        return frozenset(s.device for s in statuses if s.of_device and not s.up and s.device in self._devices)

    def _count(self) -> int:
        condition = self._kinds.get("alert_severity")
        if condition is None or condition.severity is None or self._alerts is None:
            return 0
        worst = condition.severity.rank
        return sum(number for severity, number in self._alerts(self._scope).items() if severity.rank <= worst)
