"""The interfaces of the simulated switches, routers and firewalls."""

from __future__ import annotations

from functools import lru_cache

from deploy.demo.agents.interfaces import Port
from deploy.demo.cabling import ACCESS_RESERVE, EXIT_PORT, GIGABIT, MEMBERS, STRANGERS, VLAN_INTERFACE, cabled
from deploy.demo.city import DemoDevice

AGGREGATE, VLAN = 161, 53


@lru_cache(maxsize=512)
def ports_of(device: DemoDevice) -> tuple[Port, ...]:
    """What a device has; ports nothing is plugged into carry nothing and are down."""
    if device.role == "uplink":
        return (
            Port(1, "GigabitEthernet0/0/0", "上联 市卫生专网", 1000, 0.16),
            Port(2, "GigabitEthernet0/0/1", "下联 核心交换机", 1000, 0.17),
            Port(3, "GigabitEthernet0/0/2", "备用", 1000, 0.0),
        )
    if device.role == "core":
        return _core(device)
    if device.role == "firewall":
        return (
            Port(1, "GigabitEthernet1/0/0", "上联 出口", 1000, 0.12),
            Port(2, "GigabitEthernet1/0/1", "内网", 1000, 0.12),
            Port(3, "GigabitEthernet1/0/2", "DMZ", 1000, 0.04),
            Port(4, "GigabitEthernet1/0/3", "", 1000, 0.0),
        )
    return _access(device)


def _core(device: DemoDevice) -> tuple[Port, ...]:
    used = cabled(device)
    first = device.id.endswith("-1")

    def load(index: int, share: float) -> float:
        return share if index in used else 0.0

    trunks = {aggregate: f"Eth-Trunk{number}" for aggregate, number in ((2, 11), (3, 12), (4, 1))}
    members = [
        Port(
            member,
            f"XGigabitEthernet1/0/{member - 29}",
            f"{trunks[aggregate]} 成员",
            10000,
            load(member, 0.05),
        )
        for aggregate, own in MEMBERS.items()
        for member in own
    ]
    uplink = "上联 专网出口路由器" if first else "备用上联"
    return (
        Port(EXIT_PORT, "XGigabitEthernet1/0/1", uplink, 10000, load(EXIT_PORT, 0.03)),
        Port(2, trunks[2], "HIS 服务器区", 20000, load(2, 0.06), AGGREGATE),
        Port(3, trunks[3], "PACS 影像存储", 20000, load(3, 0.14), AGGREGATE),
        Port(4, trunks[4], "核心互联", 40000, load(4, 0.04), AGGREGATE),
        *(
            Port(
                GIGABIT + n,
                f"GigabitEthernet3/0/{n}",
                f"{n} 号弱电间接入" if n <= 11 else "",
                1000,
                load(GIGABIT + n, 0.09),
            )
            for n in range(1, 25)
        ),
        *members,
        Port(VLAN_INTERFACE, "Vlanif100", "管理网", 1000, 0.01, VLAN),
    )


def _access(device: DemoDevice) -> tuple[Port, ...]:
    number = int(device.id.rsplit("-", 1)[1])
    used = cabled(device) | {stranger.port for stranger in STRANGERS if stranger.device == device.id}
    return (
        Port(1, "Ten-GigabitEthernet1/0/25", "上联 核心交换机", 10000, 0.02),
        *(
            Port(
                1 + n,
                f"GigabitEthernet1/0/{n}",
                f"{number} 号楼 {n} 号点位",
                1000,
                0.02 if n % 3 or 1 + n in used else 0.0,
            )
            for n in range(1, 13)
        ),
        Port(
            ACCESS_RESERVE,
            "Ten-GigabitEthernet1/0/26",
            "备用上联" if ACCESS_RESERVE in used else "",
            10000,
            0.0004 if ACCESS_RESERVE in used else 0.0,
        ),
    )
