"""Fixtures every room shares: a clock that stands still, a migrated database, the core's parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry

from monitor.audit import AuditLog
from monitor.clock import ManualClock
from monitor.database import Database, sqlite_database
from monitor.directory import Directory
from monitor.events.sqlite import SqliteEvents
from monitor.facts import FactStore
from monitor.schedule import Schedule
from monitor.service import Runtime
from monitor.settings import Settings
from monitor.vault import Vault

NOON = 1_795_262_400_000  # 2026-11-21T12:00:00Z


@pytest.fixture(autouse=True)
def _logging_of_no_other_test() -> Iterator[None]:
    """Commands that are run inside a test configure the logging of the process."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture(scope="session")
def _empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Migrating takes a while, so it is done once and the file copied."""
    folder = tmp_path_factory.mktemp("schema")
    database = sqlite_database(folder)
    database.migrate()
    database.close()
    return (folder / "state.db").read_bytes()


@pytest.fixture
def database(tmp_path: Path, _empty_database: bytes) -> Iterator[Database]:
    (tmp_path / "state.db").write_bytes(_empty_database)
    made = sqlite_database(tmp_path)
    yield made
    made.close()


@pytest.fixture
def audit(database: Database, clock: ManualClock, tmp_path: Path) -> AuditLog:
    return AuditLog(database, clock, tmp_path / "anchors.log")


@pytest.fixture
def vault() -> Vault:
    return Vault(bytes(range(32)))


@pytest.fixture
def runtime(
    tmp_path: Path, clock: ManualClock, database: Database, vault: Vault, audit: AuditLog
) -> Iterator[Runtime]:
    from monitor.metrics.memory import MemoryStore
    from monitor.metrics.promql.engine import PromqlEngine

    store = MemoryStore()
    events = SqliteEvents(tmp_path / "events")
    schedule = Schedule()
    yield Runtime(
        settings=Settings(data=str(tmp_path)),
        clock=clock,
        database=database,
        vault=vault,
        audit=audit,
        schedule=schedule,
        directory=Directory(database, clock),
        facts=FactStore(tmp_path / "facts"),
        events=events,
        store=store,
        queries=PromqlEngine(store),
        registry=CollectorRegistry(),
    )
    schedule.stop()
    events.close()
