"""What the console stands on: the interfaces of the other rooms, handed in as one value.

`build_backend` is the only place that names implementations; tests hand in a Backend of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.audit import AuditLog
from monitor.clock import Clock, SystemClock
from monitor.credentials import Credentials
from monitor.directory import Directory
from monitor.discovery.rooms import Discovery, open_discovery
from monitor.events.interface import EventStore
from monitor.facts import FactStore
from monitor.identity.sessions import Sessions
from monitor.identity.tokens import Tokens
from monitor.identity.users import Users
from monitor.jobs import Jobs
from monitor.metrics.client import PrometheusClient
from monitor.settings import Settings
from monitor.state import open_audit, open_database
from monitor.vault import load_vault
from playbooks.interface import Office
from rules.alerting.interface import Desk
from rules.compliance.interface import Register

QUERY_SECONDS = 10.0  # a page waits this long for the metric store


@dataclass(frozen=True, slots=True)
class Backend:
    """Everything a page may ask. Every method that takes a Scope must be given the caller's (see scope.py)."""

    settings: Settings
    clock: Clock
    directory: Directory
    desk: Desk
    register: Register
    office: Office
    jobs: Jobs
    metrics: PrometheusClient
    events: EventStore
    users: Users
    sessions: Sessions
    tokens: Tokens
    audit: AuditLog
    credentials: Credentials
    discovery: Discovery


def build_backend(settings: Settings) -> Backend:
    """The real thing. Implementations are imported here so that the pages depend on interfaces only."""
    from monitor.events.sqlite import SqliteEvents
    from playbooks.office import SqlOffice
    from rules.alerting.desk import SqlDesk
    from rules.compliance.register import ComplianceRegister

    clock = SystemClock()
    database = open_database(settings)
    vault = load_vault(settings)
    audit = open_audit(settings, database, clock)
    directory = Directory(database, clock)
    credentials = Credentials(database, vault)
    users = Users(database, clock, audit, vault)
    facts = FactStore(settings.folder / "facts")
    return Backend(
        settings=settings,
        clock=clock,
        directory=directory,
        desk=SqlDesk(database, audit, clock),
        register=ComplianceRegister(database, facts, audit, clock, directory, credentials),
        office=SqlOffice(database, directory, audit, clock, settings.folder),
        jobs=Jobs(database, clock),
        metrics=PrometheusClient(settings.socket_path, timeout=QUERY_SECONDS),
        events=SqliteEvents(settings.folder / "events"),
        users=users,
        sessions=Sessions(database, clock, users, settings.idle_timeout),
        tokens=Tokens(database, clock),
        audit=audit,
        credentials=credentials,
        discovery=open_discovery(database, directory, credentials, audit, clock),
    )
