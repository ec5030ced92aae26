"""Modules of Prometheus's snmp_exporter as data: what its snmp.yml says, in both shapes. Plain frozen data.

modules_loader.py builds it from YAML, modules_read.py turns varbinds into families. A module walks subtrees and
turns every varbind below a metric's OID into samples; the rest of the OID is the index, split into labels, which
lookups then replace by cells of other tables. OIDs are encoded (collectors.snmp.ber), times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from collectors.snmp.ber import Oid

# Types whose own type is the number in the object, or the sub-identifier, before them.
COMBINED: Final[Mapping[str, Mapping[int, str]]] = {
    "InetAddress": {1: "InetAddressIPv4", 2: "InetAddressIPv6"},
    "InetAddressMissingSize": {1: "InetAddressIPv4", 2: "InetAddressIPv6"},
    "LldpPortId": {
        1: "DisplayString",
        2: "DisplayString",
        3: "PhysAddress48",
        5: "DisplayString",
        7: "DisplayString",
    },
}
INTEGERS: Final = frozenset({"Integer32", "Integer", "gauge", "counter"})
TEXTS: Final = frozenset(
    {"OctetString", "DisplayString", "PhysAddress48", "InetAddressIPv4", "InetAddressIPv6", *COMBINED}
)
NUMBERS: Final = frozenset({"gauge", "counter", "Float", "Double"})
TIMES: Final = frozenset({"DateAndTime", "ParseDateAndTime", "NTPTimeStamp"})
ENUMS: Final = frozenset({"EnumAsInfo", "EnumAsStateSet", "Bits"})
METRIC_TYPES: Final = NUMBERS | TIMES | ENUMS | TEXTS
INDEX_TYPES: Final = INTEGERS | TEXTS | {"EnumAsInfo"}
LOOKUP_TYPES: Final = METRIC_TYPES | INTEGERS


class Found(Protocol):
    """One match of a Pattern."""

    def start(self, group: int | str = 0, /) -> int:
        """Where a group begins; -1 when it took no part."""
        ...

    def group(self, group: int | str = 0, /) -> str | None:
        """Its text; raises IndexError when there is no such group."""
        ...


class Pattern(Protocol):
    """A compiled regular expression of RE2: linear time on whatever a device sends."""

    def search(self, text: str) -> Found | None:
        """The first match anywhere."""
        ...


@dataclass(frozen=True, slots=True)
class Index:
    """One label made of sub-identifiers. `fixed_size` and `implied`: a string without its length in front."""

    labelname: str
    type: str
    fixed_size: int = 0
    implied: bool = False
    enum_values: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lookup:
    """A label from the cell of another table at the index that `labels` stand for.

    Without `labels` it takes the label `labelname` away.
    """

    labelname: str
    labels: tuple[str, ...] = ()
    oid: Oid = b""
    type: str = "OctetString"
    enum_values: Mapping[int, str] = field(default_factory=dict)
    display_hint: str = ""


@dataclass(frozen=True, slots=True)
class Extract:
    """A number taken out of a text: `value` is a template ($1, ${name}) over the whole-text match of `regex`."""

    regex: Pattern
    value: str = "$1"


@dataclass(frozen=True, slots=True)
class Metric:
    """One object of a MIB and how it becomes samples."""

    name: str
    oid: Oid
    type: str
    help: str = ""
    indexes: tuple[Index, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    extracts: Mapping[str, tuple[Extract, ...]] = field(default_factory=dict)
    enum_values: Mapping[int, str] = field(default_factory=dict)
    scale: float = 0.0  # 0: not scaled
    offset: float = 0.0
    datetime_pattern: str = ""
    display_hint: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """Of the tables in `targets` only rows are read whose cell in column `oid` matches one of `values`."""

    oid: Oid
    targets: tuple[Oid, ...]
    values: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class WalkModule:
    """One module. `timeout` in seconds for each of `retries` + 1 attempts."""

    name: str
    metrics: tuple[Metric, ...]
    walk: tuple[Oid, ...] = ()
    get: tuple[Oid, ...] = ()
    filters: tuple[Filter, ...] = ()
    max_repetitions: int = 25
    retries: int = 3
    timeout: float = 5.0
    non_increasing: bool = False


@dataclass(frozen=True, slots=True)
class Auth:
    """How to ask a device, as the file says it; repr shows no secret."""

    name: str
    version: int = 2
    community: str = field(default="public", repr=False)
    level: str = "noAuthNoPriv"
    user: str = ""
    password: str = field(default="", repr=False)
    auth_protocol: str = "MD5"
    priv_protocol: str = "DES"
    priv_password: str = field(default="", repr=False)
    context: str = ""


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """All a file, or several, holds. In the shape up to 0.22 a module's own auth has the module's name."""

    modules: Mapping[str, WalkModule] = field(default_factory=dict)
    auths: Mapping[str, Auth] = field(default_factory=dict)
