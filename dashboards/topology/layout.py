"""Where everything stands on the map: deterministic, in bands from the exit down to the hosts. Pure.

Columns are the same in all bands, so that the gaps between them line up: a link runs down from its upper end, along
the channel above a row, down a gap, and never through a box. Hosts hang in a stack below the switch they are on.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from monitor.model import Device, DeviceId, Kind
from monitor.topology.graph import Graph, Link, LinkKind, NodeKind
from monitor.topology.routes import EXIT_ROLES, roots_of

BOX_W, BOX_H, CHIP_W, CHIP_H = 148, 40, 132, 22
COLUMN, ROW_GAP, STACK_GAP, MARGIN, LABEL = 172, 34, 4, 16, 72
STACK: Final = 10  # hosts in one stack of a rack
SCREEN: Final = (1240.0, 560.0)
NARROWEST: Final = 1080.0  # a small site is not blown up
_AGGREGATION: Final = frozenset({"aggregation", "agg", "distribution"})
_ACCESS: Final = frozenset({"access", "ap", "ac"})


class Band(IntEnum):
    """From the outside in."""

    EXIT = 0
    CORE = 1
    AGGREGATION = 2
    ACCESS = 3
    HOSTS = 4
    LOOSE = 5


@dataclass(frozen=True, slots=True)
class Box:
    """A node on the map: a box, or a narrow chip in a stack."""

    node: str
    x: float
    y: float
    chip: bool

    @property
    def width(self) -> int:
        """Width in units of the drawing."""
        return CHIP_W if self.chip else BOX_W

    @property
    def height(self) -> int:
        """Height in units of the drawing."""
        return CHIP_H if self.chip else BOX_H


@dataclass(frozen=True, slots=True)
class Line:
    """A link on the map. (x, y) is where it is marked."""

    link: str
    path: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Strip:
    """A band with its place."""

    band: Band
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Drawing:
    """The whole map."""

    width: float
    height: float
    boxes: Sequence[Box]
    lines: Sequence[Line]
    strips: Sequence[Strip]


@dataclass(slots=True)
class _Unit:
    """One column's worth: a head with a stack below it, or a stack alone, fed by `parent`."""

    head: str
    stack: list[str]
    parent: str
    x: float = 0
    row: int = 0
    y: float = 0

    @property
    def height(self) -> float:
        return (BOX_H + STACK_GAP if self.head else 0) + len(self.stack) * (CHIP_H + STACK_GAP)


@dataclass(slots=True)
class _Plan:
    units: list[_Unit] = field(default_factory=list)
    rows: list[tuple[Band, list[_Unit]]] = field(default_factory=list)
    tops: list[float] = field(default_factory=list)
    width: float = 0
    height: float = 0


def draw(graph: Graph, devices: Mapping[DeviceId, Device]) -> Drawing:
    """The map on paper."""
    parents = _parents(graph, devices)
    bands = _bands(graph, devices, parents)
    by_band = _units(graph, bands, parents)
    plan = min((_plan(by_band, columns) for columns in range(5, 25)), key=_misfit)
    boxes, lines = _boxes(plan), _lines(plan, graph, parents)
    strips = _strips(plan)
    return Drawing(plan.width, plan.height, boxes, lines, strips)


def _misfit(plan: _Plan) -> float:
    return max(plan.width / SCREEN[0], plan.height / SCREEN[1])


# -- which band, which parent ----------------------------------------------------------------------------------------


def _order(link: Link) -> tuple[bool, bool, int, str]:
    return link.kind is LinkKind.INVENTORY, link.blocked, link.confidence.rank, link.id


def _parents(graph: Graph, devices: Mapping[DeviceId, Device]) -> dict[str, tuple[str, Link]]:
    """For every node that hangs on another one: which, and by which link. Surer links first, roots first."""
    around: dict[str, list[tuple[str, Link]]] = {}
    for link in sorted(graph.links, key=_order):
        around.setdefault(link.a.node, []).append((link.b.node, link))
        around.setdefault(link.b.node, []).append((link.a.node, link))
    found: dict[str, tuple[str, Link]] = {}
    seen: set[str] = set()
    starts: list[str] = [str(root) for root in roots_of(devices.values())]
    starts += sorted(
        graph.nodes, key=lambda name: (_standing(name, devices), -len(around.get(name, ())), name)
    )
    for weak in (False, True):  # first over what was observed, then over what is only assumed
        for start in starts if not weak else sorted(seen):
            if start not in graph.nodes or (not weak and start in seen):
                continue
            seen.add(start)
            queue = deque([start])
            while queue:
                node = queue.popleft()
                for other, link in around.get(node, ()):
                    if other not in seen and (weak or link.kind is not LinkKind.INVENTORY):
                        seen.add(other)
                        found[other] = (node, link)
                        queue.append(other)
    return found


def _standing(name: str, devices: Mapping[DeviceId, Device]) -> int:
    device = devices.get(DeviceId(name))
    if device is None:
        return 9
    if device.role in EXIT_ROLES:
        return EXIT_ROLES.index(device.role)
    return 5 if device.kind in {Kind.NETWORK, Kind.SECURITY} else 7


def _bands(
    graph: Graph, devices: Mapping[DeviceId, Device], parents: Mapping[str, tuple[str, Link]]
) -> dict[str, Band]:
    linked = {node for link in graph.links for node in (link.a.node, link.b.node)}
    switches = {n for n in graph.nodes if _is_switch(n, devices)}
    above = {parents[name][0] for name in switches if name in parents}
    depth: dict[str, int] = {}
    for name in graph.nodes:
        trail = [name]
        while (up := parents.get(trail[-1])) is not None and up[0] not in depth and up[0] not in trail:
            trail.append(up[0])
        base = depth.get(parents[trail[-1]][0], -1) if trail[-1] in parents else -1
        for step, item in enumerate(reversed(trail)):
            depth[item] = base + 1 + step
    found: dict[str, Band] = {}
    for name, node in graph.nodes.items():
        device = devices.get(DeviceId(name))
        if name not in linked:
            found[name] = Band.LOOSE
        elif node.kind is NodeKind.SHARED:
            found[name] = Band.AGGREGATION if name in above else Band.ACCESS
        elif device is None:
            found[name] = Band.AGGREGATION if name in above else Band.HOSTS
        else:
            found[name] = _band_of(device, depth[name], switch_below=name in above)
    return found


def _is_switch(name: str, devices: Mapping[DeviceId, Device]) -> bool:
    device = devices.get(DeviceId(name))
    return device is not None and device.kind is Kind.NETWORK


def _band_of(device: Device, depth: int, *, switch_below: bool) -> Band:
    role = device.role.lower()
    if role in {"uplink", "wan", "router"}:
        return Band.EXIT
    if role == "core" or device.kind is Kind.SECURITY:
        return Band.CORE
    if device.kind is not Kind.NETWORK:
        return Band.HOSTS
    if role in _AGGREGATION or (switch_below and role not in _ACCESS):
        return Band.AGGREGATION if depth else Band.CORE
    return Band.ACCESS if depth else Band.CORE


# -- columns and rows ------------------------------------------------------------------------------------------------


def _units(
    graph: Graph, bands: Mapping[str, Band], parents: Mapping[str, tuple[str, Link]]
) -> dict[Band, list[_Unit]]:
    order = _walk_order(graph, parents)
    heads = [name for name in order if bands[name] <= Band.ACCESS]
    made = {name: _Unit(name, [], parents[name][0] if name in parents else "") for name in heads}
    racks: dict[str, list[str]] = {}
    by_band: dict[Band, list[_Unit]] = {band: [] for band in Band}
    for name in order:
        band = bands[name]
        if band <= Band.ACCESS:
            by_band[band].append(made[name])
        elif band is Band.LOOSE:
            racks.setdefault("", []).append(name)
        else:
            up = parents[name][0] if name in parents else ""
            while up and bands[up] is Band.HOSTS and up in parents:  # a host behind a host stands beside it
                up = parents[up][0]
            if up in made and bands[up] is Band.ACCESS:
                made[up].stack.append(name)
            else:
                racks.setdefault(up or name, []).append(name)
    for up, names in racks.items():
        band = Band.LOOSE if not up else Band.HOSTS
        size = -(-len(names) // max(1, -(-len(names) // STACK))) if up else 3
        by_band[band] += [_Unit("", names[at : at + size], up) for at in range(0, len(names), size)]
    return by_band


def _walk_order(graph: Graph, parents: Mapping[str, tuple[str, Link]]) -> list[str]:
    """Depth first, siblings by name, so that what hangs together stands together."""
    below: dict[str, list[str]] = {}
    for name in sorted(graph.nodes, key=_natural):
        below.setdefault(parents[name][0] if name in parents else "", []).append(name)
    order: list[str] = []
    waiting = list(reversed(below.get("", [])))
    while waiting:
        name = waiting.pop()
        order.append(name)
        waiting += reversed(below.get(name, []))
    return order


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    return tuple(
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part)
        for part in re.split(r"([0-9]{1,9})", name)
        if part
    )


def _plan(by_band: Mapping[Band, Sequence[_Unit]], columns: int) -> _Plan:
    plan = _Plan()
    for band in Band:
        units = by_band[band]
        rows = -(-len(units) // columns)
        wide = -(-len(units) // rows) if rows else 0
        for at in range(0, len(units), wide or 1):
            plan.rows.append((band, [_copy(unit) for unit in units[at : at + wide]]))
    widest = max((len(units) for _, units in plan.rows), default=1)
    y = float(MARGIN)
    for number, (band, units) in enumerate(plan.rows):
        plan.tops.append(y + ROW_GAP / 2)
        first = (widest - len(units)) // 2 if band <= Band.AGGREGATION else 0
        spread = max(1, widest // len(units)) if band <= Band.CORE else 1
        first = max(0, (widest - (len(units) - 1) * spread - 1) // 2) if band <= Band.AGGREGATION else first
        for column, unit in enumerate(units):
            unit.x = LABEL + MARGIN + (first + column * spread) * COLUMN
            unit.y = plan.tops[number]
            unit.row = number
            plan.units.append(unit)
        y = plan.tops[number] + max(unit.height for unit in units) + ROW_GAP / 2
    plan.width = LABEL + MARGIN + widest * COLUMN
    if plan.width < NARROWEST:
        for unit in plan.units:
            unit.x += (NARROWEST - plan.width) / 2
        plan.width = NARROWEST
    plan.height = y + MARGIN
    return plan


def _copy(unit: _Unit) -> _Unit:
    return _Unit(unit.head, list(unit.stack), unit.parent)


def _boxes(plan: _Plan) -> list[Box]:
    found = []
    for unit in plan.units:
        y = unit.y
        if unit.head:
            found.append(Box(unit.head, unit.x, y, chip=False))
            y += BOX_H + STACK_GAP
        for number, name in enumerate(unit.stack):
            found.append(Box(name, unit.x + 16, y + number * (CHIP_H + STACK_GAP), chip=True))
    return found


def _strips(plan: _Plan) -> list[Strip]:
    spans: dict[Band, tuple[float, float]] = {}
    for (band, units), top in zip(plan.rows, plan.tops, strict=True):
        bottom = top + max(unit.height for unit in units)
        first = spans.get(band, (top, bottom))[0]
        spans[band] = (first, bottom)
    return [Strip(band, top, bottom - top) for band, (top, bottom) in sorted(spans.items())]


# -- links -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node stands: its unit's row, and the points at which lines reach it."""

    row: int
    x: float
    top: float
    bottom: float
    left: float
    chip: bool
    column: float
    stacked: bool = False


def _places(plan: _Plan) -> dict[str, _Place]:
    found: dict[str, _Place] = {}
    for unit in plan.units:
        y = unit.y
        if unit.head:
            found[unit.head] = _Place(
                unit.row, unit.x + BOX_W / 2, y, y + BOX_H, unit.x, False, unit.x, bool(unit.stack)
            )
            y += BOX_H + STACK_GAP
        for number, name in enumerate(unit.stack):
            top = y + number * (CHIP_H + STACK_GAP)
            found[name] = _Place(unit.row, unit.x + 6, top, top + CHIP_H, unit.x + 16, True, unit.x)
    return found


def _lines(plan: _Plan, graph: Graph, parents: Mapping[str, tuple[str, Link]]) -> list[Line]:
    places = _places(plan)
    heads = {unit.head: unit for unit in plan.units if unit.head}
    tree = {link.id for _, link in parents.values()}
    lanes: dict[str, int] = {}
    found = []
    for link in sorted(graph.links, key=lambda one: (one.id not in tree, one.id)):
        a, b = link.a.node, link.b.node
        upper, lower = (a, b) if _above(places[a], places[b]) else (b, a)
        lane = lanes.setdefault(upper, len(lanes) % 5) if link.id in tree else len(lanes) % 5
        unit = heads.get(upper)
        if unit is not None and lower in unit.stack:
            points = _down_the_stack(places[upper], places[lower])
        else:
            points = _across(plan, places[upper], places[lower], lane, extra=link.id not in tree)
        x, y = _mark(points)
        found.append(Line(link.id, _path(points), x, y))
    return found


def _above(a: _Place, b: _Place) -> bool:
    return (a.row, a.chip, a.x, a.top) <= (b.row, b.chip, b.x, b.top)


Point = tuple[float, float]


def _down_the_stack(head: _Place, chip: _Place) -> list[Point]:
    y = (chip.top + chip.bottom) / 2
    return [(chip.x, head.bottom), (chip.x, y), (chip.left, y)]


def _across(plan: _Plan, upper: _Place, lower: _Place, lane: int, *, extra: bool) -> list[Point]:
    shift = lane * 3.0 - 6 + (1.5 if extra else 0)
    target_x = lower.x if lower.chip else lower.x + (shift * 2 if extra else 0)
    start_x = upper.x + (shift * 2 if not upper.chip else 0)

    def channel(row: int) -> float:
        return plan.tops[row] - ROW_GAP / 2 + shift

    end: list[Point]
    if lower.chip:
        y = (lower.top + lower.bottom) / 2
        end = [(target_x, y), (lower.left, y)]
    else:
        end = [(target_x, lower.top)]
    if upper.row == lower.row:
        if not upper.chip and not lower.chip and lower.column - upper.column <= COLUMN * 1.5 and not extra:
            y = upper.top + BOX_H / 2
            return [(upper.left + BOX_W, y), (lower.left, y)]
        y = channel(lower.row)
        start = upper.top
        return [(start_x, start), (start_x, y), (target_x, y), *end]
    if upper.stacked:  # not down through what hangs below it, but beside it
        y0 = upper.top + BOX_H / 2
        start_x = upper.left + BOX_W + (COLUMN - BOX_W) / 2 + shift / 2
        start_points: list[Point] = [(upper.left + BOX_W, y0), (start_x, y0)]
    elif upper.chip:
        y0 = (upper.top + upper.bottom) / 2
        start_points = [(upper.left, y0), (upper.x, y0)]
        start_x = upper.x
    else:
        start_points = [(start_x, upper.bottom)]
    if lower.row == upper.row + 1:
        y = channel(lower.row)
        return [*start_points, (start_x, y), (target_x, y), *end]
    gap = lower.column - (COLUMN - BOX_W) / 2 + shift / 2
    first, last = channel(upper.row + 1), channel(lower.row)
    return [*start_points, (start_x, first), (gap, first), (gap, last), (target_x, last), *end]


def _mark(points: Sequence[Point]) -> Point:
    """The middle of the last stretch that is long enough, else the end: there a line is nobody else's."""
    for (x1, y1), (x2, y2) in zip(points[-2::-1], points[:0:-1], strict=True):
        if abs(x1 - x2) + abs(y1 - y2) >= 8:
            return (x1 + x2) / 2, (y1 + y2) / 2
    return points[-1]


def _path(points: Iterable[Point], radius: float = 4) -> str:
    """An SVG path through points, with rounded corners."""
    given = list(points)
    kept = [point for number, point in enumerate(given) if not number or point != given[number - 1]]
    parts = [f"M{_number(kept[0][0])} {_number(kept[0][1])}"]
    for (x0, y0), (x1, y1), (x2, y2) in zip(kept, kept[1:], kept[2:], strict=False):
        r = min(radius, (abs(x1 - x0) + abs(y1 - y0)) / 2, (abs(x2 - x1) + abs(y2 - y1)) / 2)
        ax, ay = x1 - r * _sign(x1 - x0), y1 - r * _sign(y1 - y0)
        bx, by = x1 + r * _sign(x2 - x1), y1 + r * _sign(y2 - y1)
        parts.append(f"L{_number(ax)} {_number(ay)}Q{_number(x1)} {_number(y1)} {_number(bx)} {_number(by)}")
    parts.append(f"L{_number(kept[-1][0])} {_number(kept[-1][1])}")
    return "".join(parts)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
