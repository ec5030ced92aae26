"""The vocabulary of the whole system: who is watched, what is watched, how bad it is.

Plain frozen data with no I/O. Times are milliseconds since the Unix epoch, ratios are 0..1, sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

RegionId = NewType("RegionId", str)
SiteId = NewType("SiteId", str)
DeviceId = NewType("DeviceId", str)
ServiceId = NewType("ServiceId", str)
CollectorId = NewType("CollectorId", str)


class Severity(StrEnum):
    """The one severity scale, worst first: 紧急, 重要, 次要, 提示."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst; sorts a list worst first."""
        return list(Severity).index(self)


class Grade(StrEnum):
    """Kind of site: 三级, 二级, 基层, 民营."""

    TERTIARY = "tertiary"
    SECONDARY = "secondary"
    PRIMARY = "primary"
    PRIVATE = "private"


class Kind(StrEnum):
    """Kind of device: 服务器, 存储, 网络, 安全, 环境, 医疗."""

    SERVER = "server"
    STORAGE = "storage"
    NETWORK = "network"
    SECURITY = "security"
    ENVIRONMENT = "environment"
    MEDICAL = "medical"


@dataclass(frozen=True, slots=True)
class Region:
    """A city, county or district (区域)."""

    id: RegionId
    name: str
    parent: RegionId | None = None


@dataclass(frozen=True, slots=True)
class Contact:
    """A person answerable for a site (责任人)."""

    name: str
    post: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """One hospital, clinic or centre (机构)."""

    id: SiteId
    name: str
    region: RegionId
    grade: Grade
    protection_level: int  # 2 or 3 of classified protection 2.0
    collector: CollectorId
    contacts: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True)
class SnmpAccess:
    """How a device answers SNMP. `credential` names a vault entry; intervals in seconds."""

    credential: str
    port: int = 161
    profile: str = "auto"
    interval: float = 60.0
    timeout: float = 2.0
    retries: int = 2


@dataclass(frozen=True, slots=True)
class SshAccess:
    """How a device is read over SSH. `host_key` is the pinned `SHA256:...` fingerprint; empty means unknown."""

    credential: str
    port: int = 22
    host_key: str = ""
    interval: float = 60.0
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Probe:
    """One outside look at a service of a device: icmp, tcp, http or tls. `target` overrides the address."""

    kind: str
    name: str
    target: str = ""
    port: int = 0
    url: str = ""
    interval: float = 60.0
    timeout: float = 5.0
    expect_status: tuple[int, ...] = (200,)
    expect_text: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """A managed asset (设备)."""

    id: DeviceId
    site: SiteId
    name: str
    kind: Kind
    address: str
    role: str = ""
    vendor: str = ""
    model: str = ""
    serial: str = ""
    origin: str = ""  # domestic, foreign or empty when unknown
    location: str = ""
    warranty_until: str = ""  # ISO date
    tags: tuple[str, ...] = ()
    do_not_probe: str = ""  # the reason why nobody may probe it; empty when probing is allowed
    depends_on: tuple[DeviceId, ...] = ()
    snmp: SnmpAccess | None = None
    ssh: SshAccess | None = None
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceNode:
    """A node of a service tree: `all` or `any` of its children, or one device or probe (a leaf).

    A leaf names `device`, and `probe` when one probe of that device is meant.
    """

    need: str = "all"  # all | any | leaf
    children: tuple[ServiceNode, ...] = ()
    device: DeviceId | None = None
    probe: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A business service (业务系统) at one site: HIS, LIS, PACS ..."""

    id: ServiceId
    name: str
    site: SiteId
    tree: ServiceNode
    impact: str = ""  # whom an outage hurts, one sentence


@dataclass(frozen=True, slots=True)
class Inventory:
    """The whole registered world, as one consistent value."""

    city: str
    regions: Mapping[RegionId, Region] = field(default_factory=dict)
    sites: Mapping[SiteId, Site] = field(default_factory=dict)
    devices: Mapping[DeviceId, Device] = field(default_factory=dict)
    services: Mapping[ServiceId, Service] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a caller may see. `sites is None` means the whole city; an empty set means nothing."""

    sites: frozenset[SiteId] | None

    def allows(self, site: SiteId | None) -> bool:
        """Whether a thing of this site is visible; a thing of no site is visible to the whole city only."""
        return self.sites is None or (site is not None and site in self.sites)


WHOLE_CITY = Scope(None)
