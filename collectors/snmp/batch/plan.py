"""From what a device said once to the requests that ask for the same again. Pure.

Every object is asked for by its predecessor (GETNEXT, GETBULK), so that a row that came or went shows in the very next
reply. Tables with many cells are asked for by GETBULK, a block of rows of all columns with the same rows at a time,
whichever tables they are of. Single cells, and what lies behind the last row of each table, fill the room that blocks
leave, then requests of their own. SNMPv1 has GETNEXT only, and does not see a row that came behind the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from collectors.snmp.batch.layouts import NUMBERS
from collectors.snmp.batch.request import (
    REQUEST_BYTES,
    TEXT_NUMBERS,
    Envelope,
    Expected,
    Request,
    make_request,
)
from collectors.snmp.ber import (
    COUNTER64,
    EMPTY,
    NUMERIC,
    Oid,
    Typed,
    decode_oid,
    encode_oid,
)
from collectors.snmp.message import GET_BULK, GET_NEXT, V1

FULL_REPLY: Final = 1464  # octets of a reply: one Ethernet frame, and room for some numbers to grow
MOST_VARBINDS: Final = 120
LEAST_REPLY: Final = 300  # below this an agent is read plainly
_VARBIND: Final = 6  # tags and lengths of one varbind
_LONG: Final = 100  # octets of a varbind from which the lengths take more
_COUNTER64_OCTETS: Final = 5  # at least: those are what grows fastest
_TAIL_OCTETS: Final = 10  # of index and value of what lies behind a table
_AROUND_VARBINDS: Final = 20  # octets of a PDU that are no varbinds
_AROUND_PDU: Final = 10  # octets of a message that are no PDU, but for the community
_REQUEST_ROOM: Final = REQUEST_BYTES - 200  # SNMPv3's headers and the other PDU fields need the rest
_COLUMNS: Final = 16
_FEW: Final = 12  # a table with at most so many cells is not worth a request of its own
_BEHIND: Final = 0xFFFFFFFF

Columns = Mapping[Oid, Mapping[bytes, Typed]]


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests of a device; `cells` tells for each object the request and the cell of its number there."""

    requests: tuple[Request, ...]
    cells: Mapping[Oid, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Room:
    """What fits a reply: octets and varbinds."""

    octets: int = FULL_REPLY
    varbinds: int = MOST_VARBINDS

    @property
    def tight(self) -> bool:
        """Whether there is too little for a plan to make sense."""
        return self.octets < LEAST_REPLY or self.varbinds < 2


@dataclass(slots=True)
class _Draft:
    """A request being filled."""

    asked: list[Oid] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    columns: list[Oid] = field(default_factory=list)
    rows: int = 0
    request_bytes: int = 0
    reply_bytes: int = 0
    numbers: int = 0
    texts: int = 0


def make_plan(
    envelope: Envelope | None,
    scalars: Mapping[Oid, Typed],
    columns: Columns,
    measured: frozenset[Oid] = frozenset(),
    room: Room = Room(),
) -> Plan:
    """The plan for a device that said this; texts of objects in `measured` are read as numbers. An object whose text
    is measured, or that is too large, is simply not the plan's: it has no cell. `envelope` None means SNMPv3, whose
    `room` is that of the PDU.
    """
    bulk = envelope is None or envelope.version != V1
    around = 0 if envelope is None else _AROUND_PDU + len(envelope.community)
    room = replace(room, octets=room.octets - around - _AROUND_VARBINDS)
    drafts: list[_Draft] = []
    singles = [(_before(oid), _expected(oid, typed, measured)) for oid, typed in scalars.items()]
    for group in _groups(columns):
        rows = list(columns[group[0]])
        if bulk and len(rows) * len(group) > _FEW:
            blocks = _blocks(group, rows, columns, measured, room)
            drafts += blocks
            if blocks:
                singles += [(one + rows[-1], Expected(one, tail=True)) for one in _one_a_table(group)]
        else:
            singles += _single_cells(group, rows, columns, measured, tail=bulk)
    drafts = [*_packed(singles, drafts, room), *drafts]
    requests = []
    cells: dict[Oid, tuple[int, int]] = {}
    for number, (request, draft) in enumerate(_evened(envelope, drafts, bulk=bulk)):
        requests.append(request)
        cells.update({oid: (number, cell) for oid, cell in _cells(draft.expected)})
    return Plan(tuple(requests), cells)


def _evened(
    envelope: Envelope | None, drafts: Sequence[_Draft], *, bulk: bool
) -> list[tuple[Request, _Draft]]:
    """The requests, the longest first, and then as many as possible of the same length: such travel together."""
    made = [(_request(envelope, draft, bulk=bulk), draft) for draft in drafts]
    made.sort(key=lambda one: len(one[0].data), reverse=True)
    evened = made[:1]
    for request, draft in made[1:]:
        leader = len(evened[-1][0].data)
        longer = _request(envelope, draft, bulk=bulk, octets=leader)
        evened.append((longer if len(longer.data) == leader else request, draft))
    return evened


def _request(envelope: Envelope | None, draft: _Draft, *, bulk: bool, octets: int = 0) -> Request:
    asked = [*draft.asked, *draft.columns]
    if not bulk:
        return make_request(envelope, GET_NEXT, asked, draft.expected, octets=octets)
    return make_request(
        envelope,
        GET_BULK,
        asked,
        draft.expected,
        non_repeaters=len(draft.asked),
        max_repetitions=draft.rows,
        octets=octets,
    )


def _cells(expected: Sequence[Expected]) -> Iterator[tuple[Oid, int]]:
    """The cell of each number of a reply: numbers in order, then the texts that are numbers."""
    number, text = 0, NUMBERS
    for one in expected:
        if one.measured:
            yield one.oid, text
            text += 1
        elif one.tag in NUMERIC:
            yield one.oid, number
            number += 1


def _groups(columns: Columns) -> list[list[Oid]]:
    """Columns with the very same rows, which one request can ask for together."""
    found: dict[tuple[bytes, ...], list[Oid]] = {}
    for column, rows in columns.items():
        if rows:
            found.setdefault(tuple(rows), []).append(column)
    return [group[at : at + _COLUMNS] for group in found.values() for at in range(0, len(group), _COLUMNS)]


def _blocks(
    group: Sequence[Oid], rows: Sequence[bytes], columns: Columns, measured: frozenset[Oid], room: Room
) -> list[_Draft]:
    """Requests for all rows of columns, as many rows at a time as fit a reply."""
    draft = _Draft(columns=list(group))
    drafts = [draft]
    for at, row in enumerate(rows):
        cells = [_expected(column + row, columns[column][row], measured) for column in group]
        if draft.rows and not _has_room(draft, cells, room):
            draft = _Draft(columns=[column + rows[at - 1] for column in group])
            drafts.append(draft)
        if not draft.rows and not _has_room(draft, cells, room):
            return _narrower(group, rows, columns, measured, room)
        _add(draft, cells)
        draft.rows += 1
    return drafts


def _one_a_table(group: Sequence[Oid]) -> list[Oid]:
    """The first column of each table."""
    return list({decode_oid(column)[:-1]: column for column in reversed(group)}.values())


def _narrower(
    group: Sequence[Oid], rows: Sequence[bytes], columns: Columns, measured: frozenset[Oid], room: Room
) -> list[_Draft]:
    """The same with fewer columns at a time; a column of which one cell is too large alone is left out."""
    if len(group) == 1:
        return []
    half = len(group) // 2
    return [
        draft
        for part in (group[:half], group[half:])
        for draft in _blocks(part, rows, columns, measured, room)
    ]


def _single_cells(
    group: Sequence[Oid], rows: Sequence[bytes], columns: Columns, measured: frozenset[Oid], *, tail: bool
) -> Iterator[tuple[Oid, Expected]]:
    for column in group:
        before = column
        for row in rows:
            yield before, _expected(column + row, columns[column][row], measured)
            before = column + row
        if tail:  # SNMPv1 answers what lies behind the last object with an error for all
            yield before, Expected(column, tail=True)


def _packed(singles: Sequence[tuple[Oid, Expected]], blocks: Sequence[_Draft], room: Room) -> list[_Draft]:
    """Requests for those single cells that do not fit before the rows of blocks."""
    left = list(singles)
    for block in blocks:
        left = _filled(block, left, room)
    drafts = []
    while left:
        draft, before = _Draft(), len(left)
        left = _filled(draft, left, room)
        if len(left) == before:  # each is too large alone
            break
        drafts.append(draft)
    return drafts


def _filled(draft: _Draft, singles: Sequence[tuple[Oid, Expected]], room: Room) -> list[tuple[Oid, Expected]]:
    """Take what fits; returns what is left."""
    left = []
    for before, one in singles:
        if _has_room(draft, [one], room):
            _add_single(draft, before, one)
        else:
            left.append((before, one))
    return left


def _add_single(draft: _Draft, before: Oid, one: Expected) -> None:
    _add(draft, [one], len(draft.asked))
    draft.asked.append(before)
    draft.request_bytes += len(before) + _VARBIND


def _has_room(draft: _Draft, cells: Sequence[Expected], room: Room) -> bool:
    if draft.reply_bytes + sum(map(_size, cells)) > room.octets:
        return False
    numbers, texts = _counts(cells)
    columns = sum(len(column) + _VARBIND for column in draft.columns)
    return (
        len(draft.expected) + len(cells) <= room.varbinds
        and draft.numbers + numbers <= NUMBERS
        and draft.texts + texts <= TEXT_NUMBERS
        and draft.request_bytes + columns + sum(len(one.oid) + _VARBIND for one in cells[:1]) <= _REQUEST_ROOM
    )


def _add(draft: _Draft, cells: Sequence[Expected], at: int | None = None) -> None:
    numbers, texts = _counts(cells)
    place = len(draft.expected) if at is None else at
    draft.expected[place:place] = cells
    draft.reply_bytes += sum(map(_size, cells))
    draft.numbers += numbers
    draft.texts += texts


def _counts(cells: Sequence[Expected]) -> tuple[int, int]:
    texts = sum(one.measured for one in cells)
    return sum(one.tag in NUMERIC for one in cells), texts


def _size(one: Expected) -> int:
    """Octets of a varbind in a reply; a tail is taken to be some counter."""
    octets = len(one.oid) + (_TAIL_OCTETS if one.tail else len(one.content) + one.octets)
    return octets + (_VARBIND if octets < _LONG else 2 * _VARBIND)


def _expected(oid: Oid, typed: Typed, measured: frozenset[Oid]) -> Expected:
    tag, value = typed
    if isinstance(value, int):
        least = _COUNTER64_OCTETS if tag == COUNTER64 else 1
        return Expected(oid, tag, octets=max(least, value.bit_length() // 8 + 1))
    content = b"" if tag in EMPTY or not isinstance(value, bytes) else value
    return Expected(oid, tag, content, measured=oid in measured)


def _before(oid: Oid) -> Oid:
    """An OID behind which this one is the next that exists, if it exists."""
    *parents, last = decode_oid(oid)
    if last == 0:
        return encode_oid(tuple(parents))
    return encode_oid((*parents, last - 1, _BEHIND))
