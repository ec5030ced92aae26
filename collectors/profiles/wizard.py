"""Drafts a profile from a recorded walk: what it is recognised by, what known profiles read of it, and what else is
there, as commented suggestions with samples. Pure. The draft loads as it is; somebody who knows the device goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from collectors.profiles.library import Library
from collectors.profiles.match import DEFAULT, best_match
from collectors.profiles.profile import Profile, Source
from collectors.profiles.values import text_of
from collectors.profiles.wizard_tables import FoundScalar, FoundTable, find_tables
from collectors.snmp.ber import OBJECT_ID, Oid, VarBind, decode_oid, dotted, encode_oid
from monitor.errors import InputError

_SYS_DESCR: Final = encode_oid("1.3.6.1.2.1.1.1.0")
_SYS_OBJECT_ID: Final = encode_oid("1.3.6.1.2.1.1.2.0")
_ENTERPRISES: Final = (1, 3, 6, 1, 4, 1)
_ENTERPRISE_LENGTH: Final = 7
_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")
_VERSION: Final = re.compile(r"\b(?:[Vv]ersion|[Vv]er\.?|[Rr]elease|[Ff]irmware|SW)[ :]+(\S+)")
_DOTTED: Final = re.compile(r"\b[VvRr]?\d+\.\d+")
_SERIAL: Final = re.compile(r"^(?=.*\d)[\"']?[A-Z0-9][A-Z0-9/-]{6,}[\"']?$")
_MAX_FACTS: Final = 4  # candidates for one fact
_MAX_SUGGESTED: Final = 40  # tables
_MAX_SCALARS: Final = 60


@dataclass(frozen=True, slots=True)
class Draft:
    """A profile as YAML text; `extends`, the profile that recognises the device today, and what was found."""

    text: str
    extends: tuple[str, ...]
    matched: str
    tables: int
    scalars: int


def draft(name: str, varbinds: Sequence[VarBind], library: Library) -> Draft:
    """The draft of a profile `name`. Raises InputError for a bad name."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is not a profile name",
            hint="lower-case letters, digits and hyphens, such as acme-switch",
            zh=f"{name} 不能作设备画像名：请用小写字母、数字和连字符，例如 acme-switch",
        )
    values = {oid: (tag, value) for oid, tag, value in varbinds}
    descr = text_of(values[_SYS_DESCR]) if _SYS_DESCR in values else ""
    tag, raw = values.get(_SYS_OBJECT_ID, (OBJECT_ID, b""))
    object_id = raw if tag == OBJECT_ID and isinstance(raw, bytes) else b""
    profiles = {key: value for key, value in library.profiles.items() if key != name}
    matched = best_match(profiles.values(), object_id, descr, lambda oid: oid in values)
    extends = _extends(matched, profiles, values, object_id)
    known = _read_by(extends, profiles)
    unknown = [
        row for row in varbinds if _enterprise(row[0]) and not any(row[0].startswith(oid) for oid in known)
    ]
    tables, scalars = find_tables(unknown)
    vendor = _vendor(profiles, matched, object_id)
    lines = [
        *_head(name, descr, object_id, matched),
        f"name: {name}",
        f"extends: [{', '.join(extends)}]",
        *_match(object_id, descr),
        *_identity(extends, profiles, vendor, descr, scalars),
        *_suggestions(tables, scalars),
    ]
    return Draft("\n".join(lines) + "\n", tuple(extends), matched, len(tables), len(scalars))


def _head(name: str, descr: str, object_id: Oid, matched: str) -> list[str]:
    shown = " ".join(descr.split())
    return [
        f"# 由录制数据起草的设备画像 {name}，请核对后使用。 Drafted from a recorded walk: review before use.",
        f"# sysDescr: {shown[:100]}",
        f"# sysObjectID: {dotted(object_id) if object_id else '-'} (today: {matched})",
    ]


def _extends(
    matched: str, profiles: Mapping[str, Profile], values: Iterable[Oid], object_id: Oid
) -> list[str]:
    """The profile of the vendor when one matches, else every building block that finds something here."""
    vendor = profiles.get(matched)
    if (
        matched != DEFAULT
        and vendor is not None
        and any(_of_vendor(m.prefix, object_id) for m in vendor.matches)
    ):
        return [matched]
    oids = list(values)
    found = []
    for name, profile in profiles.items():
        if profile.matches or name == DEFAULT or any(module.reader for module in profile.modules):
            continue
        sources = [source.column for facts in profile.identity.values() for source in facts if source.column]
        told = any(oid.startswith(tuple(sources)) for oid in oids) if sources else False
        if told or any(_present(module.scalars, module.columns, oids) for module in profile.modules):
            found.append(name)
    return found or ["generic-if"]


def _present(scalars: Mapping[str, Oid], columns: Mapping[str, Oid], oids: Sequence[Oid]) -> bool:
    """Whether a walk has at least half of what a module reads."""
    wanted = _reads(scalars, columns)
    there = sum(any(oid.startswith(each) for oid in oids) for each in wanted)
    return bool(wanted) and there * 2 >= len(wanted)


def _of_vendor(prefix: Oid, object_id: Oid) -> bool:
    """Whether both lie below the same enterprise."""
    mine, theirs = decode_oid(object_id or b"\0"), decode_oid(prefix or b"\0")
    return len(theirs) >= _ENTERPRISE_LENGTH and mine[:_ENTERPRISE_LENGTH] == theirs[:_ENTERPRISE_LENGTH]


def _reads(scalars: Mapping[str, Oid], columns: Mapping[str, Oid]) -> list[Oid]:
    return [*scalars.values(), *columns.values()]


def _read_by(extends: Iterable[str], profiles: Mapping[str, Profile]) -> tuple[Oid, ...]:
    found = []
    for name in extends:
        for module in profiles[name].modules if name in profiles else ():
            found += _reads(module.scalars, module.columns)
            found += [lookup.column for lookup in module.lookups.values()]
    return tuple(found)


def _enterprise(oid: Oid) -> bool:
    return decode_oid(oid)[: len(_ENTERPRISES)] == _ENTERPRISES


def _vendor(profiles: Mapping[str, Profile], matched: str, object_id: Oid) -> str:
    """The vendor of any profile of the same enterprise."""
    for profile in profiles.values():
        if any(_of_vendor(match.prefix, object_id) for match in profile.matches):
            for source in profile.identity.get("vendor", ()):
                if source.value and "{}" not in source.value and not source.oid and not source.column:
                    return source.value
    return ""


def _match(object_id: Oid, descr: str) -> list[str]:
    subids = decode_oid(object_id) if object_id else ()
    if len(subids) > _ENTERPRISE_LENGTH:
        lines = ["match:", f"  - {{sys_object_id: {dotted(object_id)}}}"]
        shorter = ".".join(map(str, subids[:-1]))
        return [*lines, f"  # - {{sys_object_id: {shorter}}}   # 同系列 the whole series, if it is one"]
    word = re.match(r"[A-Za-z][\w-]+", descr)
    if len(subids) == _ENTERPRISE_LENGTH:
        return ["match:", f"  - {{sys_object_id: {dotted(object_id)}}}"]
    return ["match:", f"  - {{sys_descr: {_quoted('^' + re.escape(word[0]))}}}"] if word else []


def _identity(
    extends: Sequence[str],
    profiles: Mapping[str, Profile],
    vendor: str,
    descr: str,
    scalars: Sequence[FoundScalar],
) -> list[str]:
    inherited: dict[str, Sequence[Source]] = {}
    for name in extends:
        inherited |= profiles[name].identity if name in profiles else {}
    lines = []
    if "vendor" not in inherited:
        lines.append(f"  vendor: {vendor}" if vendor else "  # vendor: 厂商 vendor")
    if "os" not in inherited:
        lines.append("  # os: 操作系统 operating system")
    if "version" not in inherited:
        found = _VERSION.search(descr)
        source = r"\b(?:[Vv]ersion|[Vv]er\.?|[Rr]elease|[Ff]irmware|SW)[ :]+([^\s,;]+)"
        rule = f"version: {{oid: 1.3.6.1.2.1.1.1.0, regex: {_quoted(source)}}}"
        lines.append(f"  {rule}   # {found[1][:30]}" if found else f"  # {rule}")
        lines += _facts("version", _DOTTED, scalars)
    if "serial" not in inherited:
        lines += _facts("serial", _SERIAL, scalars)
    if all(line.lstrip().startswith("#") for line in lines):
        return ["# identity:", *lines] if lines else []
    return ["identity:", *lines]


def _facts(key: str, pattern: re.Pattern[str], scalars: Sequence[FoundScalar]) -> list[str]:
    """Scalars whose text may be a fact of the identity."""
    texts = [scalar for scalar in scalars if scalar.guess == "name" and pattern.search(scalar.sample)]
    return [
        f"  # {key}: {{oid: {'.'.join(map(str, scalar.oid))}.0}}   # {scalar.sample}"
        for scalar in texts[:_MAX_FACTS]
    ]


def _suggestions(tables: Sequence[FoundTable], scalars: Sequence[FoundScalar]) -> list[str]:
    """Everything as comments that become valid when `# ` in front of them is taken away."""
    if not tables and not scalars:
        return []
    lines = [
        "",
        "# 以下为候选数据，去掉行首 '# ' 即可启用。 Candidates: take `# ` away in front of what you want.",
    ]
    body = _scalar_module(scalars[:_MAX_SCALARS]) if scalars else []
    for table in tables[:_MAX_SUGGESTED]:
        body += _table_module(table)
    if any(not line.lstrip().startswith("#") for line in body):
        body.insert(0, "modules:")
    return [*lines, *(f"# {line}" for line in body)]


def _scalar_module(scalars: Sequence[FoundScalar]) -> list[str]:
    lines, emits = [], []
    for number, scalar in enumerate(scalars, 1):
        oid = ".".join(map(str, scalar.oid))
        told = _told(scalar.guess, (scalar.sample,))
        if scalar.guess in _NO_VALUE:
            lines.append(f"      # {oid}.0   {told}")
            continue
        lines.append(f"      s{number}: {oid}.0   # {told}")
        emits.append(f"      - {_emit(scalar.guess, f's{number}', f'scalar {number}', '', scalar.sample)}")
    return _module("scalars", "", "scalars", "emit", lines, emits)


def _table_module(table: FoundTable) -> list[str]:
    entry = ".".join(map(str, table.entry))
    name = "table-" + "-".join(map(str, table.entry[len(_ENTERPRISES) : -1]))
    label = next((f"{{c{c.number}}}" for c in table.columns if c.guess == "name"), "{index}")
    lines, emits = [], []
    for column in table.columns:
        told = _told(column.guess, column.samples)
        if column.guess in _NO_VALUE and f"{{c{column.number}}}" != label:
            lines.append(f"      # {entry}.{column.number}   {told}")
            continue
        lines.append(f"      c{column.number}: {entry}.{column.number}   # {told}")
        if column.guess not in _NO_VALUE:
            emit = _emit(column.guess, f"c{column.number}", label, "{index}", column.samples[0])
            emits.append(f"      - {emit}")
    return _module(name, f"   # {entry}: {table.rows} 行 rows", "columns", "rows", lines, emits)


def _module(
    name: str, told: str, sources: str, emits_as: str, lines: Sequence[str], emits: Sequence[str]
) -> list[str]:
    """A module; when nothing of it has a value it stays a comment even when the draft's `# ` is taken away."""
    if emits:
        return [f"  {name}:{told}", f"    {sources}:", *lines, f"    {emits_as}:", *emits]
    return [f"  # {name}{told}", *(f"      # {line.strip().removeprefix('# ')}" for line in lines)]


def _emit(guess: str, alias: str, label: str, index: str, sample: str) -> str:
    name = f'name: "{label}"'
    if guess == "percent":
        return f"{{kind: processor, {name}, percent: {alias}}}"
    if guess == "temperature":
        return f"{{kind: sensor, class: temperature, {name}, value: {alias}}}"
    if guess == "unit":
        return f"{{kind: sensor, class: {_class_of(sample)}, {name}, value: {alias}}}"
    if guess == "enum":
        return f'{{kind: component, {name}, state: "{{{alias}}}", states: {{"1": ok, "2": critical}}}}'
    labels = f'labels: {{row: "{index}", name: "{label}"}}' if index else f'labels: {{name: "{label}"}}'
    return f"{{kind: metrics, {labels}, values: {{vendor_{alias}: {alias}}}}}"


def _class_of(sample: str) -> str:
    for ending, kind in (
        ("%", "percent"), ("C", "temperature"), ("℃", "temperature"), ("V", "voltage"), ("A", "current"),
        ("W", "power"), ("RPM", "fanspeed"), ("dBm", "dbm"), ("MHz", "frequency"),
    ):  # fmt: skip
        if sample.strip().upper().endswith(ending.upper()):
            return kind
    return "count"


_NO_VALUE: Final = frozenset({"name", "text", "octets", "index"})
_TOLD: Final = {
    "name": "名称 name",
    "text": "文本 text",
    "unit": "带单位的数值 number with a unit",
    "percent": "0..100，可能是百分比 perhaps percent",
    "temperature": "可能是温度 perhaps degrees Celsius",
    "enum": "可能是状态 perhaps a state",
    "counter": "计数器 counter",
    "ticks": "时长，1/100 秒 time in 1/100 s",
    "number": "数值 number",
    "index": "序号 row number",
    "octets": "二进制 octets",
}


def _told(guess: str, samples: Sequence[str]) -> str:
    shown = ", ".join(sample or "''" for sample in samples)
    return f"{_TOLD[guess]}: {shown}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
