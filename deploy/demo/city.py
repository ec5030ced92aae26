"""Which sites and devices the simulated city 云溪市 has. Deterministic: the same city at every start."""

from __future__ import annotations

from dataclasses import dataclass

PORT = 16100
COMMUNITY = "yunxi-demo"
COLLECTOR = "core"


@dataclass(frozen=True, slots=True)
class DemoSite:
    """One simulated site; `number` is the third octet of its devices' addresses."""

    number: int
    id: str
    name: str
    region: str
    grade: str
    level: int
    contact: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class DemoDevice:
    """One simulated device. `model` names the agent that answers for it; `role` is its part in the site."""

    id: str
    site: str
    name: str
    kind: str
    role: str
    model: str
    address: str
    vendor: str
    hardware: str
    origin: str
    location: str
    depends_on: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


REGIONS = (
    ("xidong", "溪东区"),
    ("xixi", "溪西区"),
    ("chenghu", "澄湖区"),
    ("wangchuan", "望川县"),
    ("qingyu", "青屿县"),
)

SITES = tuple(
    DemoSite(
        number, f"H{number:03d}", name, region, grade, 3 if grade in {"tertiary", "secondary"} else 2, contact
    )
    for number, (name, region, grade, contact) in enumerate(
        [
            ("市第一人民医院", "xidong", "tertiary", ("江序", "信息科主任", "8011")),
            ("市第二人民医院", "xixi", "tertiary", ("顾以宁", "信息科工程师", "8021")),
            ("市中医院", "xidong", "tertiary", ("骆宁", "信息科工程师", "8031")),
            ("市妇幼保健院", "chenghu", "secondary", ("文岚", "信息科主任", "8041")),
            ("望川县人民医院", "wangchuan", "secondary", ("江牧云", "信息科工程师", "8111")),
            ("青屿县人民医院", "qingyu", "secondary", ("叶澜", "信息科工程师", "8121")),
            ("溪西区中医医院", "xixi", "secondary", ("许听雨", "信息科工程师", "8141")),
            ("澄湖区人民医院", "chenghu", "secondary", ("宋未", "信息科工程师", "8131")),
            ("柳浦镇卫生院", "wangchuan", "primary", ("洪川", "办公室", "8201")),
            ("石桥镇卫生院", "wangchuan", "primary", ("沈南星", "办公室", "8202")),
            ("白鹭镇卫生院", "qingyu", "primary", ("纪辰", "办公室", "8203")),
            ("竹坪乡卫生院", "qingyu", "primary", ("方禾", "办公室", "8204")),
            ("西塘街道社区卫生服务中心", "xixi", "primary", ("秦越", "办公室", "8205")),
            ("溪东街道社区卫生服务中心", "xidong", "primary", ("陆知行", "办公室", "8206")),
            ("澄湖新村社区卫生服务中心", "chenghu", "primary", ("白芷", "办公室", "8207")),
            ("渡口镇卫生院", "wangchuan", "primary", ("苏木", "办公室", "8208")),
            ("澄湖禾语口腔医院", "chenghu", "private", ("唐既白", "运维", "8301")),
            ("溪西安棠康复医院", "xixi", "private", ("高远", "运维", "8302")),
            ("云溪朗清眼科医院", "xidong", "private", ("罗浮", "运维", "8303")),
            ("青屿海棠护理院", "qingyu", "private", ("叶青", "运维", "8304")),
        ],
        1,
    )
)

# role: (name, kind, model, vendor, hardware, origin, location)
_ROLES: dict[str, tuple[str, str, str, str, str, str, str]] = {
    "core": ("核心交换机", "network", "huawei-switch", "Huawei", "S7706", "domestic", "中心机房 A 列"),
    "uplink": ("专网出口路由器", "network", "huawei-router", "Huawei", "AR6280", "domestic", "中心机房 A 列"),
    "firewall": (
        "边界防火墙",
        "security",
        "h3c-firewall",
        "H3C",
        "SecPath F1000",
        "domestic",
        "中心机房 A 列",
    ),
    "access": ("接入交换机", "network", "h3c-switch", "H3C", "S5130S", "domestic", "弱电间"),
    "his": ("HIS 服务器", "server", "linux-server", "", "2U 机架服务器", "", "中心机房 B 列"),
    "lis": ("LIS 服务器", "server", "linux-server", "", "2U 机架服务器", "", "中心机房 B 列"),
    "pacs": ("PACS 服务器", "server", "linux-server", "", "2U 机架服务器", "", "中心机房 B 列"),
    "emr": ("电子病历服务器", "server", "linux-server", "", "2U 机架服务器", "", "中心机房 B 列"),
    "db": ("数据库服务器", "server", "linux-server", "", "4U 机架服务器", "", "中心机房 B 列"),
    "storage": ("影像存储", "storage", "linux-storage", "", "4U 存储", "", "中心机房 C 列"),
    "ups": ("机房 UPS", "environment", "ups", "", "60 kVA UPS", "", "配电间"),
}

_LAYOUTS: dict[str, tuple[tuple[str, int], ...]] = {
    "tertiary": (
        ("uplink", 1), ("core", 2), ("firewall", 2), ("his", 2), ("lis", 2), ("pacs", 2), ("emr", 2), ("db", 2),
        ("storage", 2), ("ups", 2), ("access", 11),
    ),
    "secondary": (
        ("uplink", 1), ("core", 2), ("firewall", 1), ("his", 1), ("lis", 1), ("pacs", 1), ("emr", 1), ("db", 1),
        ("storage", 1), ("ups", 1), ("access", 7),
    ),
    "primary": (("uplink", 1), ("core", 1), ("firewall", 1), ("his", 1), ("db", 1), ("ups", 1), ("access", 5)),
    "private": (("uplink", 1), ("core", 1), ("firewall", 1), ("his", 1), ("ups", 1), ("access", 3)),
}  # fmt: skip
_SHORT = {"core": "CORE", "uplink": "WAN", "firewall": "FW", "access": "ACC", "storage": "STO"}


def devices() -> tuple[DemoDevice, ...]:
    """All devices of all sites, in site order."""
    return tuple(device for site in SITES for device in _site_devices(site))


def _site_devices(site: DemoSite) -> list[DemoDevice]:
    made: list[DemoDevice] = []
    for role, total in _LAYOUTS[site.grade]:
        for index in range(1, total + 1):
            made.append(_device(site, role, index, total, 10 + len(made)))
    return made


def _device(site: DemoSite, role: str, index: int, total: int, host: int) -> DemoDevice:
    name, kind, model, vendor, hardware, origin, location = _ROLES[role]
    identity = f"{site.id}-{_SHORT.get(role, role.upper())}-{index}"
    uplink, core = f"{site.id}-WAN-1", f"{site.id}-CORE-1"
    depends = {"uplink": (), "core": (uplink,) if index == 1 else (core,)}.get(role, (core,))
    return DemoDevice(
        id=identity,
        site=site.id,
        name=name if total == 1 else f"{name} {index}",
        kind=kind,
        role=role,
        model=model,
        address=f"127.20.{site.number}.{host}",
        vendor=vendor,
        hardware=hardware,
        origin=origin,
        location=location if role != "access" else f"{index} 号弱电间",
        depends_on=depends,
        tags=("key-asset",) if role in {"core", "uplink", "his", "db"} else (),
    )
