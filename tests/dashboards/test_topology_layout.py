"""Where things stand on the map: everything once, nothing on top of anything, and the same tomorrow."""

from __future__ import annotations

import itertools
import random
import re
import time

from hypothesis import given
from hypothesis import strategies as st

from dashboards.topology.layout import SCREEN, Band, Drawing, draw
from dashboards.topology.words import short_name
from monitor.model import Device, DeviceId
from monitor.topology.build import build
from monitor.topology.facts import Facts
from monitor.topology.graph import Graph
from tests.monitor.topology.worlds import Tree, trees


def mapped(tree: Tree, roles: dict[str, str] | None = None) -> tuple[Graph, dict[DeviceId, Device]]:
    from dataclasses import replace

    facts: dict[str, Facts] = {
        name: replace(tree.lldp(name), fdb=tree.fdb(name).fdb) for name in tree.switches
    }
    facts["s0"] = tree.arp("s0", facts["s0"])
    switches = [replace(d, role=(roles or {}).get(str(d.id), "")) for d in tree.devices()]
    devices = {device.id: device for device in [*switches, *tree.host_devices()]}
    return build(list(devices.values()), {DeviceId(k): v for k, v in facts.items()}), devices


def segments(path: str) -> list[tuple[float, float, float, float]]:
    """The straight stretches of a path."""
    points = [tuple(map(float, p)) for p in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)]
    return [(*a, *b) for a, b in itertools.pairwise(points)]  # type: ignore[misc]


def crossed(drawing: Drawing, link: str, ends: set[str]) -> list[str]:
    """Boxes that a line runs through, apart from its ends."""
    path = next(line.path for line in drawing.lines if line.link == link)
    found = []
    for x1, y1, x2, y2 in segments(path):
        for box in drawing.boxes:
            inside = (
                max(min(x1, x2), box.x + 1) < min(max(x1, x2) + 0.01, box.x + box.width - 1)
                and max(min(y1, y2), box.y + 1) < min(max(y1, y2) + 0.01, box.y + box.height - 1)
            )  # fmt: skip
            if inside and box.node not in ends:
                found.append(box.node)
    return found


@given(trees(most=14, hosts=4), st.booleans())
def test_everything_is_drawn_once_and_nothing_lies_on_anything(tree: Tree, named: bool) -> None:
    roles = {"s0": "core"} | dict.fromkeys(tree.switches[1:], "access") if named else {}
    graph, devices = mapped(tree, roles)
    drawing = draw(graph, devices)
    assert sorted(box.node for box in drawing.boxes) == sorted(graph.nodes)
    assert sorted(line.link for line in drawing.lines) == sorted(link.id for link in graph.links)
    for box in drawing.boxes:
        assert box.x >= 0
        assert box.x + box.width <= drawing.width
        assert box.y + box.height <= drawing.height
    boxes = sorted(drawing.boxes, key=lambda box: (box.y, box.x))
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            apart = (
                one.x + one.width <= other.x
                or other.x + other.width <= one.x
                or one.y + one.height <= other.y
            )
            assert apart or other.y + other.height <= one.y, (one, other)
    assert draw(graph, dict(reversed(devices.items()))) == drawing


@given(trees(most=14, hosts=4), st.booleans())
def test_lines_run_between_boxes(tree: Tree, named: bool) -> None:
    graph, devices = mapped(
        tree, {"s0": "core"} | dict.fromkeys(tree.switches[1:], "access") if named else {}
    )
    drawing = draw(graph, devices)
    for link in graph.links:
        assert crossed(drawing, link.id, {link.a.node, link.b.node}) == []


def test_a_campus_stands_in_its_bands() -> None:
    tree = Tree([0, 1, 1, 2, 2, 3], [0, 2, 0, 0, 1, 3, 2])
    roles = {
        "s0": "uplink",
        "s1": "core",
        "s2": "aggregation",
        "s3": "",
        "s4": "access",
        "s5": "access",
        "s6": "",
    }
    graph, devices = mapped(tree, roles)
    drawing = draw(graph, devices)
    assert [strip.band for strip in drawing.strips] == list(Band)[:5]
    y = {box.node: box.y for box in drawing.boxes}
    assert y["s0"] < y["s1"] < y["s2"] == y["s3"] < y["s4"] == y["s5"] == y["s6"]
    chips = {box.node for box in drawing.boxes if box.chip}
    assert chips == {host for _, host in tree.host_edges()}


def test_sixty_devices_are_readable_and_five_hundred_are_quick() -> None:
    chance = random.Random(3)
    sixty = Tree([0, *[chance.choice([0, 1]) for _ in range(18)]], [2] * 20)
    graph, devices = mapped(sixty, {"s0": "core", "s1": "core"} | {f"s{n}": "access" for n in range(2, 20)})
    drawing = draw(graph, devices)
    assert len(drawing.boxes) == 60
    assert max(drawing.width / SCREEN[0], drawing.height / SCREEN[1]) < 1.25  # 12 px type stays above 9 px
    many = Tree([0] * 99, [4] * 100)
    graph, devices = mapped(many, {"s0": "core"} | {f"s{n}": "access" for n in range(1, 100)})
    started = time.perf_counter()
    drawing = draw(graph, devices)
    assert time.perf_counter() - started < 2
    assert len(drawing.boxes) == 500


def test_names_are_cut_to_their_room() -> None:
    assert short_name("核心交换机 1", 116) == "核心交换机 1"
    assert short_name("门诊三楼东侧弱电间接入交换机", 116) == "门诊三楼东侧弱电…"
    assert short_name("x" * 100, 116).endswith("…")
    assert len(short_name("x" * 100, 116)) <= 19
