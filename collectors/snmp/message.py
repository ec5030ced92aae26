"""SNMP v1 and v2c messages (RFC 1157, RFC 3416): requests, responses and traps, both sides. No I/O.

A manager calls `encode_request` and `parse_response`; an agent `parse_request` and `encode_response`; a trap
receiver `parse_trap`. Every parse function raises BerError and nothing else, whatever the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from collectors.snmp.ber import (
    INTEGER,
    IP_ADDRESS,
    NULL,
    NUMERIC,
    OBJECT_ID,
    OCTET_STRING,
    SEQUENCE,
    TIME_TICKS,
    Oid,
    VarBind,
    decode_oid,
    decode_value,
    encode_integer,
    encode_length,
    encode_oid,
    encode_value,
    read_element,
    read_header,
    read_integer,
    tlv,
)
from collectors.snmp.errors import BerError, OversizeError, TrailingDataError, TruncatedError, WrongTagError

V1: Final = 0
V2C: Final = 1
V3: Final = 3

GET: Final = 0xA0
GET_NEXT: Final = 0xA1
RESPONSE: Final = 0xA2
SET: Final = 0xA3
TRAP_V1: Final = 0xA4
GET_BULK: Final = 0xA5
INFORM: Final = 0xA6
TRAP_V2: Final = 0xA7
REPORT: Final = 0xA8

_REQUESTS: Final = frozenset({GET, GET_NEXT, SET, GET_BULK})
_NOTIFICATIONS: Final = frozenset({TRAP_V2, INFORM})

_LENGTHENED: Final = (b"\x30", b"\x30\x81", b"\x30\x82\x00")

SYS_UP_TIME: Final = encode_oid("1.3.6.1.2.1.1.3.0")
SNMP_TRAP_OID: Final = encode_oid("1.3.6.1.6.3.1.1.4.1.0")
_SNMP_TRAPS: Final = encode_oid("1.3.6.1.6.3.1.1.5")


@dataclass(frozen=True, slots=True)
class Message:
    """Any message but the v1 trap.

    In a GetBulk request `error_status` is non-repeaters and `error_index` max-repetitions (RFC 3416, 3).
    """

    version: int
    community: bytes
    kind: int
    request_id: int
    error_status: int
    error_index: int
    varbinds: list[VarBind]


@dataclass(frozen=True, slots=True)
class Trap:
    """A v1 trap, v2c trap or inform in one form; v1 is translated as in RFC 3584 section 3.1.

    `kind` tells them apart (an inform must be acknowledged with `encode_response`). `uptime` in 1/100 s.
    `agent_address` is that of a v1 trap, else empty.
    """

    version: int
    community: bytes
    kind: int
    request_id: int
    trap_oid: Oid
    uptime: int
    agent_address: bytes
    varbinds: list[VarBind]


def encode_request(
    version: int,
    community: bytes,
    kind: int,
    request_id: int,
    oids: Iterable[Oid],
    non_repeaters: int = 0,
    max_repetitions: int = 0,
) -> bytes:
    """A GET, GET_NEXT or GET_BULK request (the last two arguments are for GET_BULK)."""
    names = b"".join([request_name(oid) for oid in oids])
    return frame(version, community, kind, request_id, non_repeaters, max_repetitions, names)


def request_name(oid: Oid, longer: int = 0) -> bytes:
    """One varbind of a request: the name and NULL. Its length takes `longer` octets (to 2) more than it must, as RFC
    3417 section 8 allows; a name of 120 octets and more is not made longer.
    """
    size = len(oid)
    if size < 120:
        return b"".join((_LENGTHENED[longer], bytes((size + 4, 6, size)), oid, b"\x05\x00"))
    return tlv(SEQUENCE, tlv(OBJECT_ID, oid) + b"\x05\x00")


def frame(
    version: int, community: bytes, kind: int, request_id: int, first: int, second: int, varbinds: bytes
) -> bytes:
    """A message around encoded varbinds."""
    return enclose(version, community, encode_pdu(kind, request_id, first, second, varbinds))


def enclose(version: int, community: bytes, pdu: bytes) -> bytes:
    """A message around a PDU."""
    return tlv(SEQUENCE, encode_integer(version) + tlv(OCTET_STRING, community) + pdu)


def encode_pdu(kind: int, request_id: int, first: int, second: int, varbinds: bytes) -> bytes:
    """A PDU around encoded varbinds, as v3 wraps it. `first` and `second` are error-status and error-index."""
    body = b"".join(
        (
            encode_integer(request_id),
            encode_integer(first),
            encode_integer(second),
            b"\x30",
            encode_length(len(varbinds)),
            varbinds,
        )
    )
    return tlv(kind, body)


def encode_varbind(oid: Oid, tag: int, value: int | bytes | None) -> bytes:
    """One varbind, for agents that keep theirs encoded. Raises BerError when value and tag disagree."""
    return tlv(SEQUENCE, tlv(OBJECT_ID, oid) + encode_value(tag, value))


def encode_response(
    request: Message, varbinds: Sequence[VarBind] | bytes, error_status: int = 0, error_index: int = 0
) -> bytes:
    """The agent's answer to `request`. `varbinds` may be already encoded (joined `encode_varbind`s)."""
    if not isinstance(varbinds, bytes):
        varbinds = b"".join([encode_varbind(*varbind) for varbind in varbinds])
    return frame(
        request.version, request.community, RESPONSE, request.request_id, error_status, error_index, varbinds
    )


def encode_trap(
    community: bytes,
    request_id: int,
    uptime: int,
    trap_oid: Oid,
    varbinds: Sequence[VarBind] = (),
    *,
    inform: bool = False,
) -> bytes:
    """A v2c trap, or an inform. `uptime` in 1/100 s."""
    head: list[VarBind] = [(SYS_UP_TIME, TIME_TICKS, uptime), (SNMP_TRAP_OID, OBJECT_ID, trap_oid)]
    body = b"".join([encode_varbind(*varbind) for varbind in [*head, *varbinds]])
    return frame(V2C, community, INFORM if inform else TRAP_V2, request_id, 0, 0, body)


def parse_response(data: bytes) -> Message:
    """A Response. Raises BerError on anything else."""
    message = parse_message(data)
    if message.kind != RESPONSE:
        raise WrongTagError(f"PDU {message.kind:#04x} is not a response")
    return message


def parse_request(data: bytes) -> Message:
    """A Get, GetNext, GetBulk or Set request. Raises BerError on anything else."""
    message = parse_message(data)
    if message.kind not in _REQUESTS:
        raise WrongTagError(f"PDU {message.kind:#04x} is not a request")
    return message


def parse_message(data: bytes) -> Message:
    """Any v1 or v2c message but the v1 trap. Raises BerError."""
    version, community, kind, at, end = _envelope(data)
    if kind == TRAP_V1 or not GET <= kind <= TRAP_V2:
        raise WrongTagError(f"PDU {kind:#04x} is not expected here")
    return _body(data, version, community, kind, at, end)


def parse_pdu(data: bytes) -> Message:
    """A PDU as v3 wraps it, Report included, with nothing behind it; its community is empty. Raises BerError."""
    kind, at, end = read_header(data, 0, len(data))
    if end != len(data):
        raise TrailingDataError(f"{len(data) - end} octets behind the PDU")
    if kind == TRAP_V1 or not GET <= kind <= REPORT:
        raise WrongTagError(f"PDU {kind:#04x} is not expected here")
    return _body(data, V3, b"", kind, at, end)


def _body(data: bytes, version: int, community: bytes, kind: int, at: int, end: int) -> Message:
    request_id, at = read_integer(data, at, end)
    error_status, at = read_integer(data, at, end)
    error_index, at = read_integer(data, at, end)
    return Message(version, community, kind, request_id, error_status, error_index, _varbinds(data, at, end))


def parse_trap(data: bytes) -> Trap:
    """A v1 trap, v2c trap or inform. Raises BerError on anything else."""
    version, community, kind, at, end = _envelope(data)
    if kind == TRAP_V1:
        return _trap_v1(data, version, community, at, end)
    message = parse_message(data)
    if kind not in _NOTIFICATIONS:
        raise WrongTagError(f"PDU {kind:#04x} is not a trap")
    trap_oid, uptime, rest = b"", 0, []
    for oid, tag, value in message.varbinds:
        if oid == SNMP_TRAP_OID and tag == OBJECT_ID and isinstance(value, bytes):
            trap_oid = value
        elif oid == SYS_UP_TIME and isinstance(value, int):
            uptime = value
        else:
            rest.append((oid, tag, value))
    if not trap_oid:
        raise BerError("a trap without snmpTrapOID")
    return Trap(version, community, kind, message.request_id, trap_oid, uptime, b"", rest)


def _trap_v1(data: bytes, version: int, community: bytes, at: int, end: int) -> Trap:
    start, at = read_element(data, at, end, OBJECT_ID)
    enterprise = data[start:at]
    decode_oid(enterprise)
    start, at = read_element(data, at, end, IP_ADDRESS)
    address = data[start:at]
    if len(address) not in {0, 4}:
        raise OversizeError("agent address is not four octets")
    generic, at = read_integer(data, at, end)
    specific, at = read_integer(data, at, end)
    tag, start, at = read_header(data, at, end)
    if tag != TIME_TICKS:
        raise WrongTagError(f"tag {tag:#04x} where a time stamp is required")
    uptime = decode_value(tag, data[start:at])
    varbinds = _varbinds(data, at, end)
    if not (0 <= specific <= 0xFFFFFFFF and 0 <= generic <= 6):
        raise OversizeError("generic or specific trap out of range")
    if generic == 6:
        trap_oid = encode_oid((*decode_oid(enterprise), 0, specific))
    else:
        trap_oid = _SNMP_TRAPS + bytes((generic + 1,))
    return Trap(
        version, community, TRAP_V1, 0, trap_oid, uptime if isinstance(uptime, int) else 0, address, varbinds
    )


def _envelope(data: bytes) -> tuple[int, bytes, int, int, int]:
    """Version, community, PDU tag, and where the PDU's content starts and ends."""
    size = len(data)
    at, end = read_element(data, 0, size, SEQUENCE)
    if end != size:
        raise TrailingDataError(f"{size - end} octets behind the message")
    version, at = read_integer(data, at, end)
    if version not in {V1, V2C}:
        raise WrongTagError(f"message version {version} is neither v1 nor v2c")
    start, at = read_element(data, at, end, OCTET_STRING)
    community = data[start:at]
    kind, at, stop = read_header(data, at, end)
    if stop != end:
        raise TrailingDataError(f"{end - stop} octets behind the PDU")
    return version, community, kind, at, end


def _varbinds(data: bytes, at: int, end: int) -> list[VarBind]:
    """The varbind list that must fill the rest of the PDU; the hot loop, short forms first."""
    at, stop = read_element(data, at, end, SEQUENCE)
    if stop != end:
        raise TrailingDataError("octets behind the varbinds")
    found: list[VarBind] = []
    append, numeric = found.append, NUMERIC
    while at < end:
        if at + 6 > end:
            raise TruncatedError(f"varbind cut off at octet {at}")
        size = data[at + 1]
        if data[at] == 0x30 and size < 0x80 and data[at + 2] == 0x06 and data[at + 3] < 0x80:
            name_at = at + 4
            value_at = name_at + data[at + 3]
            at += 2 + size
        else:
            start, stop = read_element(data, at, end, SEQUENCE)
            name_at, value_at = read_element(data, start, stop, OBJECT_ID)
            at = stop
        if at > end or value_at + 2 > at:
            raise TruncatedError(f"varbind cut off at octet {name_at}")
        oid = data[name_at:value_at]
        if not 0 < len(oid) < 128 or not oid.isascii():
            decode_oid(oid)
        tag = data[value_at]
        size = data[value_at + 1]
        value_at += 2
        if size >= 0x80:
            _, value_at, stop = read_header(data, value_at - 2, at)
            size = stop - value_at
        if value_at + size != at:
            raise TruncatedError(f"value at octet {value_at} does not fill its varbind")
        if tag in numeric and 0 < size < 5:
            append((oid, tag, int.from_bytes(data[value_at:at], "big", signed=tag == INTEGER)))
        elif tag == OCTET_STRING:
            append((oid, tag, data[value_at:at]))
        else:
            append((oid, tag, decode_value(tag, data[value_at:at])))
    return found


def null_varbinds(oids: Iterable[Oid]) -> list[VarBind]:
    """Names without values, as in a request."""
    return [(oid, NULL, None) for oid in oids]
