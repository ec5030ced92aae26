"""Tables of the compliance room. Facts themselves are blobs of the FactStore; rows name them by SHA-256."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from monitor.database import Base


class AssessmentRow(Base):
    """One assessment of one site. `totals`, `classes` and `profile` are JSON."""

    __tablename__ = "compliance_assessments"

    id: Mapped[int] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(String(128), index=True)
    level: Mapped[int]
    actor: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[int] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(16))
    totals: Mapped[str] = mapped_column(Text, default="{}")
    classes: Mapped[str] = mapped_column(Text, default="{}")
    profile: Mapped[str] = mapped_column(Text, default="{}")
    rate: Mapped[float | None]
    grade: Mapped[str] = mapped_column(String(16), default="")
    high_risks: Mapped[int] = mapped_column(default=0)
    objects: Mapped[int] = mapped_column(default=0)
    collector: Mapped[str] = mapped_column(String(64), default="")


class JudgementRow(Base):
    """One check on one object. `lines` is JSON: [[fact, number, masked text], ...]."""

    __tablename__ = "compliance_judgements"
    __table_args__ = (Index("ix_compliance_judgements_requirement", "assessment", "clause", "item"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    assessment: Mapped[int] = mapped_column(ForeignKey("compliance_assessments.id"))
    clause: Mapped[str] = mapped_column(String(32))
    item: Mapped[str] = mapped_column(String(8))
    check: Mapped[str] = mapped_column(String(32))
    object: Mapped[str] = mapped_column(String(128))
    verdict: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    reason_en: Mapped[str] = mapped_column(Text)
    lines: Mapped[str] = mapped_column(Text)
    high_risk: Mapped[str] = mapped_column(String(16), default="")


class FactRow(Base):
    """One fact read from one object. `blob` is the SHA-256 of the masked text in the FactStore."""

    __tablename__ = "compliance_facts"

    id: Mapped[int] = mapped_column(primary_key=True)
    assessment: Mapped[int] = mapped_column(ForeignKey("compliance_assessments.id"), index=True)
    object: Mapped[str] = mapped_column(String(128))
    fact: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(Text)
    blob: Mapped[str] = mapped_column(String(64))
    raw_sha256: Mapped[str] = mapped_column(String(64))
    raw_sm3: Mapped[str] = mapped_column(String(64))
    exit_code: Mapped[int]
    read_at: Mapped[int] = mapped_column(BigInteger)
    error: Mapped[str] = mapped_column(Text, default="")
    missing: Mapped[bool] = mapped_column(default=False)
    host_key: Mapped[str] = mapped_column(String(128), default="")
    folder: Mapped[bool] = mapped_column(default=False)
    command: Mapped[bool] = mapped_column(default=False)


class SigningKeyRow(Base):
    """The key that signs evidence; the private half is sealed by the vault."""

    __tablename__ = "compliance_keys"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    public: Mapped[str] = mapped_column(String(64))
    sealed: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)
