"""Reads snmp.yml of snmp_exporter, strictly: the shape with `auths` and `modules`, and the older one without.

Unknown keys, types, bad OIDs and expressions are errors with file:line. Values keep snmp_exporter's defaults.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

import re2

from collectors.place import Place, read_yaml
from collectors.profiles.modules import (
    INDEX_TYPES,
    LOOKUP_TYPES,
    METRIC_TYPES,
    Auth,
    Extract,
    Filter,
    Index,
    Lookup,
    Metric,
    ModuleFile,
    Pattern,
    WalkModule,
)
from monitor.errors import InputError

MAX_BYTES: Final = 16 << 20  # the file snmp_exporter ships has 2 MB
_MAX_REPETITIONS: Final = 255
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LEVELS: Final = {"noAuthNoPriv": (), "authNoPriv": ("password",), "authPriv": ("password", "priv_password")}
_AUTH_PROTOCOLS: Final = frozenset({"MD5", "SHA", "SHA224", "SHA256", "SHA384", "SHA512"})
_PRIV_PROTOCOLS: Final = frozenset({"DES", "AES", "AES192", "AES192C", "AES256", "AES256C"})

_AUTH_KEYS: Final = frozenset(
    {
        "community", "security_level", "username", "password", "auth_protocol", "priv_protocol", "priv_password",
        "context_name", "version",
    }
)  # fmt: skip
_MODULE_KEYS: Final = frozenset(
    {
        "walk", "get", "metrics", "filters", "max_repetitions", "retries", "timeout", "use_unconnected_udp_socket",
        "allow_nonincreasing_oids",
    }
)  # fmt: skip
_OLD_KEYS: Final = _MODULE_KEYS | {"version", "auth"}
_METRIC_KEYS: Final = frozenset(
    {
        "name", "oid", "type", "help", "indexes", "lookups", "regex_extracts", "enum_values", "scale", "offset",
        "datetime_pattern", "display_hint",
    }
)  # fmt: skip


def load_modules(path: Path) -> ModuleFile:
    """All modules and auths of one file. Raises InputError with file:line."""
    return parse_modules(read_yaml(path, MAX_BYTES))


def is_module_file(root: Place) -> bool:
    """Whether a YAML file is snmp_exporter's: it has `auths`, or nothing but modules with metrics, walk or get."""
    entries = root.pairs
    names = {key.text() for key, _ in entries if key.scalar}
    if "name" in names or "match" in names:
        return False
    if "auths" in names:
        return True
    if names == {"modules"}:
        entries = entries[0][1].pairs
    return bool(entries) and all(_looks_like_module(value) for _, value in entries)


def parse_modules(root: Place) -> ModuleFile:
    """As load_modules, from a tree."""
    keys = root.entries()
    if not keys.keys() & {"auths", "modules"} or (set(keys) - {"auths", "modules", "version"}):
        return _old_shape(keys)
    auths = keys["auths"].entries() if "auths" in keys else {}
    modules = keys["modules"].entries() if "modules" in keys else {}
    return ModuleFile(
        {name: _module(name, value, _MODULE_KEYS) for name, value in modules.items()},
        {name: _auth(name, value) for name, value in auths.items()},
    )


def _looks_like_module(place: Place) -> bool:
    names = {key.text() for key, _ in place.pairs if key.scalar}
    return bool(names & {"walk", "get", "metrics"}) and names <= _OLD_KEYS


def _old_shape(keys: Mapping[str, Place]) -> ModuleFile:
    modules = {name: _module(name, value, _OLD_KEYS) for name, value in keys.items()}
    auths = {}
    for name, value in keys.items():
        own = value.entries()
        version = own["version"].integer(1, 3) if "version" in own else 2
        if "auth" in own:
            auths[name] = _auth(name, own["auth"], version)
        elif "version" in own and version < 3:
            auths[name] = Auth(name, version)
        elif version == 3:
            raise own["version"].error("version 3 needs auth")
    return ModuleFile(modules, auths)


def _auth(name: str, place: Place, version: int = 2) -> Auth:
    keys = place.entries(_AUTH_KEYS)
    texts = {key: value.text() for key, value in keys.items() if key != "version"}
    if "version" in keys:
        version = keys["version"].integer(1, 3)
    level = texts.get("security_level", "noAuthNoPriv")
    auth_protocol, priv_protocol = texts.get("auth_protocol", "MD5"), texts.get("priv_protocol", "DES")
    if level not in _LEVELS:
        raise keys["security_level"].error(f"security_level {level} is not one of {', '.join(_LEVELS)}")
    if auth_protocol not in _AUTH_PROTOCOLS:
        raise keys["auth_protocol"].error(f"auth_protocol {auth_protocol} is not known")
    if priv_protocol not in _PRIV_PROTOCOLS:
        raise keys["priv_protocol"].error(f"priv_protocol {priv_protocol} is not known")
    if version == 3:
        for needed in ("username", *_LEVELS[level]):
            if not texts.get(needed):
                raise place.error(f"{level} of SNMPv3 needs {needed}")
    return Auth(
        name,
        version,
        texts.get("community", "public"),
        level,
        texts.get("username", ""),
        texts.get("password", ""),
        auth_protocol,
        priv_protocol,
        texts.get("priv_password", ""),
        texts.get("context_name", ""),
    )


def _module(name: str, place: Place, allowed: frozenset[str]) -> WalkModule:
    keys = place.entries(allowed)
    if "walk" not in keys and "get" not in keys:
        raise place.error(f"module {name} has neither walk nor get")
    repetitions = keys["max_repetitions"].integer(0, 2**32 - 1) if "max_repetitions" in keys else 25
    non_increasing = keys.get("allow_nonincreasing_oids")
    if "use_unconnected_udp_socket" in keys:
        keys[
            "use_unconnected_udp_socket"
        ].flag()  # accepted; answers are matched by request-id and source here
    return WalkModule(
        name,
        metrics=tuple(_metric(item) for item in _list(keys, "metrics")),
        walk=tuple(item.oid() for item in _list(keys, "walk")),
        get=tuple(item.oid() for item in _list(keys, "get")),
        filters=tuple(_filter(item) for item in _list(keys, "filters")),
        max_repetitions=min(repetitions, _MAX_REPETITIONS),
        retries=keys["retries"].integer(0, 10) if "retries" in keys else 3,
        timeout=keys["timeout"].parsed(seconds) if "timeout" in keys else 5.0,
        non_increasing=non_increasing.flag() if non_increasing is not None else False,
    )


def _metric(place: Place) -> Metric:
    keys = place.entries(_METRIC_KEYS)
    for needed in ("name", "oid", "type"):
        if needed not in keys:
            raise place.error(f"a metric has {needed}")
    name = keys["name"].text()
    if not _METRIC.fullmatch(name):
        raise keys["name"].error(f"{name!r} is not a metric name")
    extracts = keys["regex_extracts"].entries() if "regex_extracts" in keys else {}
    return Metric(
        name,
        keys["oid"].oid(),
        _one_of(keys["type"], METRIC_TYPES),
        keys["help"].text() if "help" in keys else "",
        tuple(_index(item) for item in _list(keys, "indexes")),
        tuple(_lookup(item) for item in _list(keys, "lookups")),
        {suffix: tuple(_extract(item) for item in value.items()) for suffix, value in extracts.items()},
        _enum(keys),
        keys["scale"].number() if "scale" in keys else 0.0,
        keys["offset"].number() if "offset" in keys else 0.0,
        keys["datetime_pattern"].text() if "datetime_pattern" in keys else "",
        keys["display_hint"].text() if "display_hint" in keys else "",
    )


def _index(place: Place) -> Index:
    keys = place.entries({"labelname", "type", "fixed_size", "implied", "enum_values", "display_hint"})
    return Index(
        _label(keys, place),
        _one_of(keys["type"], INDEX_TYPES) if "type" in keys else "gauge",
        keys["fixed_size"].integer(0, 128) if "fixed_size" in keys else 0,
        keys["implied"].flag() if "implied" in keys else False,
        _enum(keys),
    )


def _lookup(place: Place) -> Lookup:
    keys = place.entries({"labels", "labelname", "oid", "type", "enum_values", "display_hint"})
    labels = tuple(item.text() for item in _list(keys, "labels"))
    if labels and "oid" not in keys:
        raise place.error("a lookup with labels has an oid")
    kind = keys.get("type")
    return Lookup(
        _label(keys, place),
        labels,
        keys["oid"].oid() if labels else b"",
        _one_of(kind, LOOKUP_TYPES) if kind is not None and kind.text() else "OctetString",
        _enum(keys),
        keys["display_hint"].text() if "display_hint" in keys else "",
    )


def _extract(place: Place) -> Extract:
    keys = place.entries({"regex", "value"})
    if "regex" not in keys:
        raise place.error("an extract has a regex")
    regex = keys["regex"].parsed(lambda text: pattern(f"^(?:{text})$"))
    return Extract(regex, keys["value"].text() if "value" in keys else "$1")


def _filter(place: Place) -> Filter:
    keys = place.entries({"oid", "targets", "values"})
    if set(keys) != {"oid", "targets", "values"}:
        raise place.error("a filter has oid, targets and values")
    return Filter(
        keys["oid"].oid(),
        tuple(item.oid() for item in keys["targets"].items()),
        tuple(item.parsed(pattern) for item in keys["values"].items()),
    )


def pattern(text: str) -> Pattern:
    """A regular expression of RE2, which is the language of Go's as well. Raises InputError."""
    options = re2.Options()
    options.log_errors = False
    try:
        return cast(Pattern, re2.compile(text, options))
    except re2.error as error:
        raise InputError(f"bad regular expression {text!r}: {error}") from error


def seconds(text: str) -> float:
    """A Go duration (`1m30s`, `500ms`), or bare nanoseconds. Raises InputError."""
    if text.isascii() and text.isdigit():
        value = int(text) * 1e-9
    elif _DURATION.fullmatch(text):
        value = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    else:
        raise InputError(f"{text!r} is not a duration (such as 5s)")
    if not 0 < value <= 600:
        raise InputError(f"a timeout is above 0 and at most 10 minutes, not {text}")
    return value


def _list(keys: Mapping[str, Place], key: str) -> list[Place]:
    return keys[key].items() if key in keys else []


def _enum(keys: Mapping[str, Place]) -> dict[int, str]:
    if "enum_values" not in keys:
        return {}
    place = keys["enum_values"]
    try:
        return {int(number): value.text() for number, value in place.entries().items()}
    except ValueError as error:
        raise place.error(f"keys of enum_values are numbers: {error}") from error


def _label(keys: Mapping[str, Place], place: Place) -> str:
    if "labelname" not in keys:
        raise place.error("labelname is missing")
    name = keys["labelname"].text()
    if not _LABEL.fullmatch(name) or name.startswith("__"):
        raise keys["labelname"].error(f"{name!r} is not a label name")
    return name


def _one_of(place: Place, known: frozenset[str]) -> str:
    text = place.text()
    if text not in known:
        raise place.error(f"type {text} is not known (known: {', '.join(sorted(known))})")
    return text
