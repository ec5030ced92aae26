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

from collectors.place import Place, read_yaml
from collectors.receivers.facts import KINDS, ObjectFact
from collectors.snmp.ber import Oid, encode_oid
from monitor.model import Severity

_FOLDER: Final = Path(__file__).parent / "library"
_MAX_BYTES: Final = 256 * 1024
_MOST_DECIMALS: Final = 18
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


def load_library(folder: Path = _FOLDER) -> TrapLibrary:
    """Every file of a folder. InputError names file and line."""
    traps: dict[Oid, TrapTemplate] = {}
    families: dict[Oid, TrapTemplate] = {}
    objects: dict[Oid, ObjectFact] = {}
    words: dict[str, str] = {}
    for path in sorted(folder.glob("*.yml")):
        root = read_yaml(path, _MAX_BYTES)
        top = root.entries({"vendor", "words", "objects", "traps"})
        _need(root, top, ("vendor",))
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


def _part(top: Mapping[str, Place], name: str) -> Iterable[tuple[str, Place]]:
    return top[name].entries().items() if name in top else ()


def _object(place: Place) -> tuple[Oid, ObjectFact]:
    row = place.entries({"oid", "name", "enum", "unit", "decimals", "kind"})
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
    decimals = row["decimals"].integer(0, _MOST_DECIMALS) if "decimals" in row else 0
    return row["oid"].oid(), ObjectFact(_name(row["name"]), kind, enum, unit, decimals)


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


def _trap(place: Place) -> tuple[Oid, bool, TrapTemplate]:
    row = place.entries(_TRAP_KEYS)
    _need(place, row, ("oid", "name", "severity", "zh", "en"))
    if "raises" in row and "clears" in row:
        raise row["clears"].error("a trap raises or clears, not both")
    state = "raise" if "raises" in row else "clear" if "clears" in row else ""
    pair = _name(row["raises"]) if "raises" in row else _name(row["clears"]) if "clears" in row else ""
    by = tuple(item.text() for item in row["by"].items()) if "by" in row else ()
    if by and not pair:
        raise row["by"].error("by belongs to raises or clears")
    if ("severity_of" in row) != ("severities" in row):
        raise place.error("severity_of and severities belong together")
    severities = {label: _severity(value, CLEAR) for label, value in _part(row, "severities")}
    oid, family = _family(row["oid"])
    template = TrapTemplate(
        _name(row["name"]),
        Severity(_severity(row["severity"])),
        _sentence(row["zh"]),
        _sentence(row["en"]),
        state,
        pair,
        by,
        _name(row["severity_of"]) if "severity_of" in row else "",
        severities,
    )
    return oid, family, template


def _family(place: Place) -> tuple[Oid, bool]:
    """An OID, and whether it stands for all below it."""
    return place.parsed(lambda text: encode_oid(text.removesuffix(".*"))), place.text().endswith(".*")


def _name(place: Place) -> str:
    if not _NAME.fullmatch(place.text()):
        raise place.error(f"{place.text()!r} is not a name")
    return place.text()


def _sentence(place: Place) -> Sentence:
    text = place.text()
    left = _HOLE.sub("", _OPTION.sub(r"\1", text))
    if not text.strip() or any(mark in left for mark in "{}[]"):
        raise place.error("a sentence has holes {name} and optional parts [...], not nested")
    return Sentence(text)


def _severity(place: Place, *more: str) -> str:
    if place.text() not in {*Severity, *more}:
        raise place.error(f"severity is one of {', '.join((*Severity, *more))}")
    return place.text()


def _need(place: Place, row: Mapping[str, Place], keys: Iterable[str]) -> None:
    for key in keys:
        if key not in row:
            raise place.error(f"{key} is missing")
