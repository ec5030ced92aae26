"""What the standard MIBs say, compiled: OID to name, enumeration, type and unit. No MIB text ships.

`library/mib.json` is made by `deploy/tools/compile-mibs`. An OID is looked up by its longest known prefix; the rest is
the instance. `TrapLibrary` (library.py) adds what vendors' traps carry.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from collectors.snmp.ber import (
    IP_ADDRESS,
    NUMERIC,
    OBJECT_ID,
    TIME_TICKS,
    Oid,
    Value,
    decode_index,
    dotted,
    encode_oid,
)
from collectors.snmp.errors import BerError
from monitor.errors import InputError

KINDS: Final = frozenset({"", "mac", "date", "bits", "hex", "text"})
TEXT_LIMIT: Final = 512
_FILE: Final = Path(__file__).parent / "library" / "mib.json.gz"
_MAX_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class ObjectFact:
    """One object. `kind` says how octets are shown (KINDS), `decimals` shifts a number (DISPLAY-HINT d-2), `enum` gives
    the labels of numbers, or of bits.
    """

    name: str
    kind: str = ""
    enum: Mapping[int, str] = field(default_factory=dict)
    unit: str = ""
    decimals: int = 0


@dataclass(frozen=True, slots=True)
class MibFacts:
    """Objects, and names of notifications and of values that are OIDs, by encoded OID."""

    objects: Mapping[Oid, ObjectFact]
    names: Mapping[Oid, str]


def load_facts(path: Path = _FILE) -> MibFacts:
    """The compiled MIB set. InputError when the file is damaged."""
    try:
        with gzip.open(path) as file:
            document = json.loads(file.read(_MAX_BYTES))
        objects = {
            encode_oid(oid): ObjectFact(
                str(row["n"]),
                str(row.get("k", "")),
                {int(number): str(label) for number, label in row.get("e", {}).items()},
                str(row.get("u", "")),
                int(row.get("d", 0)),
            )
            for oid, row in document["objects"].items()
        }
        names = {encode_oid(oid): str(name) for oid, name in document["names"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise InputError(
            f"not a compiled MIB set: {error!r}", where=str(path), hint="reinstall zhishou"
        ) from error
    return MibFacts(objects, names)


def find_object(objects: Mapping[Oid, ObjectFact], oid: Oid) -> tuple[ObjectFact, str] | None:
    """The object an instance OID belongs to and the instance in dotted form, by longest prefix."""
    end = len(oid)
    while end > 2:
        known = objects.get(oid[:end])
        if known is not None:
            try:
                return known, ".".join(map(str, decode_index(oid[end:])))
            except BerError:
                return known, oid[end:].hex()
        end -= 1
        while end > 0 and oid[end - 1] >= 0x80:  # step back to where a sub-identifier ends
            end -= 1
    return None


def shown(tag: int, value: Value, fact: ObjectFact | None, names: Mapping[Oid, str]) -> str:
    """A value as people read it; at most TEXT_LIMIT characters."""
    if value is None:
        return ""
    if tag == OBJECT_ID and isinstance(value, bytes):
        return names.get(value) or dotted(value)
    if tag == TIME_TICKS and isinstance(value, int):
        return duration(value)
    if isinstance(value, int):
        return _number(value, fact) if tag in NUMERIC else str(value)
    if tag == IP_ADDRESS:
        return ".".join(map(str, value))
    return _octets(value, fact)[:TEXT_LIMIT]


def _number(value: int, fact: ObjectFact | None) -> str:
    if fact is None:
        return str(value)
    if value in fact.enum:
        return fact.enum[value]
    if fact.decimals:
        return f"{value / 10**fact.decimals:.{fact.decimals}f}{fact.unit and ' ' + fact.unit}"
    return f"{value}{fact.unit and ' ' + fact.unit}"


def _octets(value: bytes, fact: ObjectFact | None) -> str:
    kind = fact.kind if fact is not None else ""
    if kind == "mac" and len(value) <= 20:
        return value.hex(":")
    if kind == "date" and len(value) in {8, 11}:
        year, month, day, hour, minute, second = int.from_bytes(value[:2], "big"), *value[2:7]
        return f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d}"
    if kind == "bits" and fact is not None:
        numbers = [bit for bit in range(8 * len(value)) if value[bit >> 3] & (0x80 >> (bit & 7))]
        return ",".join(fact.enum.get(bit, str(bit)) for bit in numbers)
    return value[:TEXT_LIMIT].hex() if kind == "hex" else text_of(value)


def text_of(value: bytes) -> str:
    """Octets as text: UTF-8, else GB 18030 as Chinese devices send it, else hexadecimal. Control characters go."""
    plain = value.rstrip(b"\0")[: 4 * TEXT_LIMIT]
    for encoding in ("utf-8", "gb18030"):
        try:
            text = plain.decode(encoding)
        except UnicodeDecodeError:
            continue
        cleaned = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        odd = sum(1 for c in text if not c.isprintable() and c not in "\r\n\t")
        if not odd:
            return cleaned
    return value[:TEXT_LIMIT].hex()


def duration(hundredths: int) -> str:
    """TimeTicks as `3d 04:05:06`."""
    seconds = hundredths // 100
    days, rest = divmod(seconds, 86_400)
    return f"{days}d {rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
