"""A console over a seeded state database: three sites in two regions, alerts in every state, one account a role."""

from __future__ import annotations

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
from monitor.database import Database
from monitor.directory import Directory
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
from tests.dashboards import city
from tests.dashboards.metrics import NoMetrics

PASSWORD = "Quiet-Night-2026"


@pytest.fixture
def stands_on(
    tmp_path: Path, clock: ManualClock, database: Database, vault: Vault, audit: AuditLog
) -> Iterator[Backend]:
    directory = Directory(database, clock)
    users = Users(database, clock, audit, vault)
    credentials = Credentials(database, vault)
    events = SqliteEvents(tmp_path / "events")
    facts = FactStore(tmp_path / "facts")
    city.seed(database, directory, events, clock)
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
        sites = (site,) if role is Role.SITE_STAFF else ()
        stands_on.users.create(name, role, PASSWORD, display=name, sites=sites, must_change=False)
        client = app.test_client()
        client.set_cookie(COOKIE, stands_on.sessions.create(name, "127.0.0.1"))
        return client

    return sign_in


@pytest.fixture
def operator(as_role: Callable[..., FlaskClient]) -> FlaskClient:
    return as_role(Role.DUTY_OPERATOR)
