"""Tables of this room: inventory, credentials, statuses, users, tokens, sessions, audit, jobs."""

from __future__ import annotations

from sqlalchemy import Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from monitor.database import Base


class MetaRow(Base):
    """Small facts about the database itself: inventory version, city name."""

    __tablename__ = "meta"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class InventoryRow(Base):
    """One registered object: kind is region, site, device or service; `body` is its JSON."""

    __tablename__ = "inventory"
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    site: Mapped[str] = mapped_column(String(128), default="", index=True)
    position: Mapped[int] = mapped_column(Integer, default=0)
    body: Mapped[str] = mapped_column(Text)


class CredentialRow(Base):
    """A named credential; `sealed` is the vault's token over its JSON fields."""

    __tablename__ = "credential"
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    sealed: Mapped[str] = mapped_column(Text)


class ModuleStatusRow(Base):
    """What the last poll of one module of one device said."""

    __tablename__ = "module_status"
    device: Mapped[str] = mapped_column(String(128), primary_key=True)
    module: Mapped[str] = mapped_column(String(128), primary_key=True)
    site: Mapped[str] = mapped_column(String(128), index=True)
    up: Mapped[bool]
    checked_at: Mapped[int]
    changed_at: Mapped[int]
    errors: Mapped[str] = mapped_column(Text, default="[]")
    identity: Mapped[str] = mapped_column(Text, default="{}")
    detail: Mapped[str] = mapped_column(Text, default="{}")


class CollectorStatusRow(Base):
    """The last heartbeat of one collector."""

    __tablename__ = "collector_status"
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    last_seen: Mapped[int]
    spooled_samples: Mapped[int] = mapped_column(default=0)
    devices: Mapped[int] = mapped_column(default=0)


class UserRow(Base):
    """An account. `otp_sealed` is empty until two-factor login is set up."""

    __tablename__ = "user_account"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    display: Mapped[str] = mapped_column(String(64), default="")
    role: Mapped[str] = mapped_column(String(32))
    sites: Mapped[str] = mapped_column(Text, default="")  # JSON list; the whole city when empty
    password_hash: Mapped[str] = mapped_column(Text)
    password_changed_at: Mapped[int] = mapped_column(default=0)
    must_change: Mapped[bool] = mapped_column(default=False)
    otp_sealed: Mapped[str] = mapped_column(Text, default="")
    otp_last_step: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[int] = mapped_column(default=0)
    disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[int] = mapped_column(default=0)
    locale: Mapped[str] = mapped_column(String(8), default="")


class SessionRow(Base):
    """A console session; only the hash of its token is kept."""

    __tablename__ = "console_session"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user: Mapped[str] = mapped_column(String(64), index=True)
    address: Mapped[str] = mapped_column(String(64), default="")
    created_at: Mapped[int]
    last_seen: Mapped[int]


class TokenRow(Base):
    """An API token; only its hash is kept."""

    __tablename__ = "api_token"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[int]
    revoked: Mapped[bool] = mapped_column(default=False)


class AuditRow(Base):
    """One link of the audit chain."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[int] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(256))
    detail: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))


class JobRow(Base):
    """Long work and how far it is."""

    __tablename__ = "job"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(64))
    site: Mapped[str] = mapped_column(String(128), default="", index=True)
    actor: Mapped[str] = mapped_column(String(64))
    params: Mapped[str] = mapped_column(Text, default="{}")
    status: Mapped[str] = mapped_column(String(16), default="queued", index=True)
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    note: Mapped[str] = mapped_column(Text, default="")
    result: Mapped[str] = mapped_column(Text, default="{}")
    error: Mapped[str] = mapped_column(Text, default="")
    cancel: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[int]
    finished_at: Mapped[int | None] = mapped_column(default=None)
