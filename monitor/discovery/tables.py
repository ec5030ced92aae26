"""Tables of discovery: scans, known ranges, credentials released to a site, proposals, and what changed on devices."""

from __future__ import annotations

from typing import Annotated

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from monitor.database import Base

# Milliseconds since the epoch do not fit in the 32 bits other engines give an INTEGER.
Millis = Annotated[int, mapped_column(BigInteger)]


class ScanRow(Base):
    """One scan. Lists are JSON."""

    __tablename__ = "discovery_scan"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    site: Mapped[str] = mapped_column(String(128), index=True)
    ranges: Mapped[str] = mapped_column(Text)
    credentials: Mapped[str] = mapped_column(Text)
    port: Mapped[int]
    rate: Mapped[float]
    state: Mapped[str] = mapped_column(String(16), default="queued", index=True)
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    found: Mapped[int] = mapped_column(default=0)
    packets: Mapped[int] = mapped_column(default=0)
    speed: Mapped[float] = mapped_column(default=0.0)
    eta: Mapped[int | None] = mapped_column(default=None)
    skipped: Mapped[str] = mapped_column(Text, default="[]")
    reason: Mapped[str] = mapped_column(Text, default="{}")
    actor: Mapped[str] = mapped_column(String(64))
    origin: Mapped[str] = mapped_column(String(16), default="manual")
    created_at: Mapped[Millis]
    started_at: Mapped[int | None] = mapped_column(BigInteger, default=None)
    finished_at: Mapped[int | None] = mapped_column(BigInteger, default=None)
    told_at: Mapped[int] = mapped_column(BigInteger, default=0)  # the collector's clock
    heard_at: Mapped[int | None] = mapped_column(BigInteger, default=None)  # ours


class RangeRow(Base):
    """A range a site is known to use."""

    __tablename__ = "discovery_range"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    site: Mapped[str] = mapped_column(String(128), index=True)
    ranges: Mapped[str] = mapped_column(Text)
    credentials: Mapped[str] = mapped_column(Text)
    port: Mapped[int]
    rate: Mapped[float]
    weekly: Mapped[bool] = mapped_column(default=False)
    actor: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[Millis]
    scanned_at: Mapped[int | None] = mapped_column(BigInteger, default=None)


class GrantRow(Base):
    """A credential released to a site before any device of it uses it."""

    __tablename__ = "discovery_grant"
    site: Mapped[str] = mapped_column(String(128), primary_key=True)
    credential: Mapped[str] = mapped_column(String(128), primary_key=True)
    actor: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[Millis]


class ProposalRow(Base):
    """One device that was found; `sightings`: JSON of its finds by `address port`, `primary`: one of these keys."""

    __tablename__ = "discovery_proposal"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    site: Mapped[str] = mapped_column(String(128), index=True)
    state: Mapped[str] = mapped_column(String(16), default="new", index=True)
    primary: Mapped[str] = mapped_column(String(64))
    sightings: Mapped[str] = mapped_column(Text)
    device: Mapped[str] = mapped_column(String(128), default="")
    changed: Mapped[bool] = mapped_column(default=False)
    fingerprint: Mapped[str] = mapped_column(Text, default="")
    reason: Mapped[str] = mapped_column(Text, default="")
    actor: Mapped[str] = mapped_column(String(64), default="")
    scan: Mapped[int] = mapped_column(default=0)
    first_seen: Mapped[Millis]
    last_seen: Mapped[Millis]


class TraitRow(Base):
    """By what a proposal may be recognised, so that a find is held against the few it could be."""

    __tablename__ = "discovery_trait"
    proposal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    trait: Mapped[str] = mapped_column(String(320), primary_key=True, index=True)


class IdentityRow(Base):
    """What a polled device was last known to be; JSON of changes.Known."""

    __tablename__ = "discovery_identity"
    device: Mapped[str] = mapped_column(String(128), primary_key=True)
    module: Mapped[str] = mapped_column(String(128), primary_key=True)
    body: Mapped[str] = mapped_column(Text)


class ChangeRow(Base):
    """One change of a polled device."""

    __tablename__ = "discovery_change"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    site: Mapped[str] = mapped_column(String(128), index=True)
    device: Mapped[str] = mapped_column(String(128), index=True)
    at: Mapped[int] = mapped_column(BigInteger, index=True)
    what: Mapped[str] = mapped_column(String(32))
    before: Mapped[str] = mapped_column(Text)
    after: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    zh: Mapped[str] = mapped_column(Text)
