"""What one device says about its place in the network, and how it travels: `to_detail`, `from_detail`.

MAC addresses are twelve lower-case hex digits, ports are ifIndex numbers (0 when unknown). A detail is compact JSON:
lists instead of objects, at most MAX_* rows each. `from_detail` takes anything and keeps what makes sense.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MODULE: Final = "topology"
LEARNED: Final = frozenset({"at", "fdb", "arp"})  # groups that change with every conversation on the network
MAX_PORTS: Final = 2000
MAX_NEIGHBOURS: Final = 1000
MAX_MACS: Final = 2000
MAX_ARP: Final = 2000
MAX_OWN: Final = 256
MAX_TEXT: Final = 200
_MAC: Final = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Port:
    """An interface; `bridge` is its number in the bridge tables, 0 when it is not bridged."""

    index: int
    name: str
    alias: str = ""
    mac: str = ""
    bridge: int = 0


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What a discovery protocol heard on a port.

    `chassis` and `remote` are `kind:value`, kind one of mac, ip, name, alias, local, other. `lost_ms`: it has not been
    heard since then, because its port is down; 0 while it is heard.
    """

    protocol: str  # lldp | cdp
    port: int
    port_name: str
    chassis: str
    remote: str
    remote_descr: str = ""
    name: str = ""
    descr: str = ""
    addresses: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    lost_ms: int = 0


@dataclass(frozen=True, slots=True)
class Learned:
    """What a bridge learned on a port: `total` addresses, of which `macs` are kept."""

    port: int
    total: int
    macs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StpPort:
    """A port in the spanning tree (`state` as dot1dStpPortState: 2 blocking, 5 forwarding)."""

    port: int
    state: int
    bridge: str
    bridge_port: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything one device says. `arp` is (address, mac, port); `lags` is (member port, aggregate port)."""

    at_ms: int
    name: str = ""
    chassis: str = ""
    macs: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    fdb: tuple[Learned, ...] = ()
    arp: tuple[tuple[str, str, int], ...] = ()
    lags: tuple[tuple[int, int], ...] = ()
    stp: tuple[StpPort, ...] = ()
    incomplete: tuple[str, ...] = ()


def kept_fairly(learned: Mapping[int, Iterable[str]], budget: int = MAX_MACS) -> tuple[Learned, ...]:
    """Forwarding entries within a budget: ports with few addresses keep them all, for they say where things are.

    What is kept of a crowded port is the same on every device (the smallest checksums), so that tables cut short can
    still be compared.
    """
    kept: list[Learned] = []
    ordered = sorted(((port, sorted(set(macs))) for port, macs in learned.items()), key=_by_size)
    for position, (port, macs) in enumerate(ordered):
        share = max(0, budget) // (len(ordered) - position)
        chosen = macs if len(macs) <= share else sorted(sorted(macs, key=_checksum)[:share])
        budget -= len(chosen)
        kept.append(Learned(port, len(macs), tuple(chosen)))
    return tuple(sorted(kept, key=lambda item: item.port))


def _by_size(item: tuple[int, Sequence[str]]) -> tuple[int, int]:
    return len(item[1]), item[0]


def _checksum(mac: str) -> tuple[int, str]:
    return zlib.crc32(mac.encode()), mac


def to_detail(facts: Facts) -> dict[str, object]:
    """The compact JSON of a poll's detail."""
    return {
        "at": facts.at_ms,
        "name": facts.name,
        "chassis": facts.chassis,
        "macs": list(facts.macs[:MAX_OWN]),
        "addresses": list(facts.addresses[:MAX_OWN]),
        "ports": [[p.index, p.name, p.alias, p.mac, p.bridge] for p in facts.ports[:MAX_PORTS]],
        "neighbours": [
            [n.protocol, n.port, n.port_name, n.chassis, n.remote, n.remote_descr, n.name, n.descr,
             list(n.addresses), list(n.capabilities), n.lost_ms]
            for n in facts.neighbours[:MAX_NEIGHBOURS]
        ],
        "fdb": [[item.port, item.total, ",".join(item.macs)] for item in facts.fdb],
        "arp": [list(row) for row in facts.arp[:MAX_ARP]],
        "lags": [list(row) for row in facts.lags],
        "stp": [[s.port, s.state, s.bridge, s.bridge_port] for s in facts.stp],
        "incomplete": list(facts.incomplete),
    }  # fmt: skip


def from_detail(detail: Mapping[str, object]) -> Facts:
    """The facts in a detail, however it came about; rows that make no sense are left out."""
    return Facts(
        at_ms=_number(detail.get("at")),
        name=_text(detail.get("name")),
        chassis=_text(detail.get("chassis")),
        macs=tuple(mac for mac in map(_mac, _rows(detail, "macs", MAX_OWN)) if mac),
        addresses=tuple(text for text in map(_text, _rows(detail, "addresses", MAX_OWN)) if text),
        ports=tuple(
            Port(_number(r[0]), _text(r[1]), _text(r[2]), _mac(r[3]), _number(r[4]))
            for r in _tuples(detail, "ports", 5, MAX_PORTS)
        ),
        neighbours=tuple(
            Neighbour(
                _text(r[0]), _number(r[1]), _text(r[2]), _text(r[3]), _text(r[4]), _text(r[5]), _text(r[6]),
                _text(r[7]), _texts(r[8]), _texts(r[9]), _number(r[10]),
            )
            for r in _tuples(detail, "neighbours", 11, MAX_NEIGHBOURS)
        ),
        fdb=_learned(detail),
        arp=tuple(
            (_text(r[0]), _mac(r[1]), _number(r[2])) for r in _tuples(detail, "arp", 3, MAX_ARP) if _mac(r[1])
        ),
        lags=tuple(
            (_number(r[0]), _number(r[1])) for r in _tuples(detail, "lags", 2, MAX_PORTS) if _number(r[1])
        ),
        stp=tuple(
            StpPort(_number(r[0]), _number(r[1]), _mac(r[2]), _number(r[3]))
            for r in _tuples(detail, "stp", 4, MAX_PORTS)
        ),
        incomplete=_texts(detail.get("incomplete")),
    )  # fmt: skip


def _learned(detail: Mapping[str, object]) -> tuple[Learned, ...]:
    found: dict[int, Learned] = {}
    left = MAX_MACS
    for port, total, macs in _tuples(detail, "fdb", 3, MAX_PORTS):
        text = macs if isinstance(macs, str) else ""
        kept = tuple(mac for mac in map(_mac, text.split(",", MAX_MACS)) if mac)[:left]
        left -= len(kept)
        found.setdefault(_number(port), Learned(_number(port), max(_number(total), len(kept)), kept))
    return tuple(found.values())


def _rows(detail: Mapping[str, object], group: str, limit: int) -> list[object]:
    value = detail.get(group)
    return value[:limit] if isinstance(value, list) else []


def _tuples(detail: Mapping[str, object], group: str, width: int, limit: int) -> list[list[object]]:
    return [row for row in _rows(detail, group, limit) if isinstance(row, list) and len(row) == width]


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 <= value < 1 << 53 else 0


def _text(value: object) -> str:
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    items = value[:32] if isinstance(value, list) else []
    return tuple(text for text in map(_text, items) if text)


def _mac(value: object) -> str:
    return value if isinstance(value, str) and _MAC.fullmatch(value) else ""
