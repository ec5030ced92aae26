"""CPU time of pages with the demo city: 95th percentile through the Flask test client, no socket, no browser."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

from flask.testing import FlaskClient

from dashboards.app import create_app
from dashboards.backend import Backend
from dashboards.scope import COOKIE
from deploy.demo.inventory import build
from monitor.audit import AuditLog
from monitor.clock import ManualClock
from monitor.credentials import Credentials
from monitor.database import Database, sqlite_database
from monitor.directory import CollectorStatus, Directory, ModuleStatus
from monitor.events.sqlite import SqliteEvents
from monitor.facts import FactStore
from monitor.identity.roles import Role
from monitor.identity.sessions import Sessions
from monitor.identity.tokens import Tokens
from monitor.identity.users import Users
from monitor.jobs import Jobs
from monitor.model import Severity
from monitor.settings import Settings
from monitor.vault import Vault
from playbooks.office import SqlOffice
from rules.alerting.desk import SqlDesk
from rules.alerting.tables import AlertRow
from rules.compliance.register import ComplianceRegister
from tests.bench.measure import Measure, cpu_ms, p95
from tests.dashboards.metrics import NoMetrics

NOON = 1_795_262_400_000  # 2026-11-21T12:00:00Z
REQUESTS, ALERTS = 100, 40
PAGES = {
    "overview page": "/",
    "alert desk page": "/desk",
    "devices page": "/devices",
    "device list, JSON API": "/api/v1/devices",
}


def run() -> list[Measure]:
    """The metric store answers nothing at once, so this is what the console itself takes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = sqlite_database(folder)
        stack.callback(database.close)
        database.migrate()
        events = SqliteEvents(folder / "events")
        stack.callback(events.close)
        _raise_alerts(database)
        note = f"{REQUESTS} requests each; {_devices()} devices, {ALERTS} open alerts"
        client = _signed_in(_backend(folder, database, events))
        return [
            Measure(name, "CPU ms, p95", "lower", _p95(client, path), note=note)
            for name, path in PAGES.items()
        ]


def _devices() -> int:
    return len(build().inventory.devices)


def _p95(client: FlaskClient, path: str) -> float:
    def get() -> None:
        answer = client.get(path)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status}")

    get()
    return p95([cpu_ms(get) for _ in range(REQUESTS)])


def _signed_in(backend: Backend) -> FlaskClient:
    backend.users.create(
        "bench", Role.DUTY_OPERATOR, "Quiet-Night-2026", display="bench", sites=(), must_change=False
    )
    client = create_app(backend=backend).test_client()
    client.set_cookie(COOKIE, backend.sessions.create("bench", "127.0.0.1"))
    return client


def _raise_alerts(database: Database) -> None:
    devices = sorted(build().inventory.devices.values(), key=lambda device: device.id)
    with database.session() as session:
        for number, device in enumerate(devices[:: len(devices) // ALERTS][:ALERTS], 1):
            severity = list(Severity)[number % 3]
            at = NOON - number * 60_000
            labels = {
                "alertname": "Rule",
                "site": device.site,
                "device": device.id,
                "severity": severity.value,
            }
            session.add(
                AlertRow(
                    number=f"AL-20261121-{number:04d}", open_key=f"key{number}", rule_group="group", rule_key="rule",
                    name="Rule", severity=severity.value, severity_rank=severity.rank, phase="firing", state="active",
                    labels=json.dumps(labels), annotations=json.dumps({"summary": "链路中断"}), site=device.site,
                    device=device.id, value=2.0, expression="ifOperStatus == 2", active_at=at, fired_at=at,
                    version=number,
                )
            )  # fmt: skip


def _backend(folder: Path, database: Database, events: SqliteEvents) -> Backend:
    """The demo city with a status of every device, behind the console's real parts."""
    clock, vault = ManualClock(NOON), Vault(bytes(range(32)))
    audit = AuditLog(database, clock, folder / "anchors.log")
    directory = Directory(database, clock)
    directory.replace(build().inventory)
    directory.record_heartbeat(CollectorStatus("core", NOON - 5_000, 0, _devices()))
    directory.record_statuses(
        [
            ModuleStatus(device, "snmp", number % 40 != 0, NOON - 10_000, NOON - 3_600_000, (), {}, {})
            for number, device in enumerate(sorted(directory.inventory().devices))
        ]
    )
    users, credentials = Users(database, clock, audit, vault), Credentials(database, vault)
    return Backend(
        settings=Settings(data=str(folder)),
        clock=clock,
        directory=directory,
        desk=SqlDesk(database, audit, clock),
        register=ComplianceRegister(
            database, FactStore(folder / "facts"), audit, clock, directory, credentials
        ),
        office=SqlOffice(database, directory, audit, clock, folder),
        jobs=Jobs(database, clock),
        metrics=NoMetrics(),
        events=events,
        users=users,
        sessions=Sessions(database, clock, users, 600),
        tokens=Tokens(database, clock),
        audit=audit,
        credentials=credentials,
    )
