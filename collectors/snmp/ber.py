"""BER of SNMP (RFC 3417 section 8): lengths, integers, object identifiers, values. No I/O.

An OID travels as its encoded content octets (`Oid`): a column is a prefix, an index the rest, equal OIDs are
equal bytes. `encode_oid` and `dotted` translate. A value is `(tag, value)`; value is int for the integer
types, encoded OID for OBJECT IDENTIFIER, bytes for strings, addresses and Opaque, else None.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

from collectors.snmp.errors import (
    BerError,
    IndefiniteLengthError,
    OversizeError,
    TruncatedError,
    WrongTagError,
)

Oid: TypeAlias = bytes
Value: TypeAlias = int | bytes | None
Typed: TypeAlias = tuple[int, Value]
VarBind: TypeAlias = tuple[Oid, int, Value]

INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_ID: Final = 0x06
SEQUENCE: Final = 0x30
IP_ADDRESS: Final = 0x40
COUNTER32: Final = 0x41
GAUGE32: Final = 0x42
TIME_TICKS: Final = 0x43
OPAQUE: Final = 0x44
NSAP: Final = 0x45
COUNTER64: Final = 0x46
UINTEGER32: Final = 0x47
NO_SUCH_OBJECT: Final = 0x80
NO_SUCH_INSTANCE: Final = 0x81
END_OF_MIB_VIEW: Final = 0x82

UNSIGNED32: Final = frozenset({COUNTER32, GAUGE32, TIME_TICKS, UINTEGER32})
NUMERIC: Final = UNSIGNED32 | {INTEGER, COUNTER64}
STRINGS: Final = frozenset({OCTET_STRING, IP_ADDRESS, OPAQUE, NSAP})
EMPTY: Final = frozenset({NULL, NO_SUCH_OBJECT, NO_SUCH_INSTANCE, END_OF_MIB_VIEW})

MAX_SUBIDS: Final = 128
_MAX_SUBID: Final = 0xFFFFFFFF
_MAX_INTEGER_OCTETS: Final = 9  # Counter64 with its leading zero; real agents pad shorter types up to this


def read_header(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, first content octet and end of the element at `at`, which must lie before `end`.

    Non-minimal lengths are accepted up to four octets, as agents send them. Raises BerError.
    """
    if at + 2 > end:
        raise TruncatedError(f"element cut off at octet {at}")
    tag = data[at]
    length = data[at + 1]
    start = at + 2
    if length >= 0x80:
        octets = length & 0x7F
        if octets == 0:
            raise IndefiniteLengthError(f"indefinite length at octet {at}")
        if octets > 4:
            raise OversizeError(f"length of {octets} octets at octet {at}")
        if start + octets > end:
            raise TruncatedError(f"length cut off at octet {at}")
        length = int.from_bytes(data[start : start + octets], "big")
        start += octets
    if start + length > end:
        raise TruncatedError(f"element at octet {at} ends behind its container")
    return tag, start, start + length


def read_element(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """First content octet and end of an element that must have `tag`. Raises BerError."""
    found, start, stop = read_header(data, at, end)
    if found != tag:
        raise WrongTagError(f"tag {found:#04x} where {tag:#04x} is required, octet {at}")
    return start, stop


def read_integer(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A signed INTEGER and where it ends. Raises BerError."""
    start, stop = read_element(data, at, end, INTEGER)
    return integer(data[start:stop]), stop


def integer(content: bytes) -> int:
    """Content octets of an INTEGER. Raises BerError when empty or longer than eight octets of value."""
    if not 1 <= len(content) <= _MAX_INTEGER_OCTETS:
        raise OversizeError(f"integer of {len(content)} octets")
    return int.from_bytes(content, "big", signed=True)


def decode_value(tag: int, content: bytes) -> Value:
    """The value of one varbind. Raises BerError.

    Unsigned 32-bit types are reduced modulo 2**32: agents send them sign-extended.
    """
    if tag in NUMERIC:
        if not 1 <= len(content) <= _MAX_INTEGER_OCTETS:
            raise OversizeError(f"number of {len(content)} octets")
        if tag == INTEGER:
            return int.from_bytes(content, "big", signed=True)
        number = int.from_bytes(content, "big")
        return number & (0xFFFFFFFFFFFFFFFF if tag == COUNTER64 else _MAX_SUBID)
    if tag in STRINGS:
        if tag == IP_ADDRESS and len(content) != 4:
            raise OversizeError(f"IpAddress of {len(content)} octets")
        return content
    if tag == OBJECT_ID:
        if content:
            decode_oid(content)
        return content
    if tag in EMPTY:
        if content:
            raise OversizeError(f"content in an element of tag {tag:#04x}")
        return None
    raise WrongTagError(f"unknown value tag {tag:#04x}")


@lru_cache(maxsize=1 << 16)
def decode_oid(content: Oid) -> tuple[int, ...]:
    """Sub-identifiers of an encoded OID. Raises BerError when it is not a valid one."""
    if not content:
        raise TruncatedError("empty object identifier")
    if content[-1] >= 0x80:
        raise TruncatedError("object identifier ends inside a sub-identifier")
    subids: list[int] = []
    value = 0
    fresh = True
    for octet in content:
        if fresh and octet == 0x80:
            raise BerError("padded sub-identifier")
        value = value << 7 | octet & 0x7F
        fresh = octet < 0x80
        if fresh:
            subids.append(value)
            value = 0
        elif value > _MAX_SUBID:
            raise OversizeError("sub-identifier above 2**32-1")
    if max(subids[1:], default=0) > _MAX_SUBID or subids[0] > _MAX_SUBID + 80:
        raise OversizeError("sub-identifier above 2**32-1")
    first = min(subids[0] // 40, 2)
    subids[:1] = [first, subids[0] - 40 * first]
    if len(subids) > MAX_SUBIDS:
        raise OversizeError(f"object identifier of {len(subids)} sub-identifiers")
    return tuple(subids)


@lru_cache(maxsize=1 << 14)
def encode_oid(oid: str | tuple[int, ...]) -> Oid:
    """Content octets of a dotted OID or of its sub-identifiers. Raises BerError when invalid."""
    if isinstance(oid, str):
        parts = oid.strip().lstrip(".").split(".")
        if not all(part.isascii() and part.isdigit() for part in parts):
            raise BerError(f"{oid!r} is not an object identifier")
        subids = tuple(int(part) for part in parts)
    else:
        subids = oid
    if not 2 <= len(subids) <= MAX_SUBIDS or subids[0] > 2 or min(subids) < 0 or max(subids) > _MAX_SUBID:
        raise BerError(f"{'.'.join(map(str, subids))!r} is not an object identifier")
    if subids[0] < 2 and subids[1] >= 40:
        raise BerError(f"{'.'.join(map(str, subids))!r} is not an object identifier")
    return encode_index((subids[0] * 40 + subids[1], *subids[2:]))


def encode_index(subids: tuple[int, ...]) -> bytes:
    """Sub-identifiers that follow a column, encoded. Appended to a column's Oid they name an instance."""
    out = bytearray()
    for subid in subids:
        if subid < 0x80:
            out.append(subid)
            continue
        part = [subid & 0x7F]
        rest = subid >> 7
        while rest:
            part.append(rest & 0x7F | 0x80)
            rest >>= 7
        out += bytes(reversed(part))
    return bytes(out)


def decode_index(content: bytes) -> tuple[int, ...]:
    """Sub-identifiers of the part of an Oid behind its column."""
    if content.isascii():
        return tuple(content)
    return decode_oid(b"\x2b" + content)[2:]


def dotted(oid: Oid) -> str:
    """`1.3.6.1...`; the empty OID some agents answer becomes `0.0`."""
    return ".".join(map(str, decode_oid(oid))) if oid else "0.0"


def increases(before: Oid, after: Oid) -> bool:
    """Whether `after` is greater in OID order."""
    if before.isascii() and after.isascii():
        return after > before
    return decode_oid(after) > decode_oid(before)


def encode_length(length: int) -> bytes:
    """The shortest definite form."""
    if length < 0x80:
        return bytes((length,))
    octets = (length.bit_length() + 7) // 8
    return bytes((0x80 | octets,)) + length.to_bytes(octets, "big")


def tlv(tag: int, content: bytes) -> bytes:
    """One element."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    return bytes((tag,)) + encode_length(length) + content


def encode_integer(value: int, tag: int = INTEGER) -> bytes:
    """An integer in the shortest two's complement form."""
    bits = (~value if value < 0 else value).bit_length()
    return tlv(tag, value.to_bytes(bits // 8 + 1, "big", signed=True))


def encode_value(tag: int, value: Value) -> bytes:
    """One value. Raises BerError when the value does not fit the tag."""
    if tag in NUMERIC:
        if not isinstance(value, int):
            raise BerError(f"tag {tag:#04x} needs a number")
        low, high = _RANGES.get(tag, (0, _MAX_SUBID))
        if not low <= value <= high:
            raise OversizeError(f"{value} does not fit tag {tag:#04x}")
        return encode_integer(value, tag)
    if tag in STRINGS or tag == OBJECT_ID:
        if not isinstance(value, bytes) or (tag == IP_ADDRESS and len(value) != 4):
            raise BerError(f"tag {tag:#04x} needs octets")
        return tlv(tag, value)
    if tag in EMPTY:
        return bytes((tag, 0))
    raise WrongTagError(f"unknown value tag {tag:#04x}")


_RANGES: Final = {INTEGER: (-(1 << 31), (1 << 31) - 1), COUNTER64: (0, (1 << 64) - 1)}
