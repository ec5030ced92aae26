"""The engine's memory: alert rows written in one transaction a group evaluation, read back after a restart."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from monitor.database import Database
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
    word = labels.get("severity", "").lower()
    others = {"page": Severity.CRITICAL, "error": Severity.MAJOR, "high": Severity.MAJOR}
    others |= {"warning": Severity.MINOR, "low": Severity.INFO, "none": Severity.INFO}
    return Severity(word) if word in set(Severity) else others.get(word, Severity.MINOR)


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
        with self._database.session() as session:
            _Recording(session, now, topology, self._names).write(entries)

    def retire(self, known: Iterable[tuple[str, str]], now: int) -> int:
        """Resolve alerts whose rule is no longer loaded; returns how many."""
        keep = set(known)
        entries = []
        with self._database.session() as session:
            query = select(AlertRow).where(AlertRow.open_key.is_not(None), AlertRow.phase != Phase.NORMAL)
            gone = [row for row in session.scalars(query) if (row.rule_group, row.rule_key) not in keep]
            if gone:
                recording = _Recording(session, now, self._topology(), self._names)
                recording.retire(gone)
            entries = gone
        return len(entries)


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


class _Recording:
    """One write transaction."""

    def __init__(self, session: Session, now: int, topology: Topology, names: Namer) -> None:
        self._session = session
        self._names = names
        self._now = now
        self._topology = topology
        self._version = next_version(session)
        self._silences: list[Silence] = active_silences(session, now)
        self._lines: list[tuple[int, int, str, str, str]] = []

    def write(self, entries: Sequence[Entry]) -> None:
        keys = [fingerprint(e.rule.key, e.change.tracked.labels) for e in entries]
        rows = self._rows(keys)
        rows |= self._add({k: e for k, e in zip(keys, entries, strict=True) if k not in rows})
        fired: list[AlertRow] = []
        resolved: list[AlertRow] = []
        dropped: list[int] = []
        for key, entry in zip(keys, entries, strict=True):
            row = rows.get(key)
            transition = entry.change.transition
            if row is None:
                continue
            self._update(row, entry.change.tracked)
            if transition is Transition.FIRED:
                self._fire(row)
                fired.append(row)
            elif transition is Transition.RESOLVED:
                self._clear(row)
                resolved.append(row)
            elif transition is Transition.VANISHED and self._vanish(row):
                dropped.append(row.id)
        fresh = [row for row in fired if row.number is None]
        for row, number in zip(fresh, next_numbers(self._session, self._now, len(fresh)), strict=True):
            row.number = number
        self._session.flush()
        if dropped:
            self._drop(dropped)
        self._finish(fired, resolved)

    def retire(self, rows: Sequence[AlertRow]) -> None:
        resolved = []
        for row in rows:
            if row.phase == Phase.PENDING:
                if self._vanish(row):
                    self._session.delete(row)
                continue
            self._clear(row)
            resolved.append(row)
        self._session.flush()
        self._finish([], resolved)

    def _rows(self, keys: Sequence[str]) -> dict[str, AlertRow]:
        found: dict[str, AlertRow] = {}
        for start in range(0, len(keys), CHUNK):
            query = select(AlertRow).where(AlertRow.open_key.in_(keys[start : start + CHUNK]))
            found.update({str(row.open_key): row for row in self._session.scalars(query)})
        return found

    def _add(self, entries: Mapping[str, Entry]) -> dict[str, AlertRow]:
        """Rows for alerts that have none, in one statement; what is already over needs none."""
        over = {Transition.RESOLVED, Transition.VANISHED}
        fresh = {key: entry for key, entry in entries.items() if entry.change.transition not in over}
        if not fresh:
            return {}
        self._session.execute(insert(AlertRow), [self._new(key, entry) for key, entry in fresh.items()])
        return self._rows(list(fresh))

    def _new(self, key: str, entry: Entry) -> dict[str, str | int]:
        tracked = entry.change.tracked
        labels = dict(tracked.labels)
        severity = severity_of(labels)
        return {
            "open_key": key,
            "rule_group": entry.group,
            "rule_key": entry.rule.key,
            "name": entry.rule.name,
            "severity": severity.value,
            "severity_rank": severity.rank,
            "phase": Phase.PENDING.value,
            "state": AlertState.PENDING.value,
            "labels": json.dumps(labels, ensure_ascii=False),
            "annotations": "{}",
            "site": labels.get("site", ""),
            "device": labels.get("device", ""),
            "expression": entry.rule.expr,
            "active_at": tracked.active_at,
            "acked_by": "",
            "owner": "",
            "escalated_to": "",
            "version": self._version,
        }

    def _update(self, row: AlertRow, tracked: Tracked) -> None:
        row.value = None if math.isnan(tracked.value) else tracked.value
        annotations = with_names(tracked.annotations, self._names(dict(tracked.labels)))
        row.annotations = json.dumps(annotations, ensure_ascii=False)
        row.keep_since = tracked.keep_since
        row.active_at = tracked.active_at
        row.version = self._version
        if row.phase == Phase.NORMAL:
            row.phase = tracked.phase.value

    def _fire(self, row: AlertRow) -> None:
        row.phase, row.fired_at, row.resolved_at = Phase.FIRING.value, self._now, None
        row.acked_by, row.acked_at = "", None
        row.state = next_state(AlertState(row.state), Act.FIRE).value
        until = silenced_until(self._silences, json.loads(row.labels), self._now)
        row.silenced_until = until
        if until is not None:
            row.state = next_state(AlertState(row.state), Act.SHELVE).value

    def _clear(self, row: AlertRow) -> None:
        row.phase, row.resolved_at, row.keep_since = Phase.NORMAL.value, self._now, None
        row.version = self._version
        row.state = next_state(AlertState(row.state), Act.CLEAR).value
        if row.root_id is not None:
            row.state = next_state(AlertState(row.state), Act.CLOSE).value
        row.silenced_until = None
        if row.state == AlertState.CLOSED:
            row.open_key = None

    def _vanish(self, row: AlertRow) -> bool:
        """Whether the row may go: it never fired. One that fired before stays, with its state."""
        if row.fired_at is None:
            return True
        row.phase, row.version = Phase.NORMAL.value, self._version
        if row.state == AlertState.CLOSED:
            row.open_key = None
        return False

    def _drop(self, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), CHUNK):
            self._session.execute(delete(AlertRow).where(AlertRow.id.in_(ids[start : start + CHUNK])))

    def _finish(self, fired: Sequence[AlertRow], resolved: Sequence[AlertRow]) -> None:
        self._lines += [(row.id, self._now, "fired", SYSTEM, _reading(row)) for row in fired]
        self._lines += [(row.id, self._now, "resolved", SYSTEM, "") for row in resolved]
        write_timeline(self._session, self._lines)
        notify_fired(self._session, fired, self._now, self._topology)
        notify_resolved(self._session, resolved, self._now)
        if fired or resolved:
            regroup(self._session, self._version, self._now, self._topology)


def _reading(row: AlertRow) -> str:
    return "" if row.value is None else f"value {row.value:.6g}"
