"""From columns of tables to facts. Pure; whatever an agent sends, a row that makes no sense is left out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from collectors.profiles.values import text_of
from collectors.snmp.ber import Oid, Typed, decode_index, encode_index
from collectors.snmp.errors import BerError
from collectors.topology import tables
from collectors.topology.identity import address_of, canonical, chassis_of, mac_of, port_id_of, short
from monitor.topology.facts import (
    MAX_ARP,
    MAX_NEIGHBOURS,
    MAX_OWN,
    MAX_PORTS,
    Facts,
    Neighbour,
    Port,
    StpPort,
    kept_fairly,
)

Columns = Mapping[Oid, Mapping[bytes, Typed]]
Index = tuple[int, ...]
_AGGREGATES: Final = frozenset({161, 54})  # ieee8023adLag, propMultiplexor
_VIRTUAL: Final = 53  # what Cisco calls a Port-channel, and a VLAN interface
_AGGREGATE_NAMES: Final = ("po", "eth-trunk", "bridge-aggregation", "ag", "trunk", "lag", "smartgroup")
_LLDP_WORDS: Final = ("other", "repeater", "bridge", "wlan", "router", "phone", "docsis", "station")
_CDP_WORDS: Final = (
    (0x01, "router"), (0x02, "bridge"), (0x08, "bridge"), (0x10, "station"), (0x40, "repeater"), (0x80, "phone"),
)  # fmt: skip
_MULTICAST: Final = 0x01
_DOWN: Final = 2
_MAX_FDB_ROWS: Final = 32_768


def facts_of(
    scalars: Mapping[Oid, Typed], columns: Columns, at_ms: int, incomplete: Iterable[str] = ()
) -> Facts:
    """Everything one device says."""
    bridged = _base_ports(columns)
    ports = _ports(columns, bridged)
    bridge_mac = mac_of(_octets(scalars.get(tables.BRIDGE_ADDRESS)))
    lldp = tables.LLDP_CHASSIS_KIND, tables.LLDP_CHASSIS
    chassis = _own_chassis(scalars, *lldp) or _own_chassis(
        scalars, tables.LLDP_V2_CHASSIS_KIND, tables.LLDP_V2_CHASSIS
    )
    chassis_mac = chassis.removeprefix("mac:") if chassis.startswith("mac:") else ""
    own = {mac for mac in (bridge_mac, chassis_mac) if mac}
    by_number = {port.bridge: port.index for port in ports if port.bridge}
    arp = _arp(columns)
    return Facts(
        at_ms=at_ms,
        name=_text(scalars.get(tables.SYS_NAME)),
        chassis=chassis,
        macs=tuple(sorted(own)),
        addresses=_own_addresses(columns),
        ports=ports,
        neighbours=tuple(
            [*_lldp(columns, ports), *_lldp_v2(columns, ports), *_cdp(columns, ports)][:MAX_NEIGHBOURS]
        ),
        fdb=kept_fairly(_forwarding(columns, by_number, own | {p.mac for p in ports})),
        arp=tuple(arp[:MAX_ARP]),
        lags=_lags(columns),
        stp=_stp(columns, by_number),
        incomplete=tuple(sorted(set(incomplete) | ({"arp"} if len(arp) > MAX_ARP else set()))),
    )


def ports_down(columns: Columns) -> frozenset[int]:
    """Interfaces that say they are down."""
    rows = _indexed(columns.get(tables.IF_OPER, {}))
    return frozenset(index[0] for index, value in rows if len(index) == 1 and _number(value) == _DOWN)


def _own_chassis(scalars: Mapping[Oid, Typed], kind: Oid, value: Oid) -> str:
    return chassis_of(_number(scalars.get(kind)), _octets(scalars.get(value)))


def _ports(columns: Columns, bridged: Mapping[int, int]) -> tuple[Port, ...]:
    names, descrs = _texts(columns, tables.IF_NAME), _texts(columns, tables.IF_DESCR)
    macs, aliases = columns.get(tables.IF_MAC, {}), _texts(columns, tables.IF_ALIAS)
    numbers = {index: number for number, index in sorted(bridged.items(), reverse=True)}
    by_index = {index[0]: mac_of(_octets(value)) for index, value in _indexed(macs) if len(index) == 1}
    found = [
        Port(
            index,
            names.get(index) or descrs.get(index, ""),
            aliases.get(index, ""),
            by_index.get(index, ""),
            numbers.get(index, 0),
        )
        for index in sorted({*names, *descrs})
    ]
    # Where it must be cut, ports of the bridge come first: nothing is linked to a tunnel.
    found.sort(key=lambda port: (not port.bridge, port.index))
    return tuple(sorted(found[:MAX_PORTS], key=lambda port: port.index))


def _base_ports(columns: Columns) -> dict[int, int]:
    """Number of the bridge port to ifIndex."""
    rows = _indexed(columns.get(tables.BASE_PORT, {}))
    return {index[0]: number for index, value in rows if len(index) == 1 and (number := _number(value)) > 0}


def _lldp(columns: Columns, ports: tuple[Port, ...]) -> Iterator[Neighbour]:
    remote = tables.LLDP_REMOTE
    addresses = _managed(columns, tables.LLDP_ADDRESS, 3)
    place = _LocalPorts(columns, ports)
    for index, chassis in _indexed(columns.get(remote["chassis"], {})):
        if len(index) == 3:
            port, name = place.of(index[1])
            yield _heard(columns, remote, index, chassis, port, name, addresses.get(index, ()))


def _lldp_v2(columns: Columns, ports: tuple[Port, ...]) -> Iterator[Neighbour]:
    remote = tables.LLDP_V2_REMOTE
    addresses = _managed(columns, tables.LLDP_V2_ADDRESS, 4)
    names = {port.index: port.name for port in ports}
    for index, chassis in _indexed(columns.get(remote["chassis"], {})):
        if len(index) == 4:
            port = index[1]
            yield _heard(columns, remote, index, chassis, port, names.get(port, ""), addresses.get(index, ()))


def _heard(
    columns: Columns,
    remote: Mapping[str, Oid],
    index: Index,
    chassis: Typed,
    port: int,
    port_name: str,
    addresses: tuple[str, ...],
) -> Neighbour:
    def cell(name: str) -> Typed | None:
        return _cell(columns, remote[name], index)

    return Neighbour(
        protocol="lldp",
        port=port,
        port_name=port_name,
        chassis=chassis_of(_number(cell("chassis_kind")), _octets(chassis)),
        remote=port_id_of(_number(cell("port_kind")), _octets(cell("port"))),
        remote_descr=_text(cell("port_descr")),
        name=_text(cell("name")),
        descr=_text(cell("descr")),
        addresses=addresses,
        capabilities=_lldp_capabilities(_octets(cell("capabilities"))),
    )


def _cdp(columns: Columns, ports: tuple[Port, ...]) -> Iterator[Neighbour]:
    names = {port.index: port.name for port in ports}
    for index, value in _indexed(columns.get(tables.CDP["id"], {})):
        if len(index) != 2:
            continue
        name = _text(value)
        kind = _number(_cell(columns, tables.CDP["address_kind"], index))
        octets = _octets(_cell(columns, tables.CDP["address"], index))
        address = address_of(octets) if kind in {1, 20} else ""
        management = address_of(_octets(_cell(columns, tables.CDP["management"], index)))
        yield Neighbour(
            protocol="cdp",
            port=index[0],
            port_name=names.get(index[0], ""),
            chassis=canonical(name),
            remote=canonical(_text(_cell(columns, tables.CDP["port"], index))),
            name=_text(_cell(columns, tables.CDP["name"], index)) or name,
            descr=_text(_cell(columns, tables.CDP["platform"], index)),
            addresses=tuple(dict.fromkeys(a for a in (management, address) if a)),
            capabilities=_cdp_capabilities(_octets(_cell(columns, tables.CDP["capabilities"], index))),
        )


class _LocalPorts:
    """Which interface an lldpPortNum is: by the name it has there, else as a bridge port, else as an ifIndex."""

    def __init__(self, columns: Columns, ports: tuple[Port, ...]) -> None:
        self._columns = columns
        self._ports = {port.index: port for port in ports}
        self._bridge = {port.bridge: port.index for port in ports if port.bridge}
        self._names = _unique((port.name.lower(), port.index) for port in ports)
        self._macs = _unique((port.mac, port.index) for port in ports)
        self._aliases = _unique((port.alias.lower(), port.index) for port in ports)
        self._descrs = _unique((text.lower(), i) for i, text in _texts(columns, tables.IF_DESCR).items())

    def of(self, number: int) -> tuple[int, str]:
        """(ifIndex or 0, name)."""
        local = tables.LLDP_LOCAL
        kind = _number(_cell(self._columns, local["kind"], (number,)))
        said = port_id_of(kind, _octets(_cell(self._columns, local["id"], (number,))))
        descr = _text(_cell(self._columns, local["descr"], (number,)))
        sort, _, value = said.partition(":")
        index = self._named(value) if sort != "mac" else self._macs.get(value, 0)
        if not index and sort == "local" and value.isascii() and value.isdigit() and len(value) < 10:
            index = int(value) if int(value) in self._ports else 0
        index = index or self._named(descr) or self._bridge.get(number, 0)
        index = index or (number if number in self._ports else 0)
        port = self._ports.get(index)
        return index, port.name if port else (value or descr or str(number))

    def _named(self, text: str) -> int:
        key = text.lower()
        return self._names.get(key, 0) or self._descrs.get(key, 0) or self._aliases.get(key, 0)


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for key, index in pairs:
        if key:
            found[key] = 0 if key in found and found[key] != index else index
    return {key: index for key, index in found.items() if index}


def _managed(columns: Columns, column: Oid, width: int) -> dict[Index, tuple[str, ...]]:
    """Management addresses by row of the neighbour: the index goes on with family, length, address."""
    found: dict[Index, list[str]] = {}
    for index, _ in _indexed(columns.get(column, {})):
        row, address = index[:width], _address_in(index[width:])
        if address and len(found.setdefault(row, [])) < 8:
            found[row].append(address)
    return {row: tuple(addresses) for row, addresses in found.items()}


def _lldp_capabilities(octets: bytes) -> tuple[str, ...]:
    first = octets[0] if octets else 0
    return tuple(word for bit, word in enumerate(_LLDP_WORDS) if first & 0x80 >> bit)


def _cdp_capabilities(octets: bytes) -> tuple[str, ...]:
    bits = int.from_bytes(octets[-4:], "big")
    return tuple(dict.fromkeys(word for bit, word in _CDP_WORDS if bits & bit))


def _forwarding(columns: Columns, by_number: Mapping[int, int], own: set[str]) -> dict[int, set[str]]:
    """Port to learned addresses. Own addresses, groups, and what is on several ports at once say nothing."""
    place: dict[str, int] = {}
    for column, width in ((tables.FDB_VLAN, 7), (tables.FDB, 6)):
        for count, (index, value) in enumerate(_indexed(columns.get(column, {}))):
            if count >= _MAX_FDB_ROWS or len(index) != width or max(index[-6:]) > 255:
                continue
            number = _number(value)
            mac = bytes(index[-6:]).hex()
            if number <= 0 or mac in own or index[-6] & _MULTICAST or not any(index[-6:]):
                continue
            port = by_number.get(number, 0 if by_number else number)
            if port:
                place[mac] = port if place.get(mac, port) == port else -1
    learned: dict[int, set[str]] = {}
    for mac, port in place.items():
        if port > 0:
            learned.setdefault(port, set()).add(mac)
    return learned


def _arp(columns: Columns) -> list[tuple[str, str, int]]:
    found: dict[tuple[str, int], str] = {}
    for index, value in _indexed(columns.get(tables.ARP, {})):
        if len(index) == 5 and max(index[1:]) < 256:
            found[address_of(bytes(index[1:])), index[0]] = mac_of(_octets(value))
    for index, value in _indexed(columns.get(tables.ARP_V6, {})):
        if address := _address_in(index[1:]):
            found[address, index[0]] = mac_of(_octets(value))
    return sorted((address, mac, port) for (address, port), mac in found.items() if address and mac)


def _own_addresses(columns: Columns) -> tuple[str, ...]:
    found = set()
    for index, _ in _indexed(columns.get(tables.OWN_ADDRESS, {})):
        if len(index) == 4 and max(index) < 256:
            found.add(address_of(bytes(index)))
    for index, _ in _indexed(columns.get(tables.OWN_ADDRESS_V6, {})):
        found.add(_address_in(index))
    own = [
        a for a in found if a and not ipaddress.ip_address(a).is_link_local and a not in {"127.0.0.1", "::1"}
    ]
    return tuple(sorted(own)[:MAX_OWN])


def _lags(columns: Columns) -> tuple[tuple[int, int], ...]:
    """(member, aggregate). A port that stands for itself is not attached to itself."""
    found: dict[int, int] = {}
    kinds = {index[0]: _number(value) for index, value in _indexed(columns.get(tables.IF_TYPE, {})) if index}
    names = _texts(columns, tables.IF_NAME)

    def aggregates(port: int) -> bool:
        named = names.get(port, "").lower().startswith(_AGGREGATE_NAMES)
        return kinds.get(port) in _AGGREGATES or (kinds.get(port) == _VIRTUAL and named)

    for index, _ in _indexed(columns.get(tables.IF_STACK, {})):
        if len(index) == 2 and index[1] and aggregates(index[0]) and kinds.get(index[1]) == 6:
            found.setdefault(index[1], index[0])
    for index, value in _indexed(columns.get(tables.LAG_ATTACHED, {})):
        aggregate = _number(value)
        if len(index) == 1 and aggregate > 0 and aggregate != index[0]:
            found[index[0]] = aggregate
    return tuple(sorted(found.items())[:MAX_PORTS])


def _stp(columns: Columns, by_number: Mapping[int, int]) -> tuple[StpPort, ...]:
    found = []
    for index, value in _indexed(columns.get(tables.STP["state"], {})):
        if len(index) != 1:
            continue
        bridge = _octets(_cell(columns, tables.STP["bridge"], index))
        port = _octets(_cell(columns, tables.STP["port"], index))
        found.append(
            StpPort(
                by_number.get(index[0], 0 if by_number else index[0]),
                max(0, _number(value)),
                mac_of(bridge[2:]) if len(bridge) == 8 else "",
                int.from_bytes(port, "big") & 0x0FFF if len(port) == 2 else 0,
            )
        )
    return tuple(item for item in sorted(found, key=lambda item: item.port) if item.port)[:MAX_PORTS]


def _indexed(column: Mapping[bytes, Typed]) -> Iterator[tuple[Index, Typed]]:
    for octets, value in column.items():
        try:
            yield decode_index(octets), value
        except BerError:
            continue


def _cell(columns: Columns, column: Oid, index: Index) -> Typed | None:
    return columns.get(column, {}).get(encode_index(index))


def _address_in(index: Index) -> str:
    """Family (1 or 2; 3 and 4 end with a zone), length, address; Cisco's ASA leaves out the length."""
    size = {1: 4, 2: 16}.get(index[0], 0) if index else 0
    octets = index[2:] if len(index) == size + 2 and index[1] == size else index[1:]
    return address_of(bytes(octets)) if size and len(octets) == size and max(octets) < 256 else ""


def _texts(columns: Columns, column: Oid) -> dict[int, str]:
    rows = _indexed(columns.get(column, {}))
    return {index[0]: _text(value) for index, value in rows if len(index) == 1 and index[0] > 0}


def _text(value: Typed | None) -> str:
    try:
        return short(text_of(value)) if value is not None else ""
    except BerError:  # an OID where a text should be, and not even a whole one
        return ""


def _number(value: Typed | None) -> int:
    return value[1] if value is not None and isinstance(value[1], int) else 0


def _octets(value: Typed | None) -> bytes:
    return value[1] if value is not None and isinstance(value[1], bytes) else b""
