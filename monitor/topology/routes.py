"""Which way is up: from a device towards the exit of its site. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from monitor.model import Device, DeviceId
from monitor.topology.graph import Graph, LinkKind, NodeKind

EXIT_ROLES: Final = ("uplink", "wan", "router", "core")


def roots_of(devices: Iterable[Device]) -> list[DeviceId]:
    """The devices through which a site reaches the world: those of the first exit role that any device has."""
    by_role: dict[str, list[DeviceId]] = {}
    for device in devices:
        by_role.setdefault(device.role, []).append(device.id)
    return next((sorted(by_role[role]) for role in EXIT_ROLES if role in by_role), [])


def upstream(graph: Graph, roots: Iterable[DeviceId]) -> Mapping[DeviceId, tuple[DeviceId, ...]]:
    """For each device the next ones on its shortest ways to a root, over links that are in use.

    Links that the inventory alone knows, and those the spanning tree keeps in reserve, count only for devices that
    have no other way. What is not registered is passed through. Devices without any way are left out.
    """
    found = _ways(graph, roots, everything=False)
    more = _ways(graph, roots, everything=True)
    return {**more, **found}


def _ways(
    graph: Graph, roots: Iterable[DeviceId], *, everything: bool
) -> dict[DeviceId, tuple[DeviceId, ...]]:
    around: dict[str, set[str]] = {}
    for link in graph.links:
        if everything or not (link.blocked or link.kind is LinkKind.INVENTORY):
            around.setdefault(link.a.node, set()).add(link.b.node)
            around.setdefault(link.b.node, set()).add(link.a.node)
    distance = {str(root): 0 for root in roots if root in graph.nodes}
    queue = deque(sorted(distance))
    above: dict[str, set[str]] = {}
    while queue:
        node = queue.popleft()
        device = graph.nodes[node].kind is NodeKind.DEVICE
        for other in sorted(around.get(node, ())):
            if other not in distance:
                distance[other] = distance[node] + 1
                queue.append(other)
            if distance[other] == distance[node] + 1:
                above.setdefault(other, set()).update({node} if device else above.get(node, set()))
    return {
        DeviceId(node): tuple(DeviceId(name) for name in sorted(names))
        for node, names in sorted(above.items())
        if names and graph.nodes[node].kind is NodeKind.DEVICE
    }
