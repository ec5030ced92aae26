"""Values and indexes as the label texts of snmp_exporter. Pure.

An index is a list of sub-identifiers; one that is too short is filled up with zeros, as some agents leave trailing
zeros out. Texts that are no UTF-8 are read as GB 18030, then with replacement characters.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from collectors.profiles.modules import COMBINED, INTEGERS, Index
from collectors.snmp.ber import COUNTER64, IP_ADDRESS, OBJECT_ID, OPAQUE, Typed, dotted

_WRAP: Final = 1 << 53  # above it a float cannot hold every whole number: counters start again from 0
_FLOAT: Final = b"\x9f\x78\x04"
_DOUBLE: Final = b"\x9f\x79\x08"
_SPEC: Final = re.compile(r"(\*?)(\d+)([dxoat])(?:([^\d*])([^\d*])?)?")
_DECIMAL: Final = re.compile(rb"[-+]?\d{1,300}(?:\.\d+)?")
_MAX_CHUNK: Final = 8  # octets one number of a display hint may have
_KIND_AND_SIZE: Final = 2  # sub-identifiers in front of an address: its kind and its size


@dataclass(frozen=True, slots=True)
class Part:
    """One index as text, the sub-identifiers it was made of, and those behind it."""

    text: str
    used: tuple[int, ...]
    rest: tuple[int, ...]


def number(typed: Typed) -> float | None:
    """The number of a value; None for what is none. Counter64 counts modulo 2**53."""
    tag, value = typed
    if isinstance(value, int):
        return float(value % _WRAP if tag == COUNTER64 else value)
    if tag == OPAQUE and value is not None:
        return opaque(value)
    if tag in {OBJECT_ID, IP_ADDRESS} or not value:
        return None
    digits = value.strip(b"\0 \t\r\n")
    return float(digits) if _DECIMAL.fullmatch(digits) else None


def opaque(content: bytes) -> float | None:
    """net-snmp's float or double inside an Opaque."""
    if content[:3] == _FLOAT and len(content) == len(_FLOAT) + 4:
        return float(struct.unpack(">f", content[3:])[0])
    if content[:3] == _DOUBLE and len(content) == len(_DOUBLE) + 8:
        return float(struct.unpack(">d", content[3:])[0])
    return None


def text(typed: Typed, kind: str, hint: str = "") -> str:
    """The value as a label; `kind` is one of the text types, anything else renders octets as hex."""
    tag, value = typed
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    if tag == OBJECT_ID:
        return dotted(value)
    if tag == IP_ADDRESS:
        return ".".join(map(str, value))
    if tag == OPAQUE and (real := opaque(value)) is not None:
        single = value[:3] == _FLOAT
        return np.format_float_positional(np.float32(real) if single else np.float64(real), trim="-")
    if hint and kind in {"", "OctetString"} and (shown := apply_hint(hint, value)) is not None:
        return shown
    if kind == "DisplayString":
        return decoded(value)
    if kind in {"PhysAddress48", "InetAddressIPv4", "InetAddressIPv6"}:
        return split_index(tuple(value), Index("", kind)).text
    return _hex(value)


def decoded(octets: bytes) -> str:
    """UTF-8, else GB 18030, else UTF-8 with replacement characters."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return octets.decode(encoding)
        except UnicodeDecodeError:
            continue
    return octets.decode("utf-8", "replace")


def split_index(subids: Sequence[int], index: Index) -> Part:
    """Takes one index off the front of `subids`."""
    kind = index.type
    if kind in COMBINED:
        return _combined(subids, index)
    if kind == "EnumAsInfo":
        (value,), rest = _take(subids, 1)
        return Part(index.enum_values.get(value, str(value)), (value,), rest)
    if kind in INTEGERS:
        (value,), rest = _take(subids, 1)
        return Part(str(value), (value,), rest)
    if kind == "PhysAddress48":
        used, rest = _take(subids, 6)
        return Part(":".join(f"{octet:02X}" for octet in used), used, rest)
    if kind == "InetAddressIPv4":
        used, rest = _take(subids, 4)
        return Part(".".join(map(str, used)), used, rest)
    if kind == "InetAddressIPv6":
        used, rest = _take(subids, 16)
        pairs = zip(used[::2], used[1::2], strict=True)
        return Part(":".join(f"{high:02X}{low:02X}" for high, low in pairs), used, rest)
    return _string(subids, index)


def _combined(subids: Sequence[int], index: Index) -> Part:
    """An address behind its kind and (but for InetAddressMissingSize) its size."""
    without_size = index.type == "InetAddressMissingSize"
    front, behind = _take(subids, 1 if without_size else _KIND_AND_SIZE)
    kind = COMBINED[index.type].get(front[0])
    if kind == "DisplayString":  # the size in front of it is its own
        part = split_index(subids[1:], Index("", kind))
        return Part(part.text, (front[0], *part.used), part.rest)
    if kind is not None:
        part = split_index(behind, Index("", kind))
        return Part(part.text, (*front, *part.used), part.rest)
    if without_size:
        return _string(subids, Index("", "OctetString", implied=True))
    return _string(subids, Index("", "OctetString", fixed_size=min(front[1] + 2, len(subids))))


def _string(subids: Sequence[int], index: Index) -> Part:
    length = len(subids) if index.implied else index.fixed_size
    front: tuple[int, ...] = ()
    if not length:
        front, subids = _take(subids, 1)
        length = min(front[0], len(subids))  # never more octets than were sent, whatever the length claims
    content, rest = _take(subids, length)
    octets = bytes(subid & 0xFF for subid in content)
    shown = decoded(octets) if index.type == "DisplayString" else _hex(octets)
    return Part(shown, (*front, *content), rest)


def _take(subids: Sequence[int], count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    front = tuple(subids[:count])
    return front + (0,) * (count - len(front)), tuple(subids[count:])


def _hex(octets: bytes) -> str:
    return f"0x{octets.hex().upper()}" if octets else ""


def apply_hint(hint: str, octets: bytes) -> str | None:
    """Octets as a DISPLAY-HINT (RFC 2579 section 3.1) shows them; None when the hint is none or does not fit."""
    specs = list(_SPEC.finditer(hint))
    if not specs or not octets or "".join(spec.group() for spec in specs) != hint:
        return None
    out: list[str] = []
    at, number_of_spec = 0, 0
    while at < len(octets):
        spec = specs[min(number_of_spec, len(specs) - 1)]
        number_of_spec += 1
        before = at
        at, shown = _apply_spec(spec, octets, at)
        if shown is None or (at == before and number_of_spec >= len(specs)):
            return None  # the last one goes on for ever without taking anything
        out.append(shown)
    return "".join(out)


def _apply_spec(spec: re.Match[str], octets: bytes, at: int) -> tuple[int, str | None]:
    star, width, form, separator, terminator = spec.groups(default="")
    if not star:
        terminator = ""
    times = 1
    if star:
        times, at = octets[at], at + 1
    out: list[str] = []
    for turn in range(times):
        if at >= len(octets):
            break
        chunk = octets[at : at + int(width)]
        at += len(chunk)
        if form in "do" and len(chunk) > _MAX_CHUNK:
            return at, None
        out.append(_shown(chunk, form))
        last = turn == times - 1
        if separator and at < len(octets) and not (terminator and last):
            out.append(separator)
        if int(width) == 0:
            break
    if terminator and at < len(octets):
        out.append(terminator)
    return at, "".join(out)


def _shown(chunk: bytes, form: str) -> str:
    if form == "d":
        return str(int.from_bytes(chunk, "big"))
    if form == "o":
        return f"{int.from_bytes(chunk, 'big'):o}"
    return chunk.hex().upper() if form == "x" else decoded(chunk)


def enum_name(names: Mapping[int, str], value: int) -> str:
    """The name of an enum's value, or the value."""
    return names.get(value, str(value))
