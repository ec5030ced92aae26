"""The 248 values of one poll as a profile of ours, and devices that have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

from collectors.interface import Credential
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess
from tests.bench.agents import COLUMNS, COMMUNITY, INTERFACES, SCALARS

LABELS: Final = ("ifDescr", "ifName")
NUMBERS: Final = ("sysUpTime", "ifNumber", "snmpInPkts", "snmpOutPkts", "hrSystemProcesses")
EMITTED: Final = len(NUMBERS) + (len(COLUMNS) - len(LABELS)) * INTERFACES
SECRET: Final = "bench-secret-1"
USER: Final = "bench"
V2C: Final = Credential("snmp-v2c", community=COMMUNITY)
V3: Final = Credential(
    "snmp-v3",
    user=USER,
    auth_protocol="SHA",
    auth_password=SECRET,
    priv_protocol="AES",
    priv_password=SECRET,
)
_TEXTS: Final[Mapping[str, str]] = MappingProxyType(
    {"sysDescr": "DisplayString", "sysName": "DisplayString", "sysObjectID": "OctetString"}
)


def addresses(count: int, net: int = 0) -> list[str]:
    """So many addresses of the loopback, none of them twice; `net` keeps sets of at most 65,000 apart."""
    return [f"127.{64 + net}.{1 + number // 250}.{1 + number % 250}" for number in range(count)]


def devices(where: Sequence[str], port: int, interval: float, timeout: float) -> list[Device]:
    """A device at each address."""
    return [
        Device(
            DeviceId(f"switch-{address}"), SiteId("bench"), "", Kind.NETWORK, address,
            snmp=SnmpAccess("bench", port=port, profile="bench", interval=interval, timeout=timeout, retries=3),
        )
        for address in where
    ]  # fmt: skip


def write_profiles(folder: Path) -> Path:
    """A folder with the profile `bench`, and the one every library must have."""
    profiles = folder / "profiles"
    profiles.mkdir(exist_ok=True)
    (profiles / "bench.yml").write_text(yaml.safe_dump(_profile()), "utf-8")
    (profiles / "generic.yml").write_text("name: generic\n", "utf-8")
    return profiles


def exporter_module() -> dict[str, object]:
    """The same scalars and columns as a module of snmp_exporter 0.21."""
    metrics: list[dict[str, object]] = [
        {"name": name, "oid": oid.removesuffix(".0"), "type": _TEXTS.get(name, "gauge"), "help": name}
        for name, oid in SCALARS.items()
    ]
    lookups = [
        {"labels": ["ifIndex"], "labelname": name, "oid": COLUMNS[name][0], "type": "DisplayString"}
        for name in LABELS
    ]
    metrics += [
        {
            "name": name, "oid": column, "type": "gauge", "help": name, "lookups": lookups,
            "indexes": [{"labelname": "ifIndex", "type": "gauge"}],
        }
        for name, (column, _) in COLUMNS.items() if name not in LABELS
    ]  # fmt: skip
    return {
        "get": list(SCALARS.values()),
        "walk": [column for column, _ in COLUMNS.values()],
        "metrics": metrics,
        "max_repetitions": INTERFACES + 1,
    }


def _profile() -> dict[str, object]:
    labels = {"ifIndex": "{index}", **{name: f"{{{name.lower()}}}" for name in LABELS}}
    values = {name: name.lower() for name in COLUMNS if name not in LABELS}
    module = {
        "scalars": {name.lower(): oid for name, oid in SCALARS.items()},
        "columns": {name.lower(): column for name, (column, _) in COLUMNS.items()},
        "emit": [{"kind": "metrics", "values": {name: name.lower() for name in NUMBERS}}],
        "rows": [{"kind": "metrics", "labels": labels, "values": values}],
    }
    return {"name": "bench", "modules": {"bench": module}}
