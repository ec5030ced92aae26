"""A written agent: a switch with two neighbours, a learned host, an aggregate and a spanning tree."""

from __future__ import annotations

from collectors.snmp.ber import INTEGER, OBJECT_ID, OCTET_STRING, VarBind, encode_oid

OWN, UPSTREAM, HOST = (
    bytes.fromhex("00e0fc000001"),
    bytes.fromhex("00e0fc000002"),
    bytes.fromhex("0050560000aa"),
)
LLDP, LLDP_V2 = "1.0.8802.1.1.2.1", "1.3.111.2.802.1.1.13.1"
BRIDGE, IF, IFX = "1.3.6.1.2.1.17", "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1"
CDP = "1.3.6.1.4.1.9.9.23.1.2.1.1"


def number(oid: str, value: int) -> VarBind:
    return encode_oid(oid), INTEGER, value


def text(oid: str, value: bytes) -> VarBind:
    return encode_oid(oid), OCTET_STRING, value


def dots(octets: bytes) -> str:
    return ".".join(map(str, octets))


def interfaces() -> list[VarBind]:
    """Interface numbers are not LLDP port numbers here: 101 to 104, bridge ports 1 to 3."""
    rows = [
        (encode_oid("1.3.6.1.2.1.1.2.0"), OBJECT_ID, encode_oid("1.3.6.1.4.1.1.1")),
        text("1.3.6.1.2.1.1.5.0", b"SW-9.example"),
    ]
    for index, (name, kind) in enumerate(
        (("GE0/0/1", 6), ("GE0/0/2", 6), ("GE0/0/3", 6), ("Eth-Trunk1", 161)), 101
    ):
        rows += [
            text(f"{IF}.2.{index}", f"GigabitEthernet {name}".encode()), number(f"{IF}.3.{index}", kind),
            text(f"{IF}.6.{index}", bytes((0, 0xE0, 0xFC, 1, 0, index))), text(f"{IFX}.1.{index}", name.encode()),
            text(f"{IFX}.18.{index}", "上联".encode("gb18030") if index == 101 else b""),
        ]  # fmt: skip
    rows += [number(f"{BRIDGE}.1.4.1.2.{port}", 100 + port) for port in (1, 2, 3)]
    return [*rows, text(f"{BRIDGE}.1.1.0", OWN)]


def lldp() -> list[VarBind]:
    rows = [number(f"{LLDP}.3.1.0", 4), text(f"{LLDP}.3.2.0", OWN)]
    for port in (1, 2):
        rows += [
            number(f"{LLDP}.3.7.1.2.{port}", 5),
            text(f"{LLDP}.3.7.1.3.{port}", f"GE0/0/{port}".encode()),
        ]
    row = "0.1.7"
    rows += [
        number(f"{LLDP}.4.1.1.4.{row}", 4), text(f"{LLDP}.4.1.1.5.{row}", UPSTREAM), number(f"{LLDP}.4.1.1.6.{row}", 5),
        text(f"{LLDP}.4.1.1.7.{row}", b"XGE1/0/1"), text(f"{LLDP}.4.1.1.8.{row}", b"to SW-9"),
        text(f"{LLDP}.4.1.1.9.{row}", b"CORE-1\0"), text(f"{LLDP}.4.1.1.10.{row}", b"Versatile\r\nPlatform"),
        text(f"{LLDP}.4.1.1.12.{row}", b"\x28\x00"), number(f"{LLDP}.4.2.1.3.{row}.1.4.10.0.0.1", 2),
    ]  # fmt: skip
    return rows


def lldp_v2() -> list[VarBind]:
    row = "0.102.1.3"
    return [
        number(f"{LLDP_V2}.4.1.1.5.{row}", 4), text(f"{LLDP_V2}.4.1.1.6.{row}", UPSTREAM),
        number(f"{LLDP_V2}.4.1.1.7.{row}", 3), text(f"{LLDP_V2}.4.1.1.8.{row}", UPSTREAM),
        text(f"{LLDP_V2}.4.1.1.10.{row}", b"CORE-1"), number(f"{LLDP_V2}.4.2.1.3.{row}.1.4.10.0.0.1", 2),
    ]  # fmt: skip


def cdp() -> list[VarBind]:
    row = "102.5"
    return [
        number(f"{CDP}.3.{row}", 1), text(f"{CDP}.4.{row}", bytes((10, 0, 0, 7))), text(f"{CDP}.6.{row}", b"ap-7.example"),
        text(f"{CDP}.7.{row}", b"GigabitEthernet0"), text(f"{CDP}.8.{row}", b"cisco AIR"),
        text(f"{CDP}.9.{row}", b"\x00\x00\x00\x0a"),
    ]  # fmt: skip


def bridge() -> list[VarBind]:
    return [
        number(f"{BRIDGE}.7.1.2.2.1.2.10.{dots(HOST)}", 3),
        number(f"{BRIDGE}.7.1.2.2.1.2.10.{dots(UPSTREAM)}", 1),
        number(f"{BRIDGE}.7.1.2.2.1.2.10.{dots(OWN)}", 2),  # itself
        number(f"{BRIDGE}.7.1.2.2.1.2.10.1.0.94.0.0.1", 2),  # a group
        number(f"{BRIDGE}.7.1.2.2.1.2.10.0.80.86.0.0.187", 1),  # on two ports
        number(f"{BRIDGE}.7.1.2.2.1.2.20.0.80.86.0.0.187", 2),
        number("1.2.840.10006.300.43.1.2.1.1.13.102", 104),
        number("1.3.6.1.2.1.31.1.2.1.3.104.103", 1),
        number(f"{BRIDGE}.2.15.1.3.1", 5), text(f"{BRIDGE}.2.15.1.8.1", b"\x80\x00" + UPSTREAM),
        text(f"{BRIDGE}.2.15.1.9.1", b"\x80\x19"), number(f"{BRIDGE}.2.15.1.3.2", 2),
        number("1.3.6.1.2.1.4.20.1.2.10.0.0.9", 101), number("1.3.6.1.2.1.4.20.1.2.127.0.0.1", 1),
        text("1.3.6.1.2.1.4.22.1.2.101.10.0.0.50", HOST),
        text(f"1.3.6.1.2.1.4.35.1.4.101.2.16.{dots(bytes.fromhex('fd' + '00' * 14 + '32'))}", HOST),
    ]  # fmt: skip


def everything() -> list[VarBind]:
    return [*interfaces(), *lldp(), *cdp(), *bridge()]
