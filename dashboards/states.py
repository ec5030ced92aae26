"""How a site, a device or a service stands, from alerts and polls. Unknown is never healthy.

A device without a poll is unknown; one whose last poll is old is stale; an alert outranks both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboards.i18n import SEVERITY_WORDS, STATE_WORDS
from dashboards.scope import backend, scope
from monitor.directory import ModuleStatus
from monitor.impact import Health, service_health
from monitor.model import Device, DeviceId, Scope, Service, Severity, Site
from rules.alerting.interface import AlertFilter, AlertState, AlertView

ORDER = ("critical", "major", "unknown", "minor", "stale", "info", "maint", "ok")
STALE_AFTER = 5.0  # poll intervals without an answer from the collector
SHORTEST_STALE_MS = 6 * 60 * 1000  # an unchanged status is repeated every five minutes
COLLECTOR_LOST_MS = 60_000  # heartbeats come every 15 s
MANY = 40  # above this, one big read is cheaper than many small ones
_SERVICE_STATES = {
    Health.DOWN: "critical",
    Health.DEGRADED: "minor",
    Health.UNKNOWN: "unknown",
    Health.OK: "ok",
}
FIRING = (AlertState.ACTIVE, AlertState.ACKED, AlertState.SHELVED)


@dataclass(frozen=True, slots=True)
class DeviceState:
    """The state of one device: its name is a severity, ok, unknown or stale."""

    name: str
    alerts: int = 0
    checked_at: int | None = None
    down: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return ORDER.index(self.name)

    @property
    def word(self) -> str:
        """The state as a word."""
        return str(state_word(self.name))


def state_word(name: str) -> object:
    """The word for a state or severity."""
    return STATE_WORDS[name] if name in STATE_WORDS else SEVERITY_WORDS[Severity(name)]


def open_alerts(within: Scope, site: str = "", limit: int = 5000) -> list[AlertView]:
    """Alerts whose condition is true now."""
    found, _total = backend().desk.alerts(within, AlertFilter(states=FIRING, site=site, limit=limit))
    return found


def device_states(devices: Sequence[Device]) -> Mapping[DeviceId, DeviceState]:
    """The state of each of these devices, for the caller."""
    directory, now = backend().directory, backend().clock.now_ms()
    if len(devices) <= MANY:
        statuses = [status for d in devices for status in directory.statuses(scope(), d.id)]
    else:
        statuses = directory.statuses(scope())
    by_device: dict[str, list[ModuleStatus]] = {}
    for status in statuses:
        by_device.setdefault(status.device, []).append(status)
    alerts: dict[str, list[AlertView]] = {}
    for alert in open_alerts(scope()):
        alerts.setdefault(alert.device, []).append(alert)
    return {d.id: device_state(d, by_device.get(d.id, []), alerts.get(d.id, []), now) for d in devices}


def device_state(
    device: Device, statuses: Sequence[ModuleStatus], alerts: Sequence[AlertView], now_ms: int
) -> DeviceState:
    """One device from its polls and firing alerts."""
    statuses = [s for s in statuses if s.of_device]
    checked = max((s.checked_at for s in statuses), default=None)
    down = tuple(s.module for s in statuses if not s.up)
    loud = [a for a in alerts if a.state is not AlertState.SHELVED]
    if loud:
        name = min((a.severity for a in loud), key=lambda s: s.rank).value
    elif checked is None:
        name = "unknown"
    elif now_ms - checked > _stale_after_ms(device):
        name = "stale"
    elif down:
        name = "unknown" if len(down) == len(statuses) else "minor"
    else:
        name = "ok"
    return DeviceState(name, len(loud), checked, down)


def _stale_after_ms(device: Device) -> int:
    access = [a.interval for a in (device.snmp, device.ssh) if a is not None] + [
        p.interval for p in device.probes
    ]
    longest = max(access, default=60.0)
    return max(SHORTEST_STALE_MS, round(longest * STALE_AFTER * 1000))


def site_states(sites: Sequence[Site], within: Scope) -> Mapping[str, tuple[str, int]]:
    """(state, firing alerts) of each site: worst alert; unknown when its collector is not heard; else ok."""
    now = backend().clock.now_ms()
    firing = backend().desk.worst_by_site(within)
    heard = {c.id: c.last_seen for c in backend().directory.collectors()}
    states: dict[str, tuple[str, int]] = {}
    for site in sites:
        if site.id in firing:
            severity, count = firing[site.id]
            states[site.id] = (severity.value, count)
        else:
            alive = now - heard.get(site.collector, 0) <= COLLECTOR_LOST_MS
            states[site.id] = ("ok" if alive else "unknown", 0)
    return states


def service_state(service: Service, devices: Mapping[DeviceId, DeviceState]) -> str:
    """A service as critical (down), minor (degraded), unknown or ok."""
    return _SERVICE_STATES[service_health(service, {key: _health(state) for key, state in devices.items()})]


def _health(state: DeviceState) -> Health:
    if state.name == "critical":
        return Health.DOWN
    if state.name == "major":
        return Health.DEGRADED
    return Health.UNKNOWN if state.name in {"unknown", "stale"} else Health.OK
