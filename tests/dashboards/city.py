"""A small invented city in a state database, with alerts in every state people can see."""

from __future__ import annotations

import json

from monitor.clock import ManualClock
from monitor.database import Database
from monitor.directory import CollectorStatus, Directory, ModuleStatus
from monitor.events.sqlite import SqliteEvents
from monitor.model import (
    CollectorId,
    Contact,
    Device,
    DeviceId,
    Grade,
    Inventory,
    Kind,
    Region,
    RegionId,
    Service,
    ServiceId,
    ServiceNode,
    Severity,
    Site,
    SiteId,
    SnmpAccess,
    SshAccess,
)
from rules.alerting.tables import AlertEventRow, AlertRow

MINUTE = 60_000
ALERTS = (
    # id, severity, state, site, device, summary, minutes ago, owner
    (1, Severity.CRITICAL, "active", "H001", "H001-SW-1", "专网上联中断", 9, ""),
    (2, Severity.MAJOR, "acked", "H001", "H001-SRV-1", "内存将用尽", 31, "linjiahe"),
    (3, Severity.MINOR, "shelved", "H002", "H002-SW-1", "接口错误率高", 300, ""),
    (4, Severity.INFO, "returned", "H002", "H002-SW-1", "证书 21 天后到期", 60, ""),
)


def inventory() -> Inventory:
    def node(*devices: str) -> ServiceNode:
        return ServiceNode("all", tuple(ServiceNode("leaf", device=DeviceId(d)) for d in devices))

    sites = [
        Site(
            SiteId("H001"),
            "市第一人民医院",
            RegionId("east"),
            Grade.TERTIARY,
            3,
            CollectorId("c1"),
            (Contact("顾以宁", "信息科长", "8021"),),
        ),
        Site(SiteId("H002"), "溪西区中医院", RegionId("west"), Grade.SECONDARY, 3, CollectorId("c1")),
        Site(SiteId("C003"), "白鹭镇卫生院", RegionId("west"), Grade.PRIMARY, 2, CollectorId("c2")),
    ]
    devices = [
        Device(
            DeviceId("H001-SW-1"),
            SiteId("H001"),
            "核心交换机",
            Kind.NETWORK,
            "10.1.0.1",
            "core",
            "Huawei",
            "S12700E",
            "SN1",
            "domestic",
            snmp=SnmpAccess("c"),
        ),
        Device(
            DeviceId("H001-SRV-1"),
            SiteId("H001"),
            "HIS 主机",
            Kind.SERVER,
            "10.1.0.10",
            "his",
            "Inspur",
            "NF5280",
            origin="domestic",
            snmp=SnmpAccess("c"),
            ssh=SshAccess("ops", host_key="SHA256:abc"),
        ),
        Device(
            DeviceId("H002-SW-1"),
            SiteId("H002"),
            "接入交换机",
            Kind.NETWORK,
            "10.2.0.2",
            "access",
            "Cisco",
            "C9300",
            origin="foreign",
            snmp=SnmpAccess("c"),
        ),
        Device(
            DeviceId("C003-SW-1"),
            SiteId("C003"),
            "=cmd()",
            Kind.NETWORK,
            "10.3.0.10",
            do_not_probe="生命支持网络",
        ),
    ]
    services = [
        Service(
            ServiceId("H001-HIS"), "HIS 挂号收费", SiteId("H001"), node("H001-SW-1", "H001-SRV-1"), "挂号停顿"
        )
    ]
    return Inventory(
        "云溪市",
        {
            RegionId("east"): Region(RegionId("east"), "溪东区"),
            RegionId("west"): Region(RegionId("west"), "溪西区"),
        },
        {s.id: s for s in sites},
        {d.id: d for d in devices},
        {s.id: s for s in services},
    )


def seed(database: Database, directory: Directory, events: SqliteEvents, clock: ManualClock) -> None:
    now = clock.now_ms()
    directory.replace(inventory())
    directory.record_heartbeat(CollectorStatus("c1", now - 5_000, 0, 3))
    ports = [
        {
            "index": 1,
            "name": "XGE1/0/1",
            "descr": "uplink",
            "alias": "至市卫生专网",
            "admin": "up",
            "oper": "down",
            "speed_bps": 10**10,
            "mac": None,
        },
        {
            "index": 2,
            "name": "XGE1/0/2",
            "descr": "",
            "alias": "",
            "admin": "up",
            "oper": "up",
            "speed_bps": 10**10,
            "mac": None,
        },
    ]
    sensors = [{"name": "进风口", "class": "temperature", "unit": "celsius", "value": 31.5, "state": "ok"}]
    detail = {
        "interfaces": ports,
        "processors": [{"name": "A", "utilization_ratio": 0.21}],
        "sensors": sensors,
        "memory": [],
        "storage": [],
        "components": [],
    }
    error = {
        "code": "timeout",
        "message": "no answer within 2 s",
        "zh": "设备 2 秒内没有应答，请核对团体名与访问控制",
    }
    directory.record_statuses(
        [
            ModuleStatus(
                DeviceId("H001-SW-1"),
                "snmp",
                True,
                now - 20_000,
                now - 3_600_000,
                (),
                {"sys_name": "HX-CORE-1", "os": "VRP", "version": "V200R022"},
                detail,
            ),
            ModuleStatus(DeviceId("H001-SRV-1"), "snmp", True, now - 20_000, now - 3_600_000, (), {}, {}),
            ModuleStatus(DeviceId("H002-SW-1"), "snmp", False, now - 20_000, now - 120_000, (error,), {}, {}),
        ]
    )
    with database.session() as session:
        for number, severity, state, site, device, summary, ago, owner in ALERTS:
            at = now - ago * MINUTE
            session.add(_alert(number, severity, state, site, device, summary, at, owner, now))
            session.flush()
            session.add(AlertEventRow(alert_id=number, at=at, kind="fired", actor="engine", text=summary))
    events.append(
        [
            (
                "e1",
                {
                    "@timestamp": now - MINUTE,
                    "event.action": "device.down",
                    "zhishou.site": "H001",
                    "zhishou.device": "H001-SW-1",
                    "message": "linkDown XGE1/0/1",
                },
            ),
            (
                "e2",
                {
                    "@timestamp": now - MINUTE,
                    "event.action": "device.poll",
                    "zhishou.site": "H002",
                    "zhishou.device": "H002-SW-1",
                    "message": "secret of H002",
                },
            ),
        ]
    )


def _alert(
    number: int,
    severity: Severity,
    state: str,
    site: str,
    device: str,
    summary: str,
    at: int,
    owner: str,
    now: int,
) -> AlertRow:
    over = state == "returned"
    labels = {"alertname": "Rule", "site": site, "device": device, "severity": severity.value}
    return AlertRow(
        id=number,
        number=f"AL-20261121-{number:04d}",
        open_key=f"key{number}",
        rule_group="group",
        rule_key="rule",
        name="Rule",
        severity=severity.value,
        severity_rank=severity.rank,
        phase="normal" if over else "firing",
        state=state,
        labels=json.dumps(labels, ensure_ascii=False),
        annotations=json.dumps(
            {"summary": summary, "summary_en": f"alert {number}", "description": "判定说明"},
            ensure_ascii=False,
        ),
        site=site,
        device=device,
        value=2.0,
        expression="ifOperStatus == 2",
        active_at=at,
        fired_at=at,
        resolved_at=now - MINUTE if over else None,
        acked_by=owner,
        acked_at=at + MINUTE if owner else None,
        owner=owner,
        silenced_until=now + 60 * MINUTE if state == "shelved" else None,
        version=number,
    )
