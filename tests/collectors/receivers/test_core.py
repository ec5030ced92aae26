"""The whole way of a trap: net-snmp, the receiver beside a collector's polls, the spool, HTTP, the core's events."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from collectors.agent import Agent
from collectors.enrich import SNMP
from collectors.receivers.traps import TrapReceiver, build
from collectors.telemetry import CollectorMetrics
from monitor.clock import SystemClock
from monitor.credentials import Credentials
from monitor.events.interface import Event, EventQuery
from monitor.metrics.interface import Vector
from monitor.model import (
    WHOLE_CITY,
    Device,
    DeviceId,
    Kind,
    SnmpAccess,
)
from monitor.service import Runtime
from monitor.settings import Settings
from tests.collectors.hospital import SITE, hospital_of, make_collector, snmp_poller
from tests.collectors.receivers.station import LINK_VARBINDS, netsnmp
from tests.real.snmpd import LoopbackSnmpd


def test_a_trap_becomes_an_event_of_its_device_and_a_poll(
    core: str, runtime: Runtime, tmp_path: Path
) -> None:
    with LoopbackSnmpd(tmp_path, community="watch") as snmpd:
        access = SnmpAccess("watch", port=snmpd.port, interval=3600)
        device = Device(DeviceId("SW-1"), SITE, "核心交换机", Kind.NETWORK, "127.0.0.1", snmp=access)
        runtime.directory.replace(hospital_of(device))
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
    registry = CollectorRegistry()
    agent, metrics = make_collector(core, folder, registry, {SNMP: snmp_poller()})
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
