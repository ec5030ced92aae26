"""Random trees are found again: from LLDP exactly, from forwarding tables as far as theory allows."""

from __future__ import annotations

import random
import time

from hypothesis import given
from hypothesis import strategies as st

from monitor.model import DeviceId
from monitor.topology.build import build
from monitor.topology.facts import Facts, from_detail, to_detail
from monitor.topology.graph import Confidence, Graph, LinkKind, NodeKind
from monitor.topology.routes import roots_of, upstream
from tests.monitor.topology.worlds import Tree, switch, trees


def edges(graph: Graph) -> set[tuple[str, int, str, int]]:
    return {(link.a.node, link.a.port, link.b.node, link.b.port) for link in graph.links}


def expected(tree: Tree) -> set[tuple[str, int, str, int]]:
    return {
        (a, tree.ports[a, b], b, tree.ports[b, a]) if a < b else (b, tree.ports[b, a], a, tree.ports[a, b])
        for a, b in tree.edges()
    }


def said(facts: dict[str, Facts]) -> dict[DeviceId, Facts]:
    """As it comes out of the database."""
    return {DeviceId(name): from_detail(to_detail(one)) for name, one in facts.items()}


@given(trees())
def test_from_lldp_every_link_is_found_and_confirmed(tree: Tree) -> None:
    graph = build(tree.devices(), said({name: tree.lldp(name) for name in tree.switches}))
    assert edges(graph) == expected(tree)
    assert {link.confidence for link in graph.links} <= {Confidence.CONFIRMED}
    assert set(graph.nodes) == set(tree.switches)
    assert graph.conflicts == ()


@given(trees(), st.data())
def test_what_only_one_side_says_is_one_sided(tree: Tree, data: st.DataObject) -> None:
    deaf = data.draw(st.sets(st.sampled_from(tree.switches)))
    facts = {name: tree.lldp(name) for name in tree.switches if name not in deaf}
    graph = build(tree.devices(), said(facts))
    for link in graph.links:
        both = link.a.node not in deaf and link.b.node not in deaf
        assert link.confidence is (Confidence.CONFIRMED if both else Confidence.ONE_SIDED)
    pairs = {(link.a.node, link.b.node) for link in graph.links}
    assert pairs == {(min(a, b), max(a, b)) for a, b in tree.edges() if not (a in deaf and b in deaf)}


@given(trees(most=10))
def test_from_forwarding_tables_alone_every_link_is_found(tree: Tree) -> None:
    graph = build(tree.devices(), said({name: tree.fdb(name) for name in tree.switches}))
    assert edges(graph) == expected(tree)
    assert {link.kind for link in graph.links} <= {LinkKind.FDB}


@given(trees(most=10), st.data())
def test_an_unmanaged_switch_is_concluded_where_three_ways_meet(tree: Tree, data: st.DataObject) -> None:
    hidden = data.draw(st.sampled_from(tree.switches))
    tree = Tree(tree.parents, [0 if f"s{n}" == hidden else count for n, count in enumerate(tree.hosts)])
    around = {b if a == hidden else a for a, b in tree.edges() if hidden in (a, b)}
    seen = [name for name in tree.switches if name != hidden]
    facts = {name: tree.fdb(name, unseen={hidden}) for name in seen}
    graph = build(tree.devices(missing={hidden}), said(facts))
    between = [node for node in graph.nodes.values() if node.kind is NodeKind.SHARED]
    pairs = {(link.a.node, link.b.node) for link in graph.links if not link.b.node.startswith("shared")}
    rest = {(min(a, b), max(a, b)) for a, b in tree.edges() if hidden not in (a, b)}
    if len(around) > 2:
        assert len(between) == 1
        assert {link.other(between[0].id) for link in graph.links_of(between[0].id)} == around
        assert pairs == rest
    else:  # of two, nobody can tell that something lies between
        assert between == []
        assert pairs == rest | ({(min(around), max(around))} if len(around) == 2 else set())


@given(trees(most=8, hosts=4))
def test_hosts_hang_on_the_port_that_learned_them(tree: Tree) -> None:
    facts = {name: tree.fdb(name) for name in tree.switches}
    facts["s0"] = tree.arp("s0", facts["s0"])
    graph = build([*tree.devices(), *tree.host_devices()], said(facts))
    hosts = {(link.b.node, link.b.port, link.a.node) for link in graph.links if link.a.node.startswith("h")}
    assert hosts == {(near, tree.ports[near, host], host) for near, host in tree.host_edges()}


@given(trees(most=8))
def test_a_bridge_that_nobody_learned_is_found_by_its_hosts(tree: Tree) -> None:
    """The root never speaks first: those below know its side by the hosts that are there."""
    tree = Tree(tree.parents, [2] * len(tree.switches))
    facts = {name: tree.fdb(name, unseen={"s0"}) for name in tree.switches}
    assert edges(build(tree.devices(), said(facts))) == expected(tree)


@given(trees(), st.randoms(use_true_random=False))
def test_the_order_of_what_is_said_does_not_matter(tree: Tree, order: random.Random) -> None:
    facts = said({name: tree.lldp(name) for name in tree.switches})
    first = build(tree.devices(), facts)
    names, devices = list(facts), tree.devices()
    order.shuffle(names)
    order.shuffle(devices)
    assert build(devices, {name: facts[name] for name in names}) == first


@given(trees())
def test_up_is_towards_the_root(tree: Tree) -> None:
    graph = build(tree.devices(), said({name: tree.lldp(name) for name in tree.switches}))
    ways = upstream(graph, [DeviceId("s0")])
    assert ways == {DeviceId(child): (DeviceId(parent),) for parent, child in tree.edges()}


def test_the_exit_is_the_first_role_that_exists() -> None:
    core, edge, exit_ = switch("s1", role="core"), switch("s2", role="access"), switch("s3", role="uplink")
    assert roots_of([core, edge]) == ["s1"]
    assert roots_of([core, edge, exit_]) == ["s3"]
    assert roots_of([edge]) == []


def test_a_big_site_is_worked_out_in_seconds() -> None:
    chance = random.Random(7)
    tree = Tree([chance.randrange(max(1, n // 8 + 1)) for n in range(119)], [3] * 120)
    facts = {name: tree.fdb(name) for name in tree.switches}
    facts["s0"] = tree.arp("s0", facts["s0"])
    kept, devices = said(facts), [*tree.devices(), *tree.host_devices()]
    started = time.perf_counter()
    graph = build(devices, kept)
    assert time.perf_counter() - started < 5
    assert len(devices) == 480
    assert len(graph.links) == 479
