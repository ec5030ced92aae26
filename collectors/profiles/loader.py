"""Reads profiles from YAML, strictly: unknown keys, bad OIDs, formulas and names are errors with file:line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from collectors.place import Place, read_yaml
from collectors.profiles.checks import check_alias, check_emit, check_module
from collectors.profiles.expression import Expression, compile_expression
from collectors.profiles.profile import (
    ABSENT,
    FORMS,
    IDENTITY_FIELDS,
    KINDS,
    SENSOR_CLASSES,
    STATES,
    Emit,
    Extract,
    LookupColumn,
    Match,
    Module,
    Profile,
    Source,
    Template,
    ValueMap,
)
from monitor.errors import InputError

_MAX_BYTES: Final = 64 * 1024
_MAX_CHAIN: Final = 8  # of profiles that extend each other
_MAX_REGEX: Final = 300
_HOLE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_NAME: Final = re.compile(r"[a-z][a-zA-Z0-9_-]*")
_METRIC: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

_MODULE_KEYS: Final = ("scalars", "columns", "lookups", "maps", "extracts", "absent", "emit", "rows")


class Located(Protocol):
    """A place in a file that errors can name."""

    def error(self, message: str) -> InputError:
        """An error with file:line."""
        ...


@dataclass(frozen=True, slots=True)
class RawProfile:
    """One file before `extends` is resolved. `replaces`: it may stand for a profile of the same name of ours."""

    place: Located
    extends: tuple[tuple[str, Located], ...]
    profile: Profile
    replaces: bool = False


def load_profiles(folder: Path | None = None) -> Mapping[str, Profile]:
    """All profiles of a folder (default: those that ship with the program) by name. Raises InputError."""
    folder = folder or Path(__file__).parent
    return resolve([parse_profile(path) for path in sorted(folder.glob("*.yml"))])


def parse_profile(path: Path) -> RawProfile:
    """One file, not yet merged with what it extends. Raises InputError with file:line."""
    return _profile(read_yaml(path, _MAX_BYTES), path.stem)


def resolve(raws: Iterable[RawProfile]) -> Mapping[str, Profile]:
    """Merge `extends`: inherited modules first, own modules replace those of the same name; identity likewise."""
    by_name = {raw.profile.name: raw for raw in raws}
    done: dict[str, Profile] = {}

    def merged(name: str, place: Located, chain: tuple[str, ...]) -> Profile:
        if name in done:
            return done[name]
        if name not in by_name:
            raise place.error(f"profile {name} does not exist")
        if name in chain:
            raise place.error(f"profiles extend each other: {' -> '.join((*chain, name))}")
        if len(chain) >= _MAX_CHAIN:
            raise place.error(f"profiles extend each other more than {_MAX_CHAIN} levels deep")
        raw = by_name[name]
        parents = [merged(parent, at, (*chain, name)) for parent, at in raw.extends]
        modules = {module.name: module for parent in parents for module in parent.modules}
        modules.update({module.name: module for module in raw.profile.modules})
        identity: dict[str, tuple[Source, ...]] = {}
        for profile in (raw.profile, *parents):
            for field, sources in profile.identity.items():
                own = identity.get(field, ())
                if not (own and own[-1] == Source()):  # an empty text at the end: nothing inherited is tried
                    identity[field] = (*own, *sources)
        done[name] = Profile(name, raw.profile.matches, identity, tuple(modules.values()))
        return done[name]

    return {name: merged(name, raw.place, ()) for name, raw in by_name.items()}


def _profile(place: Place, stem: str) -> RawProfile:
    keys = place.entries({"name", "replaces", "extends", "match", "identity", "modules"})
    if "name" not in keys or keys["name"].text() != stem:
        raise place.error(f"name must be {stem}, as the file")
    extends = tuple((item.text(), item) for item in _several(keys["extends"])) if "extends" in keys else ()
    matches = tuple(_match(item) for item in _several(keys["match"])) if "match" in keys else ()
    identity = keys["identity"].entries(IDENTITY_FIELDS) if "identity" in keys else {}
    sources = {field: tuple(_source(item) for item in _several(value)) for field, value in identity.items()}
    modules = keys["modules"].entries() if "modules" in keys else {}
    read = tuple(_module(name, value) for name, value in modules.items())
    replaces = "replaces" in keys and keys["replaces"].text() == "true"
    if "replaces" in keys and not replaces:
        raise keys["replaces"].error("replaces is true, or is left out")
    return RawProfile(place, extends, Profile(stem, matches, sources, read), replaces)


def _match(place: Place) -> Match:
    keys = place.entries({"sys_object_id", "sys_descr", "exists"})
    if not keys:
        raise place.error("a match has sys_object_id, sys_descr or exists")
    return Match(
        prefix=keys["sys_object_id"].oid() if "sys_object_id" in keys else b"",
        descr=_regex(keys["sys_descr"]) if "sys_descr" in keys else None,
        exists=keys["exists"].oid() if "exists" in keys else b"",
    )


def _source(place: Place) -> Source:
    if place.scalar:
        return Source(value=place.text())
    keys = place.entries({"oid", "column", "where_column", "equals", "regex", "values", "value"})
    regex = _regex(keys["regex"]) if "regex" in keys else None
    if "oid" not in keys and "column" not in keys:
        raise place.error("an identity source is a text, or has oid or column")
    if "oid" in keys and "column" in keys:
        raise place.error("an identity source has oid or column, not both")
    if ("where_column" in keys) != ("equals" in keys) or ("equals" in keys and "column" not in keys):
        raise place.error("where_column and equals belong together, and to a column")
    return Source(
        value=keys["value"].text() if "value" in keys else "",
        oid=keys["oid"].oid() if "oid" in keys else b"",
        column=keys["column"].oid() if "column" in keys else b"",
        where_column=keys["where_column"].oid() if "where_column" in keys else b"",
        equals=_strings(keys["equals"]) if "equals" in keys else frozenset(),
        regex=regex,
        values={key: value.text() for key, value in _named(keys, "values").items()},
    )


def _module(name: str, place: Place) -> Module:
    keys = place.entries(_MODULE_KEYS)
    if not _NAME.fullmatch(name):
        raise place.error(f"{name!r} is not a module name")
    lookups = {alias: _lookup(value) for alias, value in _aliased(keys, "lookups").items()}
    maps = {alias: _map(value) for alias, value in _aliased(keys, "maps").items()}
    extracts = {alias: _extract(value) for alias, value in _aliased(keys, "extracts").items()}
    module = Module(
        name=name,
        scalars={alias: value.oid() for alias, value in _aliased(keys, "scalars").items()},
        columns={alias: value.oid() for alias, value in _aliased(keys, "columns").items()},
        lookups=lookups,
        maps=maps,
        extracts=extracts,
        absent={alias: _strings(value) for alias, value in _named(keys, "absent").items()},
        emit=tuple(_emit(item, in_rows=False) for item in _several(keys["emit"])) if "emit" in keys else (),
        rows=tuple(_emit(item, in_rows=True) for item in _several(keys["rows"])) if "rows" in keys else (),
    )
    check_module(module, place)
    return module


def _named(keys: Mapping[str, Place], key: str) -> dict[str, Place]:
    return keys[key].entries() if key in keys else {}


def _aliased(keys: Mapping[str, Place], key: str) -> dict[str, Place]:
    found = _named(keys, key)
    for alias, value in found.items():
        check_alias(alias, value)
    return found


def _several(place: Place) -> list[Place]:
    return place.value if isinstance(place.value, list) else [place]


def _strings(place: Place) -> frozenset[str]:
    return frozenset(item.text() for item in _several(place))


def _regex(place: Place) -> re.Pattern[str]:
    if len(place.text()) > _MAX_REGEX:
        raise place.error(f"a regular expression is at most {_MAX_REGEX} characters")
    try:
        return place.parsed(re.compile)
    except RecursionError as error:
        raise place.error("bad regular expression: nested too deep") from error


def _lookup(place: Place) -> LookupColumn:
    keys = place.entries({"column", "by"})
    if len(keys) != 2:
        raise place.error("a lookup has column and by")
    by = keys["by"]
    template = _template(by) if "{" in by.text() or by.text().isdigit() else Template((("", by.text()),))
    return LookupColumn(keys["column"].oid(), template)


def _extract(place: Place) -> Extract:
    keys = place.entries({"from", "regex", "as"})
    if "from" not in keys or len(keys) < 2:
        raise place.error("an extract has from, and regex or as")
    form = keys["as"].text() if "as" in keys else FORMS[0]
    if form not in FORMS:
        raise keys["as"].error(f"{form} is not a form (known: {', '.join(FORMS)})")
    return Extract(keys["from"].text(), _regex(keys["regex"]) if "regex" in keys else None, form)


def _map(place: Place) -> ValueMap:
    keys = place.entries({"from", "values"})
    if len(keys) != 2:
        raise place.error("a map has from and values")
    return ValueMap(
        keys["from"].text(), {key: value.text() for key, value in keys["values"].entries().items()}
    )


def _emit(place: Place, *, in_rows: bool) -> Emit:
    kind = place.entries().get("kind", place).text()
    if kind not in KINDS:
        raise place.error(f"kind {kind} is not known (known: {', '.join(KINDS)})")
    formulas, texts = KINDS[kind]
    extra = {"labels", "values"} if kind == "metrics" else {"name", "admin", "oper"}
    keys = place.entries(
        {"kind", "where", "like", "when", "when_missing", "states", *extra, *formulas, *texts}
    )
    states = {key: value.text() for key, value in _named(keys, "states").items()}
    if bad := set(states.values()) - {*STATES, ABSENT}:
        raise keys["states"].error(
            f"state {', '.join(sorted(bad))} is not one of {', '.join((*STATES, ABSENT))}"
        )
    check_emit(kind, keys, place, in_rows=in_rows)
    if kind == "sensor":
        _check_class(keys, place)
    return Emit(
        kind=kind,
        name=tuple(_template(item) for item in _several(keys["name"])) if "name" in keys else (),
        where={alias: _strings(value) for alias, value in _named(keys, "where").items()},
        like={alias: _regex(value) for alias, value in _named(keys, "like").items()},
        when_missing=keys["when_missing"].text() if "when_missing" in keys else "",
        when=keys["when"].parsed(compile_expression) if "when" in keys else None,
        formulas={key: keys[key].parsed(compile_expression) for key in formulas if key in keys},
        texts={key: _template(keys[key]) for key in (*texts, "admin", "oper") if key in keys},
        states=states,
        labels={key: _template(value) for key, value in _named(keys, "labels").items()},
        values={key: _metric(key, value) for key, value in _named(keys, "values").items()},
    )


def _check_class(keys: Mapping[str, Place], place: Place) -> None:
    if "class" not in keys:
        raise place.error("a sensor has a class")
    text = keys["class"].text()
    if text not in SENSOR_CLASSES and not _HOLE.search(text):
        raise keys["class"].error(f"class {text} is not known (known: {', '.join(SENSOR_CLASSES)})")


def _metric(name: str, place: Place) -> Expression:
    if not _METRIC.fullmatch(name):
        raise place.error(f"{name!r} is not a metric name")
    return place.parsed(compile_expression)


def _template(place: Place) -> Template:
    parts: list[tuple[str, str]] = []
    text, at = place.text(), 0
    for hole in _HOLE.finditer(text):
        parts.append((text[at : hole.start()], hole.group(1)))
        at = hole.end()
    if at < len(text) or not parts:
        parts.append((text[at:], ""))
    if any("{" in literal or "}" in literal for literal, _ in parts):
        raise place.error(f"{text!r} has braces that are no hole: a hole is {{alias}} in small letters")
    return Template(tuple(parts))
