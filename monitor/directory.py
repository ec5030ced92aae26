"""The inventory and the last known status of everything in it, read through one site-scoped face."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from monitor.clock import Clock
from monitor.database import Database
from monitor.documents import from_document, to_document
from monitor.errors import NotFoundError
from monitor.model import (
    Device,
    DeviceId,
    Inventory,
    Region,
    RegionId,
    Scope,
    Service,
    ServiceId,
    Site,
    SiteId,
)
from monitor.tables import CollectorStatusRow, InventoryRow, MetaRow, ModuleStatusRow
from monitor.topology.facts import MODULE as TOPOLOGY


@dataclass(frozen=True, slots=True)
class ModuleStatus:
    """The last poll of one module of a device. `errors`: {code, message, zh} each. Times in ms."""

    device: DeviceId
    module: str
    up: bool
    checked_at: int
    changed_at: int
    errors: tuple[Mapping[str, str], ...]
    identity: Mapping[str, str]
    detail: Mapping[str, object]

    @property
    def of_device(self) -> bool:
        """Whether `up` says how the device is; that a map of its neighbours could not be read does not."""
        return self.module != TOPOLOGY


@dataclass(frozen=True, slots=True)
class CollectorStatus:
    """The last heartbeat of a collector."""

    id: str
    last_seen: int
    spooled_samples: int
    devices: int


class Directory:
    """Reads the inventory (cached by its version) and statuses; replaces the inventory as one transaction."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._cached: tuple[str, Inventory] = ("", Inventory(city=""))

    def version(self) -> str:
        """Changes whenever the inventory changes; empty before the first apply."""
        with self._database.session() as session:
            row = session.get(MetaRow, "inventory_version")
        return row.value if row else ""

    def inventory(self) -> Inventory:
        """The whole inventory as one consistent value."""
        with self._database.session() as session:
            version = session.get(MetaRow, "inventory_version")
            if version is None:
                return Inventory(city="")
            with self._lock:
                if self._cached[0] == version.value:
                    return self._cached[1]
            loaded = _load(session)
        with self._lock:
            self._cached = (version.value, loaded)
        return loaded

    def replace(self, inventory: Inventory) -> str:
        """Store a whole inventory; returns its version. Statuses of devices that are gone go with them."""
        rows = _rows(inventory)
        digest = hashlib.sha256(json.dumps([inventory.city, [(r.kind, r.id, r.body) for r in rows]]).encode())
        version = digest.hexdigest()[:16]
        with self._database.session() as session:
            session.execute(delete(InventoryRow))
            session.add_all(rows)
            session.merge(MetaRow(key="inventory_version", value=version))
            session.merge(MetaRow(key="city", value=inventory.city))
            for status in session.scalars(select(ModuleStatusRow)):
                if status.device not in inventory.devices:
                    session.delete(status)
        return version

    def sites(self, scope: Scope) -> list[Site]:
        """The visible sites in inventory order."""
        return [site for site in self.inventory().sites.values() if scope.allows(site.id)]

    def site(self, scope: Scope, site_id: str) -> Site:
        """One site; NotFoundError outside the scope."""
        site = self.inventory().sites.get(SiteId(site_id))
        if site is None or not scope.allows(site.id):
            raise NotFoundError(f"no site {site_id!r}", zh=f"没有机构 {site_id}")
        return site

    def devices(self, scope: Scope, site: str = "") -> list[Device]:
        """The visible devices, of one site when given."""
        found = self.inventory().devices.values()
        return [d for d in found if scope.allows(d.site) and (not site or d.site == site)]

    def device(self, scope: Scope, device_id: str) -> Device:
        """One device; NotFoundError outside the scope."""
        device = self.inventory().devices.get(DeviceId(device_id))
        if device is None or not scope.allows(device.site):
            raise NotFoundError(f"no device {device_id!r}", zh=f"没有设备 {device_id}")
        return device

    def services(self, scope: Scope, site: str = "") -> list[Service]:
        """The visible business services, of one site when given."""
        found = self.inventory().services.values()
        return [s for s in found if scope.allows(s.site) and (not site or s.site == site)]

    def statuses(self, scope: Scope, device_id: str = "") -> list[ModuleStatus]:
        """Last poll of every module of the visible devices, or of one device. Whole lists leave `detail` empty."""
        wanted = select(ModuleStatusRow).order_by(ModuleStatusRow.device, ModuleStatusRow.module)
        if device_id:
            wanted = wanted.where(ModuleStatusRow.device == device_id)
        with self._database.session() as session:
            rows = session.scalars(wanted).all()
        return [_status(row, with_detail=bool(device_id)) for row in rows if scope.allows(SiteId(row.site))]

    def details(self, scope: Scope, module: str, site: str = "") -> list[ModuleStatus]:
        """The last poll of one module, with its detail, of the visible devices (of one site when given)."""
        wanted = select(ModuleStatusRow).where(ModuleStatusRow.module == module)
        if site:
            wanted = wanted.where(ModuleStatusRow.site == site)
        with self._database.session() as session:
            rows = session.scalars(wanted.order_by(ModuleStatusRow.device)).all()
        return [_status(row, with_detail=True) for row in rows if scope.allows(SiteId(row.site))]

    def collectors(self) -> list[CollectorStatus]:
        """The last heartbeat of every collector that ever called, by id."""
        with self._database.session() as session:
            rows = session.scalars(select(CollectorStatusRow).order_by(CollectorStatusRow.id))
            return [CollectorStatus(r.id, r.last_seen, r.spooled_samples, r.devices) for r in rows]

    def record_statuses(self, statuses: Sequence[ModuleStatus]) -> None:
        """Keep what polls said; one older than what is kept is ignored, one of an unknown device too."""
        devices = self.inventory().devices
        with self._database.session() as session:
            for status in statuses:
                device = devices.get(status.device)
                if device is not None:
                    _keep(session, status, device.site)

    def record_heartbeat(self, heartbeat: CollectorStatus) -> None:
        """Keep a collector's sign of life."""
        with self._database.session() as session:
            session.merge(
                CollectorStatusRow(
                    id=heartbeat.id,
                    last_seen=heartbeat.last_seen,
                    spooled_samples=heartbeat.spooled_samples,
                    devices=heartbeat.devices,
                )
            )


def _rows(inventory: Inventory) -> list[InventoryRow]:
    rows = []
    tables: dict[str, Iterable[Region | Site | Device | Service]] = {
        "region": inventory.regions.values(),
        "site": inventory.sites.values(),
        "device": inventory.devices.values(),
        "service": inventory.services.values(),
    }
    for kind, values in tables.items():
        for position, value in enumerate(values):
            body = json.dumps(to_document(value), ensure_ascii=False, sort_keys=True)
            site = str(value.id) if isinstance(value, Site) else str(getattr(value, "site", ""))
            rows.append(InventoryRow(kind=kind, id=str(value.id), site=site, position=position, body=body))
    return rows


def _load(session: Session) -> Inventory:
    city = session.get(MetaRow, "city")
    bodies: dict[str, list[object]] = {"region": [], "site": [], "device": [], "service": []}
    for row in session.scalars(select(InventoryRow).order_by(InventoryRow.position)):
        bodies[row.kind].append(json.loads(row.body))
    regions = [from_document(Region, body) for body in bodies["region"]]
    sites = [from_document(Site, body) for body in bodies["site"]]
    devices = [from_document(Device, body) for body in bodies["device"]]
    services = [from_document(Service, body) for body in bodies["service"]]
    return Inventory(
        city=city.value if city else "",
        regions={RegionId(r.id): r for r in regions},
        sites={SiteId(s.id): s for s in sites},
        devices={DeviceId(d.id): d for d in devices},
        services={ServiceId(s.id): s for s in services},
    )


def _keep(session: Session, status: ModuleStatus, site: SiteId) -> None:
    row = session.get(ModuleStatusRow, (status.device, status.module))
    if row is not None and row.checked_at > status.checked_at:
        return
    changed = status.changed_at if row is None or row.up != status.up else row.changed_at
    # A device that does not answer says nothing about who it is: the last known identity and detail stay.
    identity = dict(status.identity) or (json.loads(row.identity) if row else {})
    detail = dict(status.detail) or (json.loads(row.detail) if row else {})
    session.merge(
        ModuleStatusRow(
            device=status.device,
            module=status.module,
            site=site,
            up=status.up,
            checked_at=status.checked_at,
            changed_at=changed,
            errors=json.dumps([dict(e) for e in status.errors], ensure_ascii=False),
            identity=json.dumps(identity, ensure_ascii=False),
            detail=json.dumps(detail, ensure_ascii=False),
        )
    )


def _status(row: ModuleStatusRow, *, with_detail: bool) -> ModuleStatus:
    return ModuleStatus(
        device=DeviceId(row.device),
        module=row.module,
        up=row.up,
        checked_at=row.checked_at,
        changed_at=row.changed_at,
        errors=tuple(json.loads(row.errors)),
        identity=json.loads(row.identity),
        detail=json.loads(row.detail) if with_detail else {},
    )
