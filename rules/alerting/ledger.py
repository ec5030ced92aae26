"""The notification ledger: who is to be told what, claimed so that nothing is sent twice.

A row is claimed by one conditional UPDATE that also moves `next_at` ahead by a lease: another notifier does not
see it, and a notifier that dies leaves it to be tried again, under the same key, when the lease is over.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, delete, select, update

from monitor.database import Database
from rules.alerting.interface import AlertView
from rules.alerting.records import SYSTEM, put_outbox, suppressed_counts, view_of, write_timeline
from rules.alerting.tables import AlertRow, NotificationRow, next_version

LEASE_MS = 120_000
# Seconds to wait after the first, second ... failure; after the last one the message is dead.
BACKOFF_S: Sequence[int] = (5, 15, 60, 300, 900, 1800, 3600, 7200, 14400)
_OPEN = ("pending", "failed")
_KEEP_MS = 90 * 86_400_000


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that this notifier alone may send. `token` proves it when reporting back."""

    id: int
    token: str
    key: str
    event: str
    channel: str
    receiver: str
    note: str
    attempts: int
    alert: AlertView


class Ledger:
    """Notification rows. Times in ms."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def route(self, channels: Sequence[str], now: int, *, limit: int = 500) -> int:
        """Turn due unrouted rows into one row a channel; returns how many were routed.

        Without any channel they end as dead, so that the desk can show that nobody was told.
        """
        with self._database.session() as session:
            due = self._due(now, unrouted=True)
            if session.scalar(due.with_only_columns(NotificationRow.id).limit(1)) is None:
                return 0
        with self._database.session() as session:
            next_version(session)
            rows = list(session.scalars(due.limit(limit)))
            fresh: list[dict[str, str | int]] = []
            for row in rows:
                row.state = "routed" if channels else "dead"
                row.last_error = "" if channels else "no channel is configured"
                fresh += [_child(row, channel, now) for channel in channels]
            session.flush()
            put_outbox(session, fresh)
            return len(rows)

    def claim(self, now: int, *, limit: int = 20) -> list[Claim]:
        """Messages to send now, each claimed for `LEASE_MS`."""
        token = uuid.uuid4().hex
        with self._database.session() as session:
            query = self._due(now, unrouted=False).with_only_columns(NotificationRow.id).limit(limit)
            ids = list(session.scalars(query))
        claims = []
        for row_id in ids:
            claim = self._claim(row_id, token, now)
            if claim is not None:
                claims.append(claim)
        return claims

    def _claim(self, row_id: int, token: str, now: int) -> Claim | None:
        take = (
            update(NotificationRow)
            .where(
                NotificationRow.id == row_id,
                NotificationRow.state.in_(_OPEN),
                NotificationRow.next_at <= now,
            )
            .values(
                claimed_by=token,
                next_at=now + LEASE_MS,
                state="failed",  # until the far side has accepted, it counts as to be retried
                attempts=NotificationRow.attempts + 1,
            )
            .returning(NotificationRow.id)
        )
        with self._database.session() as session:
            if session.execute(take).scalar_one_or_none() is None:
                return None
            row = session.get_one(NotificationRow, row_id)
            alert = session.get_one(AlertRow, row.alert_id)
            view = view_of(alert, suppressed_counts(session, [alert.id]).get(alert.id, 0))
            return Claim(
                row.id, token, row.key, row.event, row.channel, row.receiver, row.note, row.attempts, view
            )

    def sent(self, claim: Claim, now: int) -> None:
        """The far side accepted."""
        done: dict[str, str | int] = {"state": "sent", "sent_at": now, "last_error": "", "claimed_by": ""}
        if self._report(claim, done):
            text = f"{claim.event}: {claim.channel}" + (f" -> {claim.receiver}" if claim.receiver else "")
            self._tell(claim, now, "notified", text)

    def failed(self, claim: Claim, now: int, error: str, *, retryable: bool) -> None:
        """It did not go through: later again, or never when hopeless."""
        again = retryable and claim.attempts <= len(BACKOFF_S)
        wait = BACKOFF_S[claim.attempts - 1] * 1000 if again else 0
        state = "failed" if again else "dead"
        values: dict[str, str | int] = {
            "state": state,
            "next_at": now + wait,
            "last_error": error[:500],
            "claimed_by": "",
        }
        if self._report(claim, values) and not again:
            self._tell(claim, now, "notify-failed", f"{claim.event}: {claim.channel}: {error[:200]}")

    def _report(self, claim: Claim, values: dict[str, str | int]) -> bool:
        mine = (NotificationRow.id == claim.id, NotificationRow.claimed_by == claim.token)
        report = update(NotificationRow).where(*mine).values(**values).returning(NotificationRow.id)
        with self._database.session() as session:
            return session.execute(report).scalar_one_or_none() is not None

    def _tell(self, claim: Claim, now: int, kind: str, text: str) -> None:
        with self._database.session() as session:
            next_version(session)
            write_timeline(session, [(claim.alert.id, now, kind, SYSTEM, text)])

    def prune(self, now: int) -> None:
        """Forget what was settled 90 days ago."""
        old = NotificationRow.created_at < now - _KEEP_MS
        with self._database.session() as session:
            session.execute(delete(NotificationRow).where(old, NotificationRow.state.not_in(_OPEN)))

    @staticmethod
    def _due(now: int, *, unrouted: bool) -> Select[NotificationRow]:
        mine = NotificationRow.channel == "" if unrouted else NotificationRow.channel != ""
        return (
            select(NotificationRow)
            .where(NotificationRow.state.in_(_OPEN), NotificationRow.next_at <= now, mine)
            .order_by(NotificationRow.next_at, NotificationRow.id)
        )


def _child(row: NotificationRow, channel: str, now: int) -> dict[str, str | int]:
    return {
        "key": f"{row.key}:{channel}",
        "alert_id": row.alert_id,
        "event": row.event,
        "channel": channel,
        "receiver": row.receiver,
        "note": row.note,
        "state": "pending",
        "attempts": 0,
        "next_at": now,
        "claimed_by": "",
        "last_error": "",
        "created_at": row.created_at,
    }
