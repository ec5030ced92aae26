"""Model values as JSON-able documents and back, driven by the dataclasses' own type hints.

Used for the database, the collector's assignment and the inventory file; unknown keys are refused.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from enum import StrEnum
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from monitor.errors import InputError

T = TypeVar("T")
Document = dict[str, Any]


def to_document(value: object) -> Document:
    """A dataclass value as plain dicts, lists and scalars; defaults are left out to keep documents small."""
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"not a dataclass value: {value!r}")
    document = {}
    for item in fields(value):
        content = getattr(value, item.name)
        if item.default is MISSING or content != item.default:
            document[item.name] = _plain(content)
    return document


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return to_document(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, StrEnum):
        return value.value
    return value


def full_document(value: object) -> Document:
    """Every field, defaults too, as `dataclasses.asdict` gives it."""
    return asdict(cast(Any, value))


def from_document(kind: type[T], document: object, where: str = "") -> T:
    """Build a dataclass value; InputError names the field that is missing, unknown or of the wrong type."""
    if not isinstance(document, Mapping):
        raise InputError(f"expected a mapping, found {type(document).__name__}", where=where)
    hints = get_type_hints(kind)
    known = {item.name: item for item in fields(cast(Any, kind))}
    for name in document:
        if name not in known:
            raise InputError(f"unknown key {name!r}", where=where, hint="one of " + ", ".join(known))
    values = {}
    for name, item in known.items():
        if name in document:
            values[name] = _convert(hints[name], document[name], f"{where}.{name}" if where else name)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise InputError(f"missing key {name!r}", where=where)
    return kind(**values)


def _convert(hint: Any, value: object, where: str) -> object:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(a for a in get_args(hint) if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError("expected a list", where=where)
        return tuple(_convert(get_args(hint)[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    plain = getattr(hint, "__supertype__", hint)
    if is_dataclass(plain):
        return from_document(cast("type[object]", plain), value, where)
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        try:
            return plain(str(value))
        except ValueError:
            raise InputError(
                f"{value!r} is not one of {', '.join(item.value for item in plain)}", where=where
            ) from None
    if plain is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if plain is not object and (not isinstance(value, plain) or (plain is int and isinstance(value, bool))):
        raise InputError(f"expected {plain.__name__}, found {value!r}", where=where)
    return value
