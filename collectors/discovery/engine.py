"""The one SNMPv3 message sent without a credential: engine discovery (RFC 3414 section 4). Pure.

Any v3 agent answers it with a Report that names its engine, whoever asks and whatever users it has; so v3 is found
without trying a secret.
"""

from __future__ import annotations

from typing import Final

from collectors.snmp.ber import OCTET_STRING, SEQUENCE, encode_integer, read_element, read_integer, tlv
from collectors.snmp.errors import BerError, WrongTagError
from collectors.snmp.message import GET

_V3: Final = 3
_REPORT: Final = 0xA8
_MAX_SIZE: Final = 65_507
_REPORTABLE: Final = b"\x04"
_USM: Final = 3
_EMPTY: Final = tlv(OCTET_STRING, b"")


def encode_discovery(message_id: int) -> bytes:
    """An empty, unauthenticated, reportable GET for the engine that is asked."""
    header = tlv(
        SEQUENCE,
        encode_integer(message_id)
        + encode_integer(_MAX_SIZE)
        + tlv(OCTET_STRING, _REPORTABLE)
        + encode_integer(_USM),
    )
    security = tlv(SEQUENCE, _EMPTY + encode_integer(0) + encode_integer(0) + _EMPTY * 3)
    pdu = tlv(GET, encode_integer(message_id) + encode_integer(0) + encode_integer(0) + tlv(SEQUENCE, b""))
    return tlv(
        SEQUENCE, encode_integer(_V3) + header + tlv(OCTET_STRING, security) + tlv(SEQUENCE, _EMPTY * 2 + pdu)
    )


def parse_report(data: bytes) -> tuple[int, bytes]:
    """(message id, engine id) of a Report to `encode_discovery`. Raises BerError on anything else."""
    at, end = read_element(data, 0, len(data), SEQUENCE)
    version, at = read_integer(data, at, end)
    if version != _V3:
        raise WrongTagError(f"message version {version} is not v3")
    header, after = read_element(data, at, end, SEQUENCE)
    message_id, _ = read_integer(data, header, after)
    start, at = read_element(data, after, end, OCTET_STRING)
    start, stop = read_element(data, start, at, SEQUENCE)
    start, stop = read_element(data, start, stop, OCTET_STRING)
    engine = data[start:stop]
    if not 5 <= len(engine) <= 32:
        raise BerError("an engine id has 5 to 32 octets")
    start, stop = read_element(data, at, end, SEQUENCE)
    for _ in range(2):
        _, start = read_element(data, start, stop, OCTET_STRING)
    if start >= stop or data[start] != _REPORT:
        raise WrongTagError("not a report")
    return message_id, engine
