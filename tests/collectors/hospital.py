"""A hospital with one device, and the collector that watches it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from collectors.agent import Agent, AgentOptions
from collectors.assignment import AssignmentSource
from collectors.interface import Poller
from collectors.outbox import Outbox
from collectors.profiles.library import load_library
from collectors.snmp.poller import SnmpPoller
from collectors.telemetry import CollectorMetrics
from collectors.uplink import CoreClient
from monitor.clock import SystemClock
from monitor.model import CollectorId, Device, Grade, Inventory, Region, RegionId, Site, SiteId
from monitor.vault import Vault

SITE: Final = SiteId("H001")
_COLLECTOR: Final = "c1"


def hospital_of(device: Device) -> Inventory:
    """A city of one hospital, SITE, with this device."""
    site = Site(SITE, "医院", RegionId("R1"), Grade.TERTIARY, 3, CollectorId(_COLLECTOR))
    region = Region(RegionId("R1"), "区")
    return Inventory("市", {region.id: region}, {site.id: site}, {device.id: device})


def snmp_poller() -> SnmpPoller:
    """Reads plainly what the fleet's process would poll in batches."""
    return SnmpPoller(SystemClock(), load_library().profiles)


def make_collector(
    core: str, folder: Path, registry: CollectorRegistry, pollers: Mapping[str, Poller]
) -> tuple[Agent, CollectorMetrics]:
    """The hospital's collector, not started."""
    client, metrics = CoreClient(core), CollectorMetrics(registry)
    source = AssignmentSource(client, _COLLECTOR, Vault(bytes(32)), folder / "assignment")
    options = AgentOptions(_COLLECTOR, folder, workers=4, refresh=1, heartbeat=1)
    agent = Agent(options, client, source, pollers, Outbox(folder / "spool"), SystemClock(), metrics)
    return agent, metrics
