"""The shapes of a profile. Plain frozen data; loader.py builds it from YAML, read.py applies it.

A module reads `scalars` and `columns` (alias to OID) and emits from them: `emit` once from the scalars, `rows`
once per table row. Aliases of a row: its columns, the scalars, `index` (dotted), `lookups` (a cell of another
table), `maps` (a value translated by a table) and `extracts` (a part of a text or of the index).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from collectors.profiles.expression import Expression
from collectors.snmp.ber import Oid, Typed

INDEX = "index"

# kind -> formulas and texts it takes besides kind, name, where, like, when and when_missing
KINDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "interface": (frozenset({"speed", "speed_fallback"}), frozenset({"descr", "alias", "mac"})),
    "processor": (frozenset({"percent"}), frozenset()),
    "memory": (frozenset({"used", "size", "free", "percent"}), frozenset()),
    "storage": (frozenset({"used", "size", "free", "percent"}), frozenset()),
    "sensor": (frozenset({"value"}), frozenset({"class", "state"})),
    "component": (frozenset(), frozenset({"state"})),
    "metrics": (frozenset(), frozenset()),
}

# sensor class -> (unit in the JSON, metric). Values are in that unit.
SENSOR_CLASSES: Mapping[str, tuple[str, str]] = {
    "temperature": ("celsius", "device_sensor_celsius"),
    "voltage": ("volts", "device_sensor_volts"),
    "current": ("amperes", "device_sensor_amperes"),
    "power": ("watts", "device_sensor_watts"),
    "fanspeed": ("rpm", "device_sensor_rpm"),
    "frequency": ("hertz", "device_sensor_hertz"),
    "humidity": ("ratio", "device_sensor_ratio"),
    "charge": ("ratio", "device_sensor_ratio"),
    "load": ("ratio", "device_sensor_ratio"),
    "percent": ("ratio", "device_sensor_ratio"),
    "runtime": ("seconds", "device_sensor_seconds"),
    "dbm": ("dbm", "device_sensor_dbm"),
    "count": ("count", "device_sensor_count"),
    "state": ("", ""),
}
STATES: Mapping[str, int] = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}
ABSENT = "absent"  # a state that says: nothing is fitted here, so there is no component
ANY = "*"  # the state of every value that `states` does not list
# How an extracted text is read: as it stands, as hex digits, as octets of one integer, as characters by number
FORMS = ("text", "hex", "octets", "characters")
IDENTITY_FIELDS = ("vendor", "os", "hardware", "version", "serial")


@dataclass(frozen=True, slots=True)
class Template:
    """Text with `{alias}` holes, as pairs of literal text and alias (empty alias: no hole)."""

    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Emit:
    """One thing a row (or the scalars) says. `name` lists templates; the first that can be filled is taken."""

    kind: str
    name: tuple[Template, ...] = ()
    where: Mapping[str, frozenset[str]] = field(default_factory=dict)
    like: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    when_missing: str = ""
    when: Expression | None = None
    formulas: Mapping[str, Expression] = field(default_factory=dict)
    texts: Mapping[str, Template] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Template] = field(default_factory=dict)
    values: Mapping[str, Expression] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LookupColumn:
    """A cell of another table: `column` at the index `by`, a template; an index is dotted."""

    column: Oid
    by: Template


@dataclass(frozen=True, slots=True)
class ValueMap:
    """An alias whose value is that of `source` translated; values that are not listed become missing."""

    source: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Extract:
    """An alias that is a part of the text of `source`: the first group of the regex, read as `form`."""

    source: str
    regex: re.Pattern[str] | None = None
    form: str = "text"


class SampleReader(Protocol):
    """Makes samples (name, labels, value) of what a module read: scalars by OID, columns by OID and index."""

    def __call__(
        self, scalars: Mapping[Oid, Typed], columns: Mapping[Oid, Mapping[bytes, Typed]], /
    ) -> Iterable[tuple[str, tuple[tuple[str, str], ...], float]]:
        """Pure; never raises for anything a device says."""
        ...


@dataclass(frozen=True, slots=True)
class Module:
    """What is read and emitted together; one that fails leaves the others alone."""

    name: str
    scalars: Mapping[str, Oid] = field(default_factory=dict)
    columns: Mapping[str, Oid] = field(default_factory=dict)
    lookups: Mapping[str, LookupColumn] = field(default_factory=dict)
    maps: Mapping[str, ValueMap] = field(default_factory=dict)
    extracts: Mapping[str, Extract] = field(default_factory=dict)
    absent: Mapping[str, frozenset[str]] = field(default_factory=dict)
    emit: tuple[Emit, ...] = ()
    rows: tuple[Emit, ...] = ()
    reader: SampleReader | None = None  # instead of emit and rows: a module of snmp_exporter (modules.py)


@dataclass(frozen=True, slots=True)
class Source:
    """Where one identity fact may come from: a constant, sysDescr, a scalar, or the first fitting table cell.

    With `values` the text is a key of it, and one that is not listed yields nothing.
    """

    value: str = ""
    oid: Oid = b""
    column: Oid = b""
    where_column: Oid = b""
    equals: frozenset[str] = frozenset()
    regex: re.Pattern[str] | None = None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """All that is given must hold: sysObjectID below `prefix`, sysDescr containing `descr`, `exists` answered."""

    prefix: Oid = b""
    descr: re.Pattern[str] | None = None
    exists: Oid = b""


@dataclass(frozen=True, slots=True)
class Profile:
    """A device model or family, with everything it inherits already merged in."""

    name: str
    matches: tuple[Match, ...]
    identity: Mapping[str, tuple[Source, ...]]
    modules: tuple[Module, ...]
