"""Vendor, os, hardware, version and serial from what a profile's identity rules point at. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from collectors.profiles.profile import Profile, Source
from collectors.profiles.read import Columns
from collectors.profiles.values import text_of
from collectors.snmp.ber import Oid, Typed


def scalars_needed(profile: Profile) -> list[Oid]:
    """Scalars the identity rules read."""
    return list(dict.fromkeys(source.oid for source in _sources(profile) if source.oid))


def columns_needed(profile: Profile) -> list[Oid]:
    """Columns the identity rules read."""
    found = [oid for source in _sources(profile) for oid in (source.column, source.where_column) if oid]
    return list(dict.fromkeys(found))


def read_identity(profile: Profile, scalars: Mapping[Oid, Typed], columns: Columns) -> dict[str, str]:
    """The facts that could be read; a fact no rule yields is left out, never guessed."""
    found: dict[str, str] = {}
    for field, sources in profile.identity.items():
        for source in sources:
            if text := _read(source, scalars, columns):
                found[field] = text
                break
    return found


def _sources(profile: Profile) -> Iterator[Source]:
    for sources in profile.identity.values():
        yield from sources


def _read(source: Source, scalars: Mapping[Oid, Typed], columns: Columns) -> str:
    if source.oid:
        return _apply(source, text_of(scalars[source.oid])) if source.oid in scalars else ""
    if source.column:
        conditions = columns.get(source.where_column, {})
        for index, cell in columns.get(source.column, {}).items():
            wanted = not source.where_column or (
                index in conditions and text_of(conditions[index]) in source.equals
            )
            if wanted and (text := _apply(source, text_of(cell))):
                return text
        return ""
    return source.value


def _apply(source: Source, text: str) -> str:
    """The text, or the groups of the regex in it, translated; `value` replaces that, `{}` standing for it."""
    if source.regex is not None:
        found = source.regex.search(text)
        groups = [] if found is None else [group for group in found.groups() if group] or [found.group()]
        text = " ".join(groups)
    text = " ".join(text.split())
    if source.values:
        text = source.values.get(text, "")
    return source.value.replace("{}", text) if source.value and text else text
