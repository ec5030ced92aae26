"""The system group and IF-MIB of a simulated device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.demo.agents.tree import C32, C64, GAUGE, INT, OBJECT, STR, TICKS, Row, object_id, oid, seed
from deploy.demo.faults import Effect
from deploy.demo.signals import ORIGIN, counter

BOOT = 1_788_000_000.0  # every simulated device last started then, in August 2026
SYSTEM = oid("1.3.6.1.2.1.1")
IF_NUMBER = oid("1.3.6.1.2.1.2.1.0")
IF = oid("1.3.6.1.2.1.2.2.1")
IFX = oid("1.3.6.1.2.1.31.1.1.1")


@dataclass(frozen=True, slots=True)
class Port:
    """One interface. `load` is the mean share of its speed that it carries at full activity; 0 = not in use."""

    index: int
    name: str
    alias: str
    mbps: int
    load: float
    kind: int = 6  # ifType: 6 Ethernet, 161 aggregate, 53 VLAN


def system_rows(name: str, description: str, object_identity: str, location: str, t: float) -> list[Row]:
    """sysDescr to sysServices."""
    ticks = int((t - BOOT) * 100) % 2**32
    return [
        ((*SYSTEM, 1, 0), STR, description.encode()),
        ((*SYSTEM, 2, 0), OBJECT, object_id(object_identity)),
        ((*SYSTEM, 3, 0), TICKS, ticks),
        ((*SYSTEM, 4, 0), STR, "信息科".encode()),
        ((*SYSTEM, 5, 0), STR, name.encode()),
        ((*SYSTEM, 6, 0), STR, location.encode()),
        ((*SYSTEM, 7, 0), INT, 78),
    ]


def interface_rows(device: str, ports: Sequence[Port], t: float, faults: Mapping[Effect, float]) -> list[Row]:
    """ifTable and ifXTable. An uplink cut takes the first port down and freezes its counters."""
    rows: list[Row] = [(IF_NUMBER, INT, len(ports))]
    for port in ports:
        cut = Effect.UPLINK_CUT in faults and port is ports[0]
        up = port.load > 0 and not cut
        key = seed(f"{device}/{port.index}")
        rate = port.mbps * 125_000 * port.load
        octets_in, octets_out = counter(t, rate, key), counter(t, rate * 0.6, key + 1)
        errors = counter(t, 0.0004, key + 2)
        if Effect.INTERFACE_ERRORS in faults and port is ports[1]:
            errors += int((t - ORIGIN) * 14)
        i = port.index
        mac = bytes((0x02, 0x5A)) + key.to_bytes(4, "big")
        rows += [
            ((*IF, 1, i), INT, i),
            ((*IF, 2, i), STR, port.name.encode()),
            ((*IF, 3, i), INT, port.kind),
            ((*IF, 4, i), INT, 1500),
            ((*IF, 5, i), GAUGE, min(port.mbps * 1_000_000, 2**32 - 1)),
            ((*IF, 6, i), STR, mac),
            ((*IF, 7, i), INT, 1 if port.load > 0 or cut else 2),
            ((*IF, 8, i), INT, 1 if up else 2),
            ((*IF, 9, i), TICKS, 0),
            ((*IF, 10, i), C32, octets_in % 2**32),
            ((*IF, 13, i), C32, counter(t, 0.0002, key + 3)),
            ((*IF, 14, i), C32, errors % 2**32),
            ((*IF, 16, i), C32, octets_out % 2**32),
            ((*IF, 19, i), C32, counter(t, 0.0001, key + 4)),
            ((*IF, 20, i), C32, counter(t, 0.0001, key + 5)),
            ((*IFX, 1, i), STR, port.name.encode()),
            ((*IFX, 6, i), C64, octets_in),
            ((*IFX, 7, i), C64, octets_in // 700),
            ((*IFX, 10, i), C64, octets_out),
            ((*IFX, 11, i), C64, octets_out // 650),
            ((*IFX, 15, i), GAUGE, port.mbps),
            ((*IFX, 18, i), STR, port.alias.encode()),
        ]
    return rows
