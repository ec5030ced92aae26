"""State on SQLite (WAL) or PostgreSQL through SQLAlchemy 2, migrated by Alembic, one branch of revisions a room.

A room declares its tables on `Base` in its own module and ships its revisions in its own package, named under
the entry-point group `zhishou.migrations`. `Database.session()` is the only way to a connection.
Times are integers (milliseconds since the epoch) so that both engines compare them alike.
"""

from __future__ import annotations

import importlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry


class Base(DeclarativeBase):
    """The declarative base of every table of every room."""


def _on_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    if isinstance(connection, sqlite3.Connection):
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


class Database:
    """One state database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine: Engine = create_engine(url)
        event.listen(self.engine, "connect", _on_connect)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        with self._sessions() as session, session.begin():
            yield session

    def migrate(self) -> None:
        """Bring the schema of every room to its head."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.set_main_option("path_separator", "newline")
        config.set_main_option("version_locations", "\n".join(migration_folders()))
        config.attributes["engine"] = self.engine
        command.upgrade(config, "heads")

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def migration_folders() -> list[str]:
    """The revision folder of every installed room."""
    folders = []
    for entry in sorted(entry_points(group="zhishou.migrations"), key=lambda e: e.name):
        package = importlib.import_module(entry.value)
        folders.append(str(Path(str(package.__file__)).parent / "versions"))
    return folders


def sqlite_database(folder: Path) -> Database:
    """The embedded default: `state.db` in the data folder, readable by its own user only."""
    path = folder / "state.db"
    # Password hashes and sealed credentials: closed before SQLite writes the first byte; its -wal and -shm files
    # take the mode of the database, those an earlier version left open are closed here.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        with suppress(FileNotFoundError):
            if (folder / name).stat().st_mode & 0o077:
                (folder / name).chmod(0o600)
    return Database(f"sqlite:///{path}")
