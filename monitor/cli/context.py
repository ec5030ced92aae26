"""What the commands of this room share: the settings options and opening the state database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from monitor.audit import AuditLog
from monitor.clock import SystemClock
from monitor.credentials import Credentials
from monitor.database import Database
from monitor.directory import Directory
from monitor.identity.tokens import Tokens
from monitor.identity.users import Users
from monitor.settings import Settings, load_settings
from monitor.state import open_audit, open_database
from monitor.vault import Vault, load_vault

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class State:
    """The opened state of an installation."""

    settings: Settings
    database: Database
    vault: Vault
    audit: AuditLog
    directory: Directory
    credentials: Credentials
    users: Users
    tokens: Tokens


def data_option(command: F) -> F:
    """Adds `--data DIR`."""
    return click.option("--data", metavar="DIR", help="Data folder [default: $ZHISHOU_DATA or ./data].")(
        command
    )


@contextmanager
def opened(data: str | None) -> Iterator[State]:
    """Open (and migrate) the state below a data folder."""
    settings = load_settings(flags={"data": data})
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    clock = SystemClock()
    database = open_database(settings)
    try:
        database.migrate()
        vault = load_vault(settings)
        audit = open_audit(settings, database, clock)
        yield State(
            settings=settings,
            database=database,
            vault=vault,
            audit=audit,
            directory=Directory(database, clock),
            credentials=Credentials(database, vault),
            users=Users(database, clock, audit, vault),
            tokens=Tokens(database, clock),
        )
    finally:
        database.close()
