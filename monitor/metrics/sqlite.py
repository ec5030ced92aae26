"""How the metric store opens its SQLite files: write-ahead journal, full sync, patient with other readers."""

from __future__ import annotations

from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry


def on_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Set the pragmas; a listener for SQLAlchemy's `connect` event."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
