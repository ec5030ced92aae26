"""From a decoded trap to sentences, severity and fields. Pure; the knowledge is MibFacts and TrapLibrary.

A trap with a template is told in its words. One that only the MIB set knows is told by its name and its varbinds, an
unknown one by its OID, and its raw octets are kept for whoever writes the template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from collectors.receivers.facts import MibFacts, find_object, shown
from collectors.receivers.library import TrapLibrary, TrapTemplate
from collectors.snmp.ber import MAX_SUBIDS, NUMERIC, OBJECT_ID, Oid, VarBind, decode_oid, dotted, encode_oid
from collectors.snmp.message import Trap
from monitor.model import Severity

FIELD_LIMIT: Final = 32
LIST_LIMIT: Final = 4096
TOLD_LIMIT: Final = 6

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Described:
    """A trap in words. `name` is empty when it is unknown; `fields` are the varbinds whose objects are known, by name,
    `listing` is all of them in order. `pair` is equal for what raises and what clears the same condition.
    """

    name: str
    severity: Severity
    zh: str
    en: str
    fields: Mapping[str, str]
    listing: str
    state: str = ""
    pair: str = ""


@dataclass(frozen=True, slots=True)
class _Shown:
    name: str
    instance: str
    value: str
    zh: str
    known: bool


class Translator:
    """Built once; safe from several threads."""

    def __init__(self, facts: MibFacts, library: TrapLibrary) -> None:
        self._objects = {**facts.objects, **library.objects}
        self._templates = library.traps
        self._families = library.families
        self._words = library.words
        self._names: dict[Oid, str] = dict(facts.names)
        self._names |= {oid: fact.name for oid, fact in self._objects.items()}
        self._names |= {oid: template.name for oid, template in library.traps.items()}

    def describe(self, trap: Trap) -> Described:
        """Never fails: what is not understood is shown as it came."""
        rows = [self._shown(varbind) for varbind in trap.varbinds]
        values: dict[str, str] = {}
        chinese: dict[str, str] = {}
        for row in rows:
            values.setdefault(row.name, row.value)
            chinese.setdefault(row.name, row.zh)
            values.setdefault(f"{row.name}#", row.instance)
            chinese.setdefault(f"{row.name}#", row.instance)
        fields = {row.name: row.value for row in reversed(rows[:FIELD_LIMIT]) if row.known}
        listing = "; ".join(f"{_full(row)}={row.value}" for row in rows)[:LIST_LIMIT]
        template = _find(self._templates, trap.trap_oid) or _family(self._families, trap.trap_oid)
        if template is not None:
            return _templated(template, values, chinese, fields, listing)
        name = _find(self._names, trap.trap_oid) or ""
        return _plain(name, dotted(trap.trap_oid), rows, fields, listing)

    def name_of(self, trap_oid: Oid) -> str:
        """The name of a trap, or its dotted OID."""
        return _find(self._names, trap_oid) or dotted(trap_oid)

    def _shown(self, varbind: VarBind) -> _Shown:
        oid, tag, value = varbind
        found = find_object(self._objects, oid)
        fact, instance = found if found is not None else (None, "")
        text = shown(tag, value, fact, self._names)
        labelled = tag == OBJECT_ID or (fact is not None and tag in NUMERIC and text in fact.enum.values())
        chinese = self._words.get(text, text) if labelled else text
        return _Shown(fact.name if fact else dotted(oid), instance, text, chinese, fact is not None)


def _find(known: Mapping[Oid, T], oid: Oid) -> T | None:
    """By the OID, else with or without the zero that stands before the last sub-identifier (RFC 3584 section 3.1):
    MIBs and devices disagree about it.
    """
    if oid in known:
        return known[oid]
    subids = decode_oid(oid)
    if len(subids) < 4:
        return None
    other = (*subids[:-2], subids[-1]) if subids[-2] == 0 else (*subids[:-1], 0, subids[-1])
    return known.get(encode_oid(other)) if len(other) <= MAX_SUBIDS else None


def _family(known: Mapping[Oid, T], oid: Oid) -> T | None:
    """By the longest prefix."""
    subids = decode_oid(oid)
    for length in range(len(subids) - 1, 4, -1):
        found = known.get(encode_oid(subids[:length]))
        if found is not None:
            return found
    return None


def _templated(
    template: TrapTemplate,
    values: Mapping[str, str],
    chinese: Mapping[str, str],
    fields: Mapping[str, str],
    listing: str,
) -> Described:
    by = ":".join(values.get(name, "") for name in template.by)
    pair = f"{template.pair}:{by}" if template.pair and template.by else template.pair
    zh, en = template.zh.filled(chinese), template.en.filled(values)
    severity, state = template.weighed(values)
    return Described(template.name, severity, zh, en, fields, listing, state, pair)


def _plain(name: str, oid: str, rows: list[_Shown], fields: Mapping[str, str], listing: str) -> Described:
    told = rows[:TOLD_LIMIT]
    zh = "，".join(f"{_full(row)}={row.zh}" for row in told)
    en = ", ".join(f"{_full(row)}={row.value}" for row in told)
    if len(rows) > TOLD_LIMIT:
        zh, en = f"{zh} 等 {len(rows)} 项", f"{en} and {len(rows) - TOLD_LIMIT} more"
    what_zh = f"陷阱 {name}" if name else f"未知陷阱 {oid}"
    what_en = f"Trap {name}" if name else f"Unknown trap {oid}"
    zh, en = what_zh + (zh and f"：{zh}"), what_en + (en and f": {en}")
    return Described(name, Severity.INFO, zh, en, fields, listing)


def _full(row: _Shown) -> str:
    return f"{row.name}.{row.instance}" if row.instance not in {"", "0"} else row.name
