"""What every tab of a device page stands on: the device, its site, its polls, alerts and readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.console.devices.reading import Readings, read
from dashboards.scope import backend, scope
from dashboards.states import DeviceState, device_state, open_alerts
from monitor.directory import ModuleStatus
from monitor.model import Device, Site
from rules.alerting.interface import AlertView

Detail = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Subject:
    """One device as seen by one request. `alerts` are those firing now, worst first."""

    device: Device
    site: Site
    statuses: Sequence[ModuleStatus]
    detail: Detail
    identity: Mapping[str, str]
    state: DeviceState
    alerts: Sequence[AlertView]
    readings: Readings

    @property
    def silent(self) -> bool:
        """Whether it is polled and nothing answers."""
        return bool(self.statuses) and not any(status.up for status in self.statuses)

    @property
    def checked_at(self) -> int | None:
        """The last poll of any kind, in ms."""
        asked = [heard.asked_at for heard in self.readings.heard.values() if heard.asked_at]
        return max([*asked, *([self.state.checked_at] if self.state.checked_at else [])], default=None)


def subject_of(device_id: str) -> Subject:
    """Read it; NotFoundError outside the caller's sites."""
    directory, within = backend().directory, scope()
    device = directory.device(within, device_id)
    statuses = directory.statuses(within, device.id)
    alerts = [alert for alert in open_alerts(within, device.site) if alert.device == device.id]
    return Subject(
        device=device,
        site=directory.site(within, device.site),
        statuses=statuses,
        detail=merged([status.detail for status in statuses]),
        identity={key: value for status in statuses for key, value in status.identity.items() if value},
        state=device_state(device, statuses, alerts, backend().clock.now_ms()),
        alerts=sorted(alerts, key=lambda alert: alert.severity.rank),
        readings=read(device),
    )


def merged(details: Sequence[Mapping[str, object]]) -> dict[str, list[Mapping[str, Any]]]:
    """The lists of several details under one roof."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for detail in details:
        for key, value in detail.items():
            if isinstance(value, list):
                found.setdefault(key, []).extend(item for item in value if isinstance(item, dict))
    return found
