"""The whole way: snmpd and sshd of Debian, our pollers, the spool, HTTP, and the core's own ingest, store and PromQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from prometheus_client import CollectorRegistry
from werkzeug.serving import make_server

from collectors.agent import Agent, AgentOptions
from collectors.assignment import AssignmentSource
from collectors.outbox import Outbox
from collectors.pollers import build_pollers
from collectors.telemetry import CollectorMetrics
from collectors.uplink import CoreClient
from monitor import ingest
from monitor.clock import SystemClock
from monitor.credentials import Credentials
from monitor.metrics import service
from monitor.metrics.interface import Vector
from monitor.model import (
    WHOLE_CITY,
    CollectorId,
    Device,
    DeviceId,
    Grade,
    Inventory,
    Kind,
    Probe,
    Region,
    RegionId,
    Site,
    SiteId,
    SnmpAccess,
    SshAccess,
)
from monitor.service import Runtime
from monitor.vault import Vault
from tests.real.snmpd import LoopbackSnmpd
from tests.real.sshd import LoopbackSshd


@pytest.fixture
def core(runtime: Runtime) -> Iterator[str]:
    app = Flask("core")
    live = replace(runtime, clock=SystemClock())
    for part in (ingest.build(live), service.build(live)):
        for blueprint in part.blueprints():
            app.register_blueprint(blueprint)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_from_the_device_to_the_query(core: str, runtime: Runtime, tmp_path: Path) -> None:
    with LoopbackSnmpd(tmp_path, community="watch") as snmpd, LoopbackSshd(tmp_path) as sshd:
        device = Device(
            DeviceId("HIS-1"),
            SiteId("H001"),
            "HIS",
            Kind.SERVER,
            "127.0.0.1",
            snmp=SnmpAccess("watch", port=snmpd.port, interval=1),
            ssh=SshAccess("shell", port=sshd.port, host_key=sshd.host_key_fingerprint, interval=1),
            probes=(Probe("tcp", "login", port=sshd.port, interval=1),),
        )
        site = Site(SiteId("H001"), "医院", RegionId("R1"), Grade.TERTIARY, 3, CollectorId("c1"))
        region = Region(RegionId("R1"), "区")
        inventory = Inventory("市", {region.id: region}, {site.id: site}, {device.id: device})
        runtime.directory.replace(inventory)
        credentials = Credentials(runtime.database, runtime.vault)
        credentials.put("watch", "snmp-v2c", {"community": "watch"})
        credentials.put("shell", "ssh", {"user": sshd.user, "private_key": sshd.private_key})
        seen = run_collector(core, runtime, tmp_path)
    assert seen == {"snmp": 1.0, "node": 1.0, "probe": 1.0}
    statuses = {status.module: status for status in runtime.directory.statuses(WHOLE_CITY, "HIS-1")}
    assert {module: status.up for module, status in statuses.items()} == {
        "snmp": True,
        "ssh": True,
        "probe:login": True,
    }
    assert statuses["snmp"].identity["sys_name"] == "loopback-snmpd"
    assert statuses["ssh"].identity["os"]
    assert [status.id for status in runtime.directory.collectors()] == ["c1"]
    for query in ("node_load1", "sysUpTime", 'probe_success{probe="login"}'):
        result = runtime.queries.instant(query, SystemClock().now_ms())
        assert isinstance(result, Vector)
        labels = dict(result.labels[0])
        assert (labels["device"], labels["site"], labels["region"]) == ("HIS-1", "H001", "R1"), query


def run_collector(core: str, runtime: Runtime, folder: Path) -> dict[str, float]:
    """Run until all three modules are up; returns `up` by job."""
    clock = SystemClock()
    client = CoreClient(core)
    source = AssignmentSource(client, "c1", Vault(bytes(32)), folder / "assignment")
    options = AgentOptions("c1", folder, workers=4, refresh=1, heartbeat=1)
    outbox, metrics = Outbox(folder / "spool"), CollectorMetrics(CollectorRegistry())
    pollers = build_pollers(clock)
    agent = Agent(options, client, source, pollers, outbox, clock, metrics)
    agent.start()
    found: dict[str, float] = {}
    end = time.monotonic() + 20
    while time.monotonic() < end and not (len(found) == 3 and told(runtime)):
        time.sleep(0.1)
        result = runtime.queries.instant("up == 1", clock.now_ms())
        assert isinstance(result, Vector)
        ups = zip(result.labels, result.values.tolist(), strict=True)
        found = {dict(labels)["job"]: value for labels, value in ups if "device" in dict(labels)}
    agent.stop()
    for poller in pollers.values():
        getattr(poller, "close", lambda: None)()
    return found


def told(runtime: Runtime) -> bool:
    """Whether the events lane has arrived too."""
    return len(runtime.directory.statuses(WHOLE_CITY, "HIS-1")) == 3 and bool(runtime.directory.collectors())
