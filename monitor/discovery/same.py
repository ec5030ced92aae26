"""Whether two answers come from one device, and whether a device is one of the inventory. Pure.

A switch with twenty layer-3 interfaces answers twenty times; it must become one proposal. Cloned machines share
names and engine ids, and a site's spare may bear its predecessor's name: what contradicts weighs more than what agrees.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Final

from monitor.discovery.interface import Find
from monitor.model import Device, DeviceId

_NO_SERIAL: Final = frozenset(
    {"unknown", "none", "n/a", "null", "notspecified", "tobefilledbyoem", "default"}
)
_VIRTUAL_MACS: Final = (
    "00:00:5e:00:01",
    "00:00:5e:00:02",
    "00:00:0c:07:ac",
    "00:00:00:00:00",
    "ff:ff:ff:ff:ff",
)
_MIN_SERIAL: Final = 4


def plain_serial(text: str) -> str:
    """A serial number for comparing; empty when it is a placeholder."""
    plain = re.sub(r"[\s._-]", "", text).lower()
    if len(plain) < _MIN_SERIAL or plain in _NO_SERIAL or len(set(plain)) == 1:
        return ""
    return plain


def own_macs(find: Find) -> frozenset[str]:
    """The MAC addresses that are this device's alone; those of VRRP and HSRP wander."""
    return frozenset(mac for mac in find.macs if not mac.startswith(_VIRTUAL_MACS))


def own_addresses(find: Find) -> frozenset[str]:
    """The device's addresses that others can reach: every host has a loopback."""
    return frozenset(text for text in find.addresses if _reachable(text))


def same_device(a: Find, b: Find) -> bool:
    """Whether two finds of one site are one device."""
    if a.address == b.address and a.port == b.port:
        return True
    serials = plain_serial(a.serial), plain_serial(b.serial)
    if all(serials):
        return serials[0] == serials[1] and (not a.vendor or not b.vendor or a.vendor == b.vendor)
    macs = own_macs(a), own_macs(b)
    if all(macs):
        return bool(macs[0] & macs[1])
    if a.sys_object_id != b.sys_object_id or a.sys_name != b.sys_name or not a.sys_name:
        return False
    if a.engine_id and a.engine_id == b.engine_id:
        return True
    addresses = own_addresses(a), own_addresses(b)
    return bool(addresses[0]) and addresses[0] == addresses[1]


class Register:
    """The devices of one site, to be found by what a find says. `serials` are those the last polls read."""

    def __init__(self, devices: Iterable[Device], serials: Mapping[DeviceId, str]) -> None:
        self._by_address: dict[str, list[Device]] = {}
        self._by_serial: dict[str, DeviceId] = {}
        self._serials: dict[DeviceId, str] = {}
        for device in devices:
            self._by_address.setdefault(_plain_address(device.address), []).append(device)
            serial = plain_serial(serials.get(device.id, "") or device.serial)
            if serial:
                self._serials[device.id] = serial
                self._by_serial.setdefault(serial, device.id)
        self.ids = frozenset(device.id for found in self._by_address.values() for device in found)

    def device_of(self, find: Find) -> DeviceId | None:
        """The device that was found: by the address (and SNMP port, where it has one), by serial number, or by another
        of its own addresses unless the serial numbers contradict.
        """
        for device in self._by_address.get(find.address, ()):
            if device.snmp is None or device.snmp.port == find.port:
                return device.id
        mine = plain_serial(find.serial)
        if mine in self._by_serial:
            return self._by_serial[mine]
        # Behind the address itself may stand an agent a port.
        for address in sorted(own_addresses(find) - {find.address}):
            for device in self._by_address.get(address, ()):
                if not (mine and device.id in self._serials):
                    return device.id
        return None


def grouped(finds: Iterable[Find]) -> list[list[Find]]:
    """Finds by device: the first of a group is the one that was found first."""
    groups: list[list[Find]] = []
    for find in finds:
        mine = [group for group in groups if any(same_device(find, other) for other in group)]
        if not mine:
            groups.append([find])
            continue
        mine[0].append(find)
        for other in mine[1:]:  # this find shows that they belong together
            mine[0].extend(other)
            groups.remove(other)
    return groups


def fingerprint(find: Find) -> str:
    """What must differ for a dismissed device to be proposed again: another box, not another version or lease."""
    return "\n".join(
        (plain_serial(find.serial), find.sys_object_id, find.sys_name, find.vendor, find.hardware)
    )


def _plain_address(text: str) -> str:
    """An address in the one form finds have it in; a host name as it is."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def _reachable(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (
        address.is_loopback or address.is_unspecified or address.is_link_local or address.is_multicast
    )
