"""The tamper-evident audit log: every entry carries the SHA-256 of itself and of the one before.

Altering, removing, inserting or reordering an entry breaks the chain at that place; `verify` names it. Cutting
entries off the end is found by comparing with `anchors.log`, to which the head is appended outside the database.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, text

from monitor.clock import Clock
from monitor.database import Database
from monitor.tables import AuditRow

Detail = Mapping[str, str | int | float | bool | None]
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The outcome of a verification. `first_bad` is the id of the first entry that does not fit."""

    ok: bool
    entries: int
    first_bad: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry as pages show it."""

    id: int
    at: int
    actor: str
    action: str
    target: str
    detail: Mapping[str, object]


def _digest(row: AuditRow) -> str:
    fields = [row.id, row.at, row.actor, row.action, row.target, row.detail, row.previous]
    return hashlib.sha256(json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


class AuditLog:
    """Appends and verifies. `anchor` is the file outside the database that remembers the head."""

    def __init__(self, database: Database, clock: Clock, anchor: Path | None = None) -> None:
        self._database = database
        self._clock = clock
        self._anchor = anchor

    def record(self, actor: str, action: str, target: str, detail: Detail | None = None) -> int:
        """Append one entry durably; returns its id."""
        body = json.dumps(dict(detail or {}), ensure_ascii=False, sort_keys=True)
        with self._database.session() as session:
            if session.get_bind().dialect.name == "sqlite":
                session.execute(text("UPDATE meta SET value = value WHERE key = ''"))  # takes the write lock
            else:
                session.execute(text("LOCK TABLE audit IN EXCLUSIVE MODE"))
            last = session.scalars(select(AuditRow).order_by(AuditRow.id.desc()).limit(1)).first()
            row = AuditRow(
                id=(last.id if last else 0) + 1,
                at=self._clock.now_ms(),
                actor=actor[:64],
                action=action[:64],
                target=target[:256],
                detail=body,
                previous=last.digest if last else GENESIS,
                digest="",
            )
            row.digest = _digest(row)
            session.add(row)
        self._remember(row.id, row.digest)
        return row.id

    def entries(self, *, limit: int = 100, before: int | None = None, actor: str = "") -> list[AuditEntry]:
        """Newest first."""
        wanted = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(AuditRow.id < before)
        if actor:
            wanted = wanted.where(AuditRow.actor == actor)
        with self._database.session() as session:
            return [
                AuditEntry(r.id, r.at, r.actor, r.action, r.target, json.loads(r.detail))
                for r in session.scalars(wanted)
            ]

    def verify(self) -> AuditReport:
        """Walk the whole chain, and hold it against the anchors."""
        previous, expected = GENESIS, 1
        anchors = self._anchors()
        with self._database.session() as session:
            for row in session.scalars(select(AuditRow).order_by(AuditRow.id)):
                reason = ""
                if row.id != expected:
                    reason = f"entry {expected} is missing"
                elif row.previous != previous:
                    reason = "does not follow the entry before it"
                elif row.digest != _digest(row):
                    reason = "its content was altered"
                elif anchors.get(row.id, row.digest) != row.digest:
                    reason = "differs from the anchored head: the chain was rewritten"
                if reason:
                    return AuditReport(False, expected - 1, row.id, reason)
                previous, expected = row.digest, expected + 1
        if anchors and max(anchors) >= expected:
            return AuditReport(False, expected - 1, expected, "entries were cut off the end")
        return AuditReport(True, expected - 1)

    def _remember(self, entry: int, digest: str) -> None:
        if self._anchor is None:
            return
        descriptor = os.open(self._anchor, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, f"{entry} {digest}\n".encode())
        finally:
            os.close(descriptor)

    def _anchors(self) -> dict[int, str]:
        if self._anchor is None or not self._anchor.exists():
            return {}
        found = {}
        for line in self._anchor.read_text("ascii", errors="replace").splitlines():
            number, _, digest = line.partition(" ")
            if number.isdigit() and len(digest) == len(GENESIS):
                found[int(number)] = digest
        return found
