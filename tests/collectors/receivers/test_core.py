"""The whole way of a trap: net-snmp, the receiver beside a collector's polls, the spool, HTTP, the core's events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
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
from collectors.receivers.traps import TrapReceiver, build
from collectors.telemetry import CollectorMetrics
from collectors.uplink import CoreClient
from monitor import ingest
from monitor.clock import SystemClock
from monitor.credentials import Credentials
from monitor.events.interface import Event, EventQuery
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
    Region,
    RegionId,
    Site,
    SiteId,
    SnmpAccess,
)
from monitor.service import Runtime
from monitor.settings import Settings
from monitor.vault import Vault
from tests.collectors.receivers.station import LINK_VARBINDS, netsnmp
from tests.real.snmpd import LoopbackSnmpd


@pytest.fixture
def core(runtime: Runtime) -> Iterator[str]:
    app = Flask("core")
    live = replace(runtime, clock=SystemClock())
    for part in (service.build(live), ingest.build(live)):
        for blueprint in part.blueprints():
            app.register_blueprint(blueprint)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_trap_becomes_an_event_of_its_device_and_a_poll(
    core: str, runtime: Runtime, tmp_path: Path
) -> None:
    with LoopbackSnmpd(tmp_path, community="watch") as snmpd:
        access = SnmpAccess("watch", port=snmpd.port, interval=3600)
        device = Device(
            DeviceId("SW-1"), SiteId("H001"), "核心交换机", Kind.NETWORK, "127.0.0.1", snmp=access
        )
        site = Site(SiteId("H001"), "医院", RegionId("R1"), Grade.TERTIARY, 3, CollectorId("c1"))
        region = Region(RegionId("R1"), "区")
        runtime.directory.replace(Inventory("市", {region.id: region}, {site.id: site}, {device.id: device}))
        Credentials(runtime.database, runtime.vault).put("watch", "snmp-v2c", {"community": "watch"})
        agent, receiver, metrics = collector(core, tmp_path)
        agent.start()
        try:
            port = receiver.ports[0]
            assert wait(lambda: polls(metrics) >= 1)
            first = polls(metrics)
            assert wait(lambda: sent(port) and bool(traps(runtime)))
            assert wait(lambda: polls(metrics) > first), "the trap asked for a poll an hour early"
            query = 'zhishou_trap_listener_up{job="collector"} == 1'
            assert wait(lambda: series(runtime, query) == 1), "the receiver's own numbers are series"
        finally:
            agent.stop()
    (event,) = traps(runtime)[-1:]
    assert (event["zhishou.site"], event["zhishou.device"]) == ("H001", "SW-1")
    assert event["message"] == "接口 3 断开"


def collector(core: str, folder: Path) -> tuple[Agent, TrapReceiver, CollectorMetrics]:
    clock = SystemClock()
    client = CoreClient(core)
    source = AssignmentSource(client, "c1", Vault(bytes(32)), folder / "assignment")
    registry = CollectorRegistry()
    metrics = CollectorMetrics(registry)
    options = AgentOptions("c1", folder, workers=4, refresh=1, heartbeat=1)
    agent = Agent(options, client, source, build_pollers(clock), Outbox(folder / "spool"), clock, metrics)
    receiver = build(agent, replace(Settings(), trap_listen="127.0.0.1:0"), registry)
    assert isinstance(receiver, TrapReceiver)
    agent.accompany([receiver])
    return agent, receiver, metrics


def sent(port: int) -> bool:
    netsnmp("snmptrap", "-v2c", "-c", "watch", f"127.0.0.1:{port}", "", "1.3.6.1.6.3.1.1.5.3", *LINK_VARBINDS)
    return True


def traps(runtime: Runtime) -> list[Event]:
    now = SystemClock().now_ms()
    return runtime.events.search(EventQuery(now - 60_000, now + 60_000, action="trap.link"), WHOLE_CITY)


def polls(metrics: CollectorMetrics) -> float:
    return sum(
        sample.value
        for family in metrics.polls.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    )


def series(runtime: Runtime, query: str) -> int:
    result = runtime.queries.instant(query, SystemClock().now_ms())
    assert isinstance(result, Vector)
    return len(result.labels)


def wait(done: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.1)
    return False
