"""A console over a seeded state database: three sites in two regions, alerts in every state, one account a role.

Seeding (migration, Argon2, one compliance run) takes seconds, so it is done once and the folder copied for each test.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dashboards.app import create_app
from dashboards.backend import Backend
from dashboards.scope import COOKIE
from monitor.audit import AuditLog
from monitor.clock import ManualClock
from monitor.credentials import Credentials
from monitor.database import Database, sqlite_database
from monitor.directory import Directory
from monitor.discovery.rooms import open_discovery
from monitor.events.sqlite import SqliteEvents
from monitor.facts import FactStore
from monitor.identity.roles import Role
from monitor.identity.sessions import Sessions
from monitor.identity.tokens import Tokens
from monitor.identity.users import Users
from monitor.jobs import Jobs
from monitor.settings import Settings
from monitor.vault import Vault
from playbooks.office import SqlOffice
from rules.alerting.desk import SqlDesk
from rules.compliance.register import ComplianceRegister
from tests.conftest import NOON
from tests.dashboards import cases, city
from tests.dashboards.metrics import NoMetrics

PASSWORD = "Quiet-Night-2026"


@pytest.fixture(scope="session")
def _city(tmp_path_factory: pytest.TempPathFactory, _empty_database: bytes) -> Path:
    """A data folder with the city, an account of each role (site staff of H001), and one assessment of H001."""
    folder = tmp_path_factory.mktemp("city")
    (folder / "state.db").write_bytes(_empty_database)
    clock, database, vault = ManualClock(NOON), sqlite_database(folder), Vault(bytes(range(32)))
    audit, directory = AuditLog(database, clock, folder / "anchors.log"), Directory(database, clock)
    events = SqliteEvents(folder / "events")
    city.seed(database, directory, events, clock)
    users = Users(database, clock, audit, vault)
    for role in Role:
        sites = ("H001",) if role is Role.SITE_STAFF else ()
        users.create(f"{role.value}-h001", role, PASSWORD, display=role.value, sites=sites, must_change=False)
    facts, credentials = FactStore(folder / "facts"), Credentials(database, vault)
    register = ComplianceRegister(database, facts, audit, clock, directory, credentials, reader=cases.READER)
    cases.assess(register, credentials)
    events.close()
    database.close()
    return folder


@pytest.fixture
def database(tmp_path: Path, _city: Path) -> Iterator[Database]:
    shutil.copytree(_city, tmp_path, dirs_exist_ok=True)
    made = sqlite_database(tmp_path)
    yield made
    made.close()


@pytest.fixture
def stands_on(
    tmp_path: Path, clock: ManualClock, database: Database, vault: Vault, audit: AuditLog
) -> Iterator[Backend]:
    directory = Directory(database, clock)
    users = Users(database, clock, audit, vault)
    credentials = Credentials(database, vault)
    events = SqliteEvents(tmp_path / "events")
    facts = FactStore(tmp_path / "facts")
    yield Backend(
        settings=Settings(data=str(tmp_path)),
        clock=clock,
        directory=directory,
        desk=SqlDesk(database, audit, clock),
        register=ComplianceRegister(database, facts, audit, clock, directory, credentials),
        office=SqlOffice(database, directory, audit, clock, tmp_path),
        jobs=Jobs(database, clock),
        metrics=NoMetrics(),
        events=events,
        users=users,
        sessions=Sessions(database, clock, users, 600),
        tokens=Tokens(database, clock),
        audit=audit,
        credentials=credentials,
        discovery=open_discovery(database, directory, credentials, audit, clock),
    )
    events.close()


@pytest.fixture
def app(stands_on: Backend) -> Flask:
    return create_app(backend=stands_on)


@pytest.fixture
def open_app(stands_on: Backend) -> Flask:
    """The same with the machine endpoints open to the loopback."""
    settings = replace(stands_on.settings, insecure_local_api=True)
    return create_app(backend=replace(stands_on, settings=settings))


@pytest.fixture
def as_role(app: Flask, stands_on: Backend) -> Callable[..., FlaskClient]:
    """A client signed in with a role; site staff of H001 unless told otherwise."""

    def sign_in(role: Role, site: str = "H001") -> FlaskClient:
        name = f"{role.value}-{site.lower()}"
        if site != "H001":
            stands_on.users.create(name, role, PASSWORD, display=name, sites=(site,), must_change=False)
        client = app.test_client()
        client.set_cookie(COOKIE, stands_on.sessions.create(name, "127.0.0.1"))
        return client

    return sign_in


@pytest.fixture
def operator(as_role: Callable[..., FlaskClient]) -> FlaskClient:
    return as_role(Role.DUTY_OPERATOR)
