"""The simulated campus, polled as a collector polls it: the map is the cabling, with what is untidy about it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from collectors.interface import Credential
from collectors.topology.poller import TopologyPoller
from deploy.demo.cabling import cables, site_devices
from deploy.demo.city import COMMUNITY, SITES
from deploy.demo.inventory import build as inventory
from deploy.demo.responder import Responder
from monitor.clock import SystemClock
from monitor.model import Device, DeviceId, Kind, SiteId
from monitor.topology.build import build
from monitor.topology.facts import Facts, from_detail
from monitor.topology.graph import Confidence, Graph, LinkKind, NodeKind
from monitor.topology.routes import roots_of, upstream

CREDENTIAL = Credential("snmp-v2c", community=COMMUNITY)


def poll(site: str, port: int) -> tuple[list[Device], dict[DeviceId, Facts]]:
    devices = [d for d in inventory().inventory.devices.values() if d.site == site]
    poller, facts = TopologyPoller(SystemClock()), {}
    for device in devices:
        if device.kind in {Kind.NETWORK, Kind.SECURITY}:
            assert device.snmp is not None
            result = poller.poll(replace(device, snmp=replace(device.snmp, port=port)), CREDENTIAL)
            assert result.up
            assert result.errors == []
            facts[device.id] = from_detail(result.detail)
            assert facts[device.id].incomplete == ()
    return devices, facts


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.20.1.10", 0))
        number = int(probe.getsockname()[1])
    city = tuple(device for site in ("H001", "H009") for device in site_devices(site))
    responder = Responder(city, number)
    thread = threading.Thread(target=responder.run)
    thread.start()
    yield number
    responder.stop()
    thread.join()
    responder.close()


@pytest.fixture(scope="module")
def big(port: int) -> tuple[list[Device], Graph]:
    devices, facts = poll("H001", port)
    return devices, build(devices, facts, SiteId("H001"))


def link(graph: Graph, a: str, b: str) -> tuple[LinkKind, Confidence, int, bool]:
    found = [one for one in graph.links if {one.a.node, one.b.node} == {a, b}]
    assert len(found) == 1, (a, b, found)
    return found[0].kind, found[0].confidence, len(found[0].members), found[0].blocked


def test_every_cable_is_on_the_map(big: tuple[list[Device], Graph]) -> None:
    _, graph = big
    shared = {node.id for node in graph.nodes.values() if node.kind is NodeKind.SHARED}
    around = {frozenset((one.a.node, one.b.node)) for one in graph.links}
    for node in shared:
        members = [one.other(node) for one in graph.links_of(node)]
        around |= {frozenset((a, b)) for a in members for b in members if a != b}
    assert len(shared) == 2  # the small switches in front of the HIS and LIS servers
    for cable in cables("H001"):
        assert frozenset((cable.a, cable.b)) in around, cable


def test_what_is_sure_and_what_is_not(big: tuple[list[Device], Graph]) -> None:
    _, graph = big
    assert link(graph, "H001-CORE-1", "H001-WAN-1") == (LinkKind.LLDP, Confidence.CONFIRMED, 0, False)
    assert link(graph, "H001-CORE-1", "H001-CORE-2") == (LinkKind.LLDP, Confidence.CONFIRMED, 4, False)
    assert link(graph, "H001-ACC-1", "H001-CORE-1") == (LinkKind.LLDP, Confidence.CONFIRMED, 0, False)
    assert link(graph, "H001-ACC-1", "H001-CORE-2") == (LinkKind.LLDP, Confidence.CONFIRMED, 0, True)
    assert link(graph, "H001-ACC-7", "H001-CORE-1") == (LinkKind.LLDP, Confidence.ONE_SIDED, 0, False)
    assert link(graph, "H001-ACC-11", "H001-CORE-1")[0] is LinkKind.STP
    assert link(graph, "H001-DB-1", "H001-CORE-1") == (LinkKind.FDB, Confidence.INFERRED, 0, False)
    assert link(graph, "H001-FW-2", "H001-CORE-2")[0] is LinkKind.FDB
    assert link(graph, "H001-UPS-2", "H001-ACC-2")[0] is LinkKind.FDB
    assert {one.kind for one in graph.links}.isdisjoint({LinkKind.ARP, LinkKind.INVENTORY})


def test_the_two_unregistered_neighbours(big: tuple[list[Device], Graph]) -> None:
    _, graph = big
    unknown = {node.name: node for node in graph.nodes.values() if node.kind is NodeKind.UNKNOWN}
    assert set(unknown) == {"MZ3F-TEMP-SW", "AP-ICU-05"}
    assert unknown["AP-ICU-05"].capabilities == ("bridge", "wlan")
    assert unknown["AP-ICU-05"].heard_on == (("H001-ACC-5", "GigabitEthernet1/0/12"),)
    assert graph.conflicts == ()


def test_up_agrees_with_the_inventory(big: tuple[list[Device], Graph]) -> None:
    devices, graph = big
    ways = upstream(graph, roots_of(devices))
    for device in devices:
        if device.role == "access" or device.id.endswith("-1"):
            assert set(device.depends_on) == set(ways.get(device.id, ())) or device.role == "ups", device.id


def test_a_small_site_and_a_device_that_is_silent(port: int) -> None:
    devices, facts = poll("H009", port)
    graph = build(devices, facts, SiteId("H009"))
    assert {node for one in graph.links for node in (one.a.node, one.b.node)} == {d.id for d in devices}
    del facts[DeviceId("H009-CORE-1")]
    half = build(devices, facts, SiteId("H009"))
    kinds = {one.kind for one in half.links_of("H009-HIS-1")}
    assert kinds == {LinkKind.INVENTORY}  # nobody else knows where it is
    assert {one.confidence for one in half.links_of("H009-ACC-1")} == {Confidence.ONE_SIDED}


def test_every_site_is_cabled_without_a_port_used_twice() -> None:
    for site in SITES:
        shared = {2}  # servers behind a small switch
        ends = [(c.a, c.a_port) for c in cables(site.id) if c.a_port not in shared]
        ends += [(c.b, c.b_port) for c in cables(site.id) if c.b_port]
        assert len(ends) == len(set(ends)), site.id
        assert {d.id for d in site_devices(site.id)} <= {n for c in cables(site.id) for n in (c.a, c.b)}
