"""What stands in a datagram, as far as a storm needs it: the envelope, without the varbinds. No I/O.

`envelope` looks at some thirty octets and gives what two traps have in common when they say the same: everything
but request-id and time stamp. Only a trap that was not seen in this window is decoded in full (`full`). Whatever has
another shape than the usual one goes to the full decoder at once, so the result is the same, only slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from collectors.snmp.ber import (
    INTEGER,
    IP_ADDRESS,
    OBJECT_ID,
    OCTET_STRING,
    SEQUENCE,
    TIME_TICKS,
    encode_index,
    encode_oid,
    read_element,
    read_integer,
)
from collectors.snmp.errors import WrongTagError
from collectors.snmp.message import INFORM, RESPONSE, TRAP_V1, TRAP_V2, V1, V2C, V3, Trap

_UPTIME_NAME: Final = bytes.fromhex("06082b06010201010300")
_NO_ERROR: Final = bytes.fromhex("02010002010030")
_TRAP_OID_NAME: Final = bytes.fromhex("060a2b060106030101040100")

SNMP_TRAPS: Final = encode_oid("1.3.6.1.6.3.1.1.5")
_NOTIFICATIONS_V2: Final = frozenset({TRAP_V2, INFORM})

Envelope = tuple[bytes, int, bytes]  # community, PDU tag, what identical traps share


def version_of(data: bytes) -> int:
    """The version number of an SNMP message: 0, 1 or 3, else -1. Looks at a few octets only."""
    if len(data) < 6 or data[0] != SEQUENCE:
        return -1
    at = 2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)
    if data[at : at + 2] != b"\x02\x01" or len(data) < at + 3:
        return -1
    version = data[at + 2]
    return version if version in {V1, V2C, V3} else -1


def envelope(data: bytes) -> Envelope | None:
    """The envelope of a v1 or v2c notification in its usual form; None when it has another form."""
    size = len(data)
    if size < 24:
        return None
    length, at = _length(data, 1)
    version = data[at + 2]
    if at + length != size or data[at : at + 2] != b"\x02\x01" or data[at + 3] != OCTET_STRING:
        return None
    start = at + 5
    at = start + data[at + 4]
    if data[start - 1] >= 0x80 or at + 24 > size:
        return None
    community = data[start:at]
    kind = data[at]
    length, at = _length(data, at + 1)
    if at + length != size:
        return None
    rest = _rest_v1(data, at) if kind == TRAP_V1 and version == V1 else None
    if version == V2C and kind in _NOTIFICATIONS_V2:
        rest = _rest_v2(data, at, size)
    return None if rest is None else (community, kind, rest)


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A length and what stands behind it; forms beyond two octets give a length that fits nothing."""
    length = data[at]
    if length < 0x80:
        return length, at + 1
    if length == 0x81:
        return data[at + 1], at + 2
    if length == 0x82:
        return data[at + 1] << 8 | data[at + 2], at + 3
    return -1, at + 1


def _rest_v2(data: bytes, at: int, size: int) -> bytes | None:
    """Everything behind sysUpTime, which must be the first varbind."""
    if data[at] != INTEGER:
        return None
    at += 2 + data[at + 1]
    if data[at : at + 7] != _NO_ERROR or at + 24 > size:
        return None
    length, at = _length(data, at + 7)
    if at + length != size or data[at] != SEQUENCE or data[at + 2 : at + 12] != _UPTIME_NAME:
        return None
    return data[at + 2 + data[at + 1] :]


def _rest_v1(data: bytes, at: int) -> bytes | None:
    """Enterprise, agent address, generic and specific trap, and the varbinds; all but the time stamp."""
    start = at
    for tag in (OBJECT_ID, IP_ADDRESS, INTEGER, INTEGER):
        if at + 2 > len(data) or data[at] != tag or data[at + 1] >= 0x80:
            return None
        at += 2 + data[at + 1]
    if at + 4 > len(data) or data[at] != TIME_TICKS or data[at + 1] >= 0x80:
        return None
    return data[start:at] + data[at + 2 + data[at + 1] :]


def trap_name(rest: bytes) -> bytes:
    """The encoded trap OID of an envelope's shared part, v1 translated as in RFC 3584 section 3.1; empty when it does
    not stand where it should.
    """
    if rest[2:14] == _TRAP_OID_NAME and len(rest) >= 16:
        return rest[16 : 16 + rest[15]]
    parts = _elements(rest, (OBJECT_ID, IP_ADDRESS, INTEGER, INTEGER))
    if parts is None:
        return b""
    enterprise, _, generic, specific = parts
    number = int.from_bytes(generic, "big")
    if number < 6:
        return SNMP_TRAPS + bytes((number + 1,))
    return enterprise + b"\0" + encode_index((int.from_bytes(specific, "big") & 0xFFFFFFFF,))


def _elements(rest: bytes, tags: Sequence[int]) -> list[bytes] | None:
    """The contents of elements of these tags and short lengths, one behind the other; None when they are not there."""
    found, at = [], 0
    for tag in tags:
        if at + 2 > len(rest) or rest[at] != tag or at + 2 + rest[at + 1] > len(rest):
            return None
        found.append(rest[at + 2 : at + 2 + rest[at + 1]])
        at += 2 + rest[at + 1]
    return found


def shared(trap: Trap) -> bytes:
    """What equal traps have in common, whatever form they came in."""
    return repr((trap.trap_oid, trap.agent_address, trap.varbinds)).encode()


def acknowledgement(data: bytes) -> bytes:
    """The answer to a well-formed v2c inform: the same message as a Response (RFC 3416 section 4.2.7)."""
    at, end = read_element(data, 0, len(data), SEQUENCE)
    _, at = read_integer(data, at, end)
    _, at = read_element(data, at, end, OCTET_STRING)
    if data[at] != INFORM:
        raise WrongTagError(f"PDU {data[at]:#04x} is not an inform")
    return b"".join((data[:at], bytes((RESPONSE,)), data[at + 1 :]))
