"""The engine's memory: alert rows written in one transaction a group evaluation, read back after a restart."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from operator import attrgetter
from typing import Any

from sqlalchemy import BindParameter, Column, bindparam, delete, select
from sqlalchemy.orm import Session

from monitor.database import Base, Database
from monitor.metrics.interface import Labels, make_labels
from monitor.model import Severity
from rules.alerting.evaluation import Change
from rules.alerting.files import AlertRule
from rules.alerting.interface import AlertState
from rules.alerting.naming import with_names
from rules.alerting.records import (
    CHUNK,
    SYSTEM,
    Topology,
    active_silences,
    notify_fired,
    notify_resolved,
    regroup,
    write_timeline,
)
from rules.alerting.silences import Silence, silenced_until
from rules.alerting.states import Act, Phase, Tracked, Transition, next_state
from rules.alerting.tables import AlertRow, next_numbers, next_version

_SEVERITIES: Mapping[str, Severity] = {
    **{severity.value: severity for severity in Severity},
    "page": Severity.CRITICAL,
    "error": Severity.MAJOR,
    "high": Severity.MAJOR,
    "warning": Severity.MINOR,
    "low": Severity.INFO,
    "none": Severity.INFO,
}
_FINGERPRINTS_KEPT = 50_000
_to_json = json.JSONEncoder(ensure_ascii=False).encode
_OVER = frozenset({Transition.RESOLVED, Transition.VANISHED})

Namer = Callable[[Mapping[str, str]], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of one rule's alert, to be recorded."""

    group: str
    rule: AlertRule
    change: Change


def fingerprint(rule_key: str, labels: Labels) -> str:
    """Names one label set of one rule across restarts."""
    return sha256(f"{rule_key}\x00{json.dumps(labels)}".encode()).hexdigest()[:40]


def severity_of(labels: Mapping[str, str]) -> Severity:
    """The severity label on our scale; words of other scales are understood, anything else is minor."""
    return _SEVERITIES.get(labels.get("severity", "").lower(), Severity.MINOR)


class Journal:
    """Alert rows on the state database, both callables read at each use.

    `topology` gives device -> devices it depends on; `names` the names of the ids among an alert's labels.
    """

    def __init__(
        self, database: Database, topology: Callable[[], Topology], names: Namer = lambda _labels: {}
    ) -> None:
        self._database = database
        self._topology = topology
        self._names = names
        self._fingerprint = lru_cache(_FINGERPRINTS_KEPT)(fingerprint)

    def restore(self) -> dict[tuple[str, str], list[Tracked]]:
        """Everything pending or firing, by (group key, rule key)."""
        found: dict[tuple[str, str], list[Tracked]] = {}
        with self._database.session() as session:
            query = select(AlertRow).where(AlertRow.open_key.is_not(None), AlertRow.phase != Phase.NORMAL)
            for row in session.scalars(query):
                found.setdefault((row.rule_group, row.rule_key), []).append(_tracked(row))
        return found

    def record(self, entries: Sequence[Entry], now: int) -> None:
        """One transaction for everything one group evaluation changed. Nothing to say writes nothing."""
        if not entries:
            return
        topology = self._topology()
        keys = [self._fingerprint(entry.rule.key, entry.change.tracked.labels) for entry in entries]
        with self._database.session() as session:
            _Recording(session, now, topology, self._names).write(entries, keys)

    def retire(self, known: Iterable[tuple[str, str]], now: int) -> int:
        """Resolve alerts whose rule is no longer loaded; returns how many."""
        keep = set(known)
        with self._database.session() as session:
            open_rows = select(AlertRow.id, AlertRow.rule_group, AlertRow.rule_key).where(
                AlertRow.open_key.is_not(None), AlertRow.phase != Phase.NORMAL
            )
            gone = [number for number, group, key in session.execute(open_rows) if (group, key) not in keep]
            if gone:
                _Recording(session, now, self._topology(), self._names).retire(gone)
        return len(gone)


def _tracked(row: AlertRow) -> Tracked:
    return Tracked(
        make_labels(json.loads(row.labels)),
        json.loads(row.annotations),
        math.nan if row.value is None else row.value,
        Phase(row.phase),
        row.active_at,
        row.fired_at if row.phase == Phase.FIRING else None,
        row.keep_since,
    )


@dataclass(slots=True)
class _Row:
    """An alert row as far as recording needs it; plain data, because a storm has thousands of them."""

    id: int
    open_key: str | None
    number: str | None
    name: str
    severity: str
    phase: str
    state: str
    labels: str
    annotations: str
    device: str
    value: float | None
    active_at: int
    fired_at: int | None
    resolved_at: int | None
    keep_since: int | None
    acked_by: str
    acked_at: int | None
    silenced_until: int | None
    root_id: int | None


_TABLE = Base.metadata.tables["alert"]
_COLUMNS = [_TABLE.c[name] for name in _Row.__slots__]
_STORED = _Row.__slots__[1:]  # all but the id
_stored = attrgetter(*_STORED)
_MOVING = ("annotations", "value", "active_at", "keep_since", "phase")
_TURNING = (
    *_MOVING,
    "open_key",
    "number",
    "state",
    "fired_at",
    "resolved_at",
    "acked_by",
    "acked_at",
    "silenced_until",
)


class _Recording:
    """One write transaction. Statements are few and wide: a storm of thousands of alerts is one transaction."""

    def __init__(self, session: Session, now: int, topology: Topology, names: Namer) -> None:
        self._session = session
        self._names = names
        self._now = now
        self._topology = topology
        self._version = next_version(session)
        self._silences: list[Silence] = active_silences(session, now)
        self._lines: list[tuple[int, int, str, str, str]] = []

    def write(self, entries: Sequence[Entry], keys: Sequence[str]) -> None:
        """Record changes; `keys` are their fingerprints."""
        rows = self._rows(_TABLE.c.open_key, keys)
        fresh: dict[str, tuple[_Row, Entry]] = {}
        fired: list[_Row] = []
        resolved: list[_Row] = []
        turned: dict[int, _Row] = {}
        moved: dict[int, _Row] = {}
        dropped: list[int] = []
        for key, entry in zip(keys, entries, strict=True):
            row, transition = rows.get(key), entry.change.transition
            if row is None:
                if transition in _OVER:
                    continue  # what is already over needs no row
                row = rows[key] = self._new(key, entry)
                fresh[key] = row, entry
            known = key not in fresh
            self._update(row, entry.change.tracked)
            if transition is Transition.FIRED:
                self._fire(row)
                fired.append(row)
            elif transition is Transition.RESOLVED:
                self._clear(row)
                resolved.append(row)
            elif transition is Transition.VANISHED and self._vanish(row):
                dropped.append(row.id)
                continue
            if known:
                (moved if transition is None else turned)[row.id] = row
        self._number(fired)
        self._insert(fresh)
        self._save(turned.values(), _TURNING)
        self._save(moved.values(), _MOVING)
        self._drop(dropped)
        self._finish(fired, resolved)

    def retire(self, ids: Sequence[int]) -> None:
        """The rules of these alerts are gone."""
        rows = self._rows(_TABLE.c.id, ids)
        resolved, dropped = [], []
        for row in rows.values():
            if row.phase != Phase.PENDING:
                self._clear(row)
                resolved.append(row)
            elif self._vanish(row):
                dropped.append(row.id)
        self._save(rows.values(), _TURNING)
        self._drop(dropped)
        self._finish([], resolved)

    def _rows(self, column: Column[Any], values: Sequence[str] | Sequence[int]) -> dict[str, _Row]:
        found: dict[str, _Row] = {}
        for start in range(0, len(values), CHUNK):
            query = select(*_COLUMNS).where(column.in_(values[start : start + CHUNK]))
            for values_of in self._session.execute(query):
                row = _Row(*values_of)
                found[str(row.open_key)] = row
        return found

    def _new(self, key: str, entry: Entry) -> _Row:
        tracked = entry.change.tracked
        labels = dict(tracked.labels)
        return _Row(
            id=0,
            open_key=key,
            number=None,
            name=entry.rule.name,
            severity=severity_of(labels).value,
            phase=Phase.PENDING.value,
            state=AlertState.PENDING.value,
            labels=_to_json(labels),
            annotations="{}",
            device=labels.get("device", ""),
            value=None,
            active_at=tracked.active_at,
            fired_at=None,
            resolved_at=None,
            keep_since=None,
            acked_by="",
            acked_at=None,
            silenced_until=None,
            root_id=None,
        )

    def _insert(self, fresh: Mapping[str, tuple[_Row, Entry]]) -> None:
        """New rows in one statement; those that fire learn their id."""
        if not fresh:
            return
        rows = []
        for row, entry in fresh.values():
            rows.append(
                dict(zip(_STORED, _stored(row), strict=True))
                | {
                    "rule_group": entry.group,
                    "rule_key": entry.rule.key,
                    "severity_rank": Severity(row.severity).rank,
                    "site": dict(entry.change.tracked.labels).get("site", ""),
                    "expression": entry.rule.expr,
                    "owner": "",
                    "escalated_to": "",
                    "version": self._version,
                }
            )
        connection = self._session.connection()
        connection.execute(_TABLE.insert(), rows)
        wanted = [key for key, (row, _) in fresh.items() if row.fired_at is not None]
        for start in range(0, len(wanted), CHUNK):
            keys = wanted[start : start + CHUNK]
            query = select(_TABLE.c.open_key, _TABLE.c.id).where(_TABLE.c.open_key.in_(keys))
            for key, row_id in connection.execute(query):
                fresh[key][0].id = row_id

    def _save(self, rows: Iterable[_Row], columns: Sequence[str]) -> None:
        of = attrgetter(*columns)
        values = [
            {"row_id": row.id, "version": self._version, **dict(zip(columns, of(row), strict=True))}
            for row in rows
        ]
        if values:
            change: dict[str, BindParameter[Any]] = {name: bindparam(name) for name in (*columns, "version")}
            update = _TABLE.update().where(_TABLE.c.id == bindparam("row_id")).values(change)
            self._session.connection().execute(update, values)

    def _update(self, row: _Row, tracked: Tracked) -> None:
        row.value = None if math.isnan(tracked.value) else tracked.value
        annotations = with_names(tracked.annotations, self._names(dict(tracked.labels)))
        row.annotations = _to_json(annotations)
        row.keep_since = tracked.keep_since
        row.active_at = tracked.active_at
        if row.phase == Phase.NORMAL:
            row.phase = tracked.phase.value

    def _number(self, fired: Sequence[_Row]) -> None:
        fresh = [row for row in fired if row.number is None]
        for row, number in zip(fresh, next_numbers(self._session, self._now, len(fresh)), strict=True):
            row.number = number

    def _fire(self, row: _Row) -> None:
        row.phase, row.fired_at, row.resolved_at = Phase.FIRING.value, self._now, None
        row.acked_by, row.acked_at = "", None
        row.state = next_state(AlertState(row.state), Act.FIRE).value
        row.silenced_until = None
        if self._silences:
            row.silenced_until = silenced_until(self._silences, json.loads(row.labels), self._now)
        if row.silenced_until is not None:
            row.state = next_state(AlertState(row.state), Act.SHELVE).value

    def _clear(self, row: _Row) -> None:
        row.phase, row.resolved_at, row.keep_since = Phase.NORMAL.value, self._now, None
        row.state = next_state(AlertState(row.state), Act.CLEAR).value
        if row.root_id is not None:
            row.state = next_state(AlertState(row.state), Act.CLOSE).value
        row.silenced_until = None
        if row.state == AlertState.CLOSED:
            row.open_key = None

    def _vanish(self, row: _Row) -> bool:
        """Whether the row may go: it never fired. One that fired before stays, with its state."""
        if row.fired_at is None:
            return True
        row.phase = Phase.NORMAL.value
        if row.state == AlertState.CLOSED:
            row.open_key = None
        return False

    def _drop(self, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), CHUNK):
            self._session.execute(delete(AlertRow).where(AlertRow.id.in_(ids[start : start + CHUNK])))

    def _finish(self, fired: Sequence[_Row], resolved: Sequence[_Row]) -> None:
        self._lines += [(row.id, self._now, "fired", SYSTEM, _reading(row)) for row in fired]
        self._lines += [(row.id, self._now, "resolved", SYSTEM, "") for row in resolved]
        write_timeline(self._session, self._lines)
        notify_fired(self._session, fired, self._now, self._topology)
        notify_resolved(self._session, resolved, self._now)
        if fired or resolved:
            regroup(self._session, self._version, self._now, self._topology)


def _reading(row: _Row) -> str:
    return "" if row.value is None else f"value {row.value:.6g}"
