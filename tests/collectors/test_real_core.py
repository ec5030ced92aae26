"""The whole way: snmpd and sshd of Debian, our pollers, the spool, HTTP, and the core's own ingest, store and PromQL."""

from __future__ import annotations

import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from collectors.enrich import SNMP
from collectors.pollers import build_pollers
from monitor.clock import SystemClock
from monitor.credentials import Credentials
from monitor.metrics.interface import Vector
from monitor.model import (
    WHOLE_CITY,
    Device,
    DeviceId,
    Kind,
    Probe,
    SnmpAccess,
    SshAccess,
)
from monitor.service import Runtime
from tests.collectors.hospital import SITE, hospital_of, make_collector, snmp_poller
from tests.real.snmpd import LoopbackSnmpd
from tests.real.sshd import LoopbackSshd


def test_from_the_device_to_the_query(core: str, runtime: Runtime, tmp_path: Path) -> None:
    with LoopbackSnmpd(tmp_path, community="watch") as snmpd, LoopbackSshd(tmp_path) as sshd:
        device = Device(
            DeviceId("HIS-1"),
            SITE,
            "HIS",
            Kind.SERVER,
            "127.0.0.1",
            snmp=SnmpAccess("watch", port=snmpd.port, interval=1),
            ssh=SshAccess("shell", port=sshd.port, host_key=sshd.host_key_fingerprint, interval=1),
            probes=(Probe("tcp", "login", port=sshd.port, interval=1),),
        )
        runtime.directory.replace(hospital_of(device))
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
    pollers = {**build_pollers(SystemClock()), SNMP: snmp_poller()}
    agent, _ = make_collector(core, folder, CollectorRegistry(), pollers)
    agent.start()
    found: dict[str, float] = {}
    end = time.monotonic() + 20
    while time.monotonic() < end and not (len(found) == 3 and told(runtime)):
        time.sleep(0.1)
        result = runtime.queries.instant("up == 1", SystemClock().now_ms())
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
