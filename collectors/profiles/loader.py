"""Reads profiles from YAML, strictly: unknown keys, bad OIDs, formulas and names are errors with file:line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

import yaml

from collectors.profiles.expression import Expression, compile_expression
from collectors.profiles.profile import (
    ABSENT,
    FORMS,
    IDENTITY_FIELDS,
    INDEX,
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
from collectors.snmp.ber import Oid, encode_oid
from monitor.errors import InputError

_MAX_BYTES: Final = 64 * 1024
_LOADER: Final = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # libyaml is ten times as fast where it is built in
_MAX_DEPTH: Final = 12  # of YAML collections in each other; profiles use seven
_MAX_CHAIN: Final = 8  # of profiles that extend each other
_MAX_REGEX: Final = 300
_HOLE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_NAME: Final = re.compile(r"[a-z][a-zA-Z0-9_-]*")
_METRIC: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

_MODULE_KEYS: Final = ("scalars", "columns", "lookups", "maps", "extracts", "absent", "emit", "rows")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Place:
    """A YAML node and the file it stands in."""

    node: yaml.Node
    file: str

    def error(self, message: str) -> InputError:
        line = self.node.start_mark.line + 1
        return InputError(
            message, where=f"{self.file}:{line}", zh=f"{self.file}:{line}：设备画像有误：{message}"
        )

    def text(self) -> str:
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.error("a single value is required here")
        return str(self.node.value)

    def items(self) -> list[_Place]:
        if isinstance(self.node, yaml.SequenceNode):
            return [_Place(node, self.file) for node in self.node.value]
        return [self]

    def mapping(self, allowed: Iterable[str] | None = None) -> dict[str, _Place]:
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("a mapping is required here")
        known = None if allowed is None else set(allowed)
        found: dict[str, _Place] = {}
        for key, value in self.node.value:
            name = _Place(key, self.file).text()
            if name in found:
                raise _Place(key, self.file).error(f"key {name} is given twice")
            if known is not None and name not in known:
                hint = ", ".join(sorted(known))
                raise _Place(key, self.file).error(f"key {name} is not known here (known: {hint})")
            found[name] = _Place(value, self.file)
        return found

    def parsed(self, parse: Callable[[str], T]) -> T:
        try:
            return parse(self.text())
        except InputError as error:
            raise self.error(error.message) from error

    def regex(self) -> re.Pattern[str]:
        if len(self.text()) > _MAX_REGEX:
            raise self.error(f"a regular expression is at most {_MAX_REGEX} characters")
        try:
            return re.compile(self.text())
        except (re.error, OverflowError, RecursionError) as error:
            raise self.error(f"bad regular expression: {error}") from error

    def oid(self) -> Oid:
        return self.parsed(encode_oid)

    def strings(self) -> frozenset[str]:
        return frozenset(item.text() for item in self.items())


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
    data = path.read_bytes()
    if len(data) > _MAX_BYTES:
        raise InputError(f"a profile is at most {_MAX_BYTES} bytes", where=str(path))
    try:
        text = data.decode("utf-8")
        _check_shape(text, path)
        node = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise InputError(f"not YAML: {getattr(error, 'problem', None) or error}", where=where) from error
    if node is None:
        raise InputError("the profile is empty", where=f"{path}:1")
    return _profile(_Place(node, str(path)), path.stem)


def _check_shape(text: str, path: Path) -> None:
    """No aliases and no deep nesting, before anything is built from it."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise InputError("YAML aliases are not accepted", where=str(path))
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise InputError(f"nested more than {_MAX_DEPTH} levels deep", where=str(path))


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


def _profile(place: _Place, stem: str) -> RawProfile:
    keys = place.mapping({"name", "replaces", "extends", "match", "identity", "modules"})
    if "name" not in keys or keys["name"].text() != stem:
        raise place.error(f"name must be {stem}, as the file")
    extends = tuple((item.text(), item) for item in keys["extends"].items()) if "extends" in keys else ()
    matches = tuple(_match(item) for item in keys["match"].items()) if "match" in keys else ()
    identity = keys["identity"].mapping(IDENTITY_FIELDS) if "identity" in keys else {}
    sources = {field: tuple(_source(item) for item in value.items()) for field, value in identity.items()}
    modules = keys["modules"].mapping() if "modules" in keys else {}
    read = tuple(_module(name, value) for name, value in modules.items())
    replaces = "replaces" in keys and keys["replaces"].text() == "true"
    if "replaces" in keys and not replaces:
        raise keys["replaces"].error("replaces is true, or is left out")
    return RawProfile(place, extends, Profile(stem, matches, sources, read), replaces)


def _match(place: _Place) -> Match:
    keys = place.mapping({"sys_object_id", "sys_descr", "exists"})
    return Match(
        prefix=keys["sys_object_id"].oid() if "sys_object_id" in keys else b"",
        descr=keys["sys_descr"].regex() if "sys_descr" in keys else None,
        exists=keys["exists"].oid() if "exists" in keys else b"",
    )


def _source(place: _Place) -> Source:
    if isinstance(place.node, yaml.ScalarNode):
        return Source(value=place.text())
    keys = place.mapping({"oid", "column", "where_column", "equals", "regex", "values", "value"})
    regex = keys["regex"].regex() if "regex" in keys else None
    if "oid" not in keys and "column" not in keys:
        raise place.error("an identity source is a text, or has oid or column")
    return Source(
        value=keys["value"].text() if "value" in keys else "",
        oid=keys["oid"].oid() if "oid" in keys else b"",
        column=keys["column"].oid() if "column" in keys else b"",
        where_column=keys["where_column"].oid() if "where_column" in keys else b"",
        equals=keys["equals"].strings() if "equals" in keys else frozenset(),
        regex=regex,
        values={key: value.text() for key, value in _named(keys, "values").items()},
    )


def _module(name: str, place: _Place) -> Module:
    keys = place.mapping(_MODULE_KEYS)
    if not _NAME.fullmatch(name):
        raise place.error(f"{name!r} is not a module name")
    lookups = {alias: _lookup(value) for alias, value in _named(keys, "lookups").items()}
    maps = {alias: _map(value) for alias, value in _named(keys, "maps").items()}
    extracts = {alias: _extract(value) for alias, value in _named(keys, "extracts").items()}
    module = Module(
        name=name,
        scalars={alias: value.oid() for alias, value in _named(keys, "scalars").items()},
        columns={alias: value.oid() for alias, value in _named(keys, "columns").items()},
        lookups=lookups,
        maps=maps,
        extracts=extracts,
        absent={alias: value.strings() for alias, value in _named(keys, "absent").items()},
        emit=tuple(_emit(item) for item in keys["emit"].items()) if "emit" in keys else (),
        rows=tuple(_emit(item) for item in keys["rows"].items()) if "rows" in keys else (),
    )
    _check_names(module, place)
    return module


def _named(keys: Mapping[str, _Place], key: str) -> dict[str, _Place]:
    return keys[key].mapping() if key in keys else {}


def _lookup(place: _Place) -> LookupColumn:
    keys = place.mapping({"column", "by"})
    if len(keys) != 2:
        raise place.error("a lookup has column and by")
    by = keys["by"]
    template = _template(by) if "{" in by.text() or by.text().isdigit() else Template((("", by.text()),))
    return LookupColumn(keys["column"].oid(), template)


def _extract(place: _Place) -> Extract:
    keys = place.mapping({"from", "regex", "as"})
    if "from" not in keys or len(keys) < 2:
        raise place.error("an extract has from, and regex or as")
    form = keys["as"].text() if "as" in keys else FORMS[0]
    if form not in FORMS:
        raise keys["as"].error(f"{form} is not a form (known: {', '.join(FORMS)})")
    return Extract(keys["from"].text(), keys["regex"].regex() if "regex" in keys else None, form)


def _map(place: _Place) -> ValueMap:
    keys = place.mapping({"from", "values"})
    if len(keys) != 2:
        raise place.error("a map has from and values")
    return ValueMap(
        keys["from"].text(), {key: value.text() for key, value in keys["values"].mapping().items()}
    )


def _emit(place: _Place) -> Emit:
    kind = place.mapping().get("kind", place).text()
    if kind not in KINDS:
        raise place.error(f"kind {kind} is not known (known: {', '.join(KINDS)})")
    formulas, texts = KINDS[kind]
    extra = {"labels", "values"} if kind == "metrics" else {"name", "admin", "oper"}
    keys = place.mapping(
        {"kind", "where", "like", "when", "when_missing", "states", *extra, *formulas, *texts}
    )
    states = {key: value.text() for key, value in _named(keys, "states").items()}
    if bad := set(states.values()) - {*STATES, ABSENT}:
        raise keys["states"].error(
            f"state {', '.join(sorted(bad))} is not one of {', '.join((*STATES, ABSENT))}"
        )
    if kind == "sensor":
        _check_class(keys, place)
    return Emit(
        kind=kind,
        name=tuple(_template(item) for item in keys["name"].items()) if "name" in keys else (),
        where={alias: value.strings() for alias, value in _named(keys, "where").items()},
        like={alias: value.regex() for alias, value in _named(keys, "like").items()},
        when_missing=keys["when_missing"].text() if "when_missing" in keys else "",
        when=keys["when"].parsed(compile_expression) if "when" in keys else None,
        formulas={key: keys[key].parsed(compile_expression) for key in formulas if key in keys},
        texts={key: _template(keys[key]) for key in (*texts, "admin", "oper") if key in keys},
        states=states,
        labels={key: _template(value) for key, value in _named(keys, "labels").items()},
        values={key: _metric(key, value) for key, value in _named(keys, "values").items()},
    )


def _check_class(keys: Mapping[str, _Place], place: _Place) -> None:
    if "class" not in keys:
        raise place.error("a sensor has a class")
    text = keys["class"].text()
    if text not in SENSOR_CLASSES and not _HOLE.search(text):
        raise keys["class"].error(f"class {text} is not known (known: {', '.join(SENSOR_CLASSES)})")


def _metric(name: str, place: _Place) -> Expression:
    if not _METRIC.fullmatch(name):
        raise place.error(f"{name!r} is not a metric name")
    return place.parsed(compile_expression)


def _template(place: _Place) -> Template:
    parts: list[tuple[str, str]] = []
    text, at = place.text(), 0
    for hole in _HOLE.finditer(text):
        parts.append((text[at : hole.start()], hole.group(1)))
        at = hole.end()
    if at < len(text) or not parts:
        parts.append((text[at:], ""))
    return Template(tuple(parts))


def _check_names(module: Module, place: _Place) -> None:
    """Every alias that is used must be defined, and defined once."""
    groups = (module.scalars, module.columns, module.lookups, module.maps, module.extracts)
    defined = [alias for group in groups for alias in group]
    if doubles := {alias for alias in defined if defined.count(alias) > 1 or alias == INDEX}:
        raise place.error(f"{', '.join(sorted(doubles))} is defined twice")
    if unknown := aliases_used(module) - set(defined) - {INDEX}:
        raise place.error(f"{', '.join(sorted(unknown))} is not defined in module {module.name}")


def aliases_used(module: Module) -> set[str]:
    """Every alias that something of a module refers to."""
    used = {item.source for item in module.maps.values()} | set(module.absent)
    used |= {item.source for item in module.extracts.values()}
    for lookup in module.lookups.values():
        used |= {alias for _, alias in lookup.by.parts if alias}
    for emit in (*module.emit, *module.rows):
        used |= set(emit.where) | set(emit.like) | ({emit.when_missing} - {""})
        used |= emit.when.names if emit.when is not None else frozenset()
        for formula in (*emit.formulas.values(), *emit.values.values()):
            used |= formula.names
        for template in (*emit.name, *emit.texts.values(), *emit.labels.values()):
            used |= {alias for _, alias in template.parts if alias}
    return used
