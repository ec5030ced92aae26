"""Tables of the alerting room. Times are ms since the epoch; JSON columns hold text written by `json.dumps`.

Every write transaction first bumps the sequence `version` (see `next_version`): that takes the write lock before
anything is read, so that read-decide-write is safe on SQLite and PostgreSQL alike, and it is the change token.
"""

from __future__ import annotations

from datetime import timedelta, timezone

from sqlalchemy import BigInteger, Float, ForeignKey, Index, Integer, String, Text, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from monitor.clock import to_datetime
from monitor.database import Base

_Id = BigInteger().with_variant(Integer, "sqlite")
_CHINA = timezone(timedelta(hours=8))


class AlertRow(Base):
    """One alert: a rule that is, or was, true for one label set.

    `phase` is the condition (pending, firing, normal), `state` what people see (AlertState). `open_key` is the
    fingerprint while the condition is tracked, NULL once it is over and acknowledged: one open row a fingerprint.
    """

    __tablename__ = "alert"
    __table_args__ = (
        Index("ix_alert_state_severity", "state", "severity_rank"),
        Index("ix_alert_site_state", "site", "state"),
        Index("ix_alert_device", "device"),
        Index("ix_alert_group", "rule_group", "phase"),
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)
    number: Mapped[str | None] = mapped_column(String(32), unique=True)
    open_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    rule_group: Mapped[str] = mapped_column(String(400))
    rule_key: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    severity: Mapped[str] = mapped_column(String(16))
    severity_rank: Mapped[int] = mapped_column(Integer)
    phase: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    labels: Mapped[str] = mapped_column(Text)
    annotations: Mapped[str] = mapped_column(Text)
    site: Mapped[str] = mapped_column(String(100))
    device: Mapped[str] = mapped_column(String(100))
    value: Mapped[float | None] = mapped_column(Float)  # NULL stands for NaN, which SQLite cannot keep
    expression: Mapped[str] = mapped_column(Text)
    active_at: Mapped[int] = mapped_column(BigInteger)
    fired_at: Mapped[int | None] = mapped_column(BigInteger)
    resolved_at: Mapped[int | None] = mapped_column(BigInteger)
    keep_since: Mapped[int | None] = mapped_column(BigInteger)
    acked_by: Mapped[str] = mapped_column(String(100), default="")
    acked_at: Mapped[int | None] = mapped_column(BigInteger)
    owner: Mapped[str] = mapped_column(String(100), default="")
    escalated_to: Mapped[str] = mapped_column(String(200), default="")
    silenced_until: Mapped[int | None] = mapped_column(BigInteger)
    root_id: Mapped[int | None] = mapped_column(ForeignKey("alert.id", ondelete="SET NULL"), index=True)
    version: Mapped[int] = mapped_column(BigInteger)


class AlertEventRow(Base):
    """One line of an alert's timeline; only ever appended."""

    __tablename__ = "alert_event"
    __table_args__ = (
        Index("ix_alert_event_alert", "alert_id", "at"),
        Index("ix_alert_event_kind", "kind", "at"),
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alert.id", ondelete="CASCADE"))
    at: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str] = mapped_column(String(100))
    text: Mapped[str] = mapped_column(Text)


class SilenceRow(Base):
    """One silence; `matchers` is a JSON list of {name, value, isRegex, isEqual} as in Alertmanager."""

    __tablename__ = "silence"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    matchers: Mapped[str] = mapped_column(Text)
    starts_at: Mapped[int] = mapped_column(BigInteger)
    ends_at: Mapped[int] = mapped_column(BigInteger, index=True)
    created_by: Mapped[str] = mapped_column(String(100))
    comment: Mapped[str] = mapped_column(Text)
    updated_at: Mapped[int] = mapped_column(BigInteger)


class NotificationRow(Base):
    """The ledger. `channel` is empty until routed; `state`: pending, failed (to be retried), sent, dead, routed.

    A row is due when `next_at` has passed. Claiming moves `next_at` ahead by a lease, in one conditional UPDATE.
    """

    __tablename__ = "notification"
    __table_args__ = (Index("ix_notification_due", "state", "next_at"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column(String(200), unique=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alert.id", ondelete="CASCADE"), index=True)
    event: Mapped[str] = mapped_column(String(16))
    channel: Mapped[str] = mapped_column(String(50), default="")
    receiver: Mapped[str] = mapped_column(String(200), default="")
    note: Mapped[str] = mapped_column(Text, default="")
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[int] = mapped_column(BigInteger)
    claimed_by: Mapped[str] = mapped_column(String(64), default="")
    last_error: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[int] = mapped_column(BigInteger)
    sent_at: Mapped[int | None] = mapped_column(BigInteger)


class SequenceRow(Base):
    """Counters: `version` (changes of anything above) and one a day for alert numbers."""

    __tablename__ = "alerting_sequence"

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


def next_version(session: Session) -> int:
    """The next change version; from here to the commit no other writer of this room runs."""
    return _advance(session, "version", 1)


def next_numbers(session: Session, at_ms: int, count: int) -> list[str]:
    """The next alert numbers of the day, e.g. AL-20261121-0417; days change at midnight in China (UTC+8)."""
    day = f"AL-{to_datetime(at_ms).astimezone(_CHINA):%Y%m%d}"
    last = _advance(session, day, count) if count else 0
    return [f"{day}-{number:04d}" for number in range(last - count + 1, last + 1)]


def _advance(session: Session, name: str, by: int) -> int:
    bump = update(SequenceRow).where(SequenceRow.name == name).values(value=SequenceRow.value + by)
    moved = session.execute(bump.returning(SequenceRow.value)).scalar_one_or_none()
    if moved is None:
        session.execute(insert(SequenceRow).values(name=name, value=by))
        return by
    return moved


def current_version(session: Session) -> int:
    """The version of the last committed change; 0 before the first."""
    return session.scalar(select(SequenceRow.value).where(SequenceRow.name == "version")) or 0
