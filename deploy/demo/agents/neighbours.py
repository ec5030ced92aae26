"""LLDP, forwarding, ARP, aggregation and spanning-tree tables of the simulated switches and routers."""

from __future__ import annotations

from functools import lru_cache

from deploy.demo.agents.interfaces import Port
from deploy.demo.agents.ports import ports_of
from deploy.demo.agents.tree import INT, STR, Row, oid
from deploy.demo.cabling import (
    MEMBERS,
    SILENT,
    STRANGERS,
    UNHEARD,
    VLAN_INTERFACE,
    cabled,
    cables,
    device_mac,
    learned,
    site_devices,
    station_mac,
)
from deploy.demo.city import DemoDevice

LLDP = oid("1.0.8802.1.1.2.1")
BRIDGE = oid("1.3.6.1.2.1.17")
LAG = oid("1.2.840.10006.300.43.1.2.1.1.13")
ARP = oid("1.3.6.1.2.1.4.22.1")
OWN_ADDRESS = oid("1.3.6.1.2.1.4.20.1")
VLAN = 100
MAC_KIND, NAME_KIND = 4, 5
BRIDGE_BIT, ROUTER_BIT = 0x20, 0x08
FORWARDING, BLOCKING = 5, 2
SPEAKS = frozenset({"core", "uplink", "access"})


@lru_cache(maxsize=512)
def neighbour_rows(device: DemoDevice) -> tuple[Row, ...]:
    """Everything a device says of its neighbours; does not change with time."""
    rows = _addresses(device)
    if device.role in {"core", "access"}:
        rows += _bridge(device)
        rows += [
            ((*BRIDGE, 7, 1, 2, 2, 1, 2, VLAN, *mac), INT, port) for port, mac in learned(device) if port
        ]
    if device.role == "core":
        own = cabled(device)
        rows += [
            ((*LAG, member), INT, aggregate)
            for aggregate, members in MEMBERS.items()
            for member in members
            if aggregate in own
        ]
        rows += _arp(device)
    if device.role in SPEAKS and device.id not in SILENT:
        rows += _lldp(device)
    return tuple(rows)


def _addresses(device: DemoDevice) -> list[Row]:
    own = tuple(int(part) for part in device.address.split("."))
    index = VLAN_INTERFACE if device.role == "core" else 1
    return [((*OWN_ADDRESS, 1, *own), 0x40, bytes(own)), ((*OWN_ADDRESS, 2, *own), INT, index)]


def _arp(device: DemoDevice) -> list[Row]:
    rows: list[Row] = []
    for other in site_devices(device.site):
        if other.id != device.id:
            address = tuple(int(part) for part in other.address.split("."))
            rows.append(((*ARP, 2, VLAN_INTERFACE, *address), STR, device_mac(other)))
    return rows


def _bridge(device: DemoDevice) -> list[Row]:
    """Base group and spanning tree: the first core is the root."""
    own = device_mac(device)
    rows: list[Row] = [((*BRIDGE, 1, 1, 0), STR, own)]
    up = {c.b_port: c for c in cables(device.site) if c.b == device.id}
    members = {member for group in MEMBERS.values() for member in group}
    macs = {other.id: device_mac(other) for other in site_devices(device.site)}
    for port in ports_of(device):
        if port.kind == 53 or (device.role == "core" and port.index in members):
            continue
        rows.append(((*BRIDGE, 1, 4, 1, 2, port.index), INT, port.index))
        cable = up.get(port.index)
        bridge, number = (macs[cable.a], cable.a_port) if cable else (own, port.index)
        state = BLOCKING if cable is not None and cable.blocked else FORWARDING if port.load else 1
        rows += [
            ((*BRIDGE, 2, 15, 1, 3, port.index), INT, state),
            ((*BRIDGE, 2, 15, 1, 8, port.index), STR, b"\x80\x00" + bridge),
            ((*BRIDGE, 2, 15, 1, 9, port.index), STR, (0x8000 | number).to_bytes(2, "big")),
        ]
    return rows


def _lldp(device: DemoDevice) -> list[Row]:
    rows: list[Row] = [
        ((*LLDP, 3, 1, 0), INT, MAC_KIND),
        ((*LLDP, 3, 2, 0), STR, device_mac(device)),
        ((*LLDP, 3, 3, 0), STR, device.id.encode()),
    ]
    for port in ports_of(device):
        rows += [
            ((*LLDP, 3, 7, 1, 2, port.index), INT, NAME_KIND),
            ((*LLDP, 3, 7, 1, 3, port.index), STR, port.name.encode()),
            ((*LLDP, 3, 7, 1, 4, port.index), STR, port.alias.encode()),
        ]
    known = {other.id: other for other in site_devices(device.site)}
    number = 0
    for own_port, other_name, other_port in _physical(device):
        other = known[other_name]
        if other.role in SPEAKS and other.id not in SILENT and other.id not in UNHEARD:
            number += 1
            far = next(port for port in ports_of(other) if port.index == other_port)
            rows += _heard(own_port, number, other, far)
    for stranger in STRANGERS:
        if stranger.device == device.id:
            number += 1
            rows += _row(
                stranger.port, number, station_mac(stranger.name), stranger.remote_port.encode(),
                stranger.name, stranger.descr, stranger.capabilities,
            )  # fmt: skip
    return rows


def _physical(device: DemoDevice) -> list[tuple[int, str, int]]:
    """(own port, device, its port) of each cable that is plugged in, aggregates as their members."""
    found = []
    for cable in cables(device.site):
        if device.id not in {cable.a, cable.b}:
            continue
        own, other, far = (
            (cable.a_port, cable.b, cable.b_port)
            if cable.a == device.id
            else (cable.b_port, cable.a, cable.a_port)
        )
        both_cores = cable.a_port == cable.b_port and own in MEMBERS
        found += [(port, other, port) for port in MEMBERS[own]] if both_cores else [(own, other, far)]
    return sorted(found)


def _heard(own_port: int, number: int, other: DemoDevice, far: Port) -> list[Row]:
    capabilities = BRIDGE_BIT | (ROUTER_BIT if other.role in {"core", "uplink"} else 0)
    rows = _row(
        own_port, number, device_mac(other), far.name.encode(), other.id, f"{other.vendor} {other.hardware}",
        capabilities,
    )  # fmt: skip
    address = tuple(int(part) for part in other.address.split("."))
    rows.append(((*LLDP, 4, 2, 1, 3, 0, own_port, number, 1, 4, *address), INT, 2))
    return rows


def _row(
    port: int, number: int, chassis: bytes, remote: bytes, name: str, descr: str, capabilities: int
) -> list[Row]:
    at = (0, port, number)
    return [
        ((*LLDP, 4, 1, 1, 4, *at), INT, MAC_KIND),
        ((*LLDP, 4, 1, 1, 5, *at), STR, chassis),
        ((*LLDP, 4, 1, 1, 6, *at), INT, NAME_KIND),
        ((*LLDP, 4, 1, 1, 7, *at), STR, remote),
        ((*LLDP, 4, 1, 1, 8, *at), STR, b""),
        ((*LLDP, 4, 1, 1, 9, *at), STR, name.encode()),
        ((*LLDP, 4, 1, 1, 10, *at), STR, descr.encode()),
        ((*LLDP, 4, 1, 1, 12, *at), STR, bytes((capabilities, 0))),
    ]
