"""A map in the making: ends, the wires between them, and how wires become links. Pure.

A wire joins two ends that somebody says are connected. Ends that wires connect form a segment: of two nodes, its
wires are links (merged when they belong to one aggregate); of more, something unseen lies between them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from monitor.topology.graph import Confidence, Conflict, End, Link, LinkKind, Member, Node, NodeKind

K = TypeVar("K", bound=Hashable)
Wire = tuple[End, End]
PROTOCOLS = frozenset({LinkKind.LLDP, LinkKind.CDP, LinkKind.STP})
NOWHERE = "\0"  # begins the name of an end of which only the other end is known


@dataclass(slots=True)
class Evidence:
    """Who says that a wire exists, and how he knows."""

    kinds: set[LinkKind] = field(default_factory=set)
    observers: set[str] = field(default_factory=set)
    at_ms: int = 0
    alive: bool = False
    lost_ms: int = 0


class Draft:
    """Collects nodes, wires and conflicts. `lags`: port to aggregate; `blocked`: ports the spanning tree blocks."""

    def __init__(self, lags: Mapping[tuple[str, int], int], blocked: frozenset[tuple[str, int]]) -> None:
        self.nodes: dict[str, Node] = {}
        self.conflicts: set[Conflict] = set()
        self._wires: dict[Wire, Evidence] = {}
        self._lags = lags
        self._members: dict[tuple[str, int], set[int]] = {}
        for (node, member), aggregate in lags.items():
            self._members.setdefault((node, aggregate), set()).add(member)
        self._blocked = blocked
        self._at: dict[tuple[str, int], set[Wire]] = {}

    def add(
        self, near: End, far: End, kind: LinkKind, observer: str, at_ms: int, *, lost_ms: int = 0
    ) -> None:
        """`observer` says that two ends are connected, or were until `lost_ms`."""
        if near.node == far.node:
            self.conflicts.add(Conflict("self-loop", near.node, near.name, (shown(far).name,)))
            return
        wire = _wire(near, far)
        evidence = self._wires.setdefault(wire, Evidence())
        evidence.kinds.add(kind)
        evidence.observers.add(observer)
        evidence.at_ms = max(evidence.at_ms, at_ms)
        evidence.alive |= not lost_ms
        evidence.lost_ms = max(evidence.lost_ms, lost_ms)
        for end in wire:
            if end.port:
                self._at.setdefault((end.node, end.port), set()).add(wire)

    def aggregate(self, node: str, port: int) -> int:
        """The aggregate a port belongs to, else the port."""
        return self._lags.get((node, port), port)

    def beyond(self, node: str, port: int) -> list[str]:
        """The nodes that are known to be connected to a port."""
        return sorted({other_end(wire, node).node for wire in self._touching(node, port)})

    def support(self, near: End, far: str, kind: LinkKind) -> bool:
        """Add evidence to the wires from a port to a node; False when there are none."""
        wires = [
            wire for wire in self._touching(near.node, near.port) if other_end(wire, near.node).node == far
        ]
        for wire in wires:
            self._wires[wire].kinds.add(kind)
            self._wires[wire].alive = True
            if kind in PROTOCOLS:
                self._wires[wire].observers.add(near.node)
        return bool(wires)

    def linked(self) -> set[str]:
        """The nodes that have a wire."""
        return {end.node for wire in self._wires for end in wire}

    def joined(self) -> list[list[str]]:
        """The nodes, in groups that wires connect."""
        return groups([(a.node, b.node) for a, b in self._wires], self.nodes)

    def links(self) -> tuple[Link, ...]:
        """Every segment as a link, or as several through a node between when more than two share it."""
        made: list[Link] = []
        straight: list[list[Wire]] = []
        place = {end: number for number, group in enumerate(groups(list(self._wires))) for end in group}
        segments: dict[int, list[Wire]] = {}
        for wire in sorted(self._wires):
            segments.setdefault(place[wire[0]], []).append(wire)
        for segment in segments.values():
            if len({end.node for wire in segment for end in wire}) > 2:
                made += self._shared(segment)
            else:
                straight.append(segment)
        for bundle in self._bundles(straight):
            best = sorted(min(segment, key=_vagueness) for segment in bundle)
            made.append(self._link(*best[0], best, self._evidence(w for segment in bundle for w in segment)))
        return _numbered(made)

    def _touching(self, node: str, port: int) -> list[Wire]:
        """The wires at a port, at its aggregate, and at the members of the aggregate."""
        if not port:
            return []
        aggregate = self.aggregate(node, port)
        ports = {port, aggregate, *self._members.get((node, aggregate), ())}
        return sorted(wire for each in ports for wire in self._at.get((node, each), ()))

    def _shared(self, segment: Sequence[Wire]) -> list[Link]:
        by_node: dict[str, set[End]] = {}
        for end in (end for wire in segment for end in wire):
            by_node.setdefault(end.node, set()).add(end)
        kept = [
            end for own in by_node.values() for end in ([e for e in sorted(own) if e.port] or sorted(own)[:1])
        ]
        first = min(kept, key=lambda end: (end.port == 0, end))
        hub = f"shared:{first.node}:{first.port or shown(first).name}"
        at = self.nodes.get(first.node)
        self.nodes[hub] = Node(hub, NodeKind.SHARED, "", at.site if at else None)
        links = []
        for end in sorted(kept):
            touching = [
                w for w in segment if end in w or (not end.port and end.node in {w[0].node, w[1].node})
            ]
            evidence = self._evidence(touching)
            links.append(self._link(end, End(hub), [], evidence))
            heard = {
                other_end(wire, end.node).node for wire in touching if end.node in self._wires[wire].observers
            }
            if len(heard) > 1 and evidence.kinds & PROTOCOLS:
                port = str(end.port) if end.port else end.name
                self.conflicts.add(Conflict("shared-port", end.node, port, tuple(sorted(heard))))
        return links

    def _bundles(self, segments: Sequence[list[Wire]]) -> list[list[list[Wire]]]:
        """Segments of one aggregate together."""
        pairs: list[tuple[Hashable, Hashable]] = []
        for number, segment in enumerate(segments):
            pairs.append((number, number))
            for end in (end for wire in segment for end in wire):
                aggregate = self.aggregate(end.node, end.port)
                if end.port and (end.node, aggregate) in self._members:
                    between = (segment[0][0].node, segment[0][1].node)
                    pairs.append((number, (between, end.node, aggregate)))
        return [[segments[item] for item in group if isinstance(item, int)] for group in groups(pairs)]

    def _evidence(self, wires: Iterable[Wire]) -> Evidence:
        found = Evidence()
        for wire in wires:
            one = self._wires[wire]
            found.kinds |= one.kinds
            found.observers |= one.observers
            found.at_ms = max(found.at_ms, one.at_ms)
            found.alive |= one.alive
            found.lost_ms = max(found.lost_ms, one.lost_ms)
        return found

    def _link(self, a: End, b: End, bundle: Sequence[Wire], evidence: Evidence) -> Link:
        kinds = tuple(sorted(evidence.kinds, key=lambda kind: kind.rank))
        confidence = Confidence.ASSUMED
        if kinds[0] in PROTOCOLS:
            sure = {a.node, b.node} <= evidence.observers
            confidence = Confidence.CONFIRMED if sure else Confidence.ONE_SIDED
        elif kinds[0] is LinkKind.FDB:
            confidence = Confidence.INFERRED
        a, b = _wire(a, b)
        ends = [end for wire in bundle for end in wire] or [a, b]
        both = {(e.node, e.port) for e in ends} | {(e.node, self.aggregate(e.node, e.port)) for e in ends}
        members: tuple[Member, ...] = ()
        if len(bundle) > 1:
            members = tuple(Member(shown(wire[0]), shown(wire[1])) for wire in bundle)
            a, b = self._whole(a), self._whole(b)
        blocked = not both.isdisjoint(self._blocked)
        lost_ms = 0 if evidence.alive else evidence.lost_ms
        return Link("", shown(a), shown(b), kinds, confidence, members, blocked, evidence.at_ms, lost_ms)

    def _whole(self, end: End) -> End:
        """The aggregate an end belongs to."""
        aggregate = self.aggregate(end.node, end.port)
        return end if aggregate == end.port else End(end.node, aggregate)


def groups(pairs: Sequence[tuple[K, K]], alone: Iterable[K] = ()) -> list[list[K]]:
    """Things that pairs connect, together; in the order in which they first occur."""
    parent: dict[K, K] = {}

    def top(item: K) -> K:
        parent.setdefault(item, item)
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for a, b in pairs:
        parent[top(b)] = top(a)
    found: dict[K, list[K]] = {}
    for item in dict.fromkeys([*(item for pair in pairs for item in pair), *alone]):
        found.setdefault(top(item), []).append(item)
    return list(found.values())


def shown(end: End) -> End:
    """An end as people see it."""
    return replace(end, name="") if end.name.startswith(NOWHERE) else end


def other_end(wire: Wire, node: str) -> End:
    """The end that is not at this node."""
    return wire[1] if wire[0].node == node else wire[0]


def _vagueness(wire: Wire) -> tuple[int, Wire]:
    return (not wire[0].port) + (not wire[1].port), wire


def _wire(a: End, b: End) -> Wire:
    return (a, b) if a <= b else (b, a)


def _numbered(links: Iterable[Link]) -> tuple[Link, ...]:
    """Links in order, each with an id that the same link has again tomorrow."""
    found: list[Link] = []
    seen: dict[str, int] = {}
    for link in sorted(links, key=lambda link: (link.a, link.b)):
        plain = "~".join(f"{end.node}:{end.port or end.name}" for end in (link.a, link.b))
        seen[plain] = seen.get(plain, 0) + 1
        found.append(replace(link, id=plain if seen[plain] == 1 else f"{plain}~{seen[plain]}"))
    return tuple(found)
