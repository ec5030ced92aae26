"""The maps of sites, built from what devices last said and kept until one of them says something new.

A map names only what its caller may see, so maps are kept by scope as well; at most KEPT of them.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from flask import current_app

from dashboards.scope import backend, scope
from dashboards.topology.layout import Drawing, draw
from monitor.directory import ModuleStatus
from monitor.model import Device, DeviceId, Kind, Scope, SiteId
from monitor.topology.build import build
from monitor.topology.facts import MODULE, from_detail
from monitor.topology.graph import Graph

KEPT = 1000
DRAWN = 64
OLD_MS = 3 * 3_600_000  # what did not change is told again every hour
_NAME = "zhishou-maps"

Version = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """How asking one device for its neighbours went. `at_ms`: when it last said something, 0 for never."""

    device: Device
    up: bool
    at_ms: int
    reason: str
    reason_en: str


@dataclass(frozen=True, slots=True)
class SiteMap:
    """The map of one site. `version` changes when its structure may have changed."""

    site: SiteId
    version: str
    graph: Graph
    devices: Mapping[DeviceId, Device]
    asked: Sequence[Asked]

    @property
    def at_ms(self) -> int:
        """When the oldest device that is still on the map was heard; 0 when none was."""
        return min((one.at_ms for one in self.asked if one.at_ms), default=0)

    @property
    def doubtful(self) -> frozenset[str]:
        """Links that somebody should look at."""
        asked = frozenset(str(one.device.id) for one in self.asked)
        return frozenset(link.id for link in self.graph.links if link.doubtful(asked))

    def old(self, now_ms: int) -> list[Asked]:
        """Devices whose word is older than it should be."""
        return [one for one in self.asked if one.at_ms and now_ms - one.at_ms > OLD_MS]


class Maps:
    """Maps by site and scope."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, frozenset[SiteId] | None], tuple[Version, SiteMap]] = OrderedDict()
        self._drawn: OrderedDict[tuple[str, frozenset[SiteId] | None], tuple[SiteMap, Drawing]] = (
            OrderedDict()
        )

    def get(self, site: str, within: Scope, version: Version) -> SiteMap | None:
        """The map of this version, None when it has to be built."""
        with self._lock:
            found = self._kept.get((site, within.sites))
            return found[1] if found is not None and found[0] == version else None

    def keep(self, site: str, within: Scope, version: Version, made: SiteMap) -> None:
        """Keep a map in the place of the one before."""
        key = (site, within.sites)
        with self._lock:
            self._kept[key] = (version, made)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    def drawing(self, shown: SiteMap, within: Scope) -> Drawing:
        """The map on paper; worked out once for each version."""
        key = (shown.site, within.sites)
        with self._lock:
            found = self._drawn.get(key)
        if found is None or found[0] is not shown:
            found = (shown, draw(shown.graph, shown.devices))
            with self._lock:
                self._drawn[key] = found
                while len(self._drawn) > DRAWN:
                    self._drawn.popitem(last=False)
        return found[1]


def drawing_of(shown: SiteMap) -> Drawing:
    """A site's map on paper."""
    return _maps().drawing(shown, scope())


def site_map(site: str) -> SiteMap:
    """The map of one site that the caller may see."""
    said = backend().directory.details(scope(), MODULE, site)
    return _map(site, said)


def kept_map(site: str, statuses: Sequence[ModuleStatus]) -> SiteMap | None:
    """The map when it is already there; `statuses` are the topology polls of the site."""
    return _maps().get(site, scope(), _version(statuses))


def topology_statuses() -> dict[str, list[ModuleStatus]]:
    """Topology polls of everything the caller may see, by site, without what they said."""
    devices = backend().directory.inventory().devices
    found: dict[str, list[ModuleStatus]] = {}
    for status in backend().directory.statuses(scope()):
        if status.module == MODULE and status.device in devices:
            found.setdefault(devices[status.device].site, []).append(status)
    return found


def _map(site: str, said: Sequence[ModuleStatus]) -> SiteMap:
    version, within = _version(said), scope()
    found = _maps().get(site, within, version)
    if found is None:
        devices = backend().directory.devices(within)
        facts = {status.device: from_detail(status.detail) for status in said if status.detail}
        here = {device.id: device for device in devices if device.site == site}
        asked = [_asked(device, said, facts[device.id].at_ms if device.id in facts else 0) for device in here.values()
                 if device.snmp is not None and device.kind in {Kind.NETWORK, Kind.SECURITY}]  # fmt: skip
        digest = hashlib.sha256(repr(version).encode()).hexdigest()[:16]
        graph = build(devices, facts, SiteId(site))
        others = {n.device for n in graph.nodes.values() if n.device is not None} - set(here)
        known = {**here, **{device.id: device for device in devices if device.id in others}}
        found = SiteMap(SiteId(site), digest, graph, known, asked)
        _maps().keep(site, within, version, found)
    return found


def _asked(device: Device, said: Sequence[ModuleStatus], at_ms: int) -> Asked:
    status = next((one for one in said if one.device == device.id), None)
    error: Mapping[str, str] = status.errors[0] if status is not None and status.errors else {}
    return Asked(
        device, status is not None and status.up, at_ms, error.get("zh", ""), error.get("message", "")
    )


def _version(said: Sequence[ModuleStatus]) -> Version:
    return backend().directory.version(), *((one.device, one.up, one.checked_at) for one in said)


def _maps() -> Maps:
    return cast("Maps", current_app.extensions.setdefault(_NAME, Maps()))
