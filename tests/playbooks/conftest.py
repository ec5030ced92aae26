"""An office on a fresh database in front of the city of `tests.playbooks.world`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.audit import AuditLog
from monitor.clock import ManualClock
from monitor.database import Database
from monitor.directory import Directory
from monitor.model import Device
from playbooks.office import SqlOffice
from tests.playbooks.world import inventory, plant_suite

MakeOffice = Callable[..., SqlOffice]


@pytest.fixture
def directory(database: Database, clock: ManualClock) -> Directory:
    return Directory(database, clock)


@pytest.fixture
def make_office(
    tmp_path: Path, database: Database, audit: AuditLog, clock: ManualClock, directory: Directory
) -> MakeOffice:
    def make(checks: dict[str, str], *devices: Device, alerts: object = None) -> SqlOffice:
        plant_suite(tmp_path, checks)
        directory.replace(inventory(*devices))
        return SqlOffice(database, directory, audit, clock, tmp_path, alerts)  # type: ignore[arg-type]

    return make
