"""From the order in the core through a collector's scan and back to a polled device, with nothing in between faked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from flask import Flask

from collectors.assignment import parse_assignment
from collectors.discovery.companion import DiscoveryCompanion
from collectors.profiles.profile import Profile
from monitor.credentials import Credentials
from monitor.discovery.approval import Wish
from monitor.discovery.rooms import open_discovery
from monitor.ingest import build
from monitor.model import WHOLE_CITY, SnmpAccess
from monitor.service import Runtime
from tests.collectors.discovery.street import House, Street, rows
from tests.collectors.discovery.test_companion import Desk
from tests.monitor.discovery.conftest import city, device


def test_a_scan_from_order_to_device(
    runtime: Runtime, profiles: Mapping[str, Profile], tmp_path: Path
) -> None:
    credentials = Credentials(runtime.database, runtime.vault)
    credentials.put("ro", "snmp-v2c", {"community": "right"})
    discovery = open_discovery(runtime.database, runtime.directory, credentials, runtime.audit, runtime.clock)
    core = Flask("core")
    for blueprint in build(runtime).blueprints():
        core.register_blueprint(blueprint)
    client = core.test_client()
    both = rows("core", macs=("04:f0:21:00:00:02",))
    houses = {
        "127.77.0.2": House(both, community=b"right"),
        "127.77.0.3": House(both, community=b"right"),
        "127.77.0.4": House(rows("known"), community=b"right"),
    }
    with Street(houses) as street:
        known = device("D4", "H001", "127.77.0.4", snmp=SnmpAccess("ro", port=street.port))
        runtime.directory.replace(city(known))
        scan = discovery.scans.start(
            WHOLE_CITY, "H001", ["127.77.0.1-8"], "wang", port=street.port, rate=500.0
        )
        desk = Desk(tmp_path)
        companion = DiscoveryCompanion(desk, profiles)
        companion.start()
        companion.assign(parse_assignment(client.get("/api/v1/collectors/core/assignment").text))
        desk.wait(lambda: "done" in desk.states(scan), 30.0)
        companion.stop()
    lines = [json.dumps({"id": str(n), "event": dict(event)}) for n, event in enumerate(desk.told)]
    assert client.post("/api/v1/ingest/events", data="\n".join(lines)).status_code == 204

    view = discovery.scans.get(WHOLE_CITY, scan)
    assert (view.state, view.done, view.found) == ("done", 8, 3)
    found = {p.sys_name: p for p in discovery.proposals.list(WHOLE_CITY)}
    assert sorted((found["core"].address, *found["core"].duplicates)) == ["127.77.0.2", "127.77.0.3"]
    assert (found["known"].state, found["known"].device) == ("known", "D4")
    (made,) = discovery.approval.approve(WHOLE_CITY, [Wish(found["core"].id)], "wang")
    assignment = parse_assignment(client.get("/api/v1/collectors/core/assignment").text)
    assert {d.id for d in assignment.devices} == {"D4", made}
    assert assignment.scans == ()
