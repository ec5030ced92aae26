"""Invented networks: trees of switches with hosts, and what each switch would say of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess
from monitor.topology.facts import Facts, Learned, Neighbour, Port

SITE = SiteId("H001")
NOW = 1_795_000_000_000


def mac(name: str) -> str:
    """An address of its own for every name."""
    return f"02{sum(ord(c) * 257**i for i, c in enumerate(name)) % (1 << 40):010x}"


def switch(name: str, *, kind: Kind = Kind.NETWORK, **more: object) -> Device:
    return Device(
        DeviceId(name), SITE, f"设备 {name}", kind, f"10.0.{int(name[1:]) // 250}.{int(name[1:]) % 250 + 1}",
        snmp=SnmpAccess("c"), **more,  # type: ignore[arg-type]
    )  # fmt: skip


@dataclass
class Tree:
    """`parents[i]` is the switch above switch i + 1; each switch has `hosts[i]` hosts."""

    parents: list[int]
    hosts: list[int]
    ports: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        used: dict[str, int] = {}
        for a, b in [*self.edges(), *self.host_edges()]:
            for near, far in ((a, b), (b, a)):
                used[near] = used.get(near, 0) + 1
                self.ports[near, far] = used[near]

    @property
    def switches(self) -> list[str]:
        return [f"s{number}" for number in range(len(self.parents) + 1)]

    def edges(self) -> list[tuple[str, str]]:
        return [(f"s{parent}", f"s{number + 1}") for number, parent in enumerate(self.parents)]

    def host_edges(self) -> list[tuple[str, str]]:
        numbers = iter(range(1000, 100_000))
        return [(f"s{n}", f"h{next(numbers)}") for n, count in enumerate(self.hosts) for _ in range(count)]

    def beyond(self, near: str, far: str) -> set[str]:
        """Everything on the side of `far` of the link between two nodes."""
        around: dict[str, set[str]] = {}
        for a, b in [*self.edges(), *self.host_edges()]:
            around.setdefault(a, set()).add(b)
            around.setdefault(b, set()).add(a)
        found, waiting = {near, far}, [far]
        while waiting:
            for other in around[waiting.pop()] - found:
                found.add(other)
                waiting.append(other)
        return found - {near}

    def own_ports(self, name: str) -> tuple[Port, ...]:
        numbers = sorted(port for (near, _), port in self.ports.items() if near == name)
        return tuple(Port(n, f"GigabitEthernet0/0/{n}", bridge=n) for n in numbers)

    def lldp(self, name: str, silent: Collection[str] = ()) -> Facts:
        heard = tuple(
            Neighbour(
                "lldp", self.ports[name, far], f"GigabitEthernet0/0/{self.ports[name, far]}", f"mac:{mac(far)}",
                f"name:GigabitEthernet0/0/{self.ports[far, name]}", name=far,
            )
            for near, far in sorted(self.ports)
            if near == name and far.startswith("s") and far not in silent
        )  # fmt: skip
        return Facts(
            NOW, name, f"mac:{mac(name)}", (mac(name),), ports=self.own_ports(name), neighbours=heard
        )

    def fdb(self, name: str, unseen: Collection[str] = ()) -> Facts:
        learned = []
        for near, far in sorted(self.ports):
            if near == name:
                macs = tuple(sorted(mac(other) for other in self.beyond(near, far) if other not in unseen))
                if macs:
                    learned.append(Learned(self.ports[near, far], len(macs), macs))
        return Facts(
            NOW, name, f"mac:{mac(name)}", (mac(name),), ports=self.own_ports(name), fdb=tuple(learned)
        )

    def arp(self, name: str, facts: Facts) -> Facts:
        """The same with an ARP table of all hosts."""
        entries = tuple((host_address(host), mac(host), 1) for _, host in self.host_edges())
        return replace(facts, arp=entries)

    def devices(self, missing: Collection[str] = ()) -> list[Device]:
        return [switch(name) for name in self.switches if name not in missing]

    def host_devices(self) -> list[Device]:
        return [
            Device(DeviceId(host), SITE, host, Kind.SERVER, host_address(host))
            for _, host in self.host_edges()
        ]


def host_address(host: str) -> str:
    number = int(host[1:])
    return f"10.1.{number // 250}.{number % 250 + 1}"


@st.composite
def trees(draw: st.DrawFn, most: int = 12, hosts: int = 3) -> Tree:
    size = draw(st.integers(1, most))
    parents = [draw(st.integers(0, number)) for number in range(size - 1)]
    return Tree(parents, [draw(st.integers(0, hosts)) for _ in range(size)])
