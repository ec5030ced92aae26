"""Trap sentences as data: `library/*.yml`, read strictly; a mistake is an error with file:line.

    vendor: Huawei                     # or standard
    words: {up: 正常}                   # Chinese for labels of enumerations, everywhere
    objects:                           # varbinds that the compiled MIB set does not know
      - {oid: 1.3.6.1.4.1.2011.5.25.219.1.1, name: hwEntityPhysicalIndex, enum: {1: ok}, unit: °C, decimals: 1}
    traps:
      - oid: 1.3.6.1.4.1.2011.5.25.219.2.2.3
        name: hwBoardRemove
        severity: major                # critical, major, minor, info
        zh: "板卡被拔出[：{entPhysicalName}]"
        en: "Board removed[: {entPhysicalName}]"
        raises: board                  # or clears: board; what belongs together carries the same word
        by: [entPhysicalName]          # and the same values of these varbinds

A trap whose OID ends in `.*` stands for all below it that have no entry of their own. `severity_of: OBJECT` with
`severities: {label: major, normal: clear}` takes the severity from a varbind; `clear` turns `raises` into a clearing.

`{a|b}` is the value of the first varbind that is there, `{a#}` its instance; `[...]` goes when a hole in it stays
empty; a hole outside of brackets shows `?`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from collectors.receivers.facts import KINDS, ObjectFact
from collectors.snmp.ber import Oid, encode_oid
from monitor.errors import InputError
from monitor.model import Severity

_FOLDER: Final = Path(__file__).parent / "library"
_MAX_BYTES: Final = 256 * 1024
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_HOLE: Final = re.compile(r"\{([A-Za-z][\w|#-]*)\}")
CLEAR: Final = "clear"
_OPTION: Final = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A template and how it is filled."""

    text: str

    def filled(self, values: Mapping[str, str]) -> str:
        """The sentence with these values."""
        return _HOLE.sub(
            lambda hole: _first(hole[1], values) or "?",
            _OPTION.sub(lambda option: _optional(option[1], values), self.text),
        )


def _optional(text: str, values: Mapping[str, str]) -> str:
    holes = _HOLE.findall(text)
    return text if all(_first(hole, values) for hole in holes) else ""


def _first(hole: str, values: Mapping[str, str]) -> str:
    return next((values[name] for name in hole.split("|") if values.get(name)), "")


@dataclass(frozen=True, slots=True)
class TrapTemplate:
    """One trap: what it is called and how it is told. `pair` names a condition, `state` is raise, clear or empty."""

    name: str
    severity: Severity
    zh: Sentence
    en: Sentence
    state: str = ""
    pair: str = ""
    by: tuple[str, ...] = ()
    severity_of: str = ""
    severities: Mapping[str, str] = field(default_factory=dict)

    def weighed(self, values: Mapping[str, str]) -> tuple[Severity, str]:
        """Severity and state, given the varbinds."""
        said = self.severities.get(values.get(self.severity_of, ""), "")
        if said == CLEAR:
            return Severity.INFO, "clear" if self.pair else ""
        return (Severity(said) if said else self.severity), self.state


@dataclass(frozen=True, slots=True)
class TrapLibrary:
    """All files of a folder."""

    traps: Mapping[Oid, TrapTemplate] = field(default_factory=dict)
    families: Mapping[Oid, TrapTemplate] = field(default_factory=dict)  # by prefix
    objects: Mapping[Oid, ObjectFact] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Place:
    node: yaml.Node
    file: str

    def error(self, message: str) -> InputError:
        where = f"{self.file}:{self.node.start_mark.line + 1}"
        return InputError(message, where=where, zh=f"{where}：陷阱库有误：{message}")

    def text(self) -> str:
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.error("a single value is required here")
        return str(self.node.value)

    def items(self) -> list[_Place]:
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("a list is required here")
        return [_Place(node, self.file) for node in self.node.value]

    def mapping(self, allowed: Iterable[str] | None = None) -> dict[str, _Place]:
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("a mapping is required here")
        known = None if allowed is None else set(allowed)
        found: dict[str, _Place] = {}
        for key, value in self.node.value:
            place = _Place(key, self.file)
            name = place.text()
            if name in found:
                raise place.error(f"key {name} is given twice")
            if known is not None and name not in known:
                raise place.error(f"key {name} is not known here (known: {', '.join(sorted(known))})")
            found[name] = _Place(value, self.file)
        return found

    def oid(self) -> Oid:
        try:
            return encode_oid(self.text())
        except InputError as error:
            raise self.error(error.message) from error

    def family(self) -> tuple[Oid, bool]:
        """An OID, and whether it stands for all below it."""
        text = self.text()
        try:
            return encode_oid(text.removesuffix(".*")), text.endswith(".*")
        except InputError as error:
            raise self.error(error.message) from error

    def name(self) -> str:
        text = self.text()
        if not _NAME.fullmatch(text):
            raise self.error(f"{text!r} is not a name")
        return text

    def number(self) -> int:
        try:
            return int(self.text())
        except ValueError:
            raise self.error(f"{self.text()!r} is not a whole number") from None

    def sentence(self) -> Sentence:
        text = self.text()
        left = _HOLE.sub("", _OPTION.sub(r"\1", text))
        if not text.strip() or any(mark in left for mark in "{}[]"):
            raise self.error("a sentence has holes {name} and optional parts [...], not nested")
        return Sentence(text)


def load_library(folder: Path = _FOLDER) -> TrapLibrary:
    """Every file of a folder. InputError names file and line."""
    traps: dict[Oid, TrapTemplate] = {}
    families: dict[Oid, TrapTemplate] = {}
    objects: dict[Oid, ObjectFact] = {}
    words: dict[str, str] = {}
    for path in sorted(folder.glob("*.yml")):
        top = _read(path).mapping({"vendor", "words", "objects", "traps"})
        if "vendor" not in top:
            raise InputError("vendor is missing", where=f"{path}:1")
        words.update({name: place.text() for name, place in _part(top, "words")})
        for place in top["objects"].items() if "objects" in top else []:
            oid, fact = _object(place)
            if objects.setdefault(oid, fact) != fact:
                raise place.error(f"object {fact.name} is described differently elsewhere")
        for place in top["traps"].items() if "traps" in top else []:
            oid, family, template = _trap(place)
            known = families if family else traps
            if oid in known:
                raise place.error(f"trap {template.name} has an OID that {known[oid].name} has already")
            known[oid] = template
    return TrapLibrary(traps, families, objects, words)


def _part(top: Mapping[str, _Place], name: str) -> Iterable[tuple[str, _Place]]:
    return top[name].mapping().items() if name in top else ()


def _read(path: Path) -> _Place:
    data = path.read_bytes()
    if len(data) > _MAX_BYTES:
        raise InputError(f"a file of the trap library is at most {_MAX_BYTES} bytes", where=str(path))
    try:
        text = data.decode("utf-8")
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark is not None else 1
                raise InputError("YAML aliases are not accepted", where=f"{path}:{line}")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise InputError(f"not YAML: {getattr(error, 'problem', None) or error}", where=where) from error
    if node is None:
        raise InputError("the file is empty", where=f"{path}:1")
    return _Place(node, str(path))


def _object(place: _Place) -> tuple[Oid, ObjectFact]:
    row = place.mapping({"oid", "name", "enum", "unit", "decimals", "kind"})
    _need(place, row, ("oid", "name"))
    kind = row["kind"].text() if "kind" in row else ""
    if kind not in KINDS:
        raise row["kind"].error(f"kind is one of {', '.join(sorted(KINDS - {''}))}")
    enum = {}
    for number, label in _part(row, "enum"):
        if not number.lstrip("-").isdigit():
            raise label.error(f"{number!r} is not a number of an enumeration")
        enum[int(number)] = label.text()
    unit = row["unit"].text() if "unit" in row else ""
    decimals = row["decimals"].number() if "decimals" in row else 0
    return row["oid"].oid(), ObjectFact(row["name"].name(), kind, enum, unit, decimals)


_TRAP_KEYS: Final = (
    "oid",
    "name",
    "severity",
    "zh",
    "en",
    "raises",
    "clears",
    "by",
    "severity_of",
    "severities",
)


def _trap(place: _Place) -> tuple[Oid, bool, TrapTemplate]:
    row = place.mapping(_TRAP_KEYS)
    _need(place, row, ("oid", "name", "severity", "zh", "en"))
    if "raises" in row and "clears" in row:
        raise row["clears"].error("a trap raises or clears, not both")
    state = "raise" if "raises" in row else "clear" if "clears" in row else ""
    pair = row["raises"].name() if "raises" in row else row["clears"].name() if "clears" in row else ""
    by = tuple(item.text() for item in row["by"].items()) if "by" in row else ()
    if by and not pair:
        raise row["by"].error("by belongs to raises or clears")
    if ("severity_of" in row) != ("severities" in row):
        raise place.error("severity_of and severities belong together")
    severities = {label: _severity(value, CLEAR) for label, value in _part(row, "severities")}
    oid, family = row["oid"].family()
    template = TrapTemplate(
        row["name"].name(),
        Severity(_severity(row["severity"])),
        row["zh"].sentence(),
        row["en"].sentence(),
        state,
        pair,
        by,
        row["severity_of"].name() if "severity_of" in row else "",
        severities,
    )
    return oid, family, template


def _severity(place: _Place, *more: str) -> str:
    if place.text() not in {*Severity, *more}:
        raise place.error(f"severity is one of {', '.join((*Severity, *more))}")
    return place.text()


def _need(place: _Place, row: Mapping[str, _Place], keys: Iterable[str]) -> None:
    for key in keys:
        if key not in row:
            raise place.error(f"{key} is missing")
