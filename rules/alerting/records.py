"""Small writes that several parts share: rows to values, timeline lines, silences in force, the outbox.

Every function works inside a transaction that has already called `tables.next_version`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.orm import Session

from monitor.database import Base
from monitor.model import Severity
from rules.alerting.interface import AlertState, AlertView
from rules.alerting.silences import Silence, load_matchers
from rules.alerting.states import Phase
from rules.alerting.suppress import Firing, roots_of
from rules.alerting.tables import AlertRow, NotificationRow, SilenceRow

SYSTEM = "system"
# A dependent device's alert waits a little: its upstream's, which explains it, is often seen moments later.
DEPENDENT_WAIT_MS = 20_000
CHUNK = 2000  # values in one IN list; SQLite takes 32,766

Topology = Mapping[str, Sequence[str]]


def view_of(row: AlertRow, suppressed: int = 0) -> AlertView:
    """A row as people see it."""
    return AlertView(
        id=row.id,
        number=row.number or "",
        name=row.name,
        severity=Severity(row.severity),
        state=AlertState(row.state),
        labels=json.loads(row.labels),
        annotations=json.loads(row.annotations),
        site=row.site,
        device=row.device,
        value=math.nan if row.value is None else row.value,
        expression=row.expression,
        active_at=row.active_at,
        fired_at=row.fired_at,
        resolved_at=row.resolved_at,
        acked_by=row.acked_by,
        acked_at=row.acked_at,
        owner=row.owner,
        escalated_to=row.escalated_to,
        silenced_until=row.silenced_until,
        root=row.root_id,
        suppressed=suppressed,
    )


def suppressed_counts(session: Session, ids: Sequence[int]) -> dict[int, int]:
    """How many firing alerts are suppressed under each of these."""
    found: dict[int, int] = {}
    for start in range(0, len(ids), CHUNK):
        query = (
            select(AlertRow.root_id, func.count())
            .where(AlertRow.root_id.in_(ids[start : start + CHUNK]), AlertRow.phase == Phase.FIRING)
            .group_by(AlertRow.root_id)
        )
        found.update({root: count for root, count in session.execute(query) if root is not None})
    return found


def write_timeline(session: Session, lines: Iterable[tuple[int, int, str, str, str]]) -> None:
    """Append (alert id, at, kind, actor, text) lines."""
    rows = [{"alert_id": a, "at": at, "kind": k, "actor": who, "text": t} for a, at, k, who, t in lines]
    if rows:
        session.connection().execute(Base.metadata.tables["alert_event"].insert(), rows)


def silence_of(row: SilenceRow) -> Silence:
    """A stored silence."""
    return Silence(
        row.id,
        load_matchers(row.matchers),
        row.starts_at,
        row.ends_at,
        row.created_by,
        row.comment,
        row.updated_at,
    )


def active_silences(session: Session, now: int) -> list[Silence]:
    """Silences in force at `now`."""
    query = select(SilenceRow).where(SilenceRow.starts_at <= now, SilenceRow.ends_at > now)
    return [silence_of(row) for row in session.scalars(query)]


class AlertFacts(Protocol):
    """What messages and root causes need of an alert, be it a row of the ORM or plain data."""

    @property
    def id(self) -> int:
        """Of the row."""
        ...

    @property
    def number(self) -> str | None:
        """The human name."""
        ...

    @property
    def severity(self) -> str:
        """Severity's value."""
        ...

    @property
    def state(self) -> str:
        """AlertState's value."""
        ...

    @property
    def phase(self) -> str:
        """Phase's value."""
        ...

    @property
    def device(self) -> str:
        """Empty when it is about none."""
        ...

    @property
    def fired_at(self) -> int | None:
        """In ms."""
        ...

    @property
    def root_id(self) -> int | None:
        """The alert it is suppressed under."""
        ...


def episode_key(row: AlertFacts, event: str) -> str:
    """The ledger key of one event of one firing of an alert: an alert that fires again is told again."""
    return f"{row.number}:{row.fired_at}:{event}"


def notify_fired(session: Session, rows: Iterable[AlertFacts], now: int, topology: Topology) -> None:
    """Put a `fired` message into the outbox for alerts that people should hear of."""
    due = []
    for row in rows:
        heard = row.severity != Severity.INFO and row.root_id is None and row.state == AlertState.ACTIVE
        if heard and row.phase == Phase.FIRING:
            wait = DEPENDENT_WAIT_MS if topology.get(row.device) else 0
            due.append(outbox_row(row, "fired", now, wait_ms=wait))
    put_outbox(session, due)


def notify_resolved(session: Session, rows: Sequence[AlertFacts], now: int) -> None:
    """Tell the end of every alert whose beginning was told; take back what nobody has heard yet."""
    by_key = {episode_key(row, "fired"): row for row in rows}
    unheard: list[int] = []
    due = []
    keys = list(by_key)
    for start in range(0, len(keys), CHUNK):
        query = select(NotificationRow.id, NotificationRow.key, NotificationRow.state)
        for number, key, state in session.execute(
            query.where(NotificationRow.key.in_(keys[start : start + CHUNK]))
        ):
            if state == "pending":
                unheard.append(number)
            else:
                due.append(outbox_row(by_key[key], "resolved", now))
    for start in range(0, len(unheard), CHUNK):
        session.execute(delete(NotificationRow).where(NotificationRow.id.in_(unheard[start : start + CHUNK])))
    put_outbox(session, due)


def outbox_row(
    row: AlertFacts,
    event: str,
    now: int,
    *,
    wait_ms: int = 0,
    key: str = "",
    receiver: str = "",
    note: str = "",
) -> dict[str, str | int]:
    """A ledger row that is not routed to channels yet."""
    return {
        "key": key or episode_key(row, event),
        "alert_id": row.id,
        "event": event,
        "channel": "",
        "receiver": receiver,
        "note": note,
        "state": "pending",
        "attempts": 0,
        "next_at": now + wait_ms,
        "claimed_by": "",
        "last_error": "",
        "created_at": now,
    }


def put_outbox(session: Session, rows: Sequence[dict[str, str | int]]) -> None:
    """Insert ledger rows whose key is new."""
    known: set[str] = set()
    keys = [str(row["key"]) for row in rows]
    for start in range(0, len(keys), CHUNK):
        query = select(NotificationRow.key).where(NotificationRow.key.in_(keys[start : start + CHUNK]))
        known.update(session.scalars(query))
    fresh = [row for row in rows if row["key"] not in known]
    if fresh:
        session.connection().execute(Base.metadata.tables["notification"].insert(), fresh)


@dataclass(frozen=True, slots=True)
class _FiringRow:
    """A firing alert as far as root causes and messages go."""

    id: int
    number: str | None
    name: str
    severity: str
    state: str
    phase: str
    device: str
    active_at: int
    fired_at: int | None
    root_id: int | None


def regroup(session: Session, version: int, now: int, topology: Topology) -> None:
    """Work out root causes anew over everything that fires, and correct rows, timeline and outbox."""
    session.flush()
    table = Base.metadata.tables["alert"]
    query = select(*(table.c[name] for name in _FiringRow.__slots__)).where(table.c.phase == Phase.FIRING)
    rows = {found[0]: _FiringRow(*found) for found in session.execute(query)}
    firing = [Firing(r.id, r.name, r.device, r.fired_at or r.active_at) for r in rows.values()]
    roots = roots_of(firing, topology)
    lines, freed, hidden, moved = [], [], [], []
    for row in rows.values():
        root = roots.get(row.id)
        if row.root_id == root:
            continue
        moved.append({"row_id": row.id, "root": root, "version": version})
        if root is None:
            freed.append(replace(row, root_id=None))
            lines.append((row.id, now, "unsuppressed", SYSTEM, ""))
        else:
            hidden.append(row)
            lines.append((row.id, now, "suppressed", SYSTEM, rows[root].number or ""))
    if not moved:
        return
    change = table.update().where(table.c.id == bindparam("row_id"))
    session.connection().execute(
        change.values(root_id=bindparam("root"), version=bindparam("version")), moved
    )
    write_timeline(session, lines)
    _take_back(session, hidden)
    notify_fired(session, freed, now, topology)


def _take_back(session: Session, rows: Sequence[AlertFacts]) -> None:
    """Remove `fired` messages that nobody has sent yet."""
    keys = [episode_key(row, "fired") for row in rows]
    for start in range(0, len(keys), CHUNK):
        session.execute(
            delete(NotificationRow).where(
                NotificationRow.key.in_(keys[start : start + CHUNK]), NotificationRow.state == "pending"
            )
        )
