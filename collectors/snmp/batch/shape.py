"""What a reply looks like, octet by octet: which objects, of which type, and where their values lie. Pure.

This is the plain reading of a reply; layouts.py repeats it without reading. Values are given by position, so that the
next reply of the same shape can be read with one gather.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from collectors.snmp.ber import (
    COUNTER64,
    INTEGER,
    NULL,
    NUMERIC,
    OBJECT_ID,
    OCTET_STRING,
    SEQUENCE,
    Oid,
    Value,
    decode_oid,
    decode_value,
    encode_length,
    read_element,
    read_header,
    read_integer,
)
from collectors.snmp.errors import TrailingDataError, TruncatedError, WrongTagError
from collectors.snmp.message import RESPONSE, V3

_REQUEST_ID_OCTETS: Final = 4
# How many octets of a number count, the last ones, by tag: agents pad 32-bit types with their sign.
OCTETS: Final[Mapping[int, int]] = {tag: 8 if tag in (INTEGER, COUNTER64) else 4 for tag in NUMERIC}


@dataclass(frozen=True, slots=True)
class Shape:
    """One reply of message version `version` (a bare PDU's is that of SNMPv3). `request_id_at` is the first of its four
    octets; varbind [i] has tag `tags` [i] and its value at `data` [`starts` [i] : `ends` [i]]. `said` [i] is what must
    not move: name and tag, and the value of a text.
    """

    data: bytes
    version: int
    request_id_at: int
    error_status: int
    tags: bytes
    starts: list[int]
    ends: list[int]
    said: list[bytes]

    def value(self, at: int) -> Value:
        """The value of a varbind. Raises BerError."""
        return decode_value(self.tags[at], self.data[self.starts[at] : self.ends[at]])

    def numbers(self, loose: Collection[int] = ()) -> list[int] | None:
        """The values of the numeric varbinds, but for those in `loose`; None when one has no octets."""
        data, from_bytes, octets_of = self.data, int.from_bytes, OCTETS.get
        tags = bytearray(self.tags)
        for at in loose:
            tags[at] = NULL
        found = []
        for tag, start, end in zip(tags, self.starts, self.ends, strict=True):
            octets = octets_of(tag)
            if octets is not None:
                if start == end:
                    return None
                counts = end - octets
                content = data[start if start > counts else counts : end]
                found.append(from_bytes(content, "big", signed=tag == INTEGER))
        return found


def read_message(data: bytes) -> Shape:
    """The shape of a v1 or v2c response. Raises BerError."""
    size = len(data)
    at, end = read_element(data, 0, size, SEQUENCE)
    if end != size:
        raise TrailingDataError(f"{size - end} octets behind the message")
    version, at = read_integer(data, at, end)
    _, at = read_element(data, at, end, OCTET_STRING)
    return _pdu(data, version, at, end)


def read_pdu(data: bytes) -> Shape:
    """The shape of a bare response PDU, as SNMPv3 leaves it. Raises BerError."""
    return _pdu(data, V3, 0, len(data))


def said(name: Oid, tag: int, content: bytes | None) -> bytes:
    """What an expected varbind adds to a reply's key; no content when its value may move."""
    key = b"".join((b"\x06", encode_length(len(name)), name, bytes((tag,))))
    return key if content is None else key + encode_length(len(content)) + content


def _pdu(data: bytes, version: int, at: int, end: int) -> Shape:
    kind, at, stop = read_header(data, at, end)
    if kind != RESPONSE:
        raise WrongTagError(f"PDU {kind:#04x} is not a response")
    if stop != end:
        raise TrailingDataError(f"{end - stop} octets behind the PDU")
    request_id_at, at = read_element(data, at, end, INTEGER)
    if at - request_id_at != _REQUEST_ID_OCTETS:
        raise WrongTagError(f"request id of {at - request_id_at} octets")
    error_status, at = read_integer(data, at, end)
    _, at = read_integer(data, at, end)
    at, stop = read_element(data, at, end, SEQUENCE)
    if stop != end:
        raise TrailingDataError("octets behind the varbinds")
    tags, starts, ends, keys = _varbinds(data, at, end)
    return Shape(data, version, request_id_at, error_status, tags, starts, ends, keys)


def _varbinds(data: bytes, at: int, end: int) -> tuple[bytes, list[int], list[int], list[bytes]]:
    """Tags, where values start and end, and what must not move; the hot loop, short forms first."""
    tags = bytearray()
    starts: list[int] = []
    ends: list[int] = []
    keys: list[bytes] = []
    numeric, last = NUMERIC, end - 6
    while at < end:
        if at <= last and data[at] == 0x30 and data[at + 2] == 0x06:
            size = data[at + 1]
            value_at = at + 4 + data[at + 3]
            stop = at + 2 + size
            if size < 0x80 and stop <= end and value_at + 2 <= stop:
                start = value_at + 2
                if start + data[value_at + 1] == stop and stop - start < 0x80:
                    tag = data[value_at]
                    keys.append(data[at + 2 : value_at + 1 if tag in numeric else stop])
                    tags.append(tag)
                    starts.append(start)
                    ends.append(stop)
                    at = stop
                    continue
        tag, start, stop, key = _long_varbind(data, at, end)
        keys.append(key)
        tags.append(tag)
        starts.append(start)
        ends.append(stop)
        at = stop
    return bytes(tags), starts, ends, keys


def _long_varbind(data: bytes, at: int, end: int) -> tuple[int, int, int, bytes]:
    """Tag, start and end of the value, and the key of a varbind in any form of BER."""
    at, stop = read_element(data, at, end, SEQUENCE)
    name_at, value_at = read_element(data, at, stop, OBJECT_ID)
    tag, start, value_end = read_header(data, value_at, stop)
    if value_end != stop:
        raise TruncatedError(f"value at octet {start} does not fill its varbind")
    name = data[name_at:value_at]
    decode_oid(name)
    decode_value(tag, data[start:stop])
    return tag, start, stop, said(name, tag, None if tag in NUMERIC else data[start:stop])
