"""How the devices of a simulated site are cabled: the same campus tree that the inventory's uplinks describe.

Exit router, one or two cores (joined by an aggregate of four), access switches, servers on the cores. Some of it is
as untidy as reality: servers behind a small switch nobody manages, switches and an access point nobody registered, an
access switch that the core does not hear, one without LLDP, and reserve uplinks that the spanning tree blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from deploy.demo.agents.tree import seed
from deploy.demo.city import DemoDevice, devices

EXIT_PORT, ACCESS_UPLINK, ACCESS_RESERVE = 1, 1, 14
TRUNK_SERVERS, TRUNK_STORAGE, TRUNK_CORES = 2, 3, 4
GIGABIT = 4  # GigabitEthernet3/0/n of a core is interface 4 + n
MEMBERS: Final = {TRUNK_SERVERS: (31, 32), TRUNK_STORAGE: (33, 34), TRUNK_CORES: (35, 36, 37, 38)}
VLAN_INTERFACE = 41
BEHIND_SMALL_SWITCH: Final = ("his", "lis")
ON_GIGABIT: Final = {"firewall": 12, "db": 14, "pacs": 16, "emr": 18}  # the second one is one further
UPS_PORT = 12
SILENT: Final = frozenset({"H001-ACC-11"})  # does not speak LLDP
UNHEARD: Final = frozenset({"H001-ACC-7"})  # speaks, but the core does not listen on its port
STATIONS = 8  # in use on each access switch


@dataclass(frozen=True, slots=True)
class Stranger:
    """A neighbour that is in no inventory: seen on a port of a switch, with `stations` behind it."""

    device: str
    port: int
    name: str
    descr: str
    remote_port: str
    capabilities: int
    stations: int


STRANGERS: Final = (
    Stranger("H001-ACC-3", 10, "MZ3F-TEMP-SW", "H3C Comware Switch S1850V2-10P", "GigabitEthernet1/0/10", 0x20, 5),
    Stranger("H001-ACC-5", 13, "AP-ICU-05", "Huawei AP AirEngine 5761-11", "MultiGE0/0/0", 0x30, 9),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cable:
    """A connection; ports are interface numbers (an aggregate's own), 0 on a device without a switch's ports."""

    a: str
    a_port: int
    b: str
    b_port: int
    blocked: bool = False


def station_mac(text: str) -> bytes:
    """The address of anything that has a name."""
    return bytes((0x02, 0x5A)) + seed(text).to_bytes(4, "big")


def device_mac(device: DemoDevice) -> bytes:
    """The address a device is known by on its network."""
    numbers = {"linux-server": "/2", "linux-storage": "/1", "ups": "/1", "h3c-firewall": "/2"}
    return station_mac(device.id + numbers.get(device.model, ""))


@lru_cache(maxsize=32)
def site_devices(site: str) -> tuple[DemoDevice, ...]:
    """The devices of one site."""
    return tuple(device for device in devices() if device.site == site)


@lru_cache(maxsize=32)
def cables(site: str) -> tuple[Cable, ...]:
    """All cables of one site."""
    here = site_devices(site)
    cores = [device.id for device in here if device.role == "core"]
    made = [Cable(cores[0], EXIT_PORT, f"{site}-WAN-1", 2)]
    if len(cores) > 1:
        made.append(Cable(cores[0], TRUNK_CORES, cores[1], TRUNK_CORES))
    for device in here:
        number = int(device.id.rsplit("-", 1)[1])
        core = cores[(number - 1) % len(cores)]
        if device.role == "access":
            made.append(Cable(cores[0], GIGABIT + number, device.id, ACCESS_UPLINK))
            if len(cores) > 1 and number <= 2:
                made.append(Cable(cores[1], GIGABIT + number, device.id, ACCESS_RESERVE, blocked=True))
        elif device.role in BEHIND_SMALL_SWITCH:
            made.append(Cable(core, TRUNK_SERVERS, device.id, 0))
        elif device.role == "storage":
            made.append(Cable(core, TRUNK_STORAGE, device.id, 0))
        elif device.role in ON_GIGABIT:
            made.append(Cable(core, GIGABIT + ON_GIGABIT[device.role] + number, device.id, 2))
        elif device.role == "ups":
            made.append(Cable(f"{site}-ACC-{number}", UPS_PORT, device.id, 0))
    return tuple(made)


@lru_cache(maxsize=512)
def cabled(device: DemoDevice) -> frozenset[int]:
    """The ports of a device that something is plugged into."""
    own = {c.a_port for c in cables(device.site) if c.a == device.id}
    own |= {c.b_port for c in cables(device.site) if c.b == device.id}
    for aggregate, members in MEMBERS.items():
        if device.role == "core" and aggregate in own:
            own.update(members)
    return frozenset(own)


@lru_cache(maxsize=512)
def learned(device: DemoDevice) -> tuple[tuple[int, bytes], ...]:
    """What a switch has learned: (port, address) of everything in the tree beyond each of its ports."""
    around: dict[str, list[tuple[int, str]]] = {}
    for cable in cables(device.site):
        if not cable.blocked:
            around.setdefault(cable.a, []).append((cable.a_port, cable.b))
            around.setdefault(cable.b, []).append((cable.b_port, cable.a))
    known = {item.id: item for item in site_devices(device.site)}
    found = [(port, mac) for port, mac in _stations(device)]
    for port, first in around.get(device.id, []):
        seen, waiting = {device.id, first}, [first]
        while waiting:
            name = waiting.pop()
            found.append((port, device_mac(known[name])))
            found += [(port, mac) for _, mac in _stations(known[name])]
            beyond = [other for _, other in around[name] if other not in seen]
            seen.update(beyond)
            waiting += beyond
    return tuple(sorted(set(found)))


def _stations(device: DemoDevice) -> list[tuple[int, bytes]]:
    """The computers and telephones on an access switch, and what is behind strangers."""
    if device.role != "access":
        return []
    found = [
        (1 + n, station_mac(f"{device.id}/station/{n}"))
        for n in (1, 2, 4, 5, 7, 8, 10)[:STATIONS]
        if all(s.device != device.id or s.port != 1 + n for s in STRANGERS)
    ]
    for stranger in STRANGERS:
        if stranger.device == device.id:
            found.append((stranger.port, station_mac(stranger.name)))
            found += [(stranger.port, station_mac(f"{stranger.name}/{n}")) for n in range(stranger.stations)]
    return found
