"""The map of a site from what its devices say. Pure and deterministic.

Protocols first (LLDP, CDP), then the spanning tree, then forwarding tables, then ARP, last what the inventory says:
each only adds what the ones before left open, or supports it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from monitor.model import Device, DeviceId, SiteId
from monitor.topology.draft import NOWHERE, Draft, groups
from monitor.topology.facts import Facts, Neighbour
from monitor.topology.forwarding import Directions, places_of
from monitor.topology.graph import Conflict, End, Graph, LinkKind, Node, NodeKind
from monitor.topology.match import Registry

_BLOCKING: Final = 2
_DISABLED: Final = 1
_MAX_HEARD: Final = 16


@dataclass(frozen=True, slots=True)
class _Sighting:
    """One neighbour as one device heard it, with who it is."""

    near: End
    far: str
    far_port: int
    heard: Neighbour
    kind: LinkKind
    at_ms: int


def build(devices: Sequence[Device], facts: Mapping[DeviceId, Facts], site: SiteId | None = None) -> Graph:
    """The map of the devices of `site` (all when None) and of what they see.

    `devices` are all that may appear on it, also those of other sites; nobody else is named.
    """
    here = [device for device in devices if site is None or device.site == site]
    said = {device.id: facts[device.id] for device in here if device.id in facts}
    registry = Registry(devices, {device.id: facts[device.id] for device in devices if device.id in facts})
    draft = Draft(_lags(said), _blocked(said))
    known = {device.id: device for device in devices}
    for device in here:
        draft.nodes[device.id] = _device_node(device)
    sightings = _sightings(draft, registry, said)
    _wire_protocols(draft, sightings)
    _wire_spanning_tree(draft, registry, said)
    _wire_forwarding(draft, registry, said, here)
    _wire_arp(draft, said, here)
    _wire_inventory(draft, here, known)
    for mac in registry.contested:
        draft.conflicts.add(Conflict("same-address", "", "", (mac,)))
    links = draft.links()
    for node in {end.node for link in links for end in (link.a, link.b)} - set(draft.nodes):
        draft.nodes[node] = _device_node(known[DeviceId(node)])
    names = {(str(name), port.index): port.name for name, one in said.items() for port in one.ports}
    named = tuple(
        replace(
            link,
            a=_named(link.a, names),
            b=_named(link.b, names),
            members=tuple(replace(m, a=_named(m.a, names), b=_named(m.b, names)) for m in link.members),
        )
        for link in links
    )
    return Graph(
        dict(sorted(draft.nodes.items())),
        named,
        tuple(
            sorted(
                (_at_port(c, names) for c in draft.conflicts), key=lambda c: (c.code, c.node, c.port, c.about)
            )
        ),
    )


def _device_node(device: Device) -> Node:
    return Node(device.id, NodeKind.DEVICE, device.name, device.site, device.id, addresses=(device.address,))


def _named(end: End, names: Mapping[tuple[str, int], str]) -> End:
    return replace(end, name=names.get((end.node, end.port), end.name))


def _at_port(conflict: Conflict, names: Mapping[tuple[str, int], str]) -> Conflict:
    number = int(conflict.port) if conflict.port.isascii() and conflict.port.isdigit() else 0
    return replace(conflict, port=names.get((conflict.node, number), conflict.port))


def _lags(said: Mapping[DeviceId, Facts]) -> dict[tuple[str, int], int]:
    return {(str(name), member): aggregate for name, one in said.items() for member, aggregate in one.lags}


def _blocked(said: Mapping[DeviceId, Facts]) -> frozenset[tuple[str, int]]:
    return frozenset(
        (str(name), p.port) for name, one in said.items() for p in one.stp if p.state == _BLOCKING
    )


# -- what neighbours say of themselves -------------------------------------------------------------------------------


def _sightings(draft: Draft, registry: Registry, said: Mapping[DeviceId, Facts]) -> list[_Sighting]:
    found: list[_Sighting] = []
    strangers: list[tuple[DeviceId, Neighbour]] = []
    for name, one in sorted(said.items()):
        for heard in one.neighbours:
            device = registry.device_of(heard)
            if device is None:
                strangers.append((name, heard))
            elif (other := registry.address_of(heard)) is not None and other != device:
                draft.conflicts.add(Conflict("identity", name, heard.port_name, (device, other)))
    identity = _strangers(draft, strangers, said)
    for name, one in sorted(said.items()):
        devices = {heard: registry.device_of(heard) for heard in one.neighbours}
        alive = {device for heard, device in devices.items() if device is not None and not heard.lost_ms}
        for heard, device in devices.items():
            if heard.lost_ms and device in alive:
                continue  # it has moved to another port
            far = str(device) if device is not None else identity[name, heard]
            port = registry.port_of(device, heard) if device is not None else 0
            near = End(name, heard.port, "" if heard.port else heard.port_name or f"{NOWHERE}{far}")
            found.append(_Sighting(near, far, port, heard, LinkKind(_protocol(heard)), one.at_ms))
    return found


def _protocol(heard: Neighbour) -> str:
    return heard.protocol if heard.protocol in {"lldp", "cdp"} else "lldp"


def _strangers(
    draft: Draft, strangers: Sequence[tuple[DeviceId, Neighbour]], said: Mapping[DeviceId, Facts]
) -> dict[tuple[DeviceId, Neighbour], str]:
    """Unregistered neighbours as nodes. The same chassis or address is the same one everywhere, a name on one port."""
    pairs: list[tuple[object, object]] = []
    for name, heard in strangers:
        own: tuple[object, ...] = (name, heard)
        pairs.append((own, own))
        if heard.chassis:
            everywhere = heard.chassis.startswith(("mac:", "ip:"))
            pairs.append((own, heard.chassis if everywhere else (heard.chassis, heard.name)))
        pairs += [(own, f"ip:{address}") for address in heard.addresses]
        if heard.name:
            pairs.append((own, (name, heard.port, heard.port_name, heard.name.lower())))
    identity: dict[tuple[DeviceId, Neighbour], str] = {}
    by_key = {(name, heard): (name, heard) for name, heard in strangers}
    for group in groups(pairs):
        members = sorted((by_key[item] for item in group if item in by_key), key=_telling)
        if members:
            node = _stranger(members, said)
            draft.nodes[node.id] = node
            identity |= dict.fromkeys(members, node.id)
    return identity


def _telling(item: tuple[DeviceId, Neighbour]) -> tuple[bool, bool, str, int, str, str]:
    name, heard = item
    return (
        not heard.chassis.startswith("mac:"),
        not heard.name,
        str(name),
        heard.port,
        heard.chassis,
        heard.remote,
    )


def _stranger(members: Sequence[tuple[DeviceId, Neighbour]], said: Mapping[DeviceId, Facts]) -> Node:
    owner, best = members[0]
    fallback = f"{owner}:{best.port or best.port_name}:{best.remote}"
    chassis = best.chassis or next((heard.chassis for _, heard in members if heard.chassis), "")
    identity = chassis if chassis.startswith(("mac:", "ip:")) else f"{chassis}:{fallback}"
    return Node(
        f"unknown:{identity}",
        NodeKind.UNKNOWN,
        next((heard.name for _, heard in members if heard.name), ""),
        chassis=chassis,
        descr=next((heard.descr for _, heard in members if heard.descr), ""),
        addresses=tuple(dict.fromkeys(a for _, heard in members for a in heard.addresses))[:_MAX_HEARD],
        capabilities=tuple(dict.fromkeys(c for _, heard in members for c in heard.capabilities)),
        heard_on=tuple(dict.fromkeys((str(name), heard.port_name) for name, heard in members))[:_MAX_HEARD],
        heard_at=max(heard.lost_ms or said[name].at_ms for name, heard in members),
    )


def _wire_protocols(draft: Draft, sightings: Sequence[_Sighting]) -> None:
    back: dict[tuple[str, str], list[_Sighting]] = {}
    for sighting in sightings:
        back.setdefault((sighting.near.node, sighting.far), []).append(sighting)
    for sighting in sightings:
        replies = back.get((sighting.far, sighting.near.node), [])
        far = _far_end(sighting, replies)
        lost = sighting.heard.lost_ms
        draft.add(sighting.near, far, sighting.kind, sighting.near.node, sighting.at_ms, lost_ms=lost)


def _far_end(sighting: _Sighting, replies: Sequence[_Sighting]) -> End:
    """The other end: the port that was named, else the one port from which the other end looks back here."""
    if sighting.far_port:
        return End(sighting.far, sighting.far_port)
    exact = {r.near for r in replies if r.far_port and r.far_port == sighting.near.port}
    vague = {r.near for r in replies if not r.far_port}
    for candidates in (exact, vague):
        if len(candidates) == 1:
            return next(iter(candidates))
    said = sighting.heard.remote.partition(":")[2] or sighting.heard.remote_descr
    nowhere = f"{NOWHERE}{sighting.near.node}/{sighting.near.port}{sighting.near.name}"
    return End(sighting.far, 0, said or nowhere)


# -- spanning tree ---------------------------------------------------------------------------------------------------


def _wire_spanning_tree(draft: Draft, registry: Registry, said: Mapping[DeviceId, Facts]) -> None:
    """A port whose designated bridge is another one leads there."""
    numbered = {
        name: {port.bridge: port.index for port in one.ports if port.bridge} for name, one in said.items()
    }
    for name, one in sorted(said.items()):
        own = registry.macs_of.get(name, set()) | set(one.macs)
        for port in one.stp:
            far = registry.macs.get(port.bridge)
            if far is None or port.bridge in own or port.state in {0, _DISABLED} or far == name:
                continue
            near = End(name, port.port)
            beyond = draft.beyond(name, port.port)
            if beyond:
                draft.support(near, far, LinkKind.STP)
                continue
            index = numbered.get(far, {}).get(port.bridge_port, 0)
            index = draft.aggregate(far, index)
            nowhere = f"{NOWHERE}{name}/{port.port}"
            draft.add(near, End(far, index, "" if index else nowhere), LinkKind.STP, name, one.at_ms)


# -- forwarding tables -----------------------------------------------------------------------------------------------


def _wire_forwarding(
    draft: Draft, registry: Registry, said: Mapping[DeviceId, Facts], here: Sequence[Device]
) -> None:
    tables = _tables(draft, said)
    if not tables:
        return
    owner = {mac: str(device) for mac, device in registry.macs.items()}
    directions = Directions(tables, owner)
    times = {str(name): one.at_ms for name, one in said.items()}
    pairs: list[tuple[End, End]] = []
    for a, p, b, q in directions.adjacent():
        near = End(a, p, "" if p else f"{NOWHERE}{b}/{q}")
        far = End(b, q, "" if q else f"{NOWHERE}{a}/{p}")
        pairs.append((near, far))
    _wire_bridges(draft, pairs, times)
    leading = {(name, port) for name, others in directions.port.items() for port in others.values()}
    hosts = [device.id for device in here if device.id not in tables]
    _place_hosts(draft, registry, tables, leading, hosts, times)


def _tables(draft: Draft, said: Mapping[DeviceId, Facts]) -> dict[str, dict[int, frozenset[str]]]:
    tables: dict[str, dict[int, frozenset[str]]] = {}
    for name, one in said.items():
        for item in one.fdb:
            port = draft.aggregate(name, item.port)
            own = tables.setdefault(str(name), {})
            own[port] = own.get(port, frozenset()) | frozenset(item.macs)
    return tables


def _wire_bridges(draft: Draft, pairs: Sequence[tuple[End, End]], times: Mapping[str, int]) -> None:
    """Bridges that nothing known lies between. What a protocol says of one of their ports decides."""
    taken = [(draft.beyond(a.node, a.port), draft.beyond(b.node, b.port)) for a, b in pairs]
    for (near, far), (first, second) in zip(pairs, taken, strict=True):
        at = max(times.get(near.node, 0), times.get(far.node, 0))
        if far.node in first or near.node in second:
            draft.support(near, far.node, LinkKind.FDB)
            draft.support(far, near.node, LinkKind.FDB)
        elif first and second:
            continue  # both ends are taken: the path leads through what is there
        elif first:
            draft.add(End(first[0], 0, f"{NOWHERE}{far.node}"), far, LinkKind.FDB, far.node, at)
        elif second:
            draft.add(End(second[0], 0, f"{NOWHERE}{near.node}"), near, LinkKind.FDB, near.node, at)
        else:
            draft.add(near, far, LinkKind.FDB, near.node, at)


def _place_hosts(
    draft: Draft,
    registry: Registry,
    tables: Mapping[str, Mapping[int, frozenset[str]]],
    leading: set[tuple[str, int]],
    hosts: Sequence[DeviceId],
    times: Mapping[str, int],
) -> None:
    """Each device without a forwarding table at the port where nothing but devices is."""
    linked = draft.linked()
    waiting = {host: registry.macs_of.get(host, set()) for host in hosts if host not in linked}
    places = places_of({mac for macs in waiting.values() for mac in macs}, tables)
    at_port: dict[tuple[str, int], list[DeviceId]] = {}
    for host, macs in waiting.items():
        found = sorted({place for mac in macs for place in places.get(mac, ())})
        if not found:
            continue
        edges = [place for place in found if place not in leading and not _leads(draft, place, tables)]
        size = {place: len(tables[place[0]][place[1]]) for place in found}
        best = min(edges or found, key=lambda place: (size[place], place))
        at_port.setdefault(best, []).append(host)
        if len(edges) > 1 and len({name for name, _ in edges}) > 1 and len(macs) == 1:
            about = tuple(f"{name}:{port}" for name, port in edges)
            draft.conflicts.add(Conflict("several-places", host, "", about))
    for (name, port), found_hosts in sorted(at_port.items()):
        _attach(draft, End(name, port), sorted(found_hosts), times.get(name, 0))


def _leads(draft: Draft, place: tuple[str, int], tables: Mapping[str, object]) -> bool:
    """Whether a protocol says that another bridge with a table of its own is there."""
    return any(node in tables for node in draft.beyond(*place))


def _attach(draft: Draft, near: End, hosts: Sequence[DeviceId], at_ms: int) -> None:
    beyond = draft.beyond(near.node, near.port)
    if len(beyond) == 1:
        for host in hosts:
            hub = End(beyond[0], 0, f"{NOWHERE}{host}")
            draft.add(hub, End(host, 0, f"{NOWHERE}{near.node}/{near.port}"), LinkKind.FDB, near.node, at_ms)
        return
    for host in hosts:
        draft.add(near, End(host, 0, f"{NOWHERE}{near.node}/{near.port}"), LinkKind.FDB, near.node, at_ms)


# -- what is left ----------------------------------------------------------------------------------------------------


def _wire_arp(draft: Draft, said: Mapping[DeviceId, Facts], here: Sequence[Device]) -> None:
    """A device nothing else knows a place for is behind the router that resolves its address."""
    linked = draft.linked()
    lost = {device.address: device for device in here if device.id not in linked}
    seen: dict[str, list[tuple[str, int]]] = {}
    for name, one in sorted(said.items()):
        for address, _, port in one.arp:
            if address in lost and lost[address].id != name:
                seen.setdefault(address, []).append((str(name), port))
    crowd = Counter(name for places in seen.values() for name, _ in places)
    for address, places in sorted(seen.items()):
        device = lost[address]
        preferred = [place for place in places if place[0] in device.depends_on]
        router, port = min(preferred or places, key=lambda place: (-crowd[place[0]], place))
        near = End(router, 0, f"{NOWHERE}{device.id}")
        far = End(device.id, 0, f"{NOWHERE}{router}/{port}")
        draft.add(near, far, LinkKind.ARP, router, said[DeviceId(router)].at_ms)


def _wire_inventory(draft: Draft, here: Sequence[Device], known: Mapping[DeviceId, Device]) -> None:
    """What a device is registered to depend on, where nothing observed connects the two."""
    place = {node: number for number, group in enumerate(draft.joined()) for node in group}
    for device in here:
        for up in device.depends_on:
            if up in known and place[device.id] != place.get(up):
                near = End(device.id, 0, f"{NOWHERE}{up}")
                draft.add(near, End(up, 0, f"{NOWHERE}{device.id}"), LinkKind.INVENTORY, device.id, 0)
