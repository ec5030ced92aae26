"""Which registered device a neighbour is, and which of its ports is meant. Pure.

A chassis address decides, then a management address, then a name (only one that is nobody else's and no factory
setting), then the address of a port. What two devices claim belongs to neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

from monitor.model import Device, DeviceId
from monitor.topology.facts import Facts, Neighbour

T = TypeVar("T")
_VIRTUAL: Final = ("00005e0001", "00005e0002", "00000c07ac")  # VRRP for IPv4 and IPv6, HSRP
_FACTORY_NAMES: Final = frozenset(
    {"huawei", "h3c", "hp", "ruijie", "switch", "router", "localhost", "quidway", "zxr10", "cisco", "default",
     "ap", "none", "unknown", "host", "(none)", "localhost.localdomain", "s5720", "hpe"}
)  # fmt: skip


class Registry:
    """The registered devices, by everything a neighbour may call them."""

    def __init__(self, devices: Sequence[Device], facts: Mapping[DeviceId, Facts]) -> None:
        self.facts = facts
        self._known = {device.id: device for device in devices}
        self._addresses = _single(_address_claims(devices, facts))
        self._names = _single(_name_claims(devices, facts))
        own = _own_macs(facts)
        self.contested = tuple(sorted(mac for mac, owners in _claims(own).items() if len(owners) > 1))
        self.macs = _single(own)
        claimed = {mac for mac, _ in own}
        self.macs.update(_single(_arp_claims(facts, self._addresses, claimed)))
        self._ports = {device: _PortNames(said) for device, said in facts.items()}
        self.macs_of: dict[DeviceId, set[str]] = {}
        for mac, owner in self.macs.items():
            self.macs_of.setdefault(owner, set()).add(mac)

    def device_of(self, heard: Neighbour) -> DeviceId | None:
        """The device a neighbour is, None when it is none of ours."""
        kind, _, value = heard.chassis.partition(":")
        found = self.macs.get(value) if kind == "mac" else None
        found = found or next((d for a in heard.addresses if (d := self._addresses.get(a))), None)
        if found is None and kind == "ip":
            found = self._addresses.get(value)
        if found is None:
            named = self._named(heard.name) or (self._named(value) if kind in {"name", "local"} else None)
            found = named if named is not None and not self._contradicts(named, heard.chassis) else None
        if found is None and heard.remote.startswith("mac:"):
            found = self.macs.get(heard.remote.removeprefix("mac:"))
        return found

    def address_of(self, heard: Neighbour) -> DeviceId | None:
        """The device that has the management address a neighbour gave."""
        return next((d for a in heard.addresses if (d := self._addresses.get(a))), None)

    def port_of(self, device: DeviceId, heard: Neighbour) -> int:
        """The ifIndex a neighbour's port has there; 0 when that device does not say."""
        ports = self._ports.get(device)
        return ports.find(heard.remote, heard.remote_descr) if ports is not None else 0

    def _named(self, name: str) -> DeviceId | None:
        key = _name(name)
        return None if key in _FACTORY_NAMES else self._names.get(key)

    def _contradicts(self, device: DeviceId, chassis: str) -> bool:
        """The device says itself that its chassis is another one."""
        own = self.facts.get(device)
        return (
            own is not None
            and own.chassis.startswith("mac:")
            and chassis.startswith("mac:")
            and own.chassis != chassis
        )


class _PortNames:
    def __init__(self, facts: Facts) -> None:
        self._names = _single((port.name.lower(), port.index) for port in facts.ports)
        self._short = _single((shortened(port.name), port.index) for port in facts.ports)
        self._macs = _single((port.mac, port.index) for port in facts.ports)
        self._aliases = _single((port.alias.lower(), port.index) for port in facts.ports)
        self._indexes = {str(port.index): port.index for port in facts.ports}

    def find(self, remote: str, descr: str) -> int:
        kind, _, value = remote.partition(":")
        key = value.lower()
        if kind == "mac":
            found = self._macs.get(value, 0)
        elif kind == "alias":
            found = self._aliases.get(key, 0) or self._names.get(key, 0)
        else:
            found = self._names.get(key, 0) or self._short.get(shortened(value), 0)
            found = found or (self._indexes.get(value, 0) if kind == "local" else 0)
        return found or self._names.get(descr.lower(), 0) or self._aliases.get(descr.lower(), 0)


def shortened(name: str) -> str:
    """A form in which `GigabitEthernet1/0/1`, `Gi1/0/1` and `GE1/0/1` are the same; empty without a number."""
    head = name.rstrip("0123456789/.:").strip().lower()
    number = name[len(name.rstrip("0123456789/.:")) :]
    families = (
        ("xgigabit", "te"), ("xge", "te"), ("ten", "te"), ("te", "te"), ("gigabit", "gi"), ("ge", "gi"),
        ("gi", "gi"), ("fortygig", "fo"), ("fo", "fo"), ("hundredgig", "hu"), ("hu", "hu"), ("fast", "fa"),
        ("fa", "fa"), ("eth-trunk", "lag"), ("bridge-aggregation", "lag"), ("bagg", "lag"), ("port-channel", "lag"),
        ("po", "lag"),
    )  # fmt: skip
    family = next((short for prefix, short in families if head.startswith(prefix)), head)
    return f"{family}{number}" if number else ""


def _address_claims(
    devices: Sequence[Device], facts: Mapping[DeviceId, Facts]
) -> Iterable[tuple[str, DeviceId]]:
    registered = {device.address for device in devices}
    for device in devices:
        yield device.address, device.id
    for name, said in facts.items():
        for address in said.addresses:
            if address not in registered:
                yield address, name


def _name_claims(
    devices: Sequence[Device], facts: Mapping[DeviceId, Facts]
) -> Iterable[tuple[str, DeviceId]]:
    for device in devices:
        yield _name(str(device.id)), device.id
        yield _name(device.name), device.id
    for name, said in facts.items():
        yield _name(said.name), name


def _own_macs(facts: Mapping[DeviceId, Facts]) -> list[tuple[str, DeviceId]]:
    return [
        (mac, name)
        for name, said in facts.items()
        for mac in {*said.macs, *(port.mac for port in said.ports)}
        if mac and not mac.startswith(_VIRTUAL)
    ]


def _arp_claims(
    facts: Mapping[DeviceId, Facts], addresses: Mapping[str, DeviceId], claimed: set[str]
) -> Iterable[tuple[str, DeviceId]]:
    for said in facts.values():
        for address, mac, _ in said.arp:
            owner = addresses.get(address)
            if owner is not None and mac not in claimed and not mac.startswith(_VIRTUAL):
                yield mac, owner


def _claims(pairs: Iterable[tuple[str, DeviceId]]) -> dict[str, set[DeviceId]]:
    found: dict[str, set[DeviceId]] = {}
    for key, owner in pairs:
        found.setdefault(key, set()).add(owner)
    return found


def _single(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """What exactly one owner claims."""
    found: dict[str, T] = {}
    several: set[str] = set()
    for key, owner in pairs:
        if key and found.setdefault(key, owner) != owner:
            several.add(key)
    return {key: owner for key, owner in found.items() if key not in several}


def _name(text: str) -> str:
    """Names are compared without case and domain."""
    text = text.strip().lower()
    head, _, rest = text.partition(".")
    return head if rest and not head.isdigit() else text
