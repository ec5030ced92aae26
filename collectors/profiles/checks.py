"""What a profile must be beyond its keys: names that formulas can use, aliases that exist, emits that say something.

Pure; every check raises InputError at the place it is handed, with what to do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from collectors.place import Place
from collectors.profiles.profile import INDEX, Emit, Module

_ALIAS: Final = re.compile(r"[a-z][a-z0-9_]*")
# What an emit of a kind needs at least one of.
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "processor": ("percent",),
    "memory": ("used", "size", "free", "percent"),
    "storage": ("used", "size", "free", "percent"),
    "sensor": ("value", "state"),
    "component": ("state",),
    "metrics": ("values",),
}


def check_alias(name: str, place: Place) -> None:
    """A name that holes and formulas can refer to."""
    if not _ALIAS.fullmatch(name):
        raise place.error(f"{name!r} cannot be an alias: use small letters, digits and _")


def check_emit(kind: str, keys: Mapping[str, Place], place: Place, *, in_rows: bool) -> None:
    """An emit says something, and one from scalars has a name (a row has its index)."""
    needed = _NEEDED.get(kind, ())
    if needed and not any(key in keys for key in needed):
        raise place.error(f"a {kind} has {' or '.join(needed)}")
    if "states" in keys and "state" not in keys:
        raise keys["states"].error('states translate a state: add state, such as state: "{alias}"')
    if not in_rows and kind == "interface":
        raise place.error("an interface is a row: move it from emit to rows")
    if not in_rows and kind != "metrics" and "name" not in keys:
        raise place.error(f"a {kind} from scalars has a name")


def check_module(module: Module, place: Place) -> None:
    """Every alias that is used is defined, once, and not by itself; rows have columns."""
    groups = (module.scalars, module.columns, module.lookups, module.maps, module.extracts)
    defined = [alias for group in groups for alias in group]
    if doubles := {alias for alias in defined if defined.count(alias) > 1 or alias == INDEX}:
        raise place.error(f"{', '.join(sorted(doubles))} is defined twice")
    if unknown := aliases_used(module) - set(defined) - {INDEX}:
        raise place.error(f"{', '.join(sorted(unknown))} is not defined in module {module.name}")
    if module.rows and not module.columns:
        raise place.error(f"module {module.name} has rows but no columns: add columns, or use emit")
    if circle := _circle(module):
        raise place.error(f"aliases are defined by each other: {' -> '.join(circle)}")


def aliases_used(module: Module) -> set[str]:
    """Every alias that something of a module refers to."""
    used = {alias for sources in _sources(module).values() for alias in sources} | set(module.absent)
    for emit in (*module.emit, *module.rows):
        used |= _used_by(emit)
    return used


def _used_by(emit: Emit) -> set[str]:
    used = set(emit.where) | set(emit.like) | ({emit.when_missing} - {""})
    used |= emit.when.names if emit.when is not None else frozenset()
    for formula in (*emit.formulas.values(), *emit.values.values()):
        used |= formula.names
    for template in (*emit.name, *emit.texts.values(), *emit.labels.values()):
        used |= {alias for _, alias in template.parts if alias}
    return used


def _sources(module: Module) -> dict[str, set[str]]:
    """What each derived alias is made from."""
    found = {alias: {item.source} for alias, item in module.maps.items()}
    found |= {alias: {item.source} for alias, item in module.extracts.items()}
    for alias, lookup in module.lookups.items():
        found[alias] = {name for _, name in lookup.by.parts if name}
    return found


def _circle(module: Module) -> list[str]:
    sources = _sources(module)
    done: set[str] = set()
    for start in sources:
        path = [start]
        while path and path[-1] not in done:
            following = [name for name in sources.get(path[-1], ()) if name in sources and name not in done]
            if not following:
                done.add(path.pop())
            elif following[0] in path:
                return [*path[path.index(following[0]) :], following[0]]
            else:
                path.append(following[0])
    return []
