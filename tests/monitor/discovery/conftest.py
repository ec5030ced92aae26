"""A city of two sites, its discovery over a real database, and finds to feed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from monitor.credentials import Credentials
from monitor.directory import Directory
from monitor.discovery.interface import Find
from monitor.discovery.rooms import Discovery, open_discovery
from monitor.model import (
    CollectorId,
    Device,
    DeviceId,
    Grade,
    Inventory,
    Kind,
    Region,
    RegionId,
    Site,
    SiteId,
    SnmpAccess,
)
from monitor.service import Runtime

FIND = Find("10.0.0.9", 161, "ro", "2c", sys_object_id="1.3.6.1.4.1.2011.2.23", sys_name="acc-9", profile="huawei-vrp",
            kind="network", vendor="Huawei", os="VRP", hardware="S5735", version="5.170", serial="2102350009",
            addresses=("10.0.0.9",), macs=("04:f0:21:00:00:09",))  # fmt: skip


def device(name: str, site: str, address: str, **changes: object) -> Device:
    made = Device(DeviceId(name), SiteId(site), name, Kind.NETWORK, address, snmp=SnmpAccess("ro"))
    return replace(made, **changes)  # type: ignore[arg-type]


def city(*devices: Device) -> Inventory:
    sites = {
        SiteId(key): Site(SiteId(key), name, RegionId("R1"), Grade.TERTIARY, 3, CollectorId(collector))
        for key, name, collector in (
            ("H001", "市第一人民医院", "core"),
            ("H002", "市二院", "east"),
            ("H003", "市三院", "core"),
        )
    }
    found = devices or (
        device("D1", "H001", "10.0.0.1"),
        device("D2", "H002", "10.0.0.1", snmp=SnmpAccess("two")),
    )
    regions = {RegionId("R1"): Region(RegionId("R1"), "溪东区")}
    return Inventory("云溪市", regions, sites, {d.id: d for d in found}, {})


@pytest.fixture
def runtime(runtime: Runtime) -> Runtime:
    credentials = Credentials(runtime.database, runtime.vault)
    credentials.put("ro", "snmp-v2c", {"community": "hidden-one"})
    credentials.put("two", "snmp-v2c", {"community": "hidden-two"})
    credentials.put("ops", "snmp-v3", {"user": "ops", "auth_password": "hidden-three"})
    credentials.put("shell", "ssh", {"user": "ops", "password": "hidden-four"})
    runtime.directory.replace(city())
    return runtime


@pytest.fixture
def directory(runtime: Runtime) -> Directory:
    return runtime.directory


@pytest.fixture
def discovery(runtime: Runtime) -> Discovery:
    credentials = Credentials(runtime.database, runtime.vault)
    return open_discovery(runtime.database, runtime.directory, credentials, runtime.audit, runtime.clock)


@pytest.fixture
def audited(runtime: Runtime) -> Callable[[], list[tuple[str, str, str]]]:
    """(actor, action, target) of every audit entry, oldest first."""
    return lambda: [(e.actor, e.action, e.target) for e in reversed(runtime.audit.entries())]
