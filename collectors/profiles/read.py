"""Turns what an agent answered into readings and detail, as a profile's modules say. Pure.

Readings carry snmp_exporter's names and the normalised `device_*`; detail has the keys of `zhishou poll`:
interfaces, processors, memory, storage, sensors, components. Units: bytes, ratios 0..1, seconds, degrees Celsius.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from collectors.interface import Reading
from collectors.profiles.profile import (
    ABSENT,
    ANY,
    INDEX,
    SENSOR_CLASSES,
    STATES,
    Emit,
    Extract,
    Module,
    Template,
)
from collectors.profiles.traced import as_float
from collectors.profiles.values import EXACT, mac_of, number_of, text_of
from collectors.snmp.ber import INTEGER, OCTET_STRING, Oid, Typed, decode_index, encode_index

Columns = Mapping[Oid, Mapping[bytes, Typed]]
Entry = dict[str, object]

_ADMIN: Final = {"1": "up", "2": "down", "3": "testing"}
_OPER: Final = {
    "1": "up",
    "2": "down",
    "3": "testing",
    "4": "unknown",
    "5": "dormant",
    "6": "notPresent",
    "7": "lowerLayerDown",
}


@dataclass(slots=True)
class Report:
    """What one poll found; modules add to it. `detail()` is the JSON part."""

    readings: list[Reading] = field(default_factory=list)
    interfaces: list[Entry] = field(default_factory=list)
    processors: list[Entry] = field(default_factory=list)
    memory: list[Entry] = field(default_factory=list)
    storage: list[Entry] = field(default_factory=list)
    sensors: list[Entry] = field(default_factory=list)
    components: list[Entry] = field(default_factory=list)
    taken: set[tuple[str, str]] = field(default_factory=set)

    def detail(self) -> dict[str, object]:
        """Lists by key, JSON-able."""
        return {
            "interfaces": self.interfaces,
            "processors": self.processors,
            "memory": self.memory,
            "storage": self.storage,
            "sensors": self.sensors,
            "components": self.components,
        }

    def unique(self, group: str, name: str, index: str) -> str:
        """`name`, or with the index appended when the group has it already: two series must not be one."""
        if (group, name) in self.taken and index:
            name = f"{name} ({index})"
        self.taken.add((group, name))
        return name


def _is_among(cell: Typed, texts: frozenset[str]) -> bool:
    """Whether a cell says one of these; whole numbers beyond what a float tells apart are compared as floats, as they
    are when many devices are computed at once.
    """
    _, value = cell
    if isinstance(value, int) and abs(value) >= EXACT:
        return any(float(value) == number_of((OCTET_STRING, text.encode())) for text in texts)
    return text_of(cell) in texts


class Row:
    """The aliases of one table row, or of the scalars when `index` is None."""

    __slots__ = ("_cells", "_columns", "_module", "index")

    def __init__(
        self, module: Module, cells: dict[str, Typed], columns: Columns, index: bytes | None
    ) -> None:
        self._module = module
        self._cells = cells
        self._columns = columns
        self.index = "" if index is None else ".".join(map(str, decode_index(index)))

    def typed(self, alias: str) -> Typed | None:
        """The cell, looked up or mapped as the module says; None when absent."""
        cell = self._cells.get(alias)
        if cell is None and alias not in self._cells:
            cell = self._derived(alias)
        if cell is not None and alias in self._module.absent and _is_among(cell, self._module.absent[alias]):
            return None
        return cell

    def number(self, alias: str) -> float | None:
        """The cell as a number; a float, as what is computed later from many devices at once (see columns.py)."""
        cell = self.typed(alias)
        number = None if cell is None else number_of(cell)
        return None if number is None else float(number)

    def text(self, alias: str) -> str:
        """The cell as text, empty when absent."""
        if alias == INDEX:
            return self.index
        cell = self.typed(alias)
        return "" if cell is None else text_of(cell)

    def fill(self, template: Template | None, *, partial: bool = False) -> str | None:
        """The template with its holes filled; None when one is empty, unless `partial`."""
        if template is None:
            return None
        out = []
        for literal, alias in template.parts:
            filled = self.text(alias) if alias else ""
            if alias and not filled and not partial:
                return None
            out.append(literal + filled)
        return "".join(out).strip()

    def name(self, emit: Emit) -> str:
        """The first name template that can be filled, or the index."""
        for template in emit.name:
            if filled := self.fill(template):
                return filled
        return self.index

    def applies(self, emit: Emit) -> bool:
        """Whether `where`, `like`, `when` and `when_missing` hold."""
        if emit.when_missing and self.typed(emit.when_missing) is not None:
            return False
        if not all(pattern.search(self.text(alias)) for alias, pattern in emit.like.items()):
            return False
        if emit.when is not None and not emit.when.evaluate(self.number):
            return False
        return all(self.text(alias) in allowed for alias, allowed in emit.where.items())

    def _derived(self, alias: str) -> Typed | None:
        module = self._module
        if alias == INDEX:
            return OCTET_STRING, self.index.encode()
        if alias in module.lookups:
            lookup = module.lookups[alias]
            subids = subids_of(self.fill(lookup.by) or "")
            return None if subids is None else self._columns.get(lookup.column, {}).get(encode_index(subids))
        if alias in module.maps:
            translated = module.maps[alias].values.get(self.text(module.maps[alias].source))
            return None if translated is None else (OCTET_STRING, translated.encode())
        if alias in module.extracts:
            return self._extracted(module.extracts[alias])
        return None

    def _extracted(self, extract: Extract) -> Typed | None:
        if extract.form == "octets":
            cell = self.typed(extract.source)
            octets = cell[1] if cell is not None else None
            return (INTEGER, int.from_bytes(octets[:8], "big")) if isinstance(octets, bytes) else cell
        text = self.text(extract.source)
        if extract.regex is not None:
            found = extract.regex.search(text)
            text = "" if found is None else (found.group(1) if found.re.groups else found.group()) or ""
        if extract.form == "characters":
            text = "".join(chr(subid) for subid in subids_of(text) or () if 32 <= subid < 127)
        if not text:
            return None
        if extract.form == "hex":
            digits = re.sub(r"^0[xX]|[\s:-]", "", text)
            return (INTEGER, int(digits, 16)) if re.fullmatch(r"[0-9a-fA-F]{1,16}", digits) else None
        return OCTET_STRING, text.encode()


RowMaker = Callable[[Module, dict[str, Typed], Columns, bytes | None], Row]


def read_module(
    module: Module, scalars: Mapping[Oid, Typed], columns: Columns, report: Report, row_of: RowMaker = Row
) -> None:
    """Apply one module to what was read. Missing values are left out, never replaced."""
    if module.reader is not None:
        report.readings += [Reading(*sample) for sample in module.reader(scalars, columns)]
        return
    plain = {alias: scalars[oid] for alias, oid in module.scalars.items() if oid in scalars}
    if module.emit and (plain or not module.scalars):
        row = row_of(module, plain, columns, None)
        for emit in module.emit:
            if row.applies(emit):
                _EMITTERS[emit.kind](emit, row, report)
    if not module.rows:
        return
    tables = [(alias, columns.get(oid, {})) for alias, oid in module.columns.items()]
    for index in _indexes(table for _, table in tables):
        cells = dict(plain)
        for alias, table in tables:
            if (cell := table.get(index)) is not None:
                cells[alias] = cell
        row = row_of(module, cells, columns, index)
        for emit in module.rows:
            if row.applies(emit):
                _EMITTERS[emit.kind](emit, row, report)


def summarise(report: Report) -> None:
    """The whole-device readings: mean processor load, main memory."""
    loads = [entry["utilization_ratio"] for entry in report.processors]
    known = [load for load in loads if isinstance(load, float)]
    if known:
        report.readings.append(Reading("device_cpu_ratio", (), sum(known) / len(known)))
    if report.memory:
        main = report.memory[0]
        for key, metric in (
            ("used_bytes", "device_memory_used_bytes"),
            ("size_bytes", "device_memory_size_bytes"),
            ("utilization_ratio", "device_memory_ratio"),
        ):
            value = main[key]
            if isinstance(value, float | int):
                report.readings.append(Reading(metric, (), as_float(value)))


def _indexes(tables: Iterable[Mapping[bytes, Typed]]) -> list[bytes]:
    found: dict[bytes, None] = {}
    for table in tables:
        if table.keys() != found.keys():
            found.update(dict.fromkeys(table))
    return list(found)


def subids_of(text: str) -> tuple[int, ...] | None:
    """The sub-identifiers of a dotted text; None when it is none."""
    try:
        return tuple(int(part) for part in text.split(".")) if text else None
    except ValueError:
        return None


def _value(emit: Emit, row: Row, key: str) -> float | None:
    formula = emit.formulas.get(key)
    if formula is None:
        return None
    value = formula.evaluate(row.number)
    return value if value is None or math.isfinite(value) else None


def _state(emit: Emit, row: Row) -> str | None:
    text = row.fill(emit.texts.get("state"))
    if not text:
        return None
    if emit.states:
        state = emit.states.get(text) or emit.states.get(ANY, "unknown")
        return None if state == ABSENT else state
    return text if text in STATES else "unknown"


def _metrics(emit: Emit, row: Row, report: Report) -> None:
    labels = tuple((key, row.fill(template, partial=True) or "") for key, template in emit.labels.items())
    append, number = report.readings.append, row.number
    for metric, formula in emit.values.items():
        value = formula.evaluate(number)
        if value is not None:
            append(Reading(metric, labels, as_float(value)))


def _interface(emit: Emit, row: Row, report: Report) -> None:
    speed = _value(emit, row, "speed") or _value(emit, row, "speed_fallback")
    mac = emit.texts.get("mac")
    cell = row.typed(mac.parts[0][1]) if mac else None
    octets = cell[1] if cell is not None and isinstance(cell[1], bytes) else None
    report.interfaces.append(
        {
            "index": int(row.index) if row.index.isdigit() else row.index,
            "name": row.name(emit),
            "descr": row.fill(emit.texts.get("descr")),
            "alias": row.fill(emit.texts.get("alias")),
            "admin": _ADMIN.get(row.fill(emit.texts.get("admin")) or ""),
            "oper": _OPER.get(row.fill(emit.texts.get("oper")) or ""),
            "speed_bps": round(speed) if speed else None,
            "mac": mac_of(row.fill(mac) or "", octets),
        }
    )


def _processor(emit: Emit, row: Row, report: Report) -> None:
    percent = _value(emit, row, "percent")
    if percent is None or not 0 <= percent <= 100:
        return
    name = report.unique("processor", row.name(emit), row.index)
    report.processors.append({"name": name, "utilization_ratio": percent / 100})


def _memory(emit: Emit, row: Row, report: Report) -> None:
    if (entry := _space(emit, row)) is not None:
        entry["name"] = report.unique("memory", str(entry["name"]), row.index)
        report.memory.append(entry)


def _storage(emit: Emit, row: Row, report: Report) -> None:
    entry = _space(emit, row)
    if entry is None:
        return
    entry["name"] = report.unique("storage", str(entry["name"]), row.index)
    report.storage.append(entry)
    labels = (("storage", str(entry["name"])),)
    for key, metric in (
        ("used_bytes", "device_storage_used_bytes"),
        ("size_bytes", "device_storage_size_bytes"),
    ):
        value = entry[key]
        if isinstance(value, float | int):
            report.readings.append(Reading(metric, labels, as_float(value)))


def _space(emit: Emit, row: Row) -> Entry | None:
    """Used, size and ratio from whichever of used, free, size and percent the device tells."""
    used, size = _value(emit, row, "used"), _value(emit, row, "size")
    free, percent = _value(emit, row, "free"), _value(emit, row, "percent")
    if size is None and used is not None and free is not None:
        size = used + free
    if used is None and size is not None and free is not None:
        used = size - free
    if used is None and size is not None and percent is not None:
        used = size * percent / 100
    if size is not None and size <= 0:
        used = size = None
    ratio = used / size if used is not None and size is not None else None
    if ratio is None and percent is not None:
        ratio = percent / 100
    if ratio is None or not 0 <= ratio <= 1:
        return None
    return {
        "name": row.name(emit),
        "used_bytes": None if used is None else round(used),
        "size_bytes": None if size is None else round(size),
        "utilization_ratio": ratio,
    }


def _sensor(emit: Emit, row: Row, report: Report) -> None:
    kind = row.fill(emit.texts.get("class")) or ""
    value, state = _value(emit, row, "value"), _state(emit, row)
    if kind not in SENSOR_CLASSES or (value is None and state is None):
        return
    unit, metric = SENSOR_CLASSES[kind]
    name = report.unique(f"sensor {kind}", row.name(emit), row.index)
    report.sensors.append({"name": name, "class": kind, "unit": unit or None, "value": value, "state": state})
    if value is not None and metric:
        report.readings.append(Reading(metric, (("sensor", name), ("class", kind)), as_float(value)))
    if state is not None:
        _component_reading(report, name, state)


def _component(emit: Emit, row: Row, report: Report) -> None:
    state = _state(emit, row)
    if state is None:
        return
    name = report.unique("component", row.name(emit), row.index)
    report.components.append({"name": name, "state": state})
    _component_reading(report, name, state)


def _component_reading(report: Report, name: str, state: str) -> None:
    if ("state", name) in report.taken:
        return
    report.taken.add(("state", name))
    report.readings.append(Reading("device_component_state", (("component", name),), float(STATES[state])))


_EMITTERS: Final[Mapping[str, Callable[[Emit, Row, Report], None]]] = {
    "interface": _interface,
    "processor": _processor,
    "memory": _memory,
    "storage": _storage,
    "sensor": _sensor,
    "component": _component,
    "metrics": _metrics,
}
