"""One prepared request, and what its reply must hold to count as unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from collectors.profiles.values import number_of
from collectors.snmp.batch.layouts import NUMBERS
from collectors.snmp.batch.shape import Shape, said
from collectors.snmp.ber import END_OF_MIB_VIEW, NUMERIC, Oid, read_header
from collectors.snmp.message import V3, enclose, encode_pdu, request_name

REQUEST_BYTES: Final = 1024
TEXT_NUMBERS: Final = 8  # at most so many texts a reply that are read as numbers
CELLS: Final = NUMBERS + TEXT_NUMBERS
_LONGER: Final = 2  # octets by which the length of a varbind is made longer
_SOME_ID: Final = 0x40000000  # four octets, and so is every id that replaces it


@dataclass(frozen=True, slots=True)
class Request:
    """`data` of a message version with a request id to be replaced at `request_id_at`, and what its reply must hold:
    `count` varbinds with the objects, types and texts hashed in `contents`, but for those in `measured`, whose text is
    a number, and those in `tails` (position and column), which must lie behind the last row of that column.
    """

    data: bytes
    version: int
    request_id_at: int
    count: int
    contents: int
    measured: tuple[int, ...] = ()
    tails: tuple[tuple[int, Oid], ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands around the PDU of SNMPv1 and v2c."""

    version: int
    community: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Expected:
    """One varbind a reply must hold: `content` are the octets of its value, empty for a number, which may move within
    `octets`. `measured`: the text may move too, for it is a number; `tail`: whatever lies behind the last row of column
    `oid`.
    """

    oid: Oid
    tag: int = 0
    content: bytes = b""
    octets: int = 0
    measured: bool = False
    tail: bool = False


def make_request(
    envelope: Envelope | None,
    kind: int,
    oids: Sequence[Oid],
    expected: Sequence[Expected],
    *,
    non_repeaters: int = 0,
    max_repetitions: int = 0,
    octets: int = 0,
) -> Request:
    """A request for which an unchanged agent answers `expected`; without an envelope the PDU alone (SNMPv3). When it
    is shorter than `octets`, its lengths take more octets than they must, so that it has as many if that suffices (it
    does not where a length around them becomes an octet longer just there).
    """

    def encoded(longer: int) -> tuple[bytes, int]:
        pdu = encode_pdu(kind, _SOME_ID, non_repeaters, max_repetitions, _names(oids, longer))
        data = pdu if envelope is None else enclose(envelope.version, envelope.community, pdu)
        return data, len(data) - len(pdu) + read_header(pdu, 0, len(pdu))[1] + 2

    data, request_id_at = encoded(0)
    longer = octets - len(data)
    if 0 < longer <= _LONGER * len(oids):
        longer -= len(encoded(longer)[0]) - octets  # the lengths around them grow, too
        made = encoded(longer)
        data, request_id_at = made if len(made[0]) == octets else (data, request_id_at)
    measured = tuple(at for at, one in enumerate(expected) if one.measured)
    if len(measured) > TEXT_NUMBERS:
        raise ValueError(f"{len(measured)} texts read as numbers in one request")
    contents = hash(
        b"".join(
            said(one.oid, one.tag, None if one.measured or one.tag in NUMERIC else one.content)
            for one in expected
            if not one.tail
        )
    )
    tails = tuple((at, one.oid) for at, one in enumerate(expected) if one.tail)
    return Request(
        data,
        V3 if envelope is None else envelope.version,
        request_id_at,
        len(expected),
        contents,
        measured,
        tails,
    )


def _names(oids: Sequence[Oid], longer: int) -> bytes:
    """The varbinds, so many octets longer than they must be."""
    return b"".join(
        [request_name(oid, max(0, min(_LONGER, longer - _LONGER * at))) for at, oid in enumerate(oids)]
    )


def as_expected(request: Request, shape: Shape) -> bool:
    """Whether a reply says what the request expects, whatever its numbers are."""
    if shape.error_status or len(shape.said) != request.count:
        return False
    parts = shape.said
    if request.tails or request.measured:
        parts = parts.copy()
        for at, column in request.tails:
            if parts[at][_head(parts[at]) :].startswith(column) and shape.tags[at] != END_OF_MIB_VIEW:
                return False
            parts[at] = b""
        for at in request.measured:
            parts[at] = parts[at][: _head(parts[at]) + _name(parts[at]) + 1]
    return request.contents == hash(b"".join(parts))


def _head(said: bytes) -> int:
    """Octets before the name in a varbind's key: a name may be longer than 127 octets."""
    return 2 if said[1] < 0x80 else 3


def _name(said: bytes) -> int:
    """Octets of the name."""
    return said[_head(said) - 1]


def text_numbers(request: Request, shape: Shape) -> list[float]:
    """The numbers in the texts that are read as such, NaN where there is none."""
    found = []
    for at in request.measured:
        number = number_of((shape.tags[at], shape.value(at)))
        found.append(float("nan") if number is None else number)
    return found
