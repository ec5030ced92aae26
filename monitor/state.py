"""Where an installation keeps its state: which database the settings name, and the audit log anchored beside it."""

from __future__ import annotations

from monitor.audit import AuditLog
from monitor.clock import Clock
from monitor.database import Database, sqlite_database
from monitor.settings import Settings


def open_database(settings: Settings) -> Database:
    """The state database the settings name: a server's by URL, else SQLite in the data folder."""
    return Database(settings.database_url) if settings.database_url else sqlite_database(settings.folder)


def open_audit(settings: Settings, database: Database, clock: Clock) -> AuditLog:
    """The audit log. Every process must open it here: a second anchor file would hide a rewritten chain."""
    return AuditLog(database, clock, settings.folder / "audit.anchors")
