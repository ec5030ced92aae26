"""The journal of changes of polled devices: compares every status with what was known, keeps and tells differences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from monitor.database import Database
from monitor.directory import Directory, ModuleStatus
from monitor.discovery.changes import Change, Known, compare
from monitor.discovery.interface import CHANGE_DATASET, ChangeView
from monitor.discovery.tables import ChangeRow, IdentityRow
from monitor.events.interface import Event
from monitor.model import Device, Scope

_MODULES = frozenset({"snmp", "ssh"})
_ONCE_MS = 3_600_000


class Journal:
    """What changed. Not for use by several processes: the core alone writes."""

    def __init__(self, database: Database, directory: Directory) -> None:
        self._database = database
        self._directory = directory
        self._seen: dict[tuple[str, str], str] = {}

    def changes(
        self, scope: Scope, *, site: str = "", device: str = "", limit: int = 10_000
    ) -> list[ChangeView]:
        """Newest first."""
        wanted = select(ChangeRow).order_by(ChangeRow.at.desc(), ChangeRow.id.desc()).limit(limit)
        if site:
            wanted = wanted.where(ChangeRow.site == site)
        if device:
            wanted = wanted.where(ChangeRow.device == device)
        if scope.sites is not None:
            wanted = wanted.where(ChangeRow.site.in_(scope.sites))
        with self._database.session() as session:
            return [
                ChangeView(r.id, r.site, r.device, r.at, r.what, r.before, r.after, r.message, r.zh)
                for r in session.scalars(wanted)
            ]

    def take(self, statuses: Sequence[ModuleStatus]) -> list[tuple[str, Event]]:
        """Compare what polls said with what was known; returns the events of what changed, to be stored."""
        wanted = [
            status for status in statuses if status.module in _MODULES and status.up and status.identity
        ]
        events: list[tuple[str, Event]] = []
        if not wanted:
            return events
        devices = self._directory.inventory().devices
        with self._database.session() as session:
            for status in wanted:
                device = devices.get(status.device)
                if device is not None and self._is_news(status):
                    events += _compared(session, status, device)
        return events

    def _is_news(self, status: ModuleStatus) -> bool:
        """Whether a status may say something else than the one before it; saves reading what is known."""
        names = _interfaces(status)
        text = json.dumps([dict(status.identity), None if names is None else sorted(names)], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        key = (str(status.device), status.module)
        settled = f"{digest}!"
        before = self._seen.get(key, "")
        if before == settled:
            return False
        # Seen as often as a missing interface needs to count as gone: from then on nothing can follow.
        count = int(before.rpartition(":")[2]) + 1 if before.startswith(f"{digest}:") else 1
        self._seen[key] = settled if count > 3 else f"{digest}:{count}"
        return True


def _compared(session: Session, status: ModuleStatus, device: Device) -> list[tuple[str, Event]]:
    row = session.get(IdentityRow, (str(status.device), status.module))
    known = _known(row.body) if row is not None else None
    if known is not None and status.checked_at <= known.at:
        return []
    kept, found = compare(known, status.identity, _interfaces(status), status.checked_at)
    session.merge(IdentityRow(device=str(status.device), module=status.module, body=_dump(kept)))
    return [_told(session, status, device, change) for change in found if not _said(session, status, change)]


def _said(session: Session, status: ModuleStatus, change: Change) -> bool:
    """Whether the same was told within the hour: by the device's other module, or a fact that goes to and fro."""
    wanted = select(ChangeRow.id).where(
        ChangeRow.device == str(status.device),
        ChangeRow.what == change.what,
        ChangeRow.before == change.before,
        ChangeRow.after == change.after,
        ChangeRow.at > status.checked_at - _ONCE_MS,
    )
    return session.scalars(wanted.limit(1)).first() is not None


def _told(session: Session, status: ModuleStatus, device: Device, change: Change) -> tuple[str, Event]:
    english, chinese = change.sentences(device.name or str(device.id))
    at = status.checked_at
    session.add(
        ChangeRow(
            site=str(device.site), device=str(device.id), at=at, what=change.what, before=change.before,
            after=change.after, message=english, zh=chinese,
        )
    )  # fmt: skip
    key = hashlib.sha256(f"{device.id}\0{status.module}\0{at}\0{change.what}".encode()).hexdigest()[:32]
    return key, {
        "@timestamp": at,
        "event.dataset": CHANGE_DATASET,
        "event.action": f"device.changed.{change.what}",
        "zhishou.site": str(device.site),
        "zhishou.device": str(device.id),
        "zhishou.module": status.module,
        "zhishou.what": change.what,
        "zhishou.before": change.before,
        "zhishou.after": change.after,
        "zhishou.message_en": english,
        "message": chinese,
    }


def _interfaces(status: ModuleStatus) -> list[str] | None:
    """The names of all interfaces; None when the poll had a fault, since its list may be short."""
    rows = status.detail.get("interfaces")
    if status.errors or not isinstance(rows, list):
        return None
    names = [str(row.get("name") or "") for row in rows if isinstance(row, Mapping)]
    return [name for name in names if name] or None


def _known(body: str) -> Known:
    document = json.loads(body)
    return Known(**{**document, "interfaces": frozenset(document["interfaces"])})


def _dump(known: Known) -> str:
    return json.dumps({**asdict(known), "interfaces": sorted(known.interfaces)}, ensure_ascii=False)
