"""What a broken device means for a business service. Pure.

A leaf has the state of its device; `all` is as bad as its worst child; `any` is down only when all children are,
and degraded once one is down or unknown: then what is left has no reserve.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from monitor.model import DeviceId, Service, ServiceNode


class Health(IntEnum):
    """How well something works, best first; UNKNOWN is never taken for OK."""

    OK = 0
    UNKNOWN = 1
    DEGRADED = 2
    DOWN = 3


def service_health(service: Service, devices: Mapping[DeviceId, Health]) -> Health:
    """The state of a service over the states of devices; a device without a state is UNKNOWN."""
    return _node(service.tree, devices)


def _node(node: ServiceNode, devices: Mapping[DeviceId, Health]) -> Health:
    if node.need == "leaf":
        return devices.get(node.device, Health.UNKNOWN) if node.device is not None else Health.UNKNOWN
    children = [_node(child, devices) for child in node.children]
    if not children:
        return Health.UNKNOWN
    if node.need == "any":
        reserve_lost = any(child in {Health.DOWN, Health.UNKNOWN} for child in children)
        best = min(children)
        return Health.DEGRADED if best is Health.OK and reserve_lost else best
    return max(children)


def causes(service: Service, devices: Mapping[DeviceId, Health]) -> list[DeviceId]:
    """The devices of the tree that are not OK, in tree order, each once."""
    found: list[DeviceId] = []
    stack = [service.tree]
    while stack:
        node = stack.pop(0)
        stack = [*node.children, *stack]
        name = node.device
        if name is not None and name not in found and devices.get(name, Health.UNKNOWN) is not Health.OK:
            found.append(name)
    return found
