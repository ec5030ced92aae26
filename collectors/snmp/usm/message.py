"""SNMPv3 messages (RFC 3412 section 6, RFC 3414 section 2.4): octets to fields and back. No I/O, no keys.

Every function that reads raises BerError and nothing else, whatever the octets; every length is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from collectors.snmp.ber import (
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    encode_integer,
    read_element,
    read_header,
    read_integer,
    tlv,
)
from collectors.snmp.errors import OversizeError, TrailingDataError, WrongTagError
from collectors.snmp.message import V3

USM: Final = 3  # msgSecurityModel
AUTH_FLAG: Final = 1
PRIV_FLAG: Final = 2
REPORTABLE: Final = 4

MAX_INT: Final = 0x7FFFFFFF
MAX_SIZE: Final = 65507  # what one UDP datagram holds
MIN_ENGINE, MAX_ENGINE = 5, 32  # RFC 3411, SnmpEngineID
MAX_CONTEXT: Final = 255
_MAX_USER: Final = 32
_MAX_DIGEST: Final = 48
_MAX_SALT: Final = 8
_MAX_PADDING: Final = 16  # some agents fill the last block although RFC 3826 does not ask for it


@dataclass(frozen=True, slots=True)
class UsmMessage:
    """One message, not yet verified. The `_at` fields are octet offsets of contents in the datagram.

    `body` is the encrypted ScopedPDU when PRIV_FLAG is set, else the whole ScopedPDU element.
    """

    msg_id: int
    flags: int
    engine_id: bytes
    boots: int
    time: int
    user: bytes
    digest: bytes
    salt: bytes
    body: bytes
    msg_id_at: int
    msg_id_end: int
    time_at: int
    time_end: int
    digest_at: int
    body_at: int


@dataclass(frozen=True, slots=True)
class ScopedPdu:
    """A PDU and the context it is about."""

    engine_id: bytes
    context: bytes
    pdu: bytes


def decode_message(data: bytes) -> UsmMessage:
    """Raises BerError; WrongTagError when it is SNMP of another version or security model."""
    size = len(data)
    if size > MAX_SIZE:
        raise OversizeError(f"message of {size} octets")
    version_at, end = read_element(data, 0, size, SEQUENCE)
    if end != size:
        raise TrailingDataError(f"{size - end} octets behind the message")
    version, at = read_integer(data, version_at, end)
    if version != V3:
        raise WrongTagError(f"message version {version} is not v3")
    start, at = read_element(data, at, end, SEQUENCE)
    msg_id_at, msg_id_end = read_element(data, start, at, INTEGER)
    msg_id, start = _unsigned(data, start, at)
    _, start = _unsigned(data, start, at)
    flags_at, flags_end = read_element(data, start, at, OCTET_STRING)
    if flags_end - flags_at != 1:
        raise OversizeError(f"msgFlags of {flags_end - flags_at} octets")
    model, start = read_integer(data, flags_end, at)
    if model != USM:
        raise WrongTagError(f"security model {model} is not the user-based one")
    _filled(start, at)
    flags = data[flags_at]
    outer, at = read_element(data, at, end, OCTET_STRING)
    start, stop = read_element(data, outer, at, SEQUENCE)
    _filled(stop, at)
    engine_id, start = _octets(data, start, stop, MAX_ENGINE)
    boots, start = _unsigned(data, start, stop)
    time_at, time_end = read_element(data, start, stop, INTEGER)
    time, start = _unsigned(data, start, stop)
    user, start = _octets(data, start, stop, _MAX_USER)
    digest, digest_end = _octets(data, start, stop, _MAX_DIGEST)
    salt, start = _octets(data, digest_end, stop, _MAX_SALT)
    _filled(start, stop)
    tag, body_at, stop = read_header(data, at, end)
    _filled(stop, end)
    encrypted = bool(flags & PRIV_FLAG)
    if tag != (OCTET_STRING if encrypted else SEQUENCE):
        raise WrongTagError(f"tag {tag:#04x} does not fit the privacy flag")
    body = data[body_at if encrypted else at : end]
    return UsmMessage(
        msg_id, flags, engine_id, boots, time, user, digest, salt, body,
        msg_id_at, msg_id_end, time_at, time_end, digest_end - len(digest), body_at,
    )  # fmt: skip


def decode_scoped(data: bytes, *, padded: bool) -> ScopedPdu:
    """A ScopedPDU; `padded` permits up to one block of filling behind it, as decryption leaves. Raises BerError."""
    at, end = read_element(data, 0, len(data), SEQUENCE)
    behind = len(data) - end
    if behind > (_MAX_PADDING if padded else 0):
        raise TrailingDataError(f"{behind} octets behind the scoped PDU")
    engine_id, at = _octets(data, at, end, MAX_ENGINE)
    context, at = _octets(data, at, end, MAX_CONTEXT)
    _, _, stop = read_header(data, at, end)
    _filled(stop, end)
    return ScopedPdu(engine_id, context, data[at:end])


def encode_header(msg_id: int, flags: int, max_size: int = MAX_SIZE) -> bytes:
    """msgVersion and msgGlobalData."""
    return encode_integer(V3) + tlv(
        SEQUENCE,
        encode_integer(msg_id)
        + encode_integer(max_size)
        + tlv(OCTET_STRING, bytes((flags,)))
        + encode_integer(USM),
    )


def encode_security(
    engine_id: bytes, boots: int, time: int, user: bytes, digest: bytes = b"", salt: bytes = b""
) -> bytes:
    """msgSecurityParameters."""
    return tlv(
        OCTET_STRING,
        tlv(
            SEQUENCE,
            tlv(OCTET_STRING, engine_id)
            + encode_integer(boots)
            + encode_integer(time)
            + tlv(OCTET_STRING, user)
            + tlv(OCTET_STRING, digest)
            + tlv(OCTET_STRING, salt),
        ),
    )


def encode_scoped(engine_id: bytes, context: bytes, pdu: bytes) -> bytes:
    """A ScopedPDU."""
    return tlv(SEQUENCE, tlv(OCTET_STRING, engine_id) + tlv(OCTET_STRING, context) + pdu)


def encode_message(header: bytes, security: bytes, body: bytes) -> bytes:
    """A message of encoded parts; `body` is a ScopedPDU, or an OCTET STRING with the encrypted one."""
    return tlv(SEQUENCE, header + security + body)


def _unsigned(data: bytes, at: int, end: int) -> tuple[int, int]:
    value, stop = read_integer(data, at, end)
    if not 0 <= value <= MAX_INT:
        raise OversizeError(f"{value} where 0 to 2**31-1 is required, octet {at}")
    return value, stop


def _octets(data: bytes, at: int, end: int, limit: int) -> tuple[bytes, int]:
    start, stop = read_element(data, at, end, OCTET_STRING)
    if stop - start > limit:
        raise OversizeError(f"{stop - start} octets where {limit} are allowed, octet {at}")
    return data[start:stop], stop


def _filled(at: int, end: int) -> None:
    if at != end:
        raise TrailingDataError(f"{end - at} octets behind octet {at}")
