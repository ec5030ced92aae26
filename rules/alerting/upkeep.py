"""What time alone changes: silences that begin and end, returned alerts nobody acknowledged."""

from __future__ import annotations

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from monitor.database import Database
from rules.alerting.interface import AlertState
from rules.alerting.records import SYSTEM, Topology, active_silences, notify_fired, write_timeline
from rules.alerting.silences import silenced_until
from rules.alerting.states import Act, Phase, next_state
from rules.alerting.tables import AlertRow, next_version

# A returned alert that nobody acknowledged is closed by policy after a day.
RETURNED_KEEP_MS = 24 * 3_600_000


def tend(database: Database, now: int, topology: Topology) -> bool:
    """End silences that are over and close forgotten alerts; whether anything changed. Cheap when nothing is due."""
    over = AlertRow.silenced_until.is_not(None) & (AlertRow.silenced_until <= now)
    stale = (AlertRow.state == AlertState.RETURNED) & (AlertRow.resolved_at <= now - RETURNED_KEEP_MS)
    with database.session() as session:
        if session.scalar(select(AlertRow.id).where(over | stale).limit(1)) is None:
            return False
    with database.session() as session:
        version = next_version(session)
        reconcile(session, version, now, topology)
        for row in session.scalars(select(AlertRow).where(stale, AlertRow.phase == Phase.NORMAL)):
            row.state, row.open_key = next_state(AlertState(row.state), Act.CLOSE).value, None
            row.version = version
            write_timeline(session, [(row.id, now, "closed", SYSTEM, "")])
    return True


def reconcile(session: Session, version: int, now: int, topology: Topology) -> None:
    """Make every firing alert agree with the silences in force; alerts heard again are told if they were not."""
    silences = active_silences(session, now)
    heard: list[AlertRow] = []
    lines: list[tuple[int, int, str, str, str]] = []
    for row in session.scalars(select(AlertRow).where(AlertRow.phase == Phase.FIRING)):
        until = silenced_until(silences, json.loads(row.labels), now)
        if until == row.silenced_until:
            continue
        if until is None:
            row.state = next_state(AlertState(row.state), Act.UNSHELVE).value
            if row.acked_at is not None:
                row.state = next_state(AlertState(row.state), Act.ACK).value
            heard.append(row)
            lines.append((row.id, now, "unsilenced", SYSTEM, ""))
        elif row.silenced_until is None:
            row.state = next_state(AlertState(row.state), Act.SHELVE).value
            lines.append((row.id, now, "silenced", SYSTEM, ""))
        row.silenced_until, row.version = until, version
    session.flush()
    write_timeline(session, lines)
    notify_fired(session, heard, now, topology)
