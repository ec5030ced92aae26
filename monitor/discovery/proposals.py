"""What scans found, as proposals to the inventory: merged by device, held against what is known, decided by people."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from monitor.audit import AuditLog
from monitor.clock import Clock
from monitor.database import Database
from monitor.directory import Directory
from monitor.discovery.interface import Find, ProposalView
from monitor.discovery.same import (
    Register,
    fingerprint,
    own_addresses,
    own_macs,
    plain_serial,
    same_device,
)
from monitor.discovery.scans import find_scan
from monitor.discovery.tables import ProposalRow, TraitRow
from monitor.documents import from_document
from monitor.errors import InputError, NotFoundError
from monitor.model import WHOLE_CITY, DeviceId, Inventory, Scope, SiteId
from monitor.tables import ModuleStatusRow

STATES = ("new", "known", "approved", "dismissed")
_MAX_TRAITS = 64
_MAX_BULK = 500
_MAX_FIND = 256 << 10
_WORLD_MS = 60_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class World:
    """The devices of one site as of one version of the inventory; `at` in ms."""

    version: str
    at: int
    register: Register


class Proposals:
    """The finds of all sites. Every method that takes a Scope keeps to it."""

    def __init__(self, database: Database, directory: Directory, audit: AuditLog, clock: Clock) -> None:
        self._database = database
        self._directory = directory
        self._audit = audit
        self._clock = clock
        self._worlds: dict[str, World] = {}

    def list(
        self, scope: Scope, *, states: Collection[str] = (), site: str = "", scan: int = 0
    ) -> list[ProposalView]:
        """Proposals of the visible sites, newest first."""
        wanted = select(ProposalRow).order_by(ProposalRow.id.desc())
        if states:
            wanted = wanted.where(ProposalRow.state.in_(states))
        if site:
            wanted = wanted.where(ProposalRow.site == site)
        if scan:
            wanted = wanted.where(ProposalRow.scan == scan)
        if scope.sites is not None:
            wanted = wanted.where(ProposalRow.site.in_(scope.sites))
        with self._database.session() as session:
            return [_view(row) for row in session.scalars(wanted)]

    def get(self, scope: Scope, number: int) -> ProposalView:
        """One proposal; NotFoundError outside the scope."""
        with self._database.session() as session:
            return _view(_visible(session, scope, number))

    def dismiss(self, scope: Scope, numbers: Sequence[int], actor: str, reason: str) -> None:
        """Set proposals aside; they come back only as another device. InputError without a reason."""
        reason = reason.strip()[:500]
        if not reason:
            raise InputError("a dismissal needs a reason", zh="忽略须写明理由")
        check_bulk(numbers)
        with self._database.session() as session:
            rows = [_visible(session, scope, number) for number in numbers]
            for row in rows:
                if row.state not in {"new", "dismissed"}:
                    raise InputError(
                        f"proposal {row.id} is {row.state}", zh=f"发现项 {row.id} 已处理，不能忽略"
                    )
                row.state, row.reason, row.actor, row.changed = "dismissed", reason, actor, False
                row.fingerprint = fingerprint(_sightings(row)[row.primary])
        for row in rows:
            self._audit.record(actor, "discovery.dismiss", row.primary, {"site": row.site, "reason": reason})

    def reopen(self, scope: Scope, number: int, actor: str) -> None:
        """Take a dismissal back."""
        with self._database.session() as session:
            row = _visible(session, scope, number)
            if row.state != "dismissed":
                return
            row.state, row.reason, row.actor = "new", "", actor
            target, site = row.primary, row.site
        self._audit.record(actor, "discovery.reopen", target, {"site": site})

    def mark_approved(self, approved: Mapping[int, tuple[str, str]], actor: str) -> None:
        """These are devices now: proposal -> (device id, site). The inventory has them already."""
        with self._database.session() as session:
            for number, (device, site) in approved.items():
                row = session.get(ProposalRow, number)
                if row is not None:
                    row.state, row.device, row.site, row.actor = "approved", device, site, actor
                    row.changed = False

    # -- from the collectors ----------------------------------------------------------------------------------

    def take(self, site: str, scan: int, document: str, at: int) -> None:
        """A collector's find. InputError when it is none; one of another site's scan is ignored."""
        find = parse_find(document)
        world = self._world(site)
        with self._database.session() as session:
            if find_scan(session, scan, site) is None:
                log.warning("a find without its scan", site=site, scan=scan)
                return
            same = [row for row in _candidates(session, site, find) if _is_of(row, find)]
            row = _merged(session, same, find, site, at)
            row.scan, row.last_seen = scan, max(row.last_seen, at)
            _judge(row, world)
            _keep_traits(session, row)

    def review(self) -> int:
        """Hold every open proposal against the inventory as it is now; returns how many changed their state."""
        changed = 0
        worlds: dict[str, World] = {}
        with self._database.session() as session:
            wanted = select(ProposalRow).where(ProposalRow.state != "dismissed")
            for row in session.scalars(wanted):
                if row.site not in worlds:
                    worlds[row.site] = self._world(row.site)
                before = (row.state, row.device)
                _judge(row, worlds[row.site])
                changed += (row.state, row.device) != before
        return changed

    def _world(self, site: str) -> World:
        """What the inventory has of a site; looked up again when it changed, and each minute for new serial numbers."""
        version, now = self._directory.version(), self._clock.now_ms()
        kept = self._worlds.get(site)
        if kept is not None and kept.version == version and 0 <= now - kept.at < _WORLD_MS:
            return kept
        wanted = select(ModuleStatusRow.device, ModuleStatusRow.identity).where(ModuleStatusRow.site == site)
        with self._database.session() as session:
            identities = [(DeviceId(device), json.loads(text)) for device, text in session.execute(wanted)]
        serials = {
            device: str(identity["serial"]) for device, identity in identities if identity.get("serial")
        }
        world = World(version, now, Register(self._directory.devices(WHOLE_CITY, site), serials))
        self._worlds[site] = world
        return world


def check_bulk(numbers: Sequence[int]) -> None:
    """InputError when nothing, or too much, is chosen at a time."""
    if not numbers:
        raise InputError("nothing is chosen", zh="请先勾选发现项")
    if len(numbers) > _MAX_BULK:
        raise InputError(f"more than {_MAX_BULK} at a time", zh=f"一次最多处理 {_MAX_BULK} 项")


def parse_find(text: str) -> Find:
    """A find as a collector sends it. InputError."""
    if len(text) > _MAX_FIND:
        raise InputError("a find over 256 KiB")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("a find must be JSON") from None
    find = from_document(Find, document, "find")
    if not find.address or len(find.address) > 64 or not 1 <= find.port <= 65535:
        raise InputError("a find needs an address and a port")
    return find


def suggested_id(view: ProposalView, inventory: Inventory) -> str:
    """A device id nobody has: the site's id and the device's name, or its address where it has none."""
    name = "".join(
        c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in view.sys_name or view.address
    )
    name = name.strip("-._") or str(view.id)
    base = (name if name.startswith(view.site) else f"{view.site}-{name}")[:60]
    if base not in inventory.devices:
        return base
    return next(f"{base}-{n}" for n in range(2, 10_000) if f"{base}-{n}" not in inventory.devices)


def _visible(session: Session, scope: Scope, number: int) -> ProposalRow:
    row = session.get(ProposalRow, number)
    if row is None or not scope.allows(SiteId(row.site)):
        raise NotFoundError(f"no proposal {number}", zh=f"没有发现项 {number}")
    return row


def _candidates(session: Session, site: str, find: Find) -> list[ProposalRow]:
    wanted = (
        select(ProposalRow)
        .where(
            ProposalRow.site == site,
            ProposalRow.id.in_(select(TraitRow.proposal).where(TraitRow.trait.in_(_traits(find)))),
        )
        .order_by(ProposalRow.id)
    )
    return list(session.scalars(wanted))


def _is_of(row: ProposalRow, find: Find) -> bool:
    return any(same_device(find, other) for other in _sightings(row).values())


def _merged(session: Session, same: Sequence[ProposalRow], find: Find, site: str, at: int) -> ProposalRow:
    """The row this find goes into: of several that turn out to be one device, what somebody decided survives."""
    key = _key(find)
    if not same:
        row = ProposalRow(site=site, primary=key, sightings=_dump({key: find}), first_seen=at, last_seen=at)
        session.add(row)
        session.flush()
        return row
    row = min(same, key=lambda r: (r.state not in {"approved", "dismissed"}, r.id))
    sightings = {k: f for other in same for k, f in _sightings(other).items()} | _sightings(row)
    before = sightings.get(key)
    if before is not None and not same_device_still(before, find):
        sightings = {}  # another device took the address: what was known of the old one is not true of this
    sightings[key] = find
    for other in same:
        row.first_seen = min(row.first_seen, other.first_seen)
        if other is not row:
            session.execute(delete(TraitRow).where(TraitRow.proposal == other.id))
            session.delete(other)
    row.sightings = _dump(sightings)
    if row.primary not in sightings:
        row.primary = key
    return row


def same_device_still(before: Find, now: Find) -> bool:
    """Whether what answers at an address is what answered there before, as far as serial number and MACs tell."""
    serials = plain_serial(before.serial), plain_serial(now.serial)
    if all(serials):
        return serials[0] == serials[1]
    macs = own_macs(before), own_macs(now)
    return not all(macs) or bool(macs[0] & macs[1])


def _judge(row: ProposalRow, world: World) -> None:
    """The state that follows from what was found and what the inventory has."""
    sightings = _sightings(row)
    known = next(
        (found for find in sightings.values() if (found := world.register.device_of(find)) is not None),
        None,
    )
    if row.state == "approved" and row.device in world.register.ids:
        return
    if known is not None:
        row.state, row.device = "known", str(known)
    elif row.state in {"known", "approved"}:
        row.state, row.device = "new", ""  # taken out of the inventory since
    elif row.state == "dismissed" and fingerprint(sightings[row.primary]) != row.fingerprint:
        row.state, row.changed = "new", True


def _traits(find: Find) -> list[str]:
    found = [f"addr:{find.address}"]
    if serial := plain_serial(find.serial):
        found.append(f"serial:{serial[:200]}")
    if find.engine_id:
        found.append(f"engine:{find.engine_id}")
    if find.sys_name:
        found.append(f"name:{find.sys_name[:200]}")
    found += [f"mac:{mac}" for mac in sorted(own_macs(find))]
    return found[:_MAX_TRAITS]


def _keep_traits(session: Session, row: ProposalRow) -> None:
    wanted = {trait for find in _sightings(row).values() for trait in _traits(find)}
    kept = set(session.scalars(select(TraitRow.trait).where(TraitRow.proposal == row.id)))
    session.add_all(TraitRow(proposal=row.id, trait=trait) for trait in sorted(wanted - kept))
    if gone := kept - wanted:
        session.execute(delete(TraitRow).where(TraitRow.proposal == row.id, TraitRow.trait.in_(gone)))


def _sightings(row: ProposalRow) -> dict[str, Find]:
    found: dict[str, Find] = {}
    for key, body in json.loads(row.sightings).items():
        # Our own writing, read for every row of a list: no need to check each field again.
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in body.items()}
        found[key] = Find(**plain)
    return found


def _dump(sightings: Mapping[str, Find]) -> str:
    return json.dumps({key: asdict(find) for key, find in sightings.items()}, ensure_ascii=False)


def _key(find: Find) -> str:
    return f"{find.address} {find.port}"


def _union(parts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(sorted({text for part in parts for text in part}))


def _view(row: ProposalRow) -> ProposalView:
    sightings = _sightings(row)
    find = sightings[row.primary]
    others = tuple(sorted(f.address for key, f in sightings.items() if key != row.primary))
    return ProposalView(
        id=row.id, site=row.site, state=row.state, address=find.address, duplicates=others, port=find.port,
        credential=find.credential, snmp=find.snmp, kind=find.kind, vendor=find.vendor, os=find.os,
        hardware=find.hardware, version=find.version, serial=find.serial, sys_name=find.sys_name,
        sys_object_id=find.sys_object_id, sys_descr=find.sys_descr, profile=find.profile,
        engine_id=find.engine_id, addresses=_union(own_addresses(f) for f in sightings.values()),
        macs=_union(f.macs for f in sightings.values()), problems=find.problems, device=row.device,
        changed=row.changed, reason=row.reason, actor=row.actor, scan=row.scan, first_seen=row.first_seen,
        last_seen=row.last_seen,
    )  # fmt: skip
