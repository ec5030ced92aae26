"""The simulated city as an inventory: what `zhishou up --demo` registers."""

from __future__ import annotations

from deploy.demo.city import COLLECTOR, COMMUNITY, PORT, REGIONS, SITES, DemoDevice, DemoSite, devices
from monitor.inventory.file import InventoryFile
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
    Site,
    SiteId,
    SnmpAccess,
)

CREDENTIAL = "demo-snmp"
POLL_SECONDS = 15.0
# service: (name, roles it stands on, whom an outage hurts)
SERVICES = (
    ("HIS", "HIS 挂号收费", ("his", "db"), "挂号、收费、发药停顿"),
    ("LIS", "LIS 检验", ("lis", "db"), "检验报告延迟"),
    ("PACS", "PACS 影像", ("pacs", "storage"), "影像调阅中断"),
    ("EMR", "电子病历", ("emr", "db"), "病历无法书写与查阅"),
    ("MIPS", "医保结算", ("firewall", "uplink"), "医保患者无法实时结算"),
    ("RHIP", "区域卫生平台接入", ("uplink",), "检查互认、双向转诊中断"),
)


def build() -> InventoryFile:
    """The inventory and its one credential."""
    made = devices()
    by_site: dict[str, list[DemoDevice]] = {}
    for device in made:
        by_site.setdefault(device.site, []).append(device)
    services = [service for site in SITES for service in _services(site, by_site[site.id])]
    inventory = Inventory(
        city="云溪市",
        regions={RegionId(key): Region(RegionId(key), name) for key, name in REGIONS},
        sites={SiteId(site.id): _site(site) for site in SITES},
        devices={DeviceId(device.id): _device(device) for device in made},
        services={service.id: service for service in services},
    )
    return InventoryFile(inventory, {CREDENTIAL: ("snmp-v2c", {"community": COMMUNITY})})


def _site(site: DemoSite) -> Site:
    return Site(
        SiteId(site.id), site.name, RegionId(site.region), Grade(site.grade), site.level, CollectorId(COLLECTOR),
        (Contact(*site.contact),),
    )  # fmt: skip


def _device(device: DemoDevice) -> Device:
    return Device(
        id=DeviceId(device.id),
        site=SiteId(device.site),
        name=device.name,
        kind=Kind(device.kind),
        address=device.address,
        role=device.role,
        vendor=device.vendor,
        model=device.hardware,
        origin=device.origin,
        location=device.location,
        tags=device.tags,
        depends_on=tuple(DeviceId(name) for name in device.depends_on),
        snmp=SnmpAccess(CREDENTIAL, port=PORT, interval=POLL_SECONDS, timeout=1.0, retries=1),
    )


def _services(site: DemoSite, present: list[DemoDevice]) -> list[Service]:
    made = []
    for key, name, roles, impact in SERVICES:
        children = tuple(
            _redundant(role, present) for role in ("core", *roles) if any(d.role == role for d in present)
        )
        if len(children) == len(roles) + 1:
            identity = ServiceId(f"{site.id}-{key}")
            made.append(Service(identity, name, SiteId(site.id), ServiceNode("all", children), impact))
    return made


def _redundant(role: str, present: list[DemoDevice]) -> ServiceNode:
    """Several devices of one role back each other up: any of them is enough."""
    leaves = tuple(ServiceNode("leaf", device=DeviceId(d.id)) for d in present if d.role == role)
    return leaves[0] if len(leaves) == 1 else ServiceNode("any", leaves)
