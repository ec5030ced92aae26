"""Rows of the playbooks room. Times in ms since the epoch."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from monitor.database import Base


class EngagementRow(Base):
    """An engagement as it was written; everything shown is parsed from `text`."""

    __tablename__ = "playbooks_engagements"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    requester: Mapped[str] = mapped_column(String(128))
    requester_site: Mapped[str] = mapped_column(String(64))
    window_from: Mapped[int] = mapped_column(BigInteger)
    window_to: Mapped[int] = mapped_column(BigInteger)
    submitted_at: Mapped[int] = mapped_column(BigInteger)
    after_run: Mapped[int]  # runs up to this one belong to an earlier submission


class ApprovalRow(Base):
    """One signature under one digest; a user signs an engagement once."""

    __tablename__ = "playbooks_approvals"
    __table_args__ = (UniqueConstraint("engagement", "user"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    engagement: Mapped[str] = mapped_column(String(64), index=True)
    user: Mapped[str] = mapped_column(String(128))
    site: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    at: Mapped[int] = mapped_column(BigInteger)


class RunRow(Base):
    """One run; `beat_at` moves while a process works on it, so a run without a process can be told from a live one."""

    __tablename__ = "playbooks_runs"
    id: Mapped[int] = mapped_column(primary_key=True)
    engagement: Mapped[str] = mapped_column(String(64), index=True)
    digest: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(128))
    started_at: Mapped[int] = mapped_column(BigInteger)
    beat_at: Mapped[int] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str] = mapped_column(Text)
    packets: Mapped[int]
    done: Mapped[int]
    total: Mapped[int]


class ResultRow(Base):
    """Outcome of one check on one host in one run."""

    __tablename__ = "playbooks_results"
    __table_args__ = (UniqueConstraint("run", "device", "address", "check"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[int] = mapped_column(ForeignKey("playbooks_runs.id"), index=True)
    site: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(128))
    address: Mapped[str] = mapped_column(String(64))
    check: Mapped[str] = mapped_column(String(64))
    outcome: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)


class FindingRow(Base):
    """A weakness at one place, kept for ever; name, severity and remediation as they were when last seen."""

    __tablename__ = "playbooks_findings"
    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    site: Mapped[str] = mapped_column(String(64), index=True)
    device: Mapped[str] = mapped_column(String(128), index=True)
    address: Mapped[str] = mapped_column(String(64))
    port: Mapped[int]
    check: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(256))
    severity: Mapped[str] = mapped_column(String(16))
    remediation: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), index=True)
    owner: Mapped[str] = mapped_column(String(128))
    first_seen: Mapped[int] = mapped_column(BigInteger)
    last_seen: Mapped[int] = mapped_column(BigInteger)
    evidence: Mapped[str] = mapped_column(Text)
    until: Mapped[int | None] = mapped_column(BigInteger)
    note: Mapped[str] = mapped_column(Text)
    run: Mapped[int]


class AttemptRow(Base):
    """One credential attempt, written before it is made. `slot` counts a device's attempts of a day; its
    uniqueness keeps two processes from sharing one.
    """

    __tablename__ = "playbooks_attempts"
    __table_args__ = (UniqueConstraint("device", "day", "slot"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    device: Mapped[str] = mapped_column(String(128))
    day: Mapped[str] = mapped_column(String(10))
    slot: Mapped[int]
    account: Mapped[str] = mapped_column(String(128))
    run: Mapped[int]
    at: Mapped[int] = mapped_column(BigInteger)
