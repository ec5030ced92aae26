"""Devices with readings for the device pages: a chassis of 384 ports, a UPS on battery, a firewall, a silent switch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from monitor.directory import Directory, ModuleStatus
from monitor.metrics.interface import STALE, Labels, MetricStore, block_of, make_labels
from monitor.model import Device, DeviceId, Inventory, Kind, SiteId, SnmpAccess
from tests.dashboards.city import inventory

Sample = tuple[Labels, int, float]
MINUTE = 60_000
PORTS = 384
CHASSIS, UPS, FIREWALL, SILENT, NEW, BARE, REFUSED = (
    "H001-SW-1", "H001-UPS-1", "H001-FW-1", "H001-SW-2", "H001-SW-3", "H001-SW-4", "H001-SW-5",
)  # fmt: skip
SILENT_MINUTES = 20
DAY_MINUTES = 1440
METRICS = (
    "ifOperStatus", "ifAdminStatus", "ifHighSpeed", "ifHCInOctets", "ifHCOutOctets", "ifInErrors", "ifOutErrors",
    "ifInDiscards", "ifOutDiscards",
)  # fmt: skip
MODULES = {"if": 1.0, "hwEntity": 1.0, "hwOptical": 0.0}
OPTICAL = {
    "code": "timeout",
    "message": "hwOptical: no answer (10.1.0.1:161)",
    "zh": "hwOptical：设备无响应（10.1.0.1:161）",
}
V3 = {
    "code": "auth",
    "message": "SNMPv3 authentication failed: wrong digest",
    "zh": "SNMPv3 认证失败（10.1.0.9:161）：摘要不符；请核对用户名、认证与加密协议及口令",
}


@dataclass(frozen=True, slots=True)
class PortSpec:
    """How one simulated port behaves. `down` is for how many minutes it has been down, 0 when it is up."""

    index: int
    name: str
    alias: str
    speed: float
    admin: int = 1
    down: int = 0
    load: float = 0.0
    errors: float = 0.0


@cache
def ports() -> list[PortSpec]:
    """Eight slots of 48: two uplinks (one cut three hours ago), trunks, a faulty line, many that are not connected."""
    made = [
        PortSpec(1, "XGigabitEthernet1/0/1", "上联 市卫生专网 A", 1e10, down=180, load=0.3),
        PortSpec(2, "XGigabitEthernet1/0/2", "上联 市卫生专网 B", 1e10, load=0.42),
        PortSpec(3, "Eth-Trunk11", "HIS 服务器区", 2e10, load=0.95),
        PortSpec(4, "GigabitEthernet1/0/4", "门诊楼 3F 接入", 1e9, load=0.2, errors=4.0),
        PortSpec(5, "GigabitEthernet1/0/5", "5 号点位", 1e9, down=30, load=0.1),
        PortSpec(6, "GigabitEthernet1/0/6", "预留", 1e9, admin=2, down=DAY_MINUTES),
    ]
    for index in range(7, PORTS + 1):
        slot, place = divmod(index - 1, 48)
        used = index % 3 == 0
        name = f"GigabitEthernet{slot + 1}/0/{place + 1}"
        load = 0.02 + 0.002 * (index % 40)
        made.append(
            PortSpec(index, name, f"{place} 号点位" if used else "", 1e9, 1, 0 if used else DAY_MINUTES, load)
        )
    return made


def identity(device: str, kind: str, job: str = "snmp") -> dict[str, str]:
    """The labels of every series of a device."""
    return {"region": "east", "site": "H001", "device": device, "kind": kind, "vendor": "Huawei", "job": job}


def house() -> Inventory:
    """The invented city with more devices at its first hospital."""
    base = inventory()
    site = SiteId("H001")

    def device(key: str, name: str, kind: Kind, address: str, snmp: SnmpAccess | None) -> Device:
        return Device(DeviceId(key), site, name, kind, address, vendor="Huawei", snmp=snmp)

    known = SnmpAccess("ops")
    chassis = replace(base.devices[DeviceId(CHASSIS)], snmp=known)
    more = [
        chassis,
        device(UPS, "机房 UPS", Kind.ENVIRONMENT, "10.1.0.5", known),
        device(FIREWALL, "出口防火墙", Kind.SECURITY, "10.1.0.6", known),
        device(SILENT, "沉默的交换机", Kind.NETWORK, "10.1.0.7", known),
        device(NEW, "新交换机", Kind.NETWORK, "10.1.0.8", SnmpAccess("missing")),
        device(BARE, "未登记采集", Kind.NETWORK, "10.1.0.4", None),
        device(REFUSED, "拒绝 v3", Kind.NETWORK, "10.1.0.9", known),
    ]
    return replace(base, devices={**base.devices, **{d.id: d for d in more}})


def register(directory: Directory, now: int) -> None:
    """The inventory and what the last polls said."""
    directory.replace(house())
    facts = {
        "vendor": "Huawei", "os": "VRP", "version": "V200R022", "hardware": "S12700E-8", "serial": "SN-OTHER",
        "sys_name": "HX-CORE-1", "profile": "huawei-vrp", "sys_object_id": "1.3.6.1.4.1.2011.2.23.459",
    }  # fmt: skip
    fresh, silent_since = now - 20_000, now - SILENT_MINUTES * MINUTE

    def told(
        device: str, up: bool, changed: int, errors: tuple[Mapping[str, str], ...], known: Mapping[str, str]
    ) -> ModuleStatus:
        return ModuleStatus(DeviceId(device), "snmp", up, fresh, changed, errors, known, {})

    silence = {"code": "timeout", "message": "no answer (10.1.0.7:161)", "zh": "设备无响应（10.1.0.7:161）"}
    directory.record_statuses(
        [
            told(CHASSIS, True, now - 3_600_000, (OPTICAL,), facts),
            told(
                UPS, True, now - 3_600_000, (), {"profile": "ups-rfc1628", "sys_object_id": "1.3.6.1.2.1.33"}
            ),
            told(
                FIREWALL,
                True,
                now - 3_600_000,
                (),
                {"profile": "generic", "sys_object_id": "1.3.6.1.4.1.99999.1"},
            ),
            told(SILENT, False, silent_since, (silence,), facts),
            told(REFUSED, False, silent_since, (V3,), {}),
        ]
    )


def fill(store: MetricStore, now: int) -> None:
    """A day of readings up to 20 s ago."""
    newest = now - 20_000
    for minute in range(DAY_MINUTES, -1, -1):
        if minute % 2 and not 15 <= minute <= 25 and minute > 6:
            continue  # every minute where something changes, every other one elsewhere
        at = newest - minute * MINUTE
        samples = list(_often(at, minute))
        if (minute <= 70 and minute % 2 == 0) or minute % 30 == 0:
            samples += _interfaces(at, minute)
        store.append(block_of(samples))


def _often(at: int, minute: int) -> Iterator[Sample]:
    core = identity(CHASSIS, "network")
    answered = 0.0 if 600 <= minute < 640 else 1.0
    yield make_labels(core, "up"), at, answered
    yield (
        make_labels({**core, "module": "snmp"}, "device_poll_duration_seconds"),
        at,
        0.4 + 0.1 * math.sin(minute / 40),
    )
    for name, value in MODULES.items():
        yield make_labels({**core, "module": name}, "snmp_module_up"), at, value
    day = minute / DAY_MINUTES
    yield make_labels(core, "sysUpTime"), at, (83 * 86_400 - minute * 60) * 100.0
    yield make_labels(core, "device_cpu_ratio"), at, 0.21 + 0.05 * math.sin(minute / 30)
    yield make_labels(core, "device_memory_used_bytes"), at, 3.9e9
    yield make_labels(core, "device_memory_size_bytes"), at, 8e9
    for name, state in {
        "PWR 1": 0,
        "PWR 2": 2 if minute < 90 else 0,
        "fan 1": 0,
        "fan 2": 1,
        "LPU Board 3": 0,
    }.items():
        yield make_labels({**core, "component": name}, "device_component_state"), at, float(state)
    for name, base in {"进风口": 31.0, "MPU Board 9": 58.0}.items():
        labels = {**core, "sensor": name, "class": "temperature"}
        yield make_labels(labels, "device_sensor_celsius"), at, base + 4 * math.sin(6.28 * day)
    yield from _supply(at, minute)
    yield from _firewall(at, minute)
    yield from _silent(at, minute)


def _supply(at: int, minute: int) -> Iterator[Sample]:
    own = identity(UPS, "environment")
    spent = max(0.0, 1 - minute / 12) if minute < 12 else 0.0
    yield make_labels(own, "up"), at, 1.0
    yield make_labels(own, "ups_on_battery"), at, float(minute < 12)
    yield make_labels(own, "ups_battery_charge_ratio"), at, 1.0 - 0.4 * spent
    yield make_labels(own, "ups_battery_runtime_seconds"), at, 2760 * (1 - 0.5 * spent)
    yield make_labels({**own, "line": "1"}, "ups_load_ratio"), at, 0.46
    labels = {**own, "sensor": "battery temperature", "class": "temperature"}
    yield make_labels(labels, "device_sensor_celsius"), at, 25.0


def _firewall(at: int, minute: int) -> Iterator[Sample]:
    own = identity(FIREWALL, "security")
    yield make_labels(own, "up"), at, 1.0
    yield make_labels(own, "device_sessions"), at, 18_000 + 3_000 * math.sin(minute / 60)
    used = 0.97 if minute < 60 else 0.6
    for name, share in {"/": 0.41, "/var/log": used}.items():
        labels = {**own, "storage": name}
        yield make_labels(labels, "device_storage_size_bytes"), at, 2e11
        yield make_labels(labels, "device_storage_used_bytes"), at, share * 2e11


def _silent(at: int, minute: int) -> Iterator[Sample]:
    own = identity(SILENT, "network")
    answers = minute > SILENT_MINUTES
    yield make_labels(own, "up"), at, float(answers)
    last = minute == SILENT_MINUTES  # the poll that failed first ends every series
    if not answers and not last:
        return
    port = {"ifIndex": "1", "ifName": "GE0/0/1", "ifDescr": "GE0/0/1", "ifAlias": "上联", **own}
    values: list[tuple[str, dict[str, str], float]] = [
        ("device_cpu_ratio", own, 0.33),
        ("device_component_state", {**own, "component": "fan 1"}, 0.0),
        ("ifOperStatus", port, 1.0),
        ("ifAdminStatus", port, 1.0),
        ("ifHighSpeed", port, 1000.0),
        ("ifHCInOctets", port, (DAY_MINUTES - minute) * 60 * 1.25e6),
        ("ifHCOutOctets", port, (DAY_MINUTES - minute) * 60 * 0.5e6),
    ]
    for name, labels, value in values:
        yield make_labels(labels, name), at, STALE if last else value


def _interfaces(at: int, minute: int) -> Iterator[Sample]:
    for port, labels in zip(ports(), _port_labels(), strict=True):
        up = port.admin == 1 and minute >= port.down
        moved = (DAY_MINUTES - max(minute, port.down)) * 60 * port.load * port.speed / 8
        wave = 1 + 0.3 * math.sin((max(minute, port.down) + port.index) / 9)
        values = {
            "ifOperStatus": 1.0 if up else 2.0,
            "ifAdminStatus": float(port.admin),
            "ifHighSpeed": port.speed / 1e6,
            "ifHCInOctets": moved + wave * port.speed * port.load * 20,
            "ifHCOutOctets": 0.6 * moved + wave * port.speed * port.load * 10,
            "ifInErrors": (DAY_MINUTES - minute) * 60 * port.errors,
            "ifOutErrors": 0.0,
            "ifInDiscards": 0.0,
            "ifOutDiscards": 0.0,
        }
        for name, value in values.items():
            yield labels[name], at, value


@cache
def _port_labels() -> list[dict[str, Labels]]:
    own = identity(CHASSIS, "network")
    return [
        {
            name: make_labels(
                {"ifIndex": str(p.index), "ifName": p.name, "ifDescr": p.name, "ifAlias": p.alias, **own},
                name,
            )
            for name in METRICS
        }
        for p in ports()
    ]
