"""The columns that are read, by group, in the order of their worth: what comes last may be cut off by the budget."""

from __future__ import annotations

from typing import Final

from collectors.snmp.ber import Oid, encode_oid

_IF: Final = "1.3.6.1.2.1.2.2.1"
_BRIDGE: Final = "1.3.6.1.2.1.17"
_LLDP: Final = "1.0.8802.1.1.2.1"
_LLDP_V2: Final = "1.3.111.2.802.1.1.13.1"  # IEEE 802.1AB-2009
_CDP: Final = "1.3.6.1.4.1.9.9.23.1.2.1.1"

SYS_NAME: Final = encode_oid("1.3.6.1.2.1.1.5.0")
BRIDGE_ADDRESS: Final = encode_oid(f"{_BRIDGE}.1.1.0")
LLDP_CHASSIS_KIND: Final = encode_oid(f"{_LLDP}.3.1.0")
LLDP_CHASSIS: Final = encode_oid(f"{_LLDP}.3.2.0")
LLDP_V2_CHASSIS_KIND: Final = encode_oid(f"{_LLDP_V2}.3.1.0")
LLDP_V2_CHASSIS: Final = encode_oid(f"{_LLDP_V2}.3.2.0")
SCALARS: Final = (
    SYS_NAME,
    BRIDGE_ADDRESS,
    LLDP_CHASSIS_KIND,
    LLDP_CHASSIS,
    LLDP_V2_CHASSIS_KIND,
    LLDP_V2_CHASSIS,
)

IF_DESCR: Final = encode_oid(f"{_IF}.2")
IF_TYPE: Final = encode_oid(f"{_IF}.3")
IF_MAC: Final = encode_oid(f"{_IF}.6")
IF_OPER: Final = encode_oid(f"{_IF}.8")
IF_NAME: Final = encode_oid("1.3.6.1.2.1.31.1.1.1.1")
IF_ALIAS: Final = encode_oid("1.3.6.1.2.1.31.1.1.1.18")
BASE_PORT: Final = encode_oid(f"{_BRIDGE}.1.4.1.2")

LLDP_LOCAL: Final = {
    name: encode_oid(f"{_LLDP}.3.7.1.{n}") for name, n in (("kind", 2), ("id", 3), ("descr", 4))
}
LLDP_REMOTE: Final = {
    name: encode_oid(f"{_LLDP}.4.1.1.{number}")
    for name, number in (
        ("chassis_kind", 4), ("chassis", 5), ("port_kind", 6), ("port", 7), ("port_descr", 8), ("name", 9),
        ("descr", 10), ("capabilities", 12),
    )
}  # fmt: skip
LLDP_ADDRESS: Final = encode_oid(f"{_LLDP}.4.2.1.3")
LLDP_V2_REMOTE: Final = {
    name: encode_oid(f"{_LLDP_V2}.4.1.1.{number}")
    for name, number in (
        ("chassis_kind", 5), ("chassis", 6), ("port_kind", 7), ("port", 8), ("port_descr", 9), ("name", 10),
        ("descr", 11), ("capabilities", 13),
    )
}  # fmt: skip
LLDP_V2_ADDRESS: Final = encode_oid(f"{_LLDP_V2}.4.2.1.3")
CDP: Final = {
    name: encode_oid(f"{_CDP}.{number}")
    for name, number in (
        ("address_kind", 3), ("address", 4), ("id", 6), ("port", 7), ("platform", 8), ("capabilities", 9),
        ("name", 17), ("management", 20),
    )
}  # fmt: skip

LAG_ATTACHED: Final = encode_oid("1.2.840.10006.300.43.1.2.1.1.13")
IF_STACK: Final = encode_oid("1.3.6.1.2.1.31.1.2.1.3")
STP: Final = {
    name: encode_oid(f"{_BRIDGE}.2.15.1.{number}")
    for name, number in (("state", 3), ("bridge", 8), ("port", 9))
}
OWN_ADDRESS: Final = encode_oid("1.3.6.1.2.1.4.20.1.2")
OWN_ADDRESS_V6: Final = encode_oid("1.3.6.1.2.1.4.34.1.3")
FDB: Final = encode_oid(f"{_BRIDGE}.4.3.1.2")
FDB_VLAN: Final = encode_oid(f"{_BRIDGE}.7.1.2.2.1.2")
ARP: Final = encode_oid("1.3.6.1.2.1.4.22.1.2")
ARP_V6: Final = encode_oid("1.3.6.1.2.1.4.35.1.4")

GROUPS: Final[tuple[tuple[str, tuple[Oid, ...]], ...]] = (
    ("ports", (IF_NAME, IF_DESCR, IF_TYPE, IF_MAC, IF_OPER, IF_ALIAS, BASE_PORT)),
    ("lldp", (*LLDP_REMOTE.values(),)),
    ("lldp-local", (*LLDP_LOCAL.values(), LLDP_ADDRESS)),
    ("lldp-v2", (*LLDP_V2_REMOTE.values(), LLDP_V2_ADDRESS)),
    ("cdp", tuple(CDP.values())),
    ("lag", (LAG_ATTACHED, IF_STACK)),
    ("stp", tuple(STP.values())),
    ("addresses", (OWN_ADDRESS, OWN_ADDRESS_V6)),
    ("fdb", (FDB_VLAN,)),
    ("fdb-plain", (FDB,)),
    ("arp", (ARP, ARP_V6)),
)
# A group that is asked only when another gave nothing, or gave something.
UNLESS: Final = {"lldp-v2": "lldp", "fdb-plain": "fdb"}
ONLY_WITH: Final = {"lldp-local": "lldp"}
