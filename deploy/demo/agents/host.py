"""Simulated Linux servers and storage with net-snmp's HOST-RESOURCES and UCD tables."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.demo.agents.interfaces import Port, interface_rows, system_rows
from deploy.demo.agents.tree import GAUGE, INT, OBJECT, STR, Row, object_id, oid, seed
from deploy.demo.city import DemoDevice
from deploy.demo.faults import Effect
from deploy.demo.signals import between

HR_STORAGE = oid("1.3.6.1.2.1.25.2.3.1")
HR_DEVICE = oid("1.3.6.1.2.1.25.3.2.1")
HR_PROCESSOR = oid("1.3.6.1.2.1.25.3.3.1")
HR_SYSTEM = oid("1.3.6.1.2.1.25.1")
UCD_MEMORY = oid("1.3.6.1.4.1.2021.4")
UCD_LOAD = oid("1.3.6.1.4.1.2021.10.1")
DESCR = "Linux {name} 5.10.0-216.0.0.115.oe2203sp4.x86_64 #1 SMP x86_64"
RAM, FIXED = "1.3.6.1.2.1.25.2.1.2", "1.3.6.1.2.1.25.2.1.4"
KIB_64G = 64 << 20
CPUS = 8


def linux(device: DemoDevice, t: float, faults: Mapping[Effect, float]) -> list[Row]:
    """A Linux server; `DISK_FILLING` drives /data towards 97 %."""
    key = seed(device.id)
    ports = [
        Port(1, "lo", "", 10, 0.001),
        Port(2, "eth0", "业务网", 10000, 0.05),
        Port(3, "eth1", "管理网", 1000, 0.01),
    ]
    rows = system_rows(device.id, DESCR.format(name=device.id), "1.3.6.1.4.1.8072.3.2.10", device.location, t)
    rows += interface_rows(
        device.id, ports, t, {e: p for e, p in faults.items() if e is not Effect.UPLINK_CUT}
    )
    busy = 97.0 if Effect.HIGH_CPU in faults else between(t, 8, 46, key)
    rows += _processors(busy, t, key)
    rows += _memory(t, key)
    data_share = 0.52 + (key % 17) / 100
    if Effect.DISK_FILLING in faults:
        data_share = min(0.97, 0.84 + 0.13 * min(1.0, 3 * faults[Effect.DISK_FILLING]))
    volumes = [
        ("/", 100 << 30, 0.34 + (key % 7) / 100),
        ("/var", 200 << 30, 0.41),
        ("/data", 4 << 40, data_share),
    ]
    return rows + _volumes(volumes)


def storage(device: DemoDevice, t: float, faults: Mapping[Effect, float]) -> list[Row]:
    """A storage array seen through its Linux controller: two pools."""
    key = seed(device.id)
    ports = [Port(1, "eth0", "存储网 A", 25000, 0.11), Port(2, "eth1", "存储网 B", 25000, 0.10)]
    rows = system_rows(device.id, DESCR.format(name=device.id), "1.3.6.1.4.1.8072.3.2.10", device.location, t)
    rows += interface_rows(device.id, ports, t, faults)
    rows += _processors(between(t, 12, 38, key), t, key)
    rows += _memory(t, key)
    return rows + _volumes([("/pool01", 80 << 40, 0.61 + (key % 15) / 100), ("/pool02", 80 << 40, 0.57)])


def _processors(busy: float, t: float, key: int) -> list[Row]:
    rows: list[Row] = [((*HR_SYSTEM, 6, 0), GAUGE, 212), ((*HR_SYSTEM, 5, 0), GAUGE, 2)]
    for cpu in range(CPUS):
        index = 196_608 + cpu
        load = max(0, min(100, round(busy + between(t, -4, 4, key + cpu))))
        rows += [
            ((*HR_DEVICE, 1, index), INT, index),
            ((*HR_DEVICE, 2, index), OBJECT, object_id("1.3.6.1.2.1.25.3.1.3")),
            ((*HR_DEVICE, 3, index), STR, b"GenuineIntel: x86_64"),
            ((*HR_PROCESSOR, 1, index), OBJECT, object_id("0.0")),
            ((*HR_PROCESSOR, 2, index), INT, load),
        ]
    for number, name in enumerate(("Load-1", "Load-5", "Load-15"), 1):
        value = busy / 100 * CPUS * (1.05 - 0.05 * number)
        rows += [
            ((*UCD_LOAD, 1, number), INT, number),
            ((*UCD_LOAD, 2, number), STR, name.encode()),
            ((*UCD_LOAD, 3, number), STR, f"{value:.2f}".encode()),
            ((*UCD_LOAD, 5, number), INT, round(value * 100)),
        ]
    return rows


def _memory(t: float, key: int) -> list[Row]:
    available = round(KIB_64G * (1 - between(t, 0.48, 0.63, key + 7)))
    cached = available // 3
    used_units = KIB_64G - available + cached
    rows: list[Row] = [
        ((*HR_SYSTEM[:-1], 2, 2, 0), INT, KIB_64G),
        ((*UCD_MEMORY, 3, 0), INT, 8 << 20),
        ((*UCD_MEMORY, 4, 0), INT, 8 << 20),
        ((*UCD_MEMORY, 5, 0), INT, KIB_64G),
        ((*UCD_MEMORY, 6, 0), INT, available - cached),
        ((*UCD_MEMORY, 14, 0), INT, 262_144),
        ((*UCD_MEMORY, 15, 0), INT, cached - 262_144),
    ]
    return rows + _volume(1, RAM, "Physical memory", 1024, KIB_64G, used_units)


def _volumes(volumes: list[tuple[str, int, float]]) -> list[Row]:
    rows: list[Row] = []
    for number, (name, size, share) in enumerate(volumes):
        unit = 4096 if size < 4 << 40 else 65_536
        units = size // unit
        rows += _volume(36 + number, FIXED, name, unit, units, round(units * share))
    return rows


def _volume(index: int, kind: str, name: str, unit: int, units: int, used: int) -> list[Row]:
    return [
        ((*HR_STORAGE, 1, index), INT, index),
        ((*HR_STORAGE, 2, index), OBJECT, object_id(kind)),
        ((*HR_STORAGE, 3, index), STR, name.encode()),
        ((*HR_STORAGE, 4, index), INT, unit),
        ((*HR_STORAGE, 5, index), INT, units),
        ((*HR_STORAGE, 6, index), INT, used),
    ]
