"""Looks through profile and snmp.yml files: everything the loaders refuse, and what they cannot see.

A finding names its file and line. Findings beyond errors: an alias nothing uses, a match another profile has too, a
metric whose object the module never asks for, two metrics of one object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from collectors.place import Place, read_yaml
from collectors.profiles.checks import aliases_used
from collectors.profiles.library import Library
from collectors.profiles.loader import parse_profile, resolve
from collectors.profiles.modules_loader import MAX_BYTES, is_module_file, parse_modules
from collectors.profiles.profile import Module, Profile
from collectors.snmp.ber import dotted
from monitor.errors import InputError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a file. `where` is file:line."""

    where: str
    message: str
    zh: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def lint(path: Path, library: Library) -> list[Finding]:
    """All findings of one file; `library` holds the profiles it may extend."""
    try:
        root = read_yaml(path, MAX_BYTES)
        return list(_modules(root) if is_module_file(root) else _profile(path, root, library))
    except InputError as error:
        return [_refused(error)]


def _refused(error: InputError) -> Finding:
    _, colon, zh = error.zh.partition("：")
    return Finding(error.where, error.message, zh if colon else error.zh)


def _profile(path: Path, root: Place, library: Library) -> Iterator[Finding]:
    raw = parse_profile(path)
    name = raw.profile.name
    others = {key: value for key, value in library.raws.items() if key != name}
    known = library.sources.get(name)
    if known is not None and not raw.replaces and known.resolve() != path.resolve():
        yield _at(
            root,
            f"profile {name} exists already ({known}); give it another name, or write `replaces: true`",
            f"设备画像 {name} 已存在（{known}），请改名，或写明 replaces: true",
        )
    resolve([*others.values(), raw])
    for module in raw.profile.modules:
        yield from _unused(module, _child(root, "modules", module.name))
    yield from _ambiguous(raw.profile, root, library, path)


def _unused(module: Module, place: Place) -> Iterator[Finding]:
    used = aliases_used(module)
    for group in ("scalars", "columns", "lookups", "maps", "extracts"):
        for alias in getattr(module, group):
            if alias not in used:
                yield _at(
                    _child(place, group, alias),
                    f"{alias} is read but never used in module {module.name}",
                    f"模块 {module.name} 读取了 {alias}，却没有使用",
                )


def _ambiguous(profile: Profile, root: Place, library: Library, path: Path) -> Iterator[Finding]:
    mine = {(m.prefix, m.descr.pattern if m.descr else "", m.exists) for m in profile.matches}
    for other in library.profiles.values():
        known = library.sources.get(other.name)
        if other.name == profile.name or (known is not None and known.resolve() == path.resolve()):
            continue
        theirs = {(m.prefix, m.descr.pattern if m.descr else "", m.exists) for m in other.matches}
        for prefix, descr, _ in mine & theirs:
            text = dotted(prefix) if prefix else descr
            yield _at(
                _child(root, "match"),
                f"match {text} is the same as that of profile {other.name}",
                f"识别条件 {text} 与设备画像 {other.name} 相同",
            )


def _modules(root: Place) -> Iterator[Finding]:
    files = parse_modules(root)
    keys = {key.text(): value for key, value in root.pairs}
    places = keys["modules"] if "auths" in keys or set(keys) == {"modules"} else root
    for name, module in files.modules.items():
        seen: dict[bytes, str] = {}
        metrics = _child(places, name, "metrics")
        items = metrics.items() if metrics.pairs == () and isinstance(metrics.value, list) else []
        for place, metric in zip(items, module.metrics, strict=False):
            if metric.oid in seen:
                other = seen[metric.oid]
                yield _at(
                    place,
                    f"{metric.name} and {other} read the same object; only one of them is told",
                    f"{metric.name} 与 {other} 读取同一对象，只有一个会输出",
                )
            seen[metric.oid] = metric.name
            asked = (
                *module.walk,
                *module.get,
                *(target for rule in module.filters for target in rule.targets),
            )
            if not any(oid.startswith(metric.oid) or metric.oid.startswith(oid) for oid in asked):
                yield _at(
                    place,
                    f"{metric.name} ({dotted(metric.oid)}) is not below anything that walk or get ask for",
                    f"{metric.name}（{dotted(metric.oid)}）不在 walk 或 get 的范围内",
                )


def _child(place: Place, *keys: str) -> Place:
    """The place below, as far down as there is one."""
    for key in keys:
        found: Mapping[str, Place] = {name.text(): value for name, value in place.pairs if name.scalar}
        if key not in found:
            return place
        place = found[key]
    return place


def _at(place: Place, message: str, zh: str) -> Finding:
    return Finding(f"{place.file}:{place.line}", message, zh)
