"""The map of a site: nodes, links, and what contradicts itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from monitor.model import DeviceId, SiteId


class NodeKind(StrEnum):
    """A registered device; a neighbour nobody registered; something unseen that several ports share."""

    DEVICE = "device"
    UNKNOWN = "unknown"
    SHARED = "shared"


class LinkKind(StrEnum):
    """Where a link is known from, the most trustworthy first."""

    LLDP = "lldp"
    CDP = "cdp"
    STP = "stp"
    FDB = "fdb"
    ARP = "arp"
    INVENTORY = "inventory"

    @property
    def rank(self) -> int:
        """0 for the most trustworthy."""
        return list(LinkKind).index(self)


class Confidence(StrEnum):
    """Both ends say so; one end says so; concluded from forwarding tables; taken from ARP or the inventory."""

    CONFIRMED = "confirmed"
    ONE_SIDED = "one-sided"
    INFERRED = "inferred"
    ASSUMED = "assumed"

    @property
    def rank(self) -> int:
        """0 for the surest."""
        return list(Confidence).index(self)


@dataclass(frozen=True, slots=True)
class Node:
    """A place on the map. What is not a DEVICE has what its neighbours said of it; `heard_on` is (device, port)."""

    id: str
    kind: NodeKind
    name: str
    site: SiteId | None = None
    device: DeviceId | None = None
    chassis: str = ""
    descr: str = ""
    addresses: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    heard_on: tuple[tuple[str, str], ...] = ()
    heard_at: int = 0


@dataclass(frozen=True, slots=True, order=True)
class End:
    """One end of a link: ifIndex (0 when unknown) and the name of the port as far as it is known."""

    node: str
    port: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """One physical link of an aggregate."""

    a: End
    b: End


@dataclass(frozen=True, slots=True)
class Link:
    """A link; `a.node` sorts before `b.node`. `blocked`: the spanning tree keeps it as a reserve. `lost_ms`: nobody has
    seen it since then, 0 while somebody does. Times in ms.
    """

    id: str
    a: End
    b: End
    kinds: tuple[LinkKind, ...]
    confidence: Confidence
    members: tuple[Member, ...] = ()
    blocked: bool = False
    at_ms: int = 0
    lost_ms: int = 0

    @property
    def kind(self) -> LinkKind:
        """The best evidence."""
        return self.kinds[0]

    def doubtful(self, asked: frozenset[str]) -> bool:
        """Whether somebody should look: both ends were asked and do not both confirm it, or it is only assumed.

        A host that speaks no discovery protocol is nothing to wonder about.
        """
        if self.confidence is Confidence.CONFIRMED:
            return False
        return self.confidence is Confidence.ASSUMED or {self.a.node, self.b.node} <= asked

    def other(self, node: str) -> str:
        """The node at the other end."""
        return self.b.node if node == self.a.node else self.a.node


@dataclass(frozen=True, slots=True)
class Conflict:
    """What devices say that cannot all be true. `code`: shared-port, several-places, self-loop, same-address,
    identity. `about` names what it is about.
    """

    code: str
    node: str
    port: str
    about: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """A map. Nodes by id; links and conflicts in a stable order."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    conflicts: tuple[Conflict, ...] = ()

    def links_of(self, node: str) -> list[Link]:
        """The links that end at a node."""
        return [link for link in self.links if node in {link.a.node, link.b.node}]
