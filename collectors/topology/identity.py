"""How devices name themselves and their ports in LLDP and CDP, as `kind:value`. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from collectors.profiles.values import text_of
from collectors.snmp.ber import OCTET_STRING
from monitor.topology.facts import MAX_TEXT

# Subtype to kind (IEEE 802.1AB-2016, tables 8-2 and 8-3).
_CHASSIS: Final = {1: "other", 2: "alias", 3: "other", 4: "mac", 5: "ip", 6: "name", 7: "local"}
_PORT: Final = {1: "alias", 2: "other", 3: "mac", 4: "ip", 5: "name", 6: "other", 7: "local"}
_WRITTEN: Final = re.compile(
    r"(?:[0-9a-f]{2}[-:. ]){5}[0-9a-f]{2}|(?:[0-9a-f]{4}[-.:]){2}[0-9a-f]{4}", re.IGNORECASE
)
_BLANK: Final = re.compile(r"\s+")


def mac_of(octets: bytes) -> str:
    """Twelve hex digits; empty for anything that is not one station's address. Some agents send it as text."""
    if len(octets) == 6 and any(octets):
        return "" if octets[0] & 0x01 else octets.hex()
    if 12 <= len(octets) <= 18:
        return written_mac(octets.decode("latin-1"))
    return ""


def written_mac(text: str) -> str:
    """`00-e0-fc-12-34-56`, `00e0.fc12.3456` and the like as twelve hex digits; empty for anything else."""
    text = text.strip(" \0")
    digits = re.sub(r"[^0-9a-f]", "", text.lower()) if _WRITTEN.fullmatch(text) else ""
    return mac_of(bytes.fromhex(digits))


def address_of(octets: bytes) -> str:
    """IPv4 or IPv6 as text; empty for other lengths and for the unspecified address."""
    if len(octets) not in {4, 16} or not any(octets):
        return ""
    return str(ipaddress.ip_address(octets))


def chassis_of(subtype: int, octets: bytes) -> str:
    """`mac:...`, `ip:...`, `name:...`, `alias:...`, `local:...`, `other:...`; empty when there is nothing."""
    return _identity(_CHASSIS.get(subtype, "other"), octets)


def port_id_of(subtype: int, octets: bytes) -> str:
    """The same for a port."""
    return _identity(_PORT.get(subtype, "other"), octets)


def canonical(text: str) -> str:
    """A name that is an address written out is that address."""
    mac = written_mac(text)
    return f"mac:{mac}" if mac else f"name:{text}" if text else ""


def short(text: str) -> str:
    """One line of at most MAX_TEXT characters."""
    return _BLANK.sub(" ", text).strip()[:MAX_TEXT]


def _identity(kind: str, octets: bytes) -> str:
    if not octets.strip(b"\0 "):
        return ""
    if kind == "mac" and (mac := mac_of(octets)):
        return f"mac:{mac}"
    if kind == "ip":
        # The first octet is the address family; some agents leave it out.
        address = address_of(octets[1:]) or address_of(octets)
        if address:
            return f"ip:{address}"
    text = short(text_of((OCTET_STRING, octets)))
    if mac := written_mac(text):
        return f"mac:{mac}"
    return f"{kind if kind not in {'mac', 'ip'} else 'other'}:{text}"
