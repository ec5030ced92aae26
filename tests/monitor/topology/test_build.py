"""Small networks with one oddity each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess
from monitor.topology.build import build
from monitor.topology.facts import Facts, Learned, Neighbour, Port, StpPort
from monitor.topology.graph import Confidence, Graph, Link, LinkKind, NodeKind
from monitor.topology.match import shortened
from monitor.topology.routes import upstream

A, B, C, HOST = "0a0000000001", "0a0000000002", "0a0000000003", "0a00000000aa"
T = 1_000_000


def device(name: str, address: str, kind: Kind = Kind.NETWORK, site: str = "H", **more: object) -> Device:
    return Device(DeviceId(name), SiteId(site), f"{name} 号", kind, address, snmp=SnmpAccess("c"), **more)  # type: ignore[arg-type]


def facts(mac: str, ports: int = 4, **more: object) -> Facts:
    own = tuple(Port(n, f"GigabitEthernet0/0/{n}", bridge=n) for n in range(1, ports + 1))
    return replace(Facts(T, "", f"mac:{mac}", (mac,), ports=own), **more)  # type: ignore[arg-type]


def hears(port: int, mac: str, remote: str = "", protocol: str = "lldp", **more: object) -> Neighbour:
    heard = Neighbour(protocol, port, f"GigabitEthernet0/0/{port}", f"mac:{mac}" if mac else "", remote)
    return replace(heard, **more)  # type: ignore[arg-type]


def at(port: int) -> str:
    return f"name:GigabitEthernet0/0/{port}"


def graph(devices: list[Device], said: dict[str, Facts], site: str | None = "H") -> Graph:
    return build(devices, {DeviceId(k): v for k, v in said.items()}, SiteId(site) if site else None)


TWO = [device("a", "10.0.0.1"), device("b", "10.0.0.2")]


def only(found: Graph) -> Link:
    assert len(found.links) == 1, found.links
    return found.links[0]


def ends(link: Link) -> tuple[tuple[str, int], tuple[str, int]]:
    return (link.a.node, link.a.port), (link.b.node, link.b.port)


def test_what_lldp_and_cdp_both_say_is_one_link() -> None:
    a = facts(
        A,
        neighbours=(
            hears(1, B, at(2)),
            hears(1, "", "name:Gi0/0/2", "cdp", name="x", addresses=("10.0.0.2",)),
        ),
    )
    link = only(graph(TWO, {"a": a, "b": facts(B)}))
    assert ends(link) == (("a", 1), ("b", 2))
    assert link.kinds == (LinkKind.LLDP, LinkKind.CDP)
    assert link.confidence is Confidence.ONE_SIDED


@pytest.mark.parametrize(
    "remote", [at(3), "name:Gi0/0/3", "name:GE0/0/3", "local:3", "mac:0b0000000003", "alias:to-a"]
)
def test_the_ways_to_name_a_port(remote: str) -> None:
    own = tuple(
        Port(n, f"GigabitEthernet0/0/{n}", "to-a" if n == 3 else "", f"0b000000000{n}", n) for n in (1, 2, 3)
    )
    said = {"a": facts(A, neighbours=(hears(1, B, remote),)), "b": replace(facts(B), ports=own)}
    link = only(graph(TWO, said))
    assert ends(link) == (("a", 1), ("b", 3))
    assert link.b.name == "GigabitEthernet0/0/3"


def test_a_link_nobody_sees_any_more_is_lost_and_one_that_moved_is_not() -> None:
    lost = hears(1, B, at(1), lost_ms=T - 5)
    assert only(graph(TWO, {"a": facts(A, neighbours=(lost,)), "b": facts(B)})).lost_ms == T - 5
    moved = facts(A, neighbours=(lost, hears(3, B, at(2))))
    link = only(graph(TWO, {"a": moved, "b": facts(B)}))
    assert (ends(link), link.lost_ms) == ((("a", 3), ("b", 2)), 0)
    other = facts(B, neighbours=(hears(1, A, at(1)),))  # the other end still sees it
    assert only(graph(TWO, {"a": facts(A, neighbours=(lost,)), "b": other})).lost_ms == 0


def test_a_port_that_cannot_be_named_is_the_one_that_looks_back() -> None:
    a, b = (
        facts(A, neighbours=(hears(1, B, "local:odd"),)),
        facts(B, neighbours=(hears(4, A, "local:strange"),)),
    )
    link = only(graph(TWO, {"a": a, "b": b}))
    assert (ends(link), link.confidence) == ((("a", 1), ("b", 4)), Confidence.CONFIRMED)


def test_an_aggregate_is_one_link_with_members() -> None:
    lags = ((1, 9), (2, 9))
    a = facts(A, neighbours=(hears(1, B, at(1)), hears(2, B, at(2))), lags=lags)
    b = facts(B, neighbours=(hears(1, A, at(1)), hears(2, A, at(2))))
    a = replace(a, ports=(*a.ports, Port(9, "Eth-Trunk9")))
    link = only(graph(TWO, {"a": a, "b": b}))
    assert (link.a.port, link.a.name, link.confidence) == (9, "Eth-Trunk9", Confidence.CONFIRMED)
    assert [(m.a.port, m.b.port) for m in link.members] == [(1, 1), (2, 2)]
    without = graph(TWO, {"a": replace(a, lags=()), "b": b})
    assert [ends(one) for one in without.links] == [(("a", 1), ("b", 1)), (("a", 2), ("b", 2))]


def test_forwarding_on_the_aggregate_supports_the_link_of_its_members() -> None:
    a = facts(A, neighbours=(hears(1, B, at(1)),), lags=((1, 9), (2, 9)), fdb=(Learned(9, 1, (B,)),))
    b = facts(B, fdb=(Learned(1, 1, (A,)),))
    assert only(graph(TWO, {"a": a, "b": b})).kinds == (LinkKind.LLDP, LinkKind.FDB)


def test_a_blocked_port_makes_a_reserve() -> None:
    a = facts(
        A, neighbours=(hears(1, B, at(1)), hears(2, B, at(2))), stp=(StpPort(2, 2, B, 2), StpPort(1, 5, B, 1))
    )
    found = graph(TWO, {"a": a, "b": facts(B)})
    assert [(one.a.port, one.blocked, one.kinds) for one in found.links] == [
        (1, False, (LinkKind.LLDP, LinkKind.STP)),
        (2, True, (LinkKind.LLDP, LinkKind.STP)),
    ]


def test_the_spanning_tree_alone_shows_who_is_above() -> None:
    a = facts(A, stp=(StpPort(1, 5, B, 3), StpPort(2, 5, A, 2), StpPort(3, 1, B, 4)))
    link = only(graph(TWO, {"a": a, "b": facts(B)}))
    assert (ends(link), link.kind, link.confidence) == (
        (("a", 1), ("b", 3)),
        LinkKind.STP,
        Confidence.ONE_SIDED,
    )


def test_two_neighbours_on_one_port_have_something_between_and_are_stated() -> None:
    three = [*TWO, device("c", "10.0.0.3")]
    said = {"a": facts(A, neighbours=(hears(1, B, at(1)), hears(1, C, at(1)))), "b": facts(B), "c": facts(C)}
    found = graph(three, said)
    shared = [node for node in found.nodes.values() if node.kind is NodeKind.SHARED]
    assert [node.id for node in shared] == ["shared:a:1"]
    assert {link.other(shared[0].id) for link in found.links} == {"a", "b", "c"}
    assert [(c.code, c.node, c.port, c.about) for c in found.conflicts] == [
        ("shared-port", "a", "GigabitEthernet0/0/1", ("b", "c"))
    ]


def test_a_stranger_heard_by_two_protocols_and_two_switches_is_one() -> None:
    stranger = "0c0000000001"
    a = facts(A, neighbours=(
        hears(1, stranger, "name:Gi1", name="EDGE"),
        hears(1, "", "name:Gi1", "cdp", name="edge", addresses=("10.9.9.9",)),
    ))  # fmt: skip
    b = facts(B, neighbours=(hears(2, "", "name:Gi2", "cdp", name="other", addresses=("10.9.9.9",)),))
    found = graph(TWO, {"a": a, "b": b})
    unknown = [node for node in found.nodes.values() if node.kind is NodeKind.UNKNOWN]
    assert [(n.id, n.name, n.addresses) for n in unknown] == [
        (f"unknown:mac:{stranger}", "EDGE", ("10.9.9.9",))
    ]
    assert {name for name, _ in unknown[0].heard_on} == {"a", "b"}
    assert len(found.links) == 2


def test_factory_names_and_strange_chassis_are_nobody_of_ours() -> None:
    devices = [TWO[0], replace(TWO[1], name="HUAWEI")]
    a = facts(A, neighbours=(hears(1, "0d0000000001", at(1), name="HUAWEI"),))
    assert graph(devices, {"a": a}).nodes["unknown:mac:0d0000000001"].name == "HUAWEI"
    named = facts(A, neighbours=(hears(1, "0d0000000001", at(1), name="b"),))
    assert only(graph(TWO, {"a": named})).b.node == "b"  # of b nothing is known that speaks against it
    assert (
        "unknown:mac:0d0000000001" in graph(TWO, {"a": named, "b": facts(B)}).nodes
    )  # b has another chassis


def test_an_address_two_devices_claim_is_nobody_s_and_is_stated() -> None:
    three = [*TWO, device("c", "10.0.0.3")]
    found = graph(three, {"a": facts(A, neighbours=(hears(1, B, at(1)),)), "b": facts(B), "c": facts(B)})
    assert [c.code for c in found.conflicts] == ["same-address"]
    assert f"unknown:mac:{B}" in found.nodes


def test_chassis_and_management_address_that_disagree_are_stated() -> None:
    three = [*TWO, device("c", "10.0.0.3")]
    heard = hears(1, B, at(1), addresses=("10.0.0.3",))
    found = graph(three, {"a": facts(A, neighbours=(heard,)), "b": facts(B)})
    assert only(found).b.node == "b"
    assert [(c.code, c.about) for c in found.conflicts] == [("identity", ("b", "c"))]


def test_a_cable_back_to_itself_is_a_loop_and_no_link() -> None:
    found = graph(TWO, {"a": facts(A, neighbours=(hears(1, A, at(2)),))})
    assert found.links == ()
    assert [c.code for c in found.conflicts] == ["self-loop"]


SERVER = device("s", "10.0.0.50", Kind.SERVER)
ARP = (("10.0.0.50", HOST, 4),)


def test_a_host_hangs_on_the_edge_not_on_the_way_there() -> None:
    a = facts(A, neighbours=(hears(1, B, at(1)),), fdb=(Learned(1, 2, (B, HOST)),), arp=ARP)
    b = facts(B, neighbours=(hears(1, A, at(1)),), fdb=(Learned(1, 1, (A,)), Learned(3, 1, (HOST,))))
    found = graph([*TWO, SERVER], {"a": a, "b": b})
    assert [ends(one) for one in found.links_of("s")] == [(("b", 3), ("s", 0))]
    aged = graph(
        [*TWO, SERVER], {"a": a, "b": replace(b, fdb=b.fdb[:1])}
    )  # b has forgotten it: it is behind b
    assert [(one.a.node, one.b.node) for one in aged.links_of("s")] == [("b", "s")]


def test_hosts_behind_a_stranger_hang_on_the_stranger() -> None:
    stranger = "0c0000000001"
    a = facts(A, neighbours=(hears(2, stranger, "name:1"),), fdb=(Learned(2, 2, (HOST, stranger)),), arp=ARP)
    found = graph([TWO[0], SERVER], {"a": a})
    assert found.links_of("s")[0].other("s") == f"unknown:mac:{stranger}"


def test_several_hosts_on_one_port_have_something_between() -> None:
    second = device("t", "10.0.0.51", Kind.SERVER)
    other = "0a00000000ab"
    a = facts(A, fdb=(Learned(2, 2, (HOST, other)),), arp=(*ARP, ("10.0.0.51", other, 4)))
    found = graph([TWO[0], SERVER, second], {"a": a})
    assert {one.other("shared:a:2") for one in found.links} == {"a", "s", "t"}
    assert found.conflicts == ()  # nobody says two things: it is a small switch


def test_a_host_only_the_router_knows_is_assumed() -> None:
    found = graph([TWO[0], SERVER], {"a": facts(A, arp=ARP)})
    assert (only(found).kind, only(found).confidence) == (LinkKind.ARP, Confidence.ASSUMED)
    assert only(found).b.port == 0


def test_the_inventory_counts_where_nothing_was_seen() -> None:
    below = replace(TWO[1], depends_on=(DeviceId("a"), DeviceId("nobody")))
    assert only(graph([TWO[0], below], {})).kind is LinkKind.INVENTORY
    seen = {"a": facts(A, neighbours=(hears(1, B, at(1)),)), "b": facts(B)}
    assert only(graph([TWO[0], below], seen)).kind is LinkKind.LLDP


def test_a_device_of_another_site_is_on_the_map_and_others_are_not() -> None:
    far, stranger = device("f", "10.9.0.1", site="X"), device("g", "10.9.0.2", site="X")
    said = {"a": facts(A, neighbours=(hears(1, "0e0000000001", at(1), addresses=("10.9.0.1",)),))}
    found = graph([*TWO, far, stranger], said)
    assert found.nodes["f"].site == "X"
    assert "g" not in found.nodes
    hidden = graph(TWO, said)  # as one sees it who may not see the other site
    assert [n.kind for n in hidden.nodes.values() if n.addresses == ("10.9.0.1",)] == [NodeKind.UNKNOWN]


def test_virtual_router_addresses_belong_to_nobody() -> None:
    a = facts(A, macs=(A, "00005e000101"), fdb=(Learned(1, 1, (B,)),))
    b = facts(B, macs=(B, "00005e000101"), fdb=(Learned(2, 1, (A,)),))
    found = graph(TWO, {"a": a, "b": b})
    assert found.conflicts == ()
    assert ends(only(found)) == (("a", 1), ("b", 2))


def test_up_passes_through_what_is_not_registered_and_avoids_what_is_blocked() -> None:
    three = [*TWO, device("c", "10.0.0.3")]
    said = {
        "a": facts(A, neighbours=(hears(1, B, at(1)), hears(1, C, at(1)))),
        "b": facts(B, neighbours=(hears(2, C, at(2)),), stp=(StpPort(2, 2, C, 2),)),
        "c": facts(C),
    }
    assert upstream(graph(three, said), [DeviceId("a")]) == {"b": ("a",), "c": ("a",)}
    assert upstream(graph(three, said), [DeviceId("nobody")]) == {}


@pytest.mark.parametrize(
    ("name", "short"),
    [("GigabitEthernet1/0/1", "gi1/0/1"), ("Gi1/0/1", "gi1/0/1"), ("GE1/0/1", "gi1/0/1"), ("Ten-GigabitEthernet1/0/25", "te1/0/25"),
     ("XGigabitEthernet0/0/1", "te0/0/1"), ("XGE0/0/1", "te0/0/1"), ("Port-channel1", "lag1"), ("Po1", "lag1"), ("mgmt", ""), ("", "")],
)  # fmt: skip
def test_short_names_of_ports(name: str, short: str) -> None:
    assert shortened(name) == short
