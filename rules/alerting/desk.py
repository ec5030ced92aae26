"""The duty desk on the state database: what operators see and do, always within their scope, always audited."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from monitor.audit import AuditLog
from monitor.clock import Clock
from monitor.database import Database
from monitor.errors import InputError, NotFoundError
from monitor.model import Scope, Severity
from rules.alerting.interface import AlertFilter, AlertState, AlertView, TimelineEntry
from rules.alerting.records import (
    CHUNK,
    episode_key,
    outbox_row,
    put_outbox,
    suppressed_counts,
    view_of,
    write_timeline,
)
from rules.alerting.silences import MAX_SILENCE_MS, dump_matchers, exact
from rules.alerting.states import Act, Phase, next_state
from rules.alerting.tables import AlertEventRow, AlertRow, SilenceRow, current_version, next_version

_HOUR_MS = 3_600_000
_MAX_BULK = 5_000
_MAX_TEXT = 2_000
_SORTS = {
    "severity": (-AlertRow.severity_rank, AlertRow.active_at),
    "active_at": (AlertRow.active_at,),
    "site": (AlertRow.site, AlertRow.severity_rank),
}

_Query = TypeVar("_Query", bound="Select[*tuple[Any, ...]]")

# What an act does to one row; the second value is its timeline text.
Change = Callable[[AlertRow], str]


class SqlDesk:
    """Implements rules.alerting.interface.Desk. Any process may have one; it holds no state."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def alerts(self, scope: Scope, wanted: AlertFilter) -> tuple[list[AlertView], int]:
        """A page of alerts, and how many there are in all."""
        query = _filtered(_scoped(select(AlertRow), scope), wanted)
        order = _order(wanted.sort)
        page = query.order_by(*order, AlertRow.id.desc()).offset(max(0, wanted.offset))
        with self._database.session() as session:
            total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
            rows = list(session.scalars(page.limit(max(0, wanted.limit))))
            return _views(session, rows), total

    def alert(self, scope: Scope, alert_id: int) -> AlertView:
        """One alert; NotFoundError outside the scope."""
        with self._database.session() as session:
            return _views(session, [_one(session, scope, alert_id)])[0]

    def suppressed_under(self, scope: Scope, alert_id: int) -> list[AlertView]:
        """The alerts that this one explains."""
        with self._database.session() as session:
            _one(session, scope, alert_id)
            query = select(AlertRow).where(AlertRow.root_id == alert_id, AlertRow.phase == Phase.FIRING)
            order = (AlertRow.severity_rank, AlertRow.active_at)
            return _views(session, list(session.scalars(_scoped(query, scope).order_by(*order))))

    def timeline(self, scope: Scope, alert_id: int) -> list[TimelineEntry]:
        """Newest first."""
        with self._database.session() as session:
            _one(session, scope, alert_id)
            query = select(AlertEventRow).where(AlertEventRow.alert_id == alert_id)
            rows = session.scalars(query.order_by(AlertEventRow.at.desc(), AlertEventRow.id.desc()))
            return [TimelineEntry(row.at, row.kind, row.actor, row.text) for row in rows]

    def counts(self, scope: Scope) -> Mapping[Severity, int]:
        """Firing alerts (not suppressed, not shelved) by severity."""
        query = _scoped(select(AlertRow.severity, func.count()), scope).where(*_loud())
        with self._database.session() as session:
            rows = session.execute(query.group_by(AlertRow.severity))
            found = {severity: count for severity, count in rows}  # noqa: C416 - a Result is no mapping
        return {severity: found.get(severity.value, 0) for severity in Severity}

    def fired_per_hour(self, scope: Scope, hours: int) -> Mapping[Severity, Sequence[int]]:
        """How many alerts fired in each of the last hours, oldest first; the last one ends now."""
        start = self._clock.now_ms() - hours * _HOUR_MS
        hour = ((AlertEventRow.at - start - 1) // _HOUR_MS).label("hour")
        query = (
            _scoped(select(AlertRow.severity, hour, func.count()), scope)
            .join(AlertEventRow, AlertEventRow.alert_id == AlertRow.id)
            .where(AlertEventRow.kind == "fired", AlertEventRow.at > start)
            .group_by(AlertRow.severity, hour)
        )
        counts = {severity: [0] * hours for severity in Severity}
        with self._database.session() as session:
            for severity, index, count in session.execute(query):
                if 0 <= index < hours:
                    counts[Severity(severity)][int(index)] += count
        return counts

    def worst_by_site(self, scope: Scope) -> Mapping[str, tuple[Severity, int]]:
        """Worst firing severity and number of firing alerts of each site that has any."""
        query = _scoped(select(AlertRow.site, func.min(AlertRow.severity_rank), func.count()), scope)
        query = query.where(*_loud(), AlertRow.site != "").group_by(AlertRow.site)
        order = list(Severity)
        with self._database.session() as session:
            return {site: (order[rank], count) for site, rank, count in session.execute(query)}

    def ack(self, scope: Scope, alert_ids: Sequence[int], actor: str, note: str = "") -> None:
        """Acknowledge; an alert without an owner becomes the actor's."""
        now = self._clock.now_ms()

        def change(row: AlertRow) -> str:
            _acknowledge(row, actor, now)
            row.owner = row.owner or actor
            return note

        self._act(scope, alert_ids, actor, "acked", change, note)

    def assign(self, scope: Scope, alert_ids: Sequence[int], actor: str, owner: str) -> None:
        """Give to somebody; counts as acknowledged."""
        if not owner.strip():
            raise InputError("an owner is needed", zh="请填写责任人", where="owner")
        now = self._clock.now_ms()

        def change(row: AlertRow) -> str:
            _acknowledge(row, actor, now)
            row.owner = owner
            return owner

        self._act(scope, alert_ids, actor, "assigned", change, owner)

    def note(self, scope: Scope, alert_ids: Sequence[int], actor: str, text: str) -> None:
        """Write into the timeline."""
        if not text.strip():
            raise InputError("a note needs a text", zh="备注内容不能为空", where="note")
        self._act(scope, alert_ids, actor, "note", lambda _row: text, text)

    def silence(self, scope: Scope, alert_ids: Sequence[int], actor: str, until_ms: int, reason: str) -> None:
        """Shelve until a time (at most 7 days ahead) with a reason; it also covers the alert firing again."""
        now = self._clock.now_ms()
        if not now < until_ms <= now + MAX_SILENCE_MS:
            raise InputError(
                "a silence must end in the future, within 7 days",
                zh="静默截止时间须在未来 7 天之内",
                where="until",
            )
        if not reason.strip():
            raise InputError("a silence needs a reason", zh="请填写静默原因", where="reason")
        made: list[SilenceRow] = []

        def change(row: AlertRow) -> str:
            if row.phase == Phase.FIRING:
                row.state = next_state(AlertState(row.state), Act.SHELVE).value
                row.silenced_until = until_ms
            made.append(_silence_row(row, now, until_ms, actor, reason))
            return reason

        self._act(scope, alert_ids, actor, "silenced", change, reason, also=made)

    def escalate(self, scope: Scope, alert_ids: Sequence[int], actor: str, to: str, note: str = "") -> None:
        """Hand up the line; notifies."""
        if not to.strip():
            raise InputError("a receiver is needed", zh="请填写上报对象", where="to")
        now = self._clock.now_ms()
        told: list[dict[str, str | int]] = []

        def change(row: AlertRow) -> str:
            row.escalated_to = to
            key = f"{episode_key(row, 'escalated')}:{uuid.uuid4().hex[:12]}"
            told.append(outbox_row(row, "escalated", now, key=key, receiver=to, note=note))
            return f"{to}: {note}" if note else to

        self._act(scope, alert_ids, actor, "escalated", change, f"{to} {note}", outbox=told)

    def change_token(self) -> str:
        """Changes whenever anything above changes; one row read."""
        with self._database.session() as session:
            return str(current_version(session))

    def _act(
        self,
        scope: Scope,
        alert_ids: Sequence[int],
        actor: str,
        kind: str,
        change: Change,
        text: str,
        *,
        also: Sequence[SilenceRow] = (),
        outbox: Sequence[dict[str, str | int]] = (),
    ) -> None:
        """All of the alerts or none: NotFoundError when one of them is outside the scope."""
        ids = list(dict.fromkeys(alert_ids))
        if len(ids) > _MAX_BULK or len(text) > _MAX_TEXT:
            raise InputError(
                f"at most {_MAX_BULK} alerts and {_MAX_TEXT} characters", zh="一次处理的内容过多"
            )
        now = self._clock.now_ms()
        with self._database.session() as session:
            version = next_version(session)
            rows = _rows(session, scope, ids)
            lines = []
            for row in rows:
                lines.append((row.id, now, kind, actor, change(row)))
                row.version = version
            session.add_all(also)
            session.flush()
            put_outbox(session, outbox)
            write_timeline(session, lines)
            numbers = [row.number or str(row.id) for row in rows]
        detail = {"text": text} if text else {}
        if len(numbers) == 1:
            self._audit.record(actor, f"alert.{kind}", numbers[0], detail)
        elif numbers:
            detail["alerts"] = ",".join(numbers)
            self._audit.record(actor, f"alert.{kind}", f"{len(numbers)} alerts", detail)


def _scoped(query: _Query, scope: Scope) -> _Query:
    return query if scope.sites is None else query.where(AlertRow.site.in_(sorted(scope.sites)))


def _loud() -> tuple[ColumnElement[bool], ...]:
    """Firing, standing for itself, not shelved."""
    states = (AlertState.ACTIVE.value, AlertState.ACKED.value)
    return AlertRow.phase == Phase.FIRING, AlertRow.root_id.is_(None), AlertRow.state.in_(states)


def _filtered(query: _Query, wanted: AlertFilter) -> _Query:
    conditions: list[ColumnElement[bool]] = []
    if wanted.states:
        conditions.append(AlertRow.state.in_([state.value for state in wanted.states]))
    if wanted.severities:
        conditions.append(AlertRow.severity.in_([severity.value for severity in wanted.severities]))
    for column, value in (
        (AlertRow.site, wanted.site),
        (AlertRow.device, wanted.device),
        (AlertRow.owner, wanted.owner),
    ):
        if value:
            conditions.append(column == value)
    if wanted.text:
        columns = (AlertRow.name, AlertRow.number, AlertRow.labels, AlertRow.annotations, AlertRow.owner)
        conditions.append(or_(*(column.icontains(wanted.text, autoescape=True) for column in columns)))
    if wanted.roots_only:
        conditions.append(AlertRow.root_id.is_(None))
    if wanted.since is not None:
        conditions.append(AlertRow.active_at >= wanted.since)
    return query.where(*conditions)


def _order(sort: str) -> list[ColumnElement[Any]]:
    """Columns to sort by; `-severity` is worst first, then newest first."""
    name = sort.removeprefix("-")
    if name not in _SORTS:
        raise InputError(
            f"cannot sort by {name!r}", zh=f"不支持按 {name} 排序", hint=f"one of {', '.join(_SORTS)}"
        )
    columns = _SORTS[name]
    return [column.desc() if sort.startswith("-") else column.asc() for column in columns]


def _one(session: Session, scope: Scope, alert_id: int) -> AlertRow:
    return _rows(session, scope, [alert_id])[0]


def _rows(session: Session, scope: Scope, ids: Sequence[int]) -> list[AlertRow]:
    """The rows of these ids, in their order. Outside the scope and missing look the same."""
    found: dict[int, AlertRow] = {}
    for start in range(0, len(ids), CHUNK):
        query = _scoped(select(AlertRow).where(AlertRow.id.in_(ids[start : start + CHUNK])), scope)
        found.update({row.id: row for row in session.scalars(query)})
    for alert_id in ids:
        if alert_id not in found:
            raise NotFoundError(f"no alert {alert_id}", zh=f"没有编号为 {alert_id} 的告警", where="alerts")
    return [found[alert_id] for alert_id in ids]


def _views(session: Session, rows: Sequence[AlertRow]) -> list[AlertView]:
    counts = suppressed_counts(session, [row.id for row in rows])
    return [view_of(row, counts.get(row.id, 0)) for row in rows]


def _acknowledge(row: AlertRow, actor: str, now: int) -> None:
    before = AlertState(row.state)
    row.state = next_state(before, Act.ACK).value
    if before not in {AlertState.PENDING, AlertState.CLOSED} and row.acked_at is None:
        row.acked_by, row.acked_at = actor, now
    if row.state == AlertState.CLOSED and row.phase == Phase.NORMAL:
        row.open_key = None


def _silence_row(row: AlertRow, now: int, until_ms: int, actor: str, reason: str) -> SilenceRow:
    return SilenceRow(
        id=str(uuid.uuid4()),
        matchers=dump_matchers(exact(json.loads(row.labels))),
        starts_at=now,
        ends_at=until_ms,
        created_by=actor,
        comment=reason,
        updated_at=now,
    )
