"""Plans for random MIBs: an unchanged agent answers as expected, every number has its cell, every change shows."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from collectors.snmp.batch.layouts import NUMBERS, REPLY_BYTES
from collectors.snmp.batch.plan import Plan, Room, make_plan
from collectors.snmp.batch.request import (
    REQUEST_BYTES,
    Envelope,
    Request,
    as_expected,
    make_request,
    text_numbers,
)
from collectors.snmp.batch.shape import Shape, read_message, read_pdu
from collectors.snmp.ber import (
    COUNTER32,
    COUNTER64,
    INTEGER,
    NUMERIC,
    OCTET_STRING,
    Oid,
    Typed,
    VarBind,
    decode_index,
    encode_index,
    encode_oid,
)
from collectors.snmp.message import (
    GET_BULK,
    GET_NEXT,
    RESPONSE,
    V1,
    V2C,
    Message,
    encode_pdu,
    encode_varbind,
    frame,
    parse_message,
    parse_pdu,
)
from tests.collectors.snmp.batch.trees import TreeAgent
from tests.real.snmpd import LoopbackSnmpd

ENTERPRISE = "1.3.6.1.4.1.99"
ENVELOPES: dict[str, Envelope | None] = {
    "v1": Envelope(V1, b"public"),
    "v2c": Envelope(V2C, b"hospital"),
    "v3": None,
}

typed = st.one_of(
    st.integers(-(2**31), 2**31 - 1).map(lambda number: (INTEGER, number)),
    st.integers(0, 2**32 - 1).map(lambda number: (COUNTER32, number)),
    st.integers(0, 2**64 - 1).map(lambda number: (COUNTER64, number)),
    st.binary(max_size=30).map(lambda text: (OCTET_STRING, text)),
    st.sampled_from([(OCTET_STRING, b"x" * 200), (OCTET_STRING, b"y" * 700), (OCTET_STRING, b"24 C")]),
)
index = st.one_of(
    st.tuples(st.integers(1, 60)),
    st.tuples(st.integers(1, 3), st.integers(0, 5)),
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=6).map(tuple),
)


class Mib:
    """What a device says: some scalars, some columns."""

    def __init__(self, scalars: dict[Oid, Typed], columns: dict[Oid, dict[bytes, Typed]]) -> None:
        self.scalars = scalars
        self.columns = columns

    def varbinds(self) -> list[VarBind]:
        found = [(oid, tag, value) for oid, (tag, value) in self.scalars.items()]
        for column, rows in self.columns.items():
            found += [(column + row, tag, value) for row, (tag, value) in rows.items()]
        return found


def ordered(rows: Mapping[tuple[int, ...], Typed]) -> dict[bytes, Typed]:
    return {encode_index(row): rows[row] for row in sorted(rows)}


@st.composite
def mibs(draw: st.DrawFn) -> Mib:
    scalars: dict[Oid, Typed] = {}
    for at in range(draw(st.integers(1, 6))):
        scalars[encode_oid(f"{ENTERPRISE}.1.{at + 1}.0")] = draw(typed)
    columns: dict[Oid, dict[bytes, Typed]] = {}
    for table in range(draw(st.integers(0, 3))):
        indexes = draw(st.lists(index, min_size=0, max_size=draw(st.sampled_from([1, 4, 40])), unique=True))
        for column in range(draw(st.integers(1, 5))):
            sparse = draw(st.integers(0, 4)) == 0
            rows = [one for at, one in enumerate(indexes) if not sparse or at % 2]
            value = draw(typed)
            same_type = (
                st.just(value) if value[0] == OCTET_STRING else typed.filter(lambda one: one[0] in NUMERIC)
            )
            cells = {one: draw(same_type) if at < 5 else value for at, one in enumerate(rows)}
            columns[encode_oid(f"{ENTERPRISE}.{table + 2}.1.{column + 1}")] = ordered(cells)
    return Mib(scalars, columns)


rooms = st.sampled_from([Room(), Room(), Room(700), Room(1400, 20), Room(300, 2), Room(400, 5)])


def ask(agent: TreeAgent, request: Request, envelope: Envelope | None) -> tuple[Shape, int]:
    """The shape of an agent's answer, and how long it is."""
    if envelope is None:
        asked = parse_pdu(request.data)
        varbinds = agent.answer(asked, [row[0] for row in asked.varbinds])
        body = b"".join(encode_varbind(*row) for row in varbinds)
        data = encode_pdu(RESPONSE, asked.request_id, 0, 0, body)
        return read_pdu(data), len(data)
    data = agent.handle(parse_message(request.data))[0]
    return read_message(data), len(data)


def answers(agent: TreeAgent, plan: Plan, envelope: Envelope | None) -> Iterator[tuple[Request, Shape, int]]:
    for request in plan.requests:
        yield request, *ask(agent, request, envelope)


def measured_of(mib: Mib) -> frozenset[Oid]:
    return frozenset(oid for oid, tag, value in mib.varbinds() if value == b"24 C" and tag == OCTET_STRING)


def numbers_of(request: Request, shape: Shape) -> list[float]:
    loose = dict(request.tails)
    values = [shape.value(at) for at, tag in enumerate(shape.tags) if tag in NUMERIC and at not in loose]
    assert shape.numbers(loose) == values
    found = [float(one) for one in values if isinstance(one, int)]
    return [*found, *[float("nan")] * (NUMBERS - len(found)), *text_numbers(request, shape)]


@pytest.mark.parametrize("version", list(ENVELOPES))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(mib=mibs(), room=rooms)
def test_an_unchanged_agent_answers_as_expected(version: str, mib: Mib, room: Room) -> None:
    envelope = ENVELOPES[version]
    agent = TreeAgent(mib.varbinds())
    measured = measured_of(mib)
    plan = make_plan(envelope, mib.scalars, mib.columns, measured, room)
    told: list[list[float]] = []
    for request, shape, size in answers(agent, plan, envelope):
        assert as_expected(request, shape)
        assert len(request.data) <= REQUEST_BYTES - (150 if version == "v3" else 0)
        assert len(shape.tags) <= room.varbinds
        tails = sum(shape.ends[at] - shape.starts[at] for at, _ in request.tails)  # whatever lies behind
        assert size - tails <= min(room.octets + 100, REPLY_BYTES - 36)
        told.append(numbers_of(request, shape))
    for oid, tag, value in mib.varbinds():
        if tag in NUMERIC or oid in measured:
            at, cell = plan.cells[oid]
            assert told[at][cell] == (24 if oid in measured else float(value or 0))
        else:
            assert oid not in plan.cells
    assert len(set(plan.cells.values())) == len(plan.cells), "every number has a cell of its own"


def noticed(plan: Plan, varbinds: Sequence[VarBind], envelope: Envelope | None) -> bool:
    agent = TreeAgent(varbinds)
    return any(not as_expected(request, shape) for request, shape, _ in answers(agent, plan, envelope))


@pytest.mark.parametrize("version", list(ENVELOPES))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(mib=mibs(), room=st.sampled_from([Room(), Room(1400, 20)]), data=st.data())
def test_every_change_shows(version: str, mib: Mib, room: Room, data: st.DataObject) -> None:
    envelope = ENVELOPES[version]
    plan = make_plan(envelope, mib.scalars, mib.columns, frozenset(), room)
    full = [column for column, rows in mib.columns.items() if rows]
    small = [one for one in mib.varbinds() if one[1] in NUMERIC or len(one[2] or b"") < 300]  # type: ignore[arg-type]
    kind = data.draw(st.sampled_from(["remove", "insert", "behind", "text", "type"]))
    varbinds = mib.varbinds()
    if kind in {"insert", "behind"}:
        assume(full)
        column = data.draw(st.sampled_from(full))
        new = encode_index(data.draw(index)) if kind == "insert" else encode_index((2**32 - 1,) * 7)
        assume(new not in mib.columns[column])
        last = list(mib.columns[column])[-1]
        after = sorted([new, last], key=decode_index)[-1] == new
        assume(not (version == "v1" and after))  # documented: it does not see what comes behind the last row
        same = [other for other in full if list(mib.columns[other]) == list(mib.columns[column])]
        table = [other for other in same if other[:-1] == column[:-1]]
        assume(
            all(
                len(value) < 300
                for other in table
                for _, value in mib.columns[other].values()
                if isinstance(value, bytes)
            )
        )
        varbinds += [(other + new, INTEGER, 5) for other in table]
    else:
        assume(small)
        victim = data.draw(st.sampled_from(small))
        at = varbinds.index(victim)
        if kind == "remove":
            del varbinds[at]
        elif kind == "type":
            varbinds[at] = (
                victim[0],
                OCTET_STRING if victim[1] in NUMERIC else INTEGER,
                b"" if victim[1] in NUMERIC else 1,
            )
        else:
            assume(victim[1] == OCTET_STRING)
            assert isinstance(victim[2], bytes)
            varbinds[at] = (
                victim[0],
                OCTET_STRING,
                data.draw(st.binary(max_size=30).filter(lambda text: text != victim[2])),
            )
    assert noticed(plan, varbinds, envelope)


@pytest.mark.parametrize("version", list(ENVELOPES))
def test_a_large_switch_fills_frames_and_does_not_overfill_them(version: str) -> None:
    columns: dict[Oid, dict[bytes, Typed]] = {}
    for at in range(14):
        tag, value = (
            (COUNTER64, 2**63)
            if at < 6
            else (INTEGER, 1)
            if at < 12
            else (OCTET_STRING, b"GigabitEthernet1/0/48")
        )
        columns[encode_oid(f"1.3.6.1.2.1.31.1.1.1.{at + 1}")] = {
            encode_index((row,)): (tag, value) for row in range(1, 61)
        }
    envelope = ENVELOPES[version]
    room = Room() if envelope else Room(Room().octets - 200)  # what seals a PDU takes of the frame
    plan = make_plan(envelope, {}, columns, room=room)
    agent = TreeAgent(Mib({}, columns).varbinds())
    sizes = [size for _, _, size in answers(agent, plan, envelope)]
    assert max(sizes) + (200 if envelope is None else 0) <= 1500
    assert len(plan.requests) <= 30
    assert len(plan.cells) == 12 * 60


def test_a_name_longer_than_a_short_length_is_looked_at_whole() -> None:
    """Of a name of more than 127 octets the length takes two; a new row behind must still be seen."""
    column = encode_oid(f"{ENTERPRISE}.7.1.1")
    long = [tuple([200] * 70 + [at]) for at in range(3)]
    rows = {encode_index(row): (INTEGER, 1) for row in long[:2]}
    envelope = ENVELOPES["v2c"]
    plan = make_plan(envelope, {}, {column: dict(rows)})
    varbinds = [(column + row, INTEGER, 1) for row in rows]
    assert plan.cells
    assert not noticed(plan, varbinds, envelope)
    assert noticed(plan, [*varbinds, (column + encode_index(long[2]), INTEGER, 1)], envelope)


def test_rows_of_two_tables_with_the_same_indexes_are_both_looked_for() -> None:
    rows: dict[bytes, Typed] = {encode_index((row,)): (INTEGER, row) for row in range(1, 20)}
    one, two = encode_oid(f"{ENTERPRISE}.2.1.1"), encode_oid(f"{ENTERPRISE}.3.1.1")
    mib = Mib({}, {one: rows, two: rows})
    envelope = ENVELOPES["v2c"]
    plan = make_plan(envelope, {}, mib.columns)
    for column in (one, two):
        assert noticed(plan, [*mib.varbinds(), (column + encode_index((20,)), INTEGER, 1)], envelope)


@pytest.mark.parametrize("version", list(ENVELOPES))
def test_single_objects_go_with_the_rows_of_a_table(version: str) -> None:
    envelope = ENVELOPES[version]
    rows: dict[bytes, Typed] = {encode_index((row,)): (INTEGER, row) for row in range(1, 33)}
    scalars: dict[Oid, Typed] = {
        encode_oid(f"{ENTERPRISE}.1.{at}.0"): (INTEGER, 1000 + at) for at in range(1, 9)
    }
    mib = Mib(scalars, {encode_oid(f"{ENTERPRISE}.2.1.1"): rows})
    plan = make_plan(envelope, scalars, mib.columns)
    assert len(plan.requests) == 1
    assert len(plan.cells) == 40
    assert not noticed(plan, mib.varbinds(), envelope)
    changed = {**scalars, encode_oid(f"{ENTERPRISE}.1.3.0"): (OCTET_STRING, b"text now")}
    assert noticed(plan, Mib(changed, mib.columns).varbinds(), envelope)


def test_many_tables_with_the_same_rows_do_not_overfill_a_reply() -> None:
    rows: dict[bytes, Typed] = {encode_index((row,)): (INTEGER, row) for row in range(1, 61)}
    columns = {encode_oid(f"{ENTERPRISE}.{table}.1.1"): rows for table in range(2, 40)}
    mib, envelope = Mib({}, columns), ENVELOPES["v2c"]
    plan = make_plan(envelope, {}, columns)
    for request, shape, size in answers(TreeAgent(mib.varbinds()), plan, envelope):
        assert as_expected(request, shape)
        assert size <= 1472
    for column in columns:
        assert noticed(plan, [*mib.varbinds(), (column + encode_index((61,)), INTEGER, 1)], envelope)


def test_a_refusal_and_too_few_varbinds_are_not_as_expected() -> None:
    oid = encode_oid(f"{ENTERPRISE}.1.1.0")
    plan = make_plan(ENVELOPES["v2c"], {oid: (INTEGER, 5)}, {})
    (request,) = plan.requests
    body = encode_varbind(oid, INTEGER, 7)
    assert as_expected(request, read_message(frame(V2C, b"hospital", RESPONSE, 0x40000001, 0, 0, body)))
    assert not as_expected(request, read_message(frame(V2C, b"hospital", RESPONSE, 0x40000001, 5, 1, body)))
    assert not as_expected(request, read_message(frame(V2C, b"hospital", RESPONSE, 0x40000001, 0, 0, b"")))
    assert not as_expected(
        request, read_message(frame(V2C, b"hospital", RESPONSE, 0x40000001, 0, 0, body + body))
    )


def test_what_is_tight() -> None:
    assert not Room().tight
    assert Room(299).tight
    assert Room(1400, 1).tight


def test_bulk_is_only_asked_of_those_who_know_it() -> None:
    columns = {encode_oid(f"{ENTERPRISE}.2.1.1"): {encode_index((at,)): (INTEGER, at) for at in range(1, 40)}}
    for version, envelope in ENVELOPES.items():
        plan = make_plan(envelope, {}, columns)
        kinds: set[int] = set()
        for request in plan.requests:
            message: Message = parse_pdu(request.data) if envelope is None else parse_message(request.data)
            kinds.add(message.kind)
        assert (GET_BULK in kinds) == (version != "v1")


OIDS = [encode_oid(f"{ENTERPRISE}.1.{at}.0") for at in range(1, 9)]


@pytest.mark.parametrize("envelope", ENVELOPES.values(), ids=ENVELOPES)
@given(st.integers(0, 300), st.integers(1, 8))
@example(159, 8)
def test_a_request_is_as_long_as_wished_or_as_short_as_can_be(
    envelope: Envelope | None, octets: int, count: int
) -> None:
    def made(octets: int) -> Request:
        bulk = {"non_repeaters": 1, "max_repetitions": 9}
        return make_request(envelope, GET_BULK, OIDS[:count], [], **bulk, octets=octets)

    plain, longer = made(0), made(octets)
    assert len(longer.data) in {len(plain.data), octets}
    if 0 < octets - len(plain.data) <= count and len(longer.data) != octets:
        # a length around the varbinds becomes an octet longer just here: the next one is reached
        assert len(made(octets + 1).data) == octets + 1
    parse = parse_pdu if envelope is None else parse_message
    assert parse(longer.data) == parse(plain.data)
    at = longer.request_id_at
    assert longer.data[at - 2 : at + 4] == plain.data[plain.request_id_at - 2 : plain.request_id_at + 4]


def test_requests_of_a_plan_are_of_few_lengths_the_longest_first() -> None:
    columns = {
        encode_oid(f"{ENTERPRISE}.2.1.{column}"): {
            encode_index((row,)): (COUNTER32, 2**20) for row in range(1, 25)
        }
        for column in range(1, 11)
    }
    scalars: dict[Oid, Typed] = dict.fromkeys(OIDS, (COUNTER32, 2**20))
    lengths = [len(one.data) for one in make_plan(Envelope(V2C, b"public"), scalars, columns).requests]
    assert lengths == sorted(lengths, reverse=True)
    assert len(lengths) > 3
    assert len(set(lengths)) < len(lengths)


def test_snmpd_answers_requests_with_longer_lengths(tmp_path: Path) -> None:
    envelope = Envelope(V2C, b"public")
    names = [encode_oid(f"1.3.6.1.2.1.1.{at}") for at in (1, 3, 5)]
    with LoopbackSnmpd(tmp_path) as snmpd, closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as link:
        link.settimeout(5)
        answers = []
        for octets in (0, 69, 70, 71, 74):
            data = make_request(envelope, GET_NEXT, names, [], octets=octets).data
            assert octets in (0, len(data))
            link.sendto(data, (snmpd.host, snmpd.port))
            answers.append([(oid, tag) for oid, tag, _ in parse_message(link.recv(2000)).varbinds])
    assert answers == [answers[0]] * 5
    assert len(answers[0]) == 3
