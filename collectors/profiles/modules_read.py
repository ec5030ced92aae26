"""Varbinds of a walk to metric families, as snmp_exporter does it. Pure.

Two samples of one family never share their labels: the first one stays. What cannot be read (a text where a number
is declared, a date that is none) is left out, never replaced.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from collectors.profiles.modules import COMBINED, Extract, Found, Lookup, Metric, WalkModule
from collectors.profiles.modules_text import enum_name, number, split_index, text
from collectors.snmp.ber import NUMERIC, Oid, Typed, decode_index, encode_index

Varbinds = Mapping[Oid, Typed]
Labels = dict[str, str]

_NTP_EPOCH: Final = 2_208_988_800  # seconds from 1900 to 1970
_MAX_SUBID: Final = 0xFFFFFFFF
_SHORT_DATE: Final = 8
_LONG_DATE: Final = 11
_TIMESTAMP: Final = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """One value; labels are sorted by name."""

    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(slots=True)
class Family:
    """All samples of one name. `type` is counter or gauge."""

    name: str
    help: str
    type: str
    samples: list[Sample] = field(default_factory=list)
    _taken: set[tuple[tuple[str, str], ...]] = field(default_factory=set)

    def add(self, labels: Labels, value: float) -> None:
        """Add a sample unless one with the same labels is there."""
        key = tuple(sorted(labels.items()))
        if key not in self._taken:
            self._taken.add(key)
            self.samples.append(Sample(key, value))


class Families:
    """What one scrape gives, by name; metrics add to it."""

    def __init__(self) -> None:
        self._found: dict[str, Family] = {}

    def add(self, name: str, help_text: str, kind: str, labels: Labels, value: float) -> None:
        """Add a sample; the first help and type of a family stay."""
        family = self._found.get(name)
        if family is None:
            family = self._found[name] = Family(name, help_text, kind)
        family.add(labels, value)

    def __iter__(self) -> Iterator[Family]:
        """By name."""
        return iter([self._found[name] for name in sorted(self._found)])


class MetricTree:
    """The metrics of a module by the OID they begin with."""

    __slots__ = ("_by_oid", "_lengths")

    def __init__(self, module: WalkModule) -> None:
        self._by_oid = {metric.oid: metric for metric in module.metrics}
        self._lengths = sorted({len(oid) for oid in self._by_oid})

    def find(self, oid: Oid) -> tuple[Metric, bytes] | None:
        """The metric with the shortest OID that `oid` begins with, and the rest of `oid`."""
        for length in self._lengths:
            if (metric := self._by_oid.get(oid[:length])) is not None:
                return metric, oid[length:]
        return None


def read_families(module: WalkModule, varbinds: Varbinds, families: Families, extra: Labels) -> None:
    """Add what a module makes of `varbinds`; `extra` labels go on every sample."""
    tree = MetricTree(module)
    for oid, typed in varbinds.items():
        if (found := tree.find(oid)) is not None:
            metric, index = found
            _read(metric, decode_index(index), typed, varbinds, families, extra)


def _read(
    metric: Metric,
    index: tuple[int, ...],
    typed: Typed,
    varbinds: Varbinds,
    families: Families,
    extra: Labels,
) -> None:
    labels = {**_labels(metric, index, varbinds), **extra}
    kind = metric.type
    if kind in {"gauge", "counter", "Float", "Double"}:
        _add(metric, "counter" if kind == "counter" else "gauge", labels, number(typed), families)
    elif kind in {"DateAndTime", "ParseDateAndTime", "NTPTimeStamp"}:
        _add(metric, "gauge", labels, _time(metric, typed), families)
    elif kind == "EnumAsInfo":
        if typed[0] in NUMERIC and metric.name not in labels:
            state = enum_name(metric.enum_values, _whole(typed))
            help_text = f"{metric.help} (EnumAsInfo)"
            families.add(f"{metric.name}_info", help_text, "gauge", {**labels, metric.name: state}, 1.0)
    elif kind == "EnumAsStateSet":
        if typed[0] in NUMERIC:
            _state_set(metric, _whole(typed), labels, families)
    elif kind == "Bits":
        _bits(metric, typed, labels, families)
    else:
        _text(metric, index, typed, labels, varbinds, families)


def _add(metric: Metric, kind: str, labels: Labels, value: float | None, families: Families) -> None:
    if value is not None:
        families.add(metric.name, metric.help, kind, labels, _scaled(metric, value))


def _scaled(metric: Metric, value: float) -> float:
    return (value * metric.scale if metric.scale else value) + metric.offset


def _state_set(metric: Metric, value: int, labels: Labels, families: Families) -> None:
    help_text = f"{metric.help} (EnumAsStateSet)"
    current = enum_name(metric.enum_values, value)
    for state in (current, *metric.enum_values.values()):
        held = 1.0 if state == current else 0.0
        families.add(metric.name, help_text, "gauge", {**labels, metric.name: state}, held)


def _bits(metric: Metric, typed: Typed, labels: Labels, families: Families) -> None:
    """Bit 0 is the highest of the first octet (RFC 2578 section 7.1.4)."""
    octets = typed[1]
    if not isinstance(octets, bytes):
        return
    for bit, name in metric.enum_values.items():
        is_set = 0 <= bit < len(octets) * 8 and octets[bit // 8] & (0x80 >> bit % 8)
        help_text = f"{metric.help} (Bits)"
        families.add(metric.name, help_text, "gauge", {**labels, metric.name: name}, 1.0 if is_set else 0.0)


def _text(
    metric: Metric,
    index: tuple[int, ...],
    typed: Typed,
    labels: Labels,
    varbinds: Varbinds,
    families: Families,
) -> None:
    shown = text(
        typed, _own_kind(metric.type, metric.oid, index, varbinds, "OctetString"), metric.display_hint
    )
    if metric.extracts:
        for suffix, extracts in metric.extracts.items():
            if (value := _extracted(extracts, shown)) is not None:
                help_text = f"{metric.help} (regex extracted)"
                families.add(metric.name + suffix, help_text, "gauge", labels, _scaled(metric, value))
        return
    families.add(metric.name, metric.help, "gauge", {metric.name: shown, **labels}, _scaled(metric, 1.0))


def _own_kind(kind: str, oid: Oid, index: tuple[int, ...], varbinds: Varbinds, default: str) -> str:
    """The type itself; for an address or port id, the one the column before it tells."""
    if kind not in COMBINED:
        return kind
    before = varbinds.get(previous(oid) + encode_index(index))
    return default if before is None else COMBINED[kind].get(_whole(before), default)


def previous(oid: Oid) -> Oid:
    """The OID whose last sub-identifier is one less."""
    subids = decode_index(oid)
    return encode_index((*subids[:-1], max(subids[-1] - 1, 0)))


def _labels(metric: Metric, index: tuple[int, ...], varbinds: Varbinds) -> Labels:
    labels: Labels = {}
    subids: dict[str, tuple[int, ...]] = {}
    for item in metric.indexes:
        part = split_index(index, item)
        labels[item.labelname], subids[item.labelname], index = part.text, part.used, part.rest
    for lookup in metric.lookups:
        if not lookup.labels:
            labels.pop(lookup.labelname, None)
            continue
        at = _lookup_index(lookup, subids)
        cell = None if at is None else varbinds.get(lookup.oid + encode_index(at))
        if at is None or cell is None:
            labels[lookup.labelname] = ""
            continue
        labels[lookup.labelname] = _cell_text(lookup, at, cell, varbinds)
        subids[lookup.labelname] = (_whole(cell),)  # a further lookup may go on from here
    return labels


def _lookup_index(lookup: Lookup, subids: Mapping[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    parts = [subids.get(label, ()) for label in lookup.labels]
    joined = tuple(subid for part in parts for subid in part)
    return joined if all(parts) and all(0 <= subid <= _MAX_SUBID for subid in joined) else None


def _cell_text(lookup: Lookup, at: tuple[int, ...], cell: Typed, varbinds: Varbinds) -> str:
    if lookup.type == "EnumAsInfo" and lookup.enum_values and cell[0] in NUMERIC:
        return enum_name(lookup.enum_values, _whole(cell))
    return text(cell, _own_kind(lookup.type, lookup.oid, at, varbinds, "OctetString"), lookup.display_hint)


def _whole(typed: Typed) -> int:
    return typed[1] if isinstance(typed[1], int) else 0


def _extracted(extracts: tuple[Extract, ...], shown: str) -> float | None:
    for extract in extracts:
        if (match := extract.regex.search(shown)) is not None:
            try:
                return float(expand(extract.value, match).replace("_", "?"))  # Go knows no 1_000
            except ValueError:
                continue
    return None


def expand(template: str, match: Found) -> str:
    """`$1`, `$name`, `${name}` and `$$` in a template, as Go's regexp.Expand; an unknown group is empty."""
    out: list[str] = []
    at = 0
    while (dollar := template.find("$", at)) >= 0:
        out.append(template[at:dollar])
        at = dollar + 1
        if template[at : at + 1] == "$":
            out.append("$")
            at += 1
            continue
        braced = template[at : at + 1] == "{"
        end = template.find("}", at) if braced else _name_end(template, at)
        name = template[at + braced : max(end, at)]
        if not name:
            out.append("$")
            continue
        out.append(_group(match, name))
        at = end + braced
    return "".join([*out, template[at:]])


def _name_end(template: str, at: int) -> int:
    while at < len(template) and (template[at].isalnum() or template[at] == "_"):
        at += 1
    return at


def _group(match: Found, name: str) -> str:
    try:
        return match.group(int(name) if name.isdigit() else name) or ""
    except (IndexError, KeyError):
        return ""


def _time(metric: Metric, typed: Typed) -> float | None:
    """Seconds since 1970, without a fraction."""
    octets = typed[1]
    if not isinstance(octets, bytes):
        return None
    if metric.type == "ParseDateAndTime":
        return _pattern_time(text(typed, "DisplayString"), metric.datetime_pattern)
    if metric.type == "NTPTimeStamp":
        if len(octets) < _TIMESTAMP:
            return None
        return float(int(struct.unpack(">I", octets[:4])[0]) - _NTP_EPOCH)
    return date_and_time(octets)


def date_and_time(octets: bytes) -> float | None:
    """DateAndTime of RFC 2579: 8 octets in UTC, or 11 with an offset."""
    if len(octets) not in {_SHORT_DATE, _LONG_DATE}:
        return None
    zone = UTC
    if len(octets) == _LONG_DATE:
        sign = {"+": 1, "-": -1}.get(chr(octets[8]))
        if sign is None:
            return None
        zone = timezone(sign * timedelta(hours=octets[9] % 24, minutes=octets[10]))
    year, month, day, hour, minute, second = struct.unpack(">HBBBBB", octets[:7])
    try:
        midnight = datetime(year, month, day, tzinfo=zone)
    except ValueError:
        return None
    return float(int((midnight + timedelta(hours=hour, minutes=minute, seconds=second)).timestamp()))


def _pattern_time(shown: str, pattern: str) -> float | None:
    try:
        moment = datetime.strptime(shown, pattern)  # noqa: DTZ007 - most patterns have no zone: UTC then
    except (ValueError, OverflowError):
        return None
    return float(int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))
