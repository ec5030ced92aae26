"""The envelope decoder against the full one, and both against any bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.receivers.decode import acknowledgement, envelope, shared, trap_name, version_of
from collectors.snmp.ber import (
    COUNTER64,
    INTEGER,
    IP_ADDRESS,
    OCTET_STRING,
    VarBind,
    encode_index,
    encode_integer,
    encode_oid,
    encode_value,
    tlv,
)
from collectors.snmp.errors import BerError
from collectors.snmp.message import (
    INFORM,
    TRAP_V1,
    TRAP_V2,
    encode_trap,
    encode_varbind,
    parse_response,
    parse_trap,
)
from tests.collectors.receivers.station import LINK_DOWN, link_trap

oids = st.lists(st.integers(0, 2**32 - 1), min_size=0, max_size=20).map(
    lambda rest: encode_oid((1, 3, 6, *rest, 1))
)
values = st.one_of(
    st.integers(-(2**31), 2**31 - 1).map(lambda number: (INTEGER, number)),
    st.binary(max_size=300).map(lambda data: (OCTET_STRING, data)),
    st.integers(0, 2**64 - 1).map(lambda number: (COUNTER64, number)),
)
varbinds = st.lists(st.tuples(oids, values).map(lambda pair: (pair[0], *pair[1])), max_size=6)


def v1_trap(community: bytes, uptime: int, generic: int, specific: int, rows: list[VarBind]) -> bytes:
    body = b"".join(
        (
            tlv(0x06, encode_oid("1.3.6.1.4.1.2011.5")),
            encode_value(IP_ADDRESS, bytes((10, 0, 0, 1))),
            encode_integer(generic),
            encode_integer(specific),
            encode_integer(uptime, 0x43),
            tlv(0x30, b"".join(encode_varbind(*row) for row in rows)),
        )
    )
    return tlv(0x30, encode_integer(0) + tlv(0x04, community) + tlv(TRAP_V1, body))


@given(
    st.binary(max_size=40),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**32 - 1),
    oids,
    varbinds,
    st.booleans(),
)
def test_the_envelope_of_v2c_says_what_the_full_decoder_says(
    community: bytes, number: int, uptime: int, trap_oid: bytes, rows: list[VarBind], inform: bool
) -> None:
    data = encode_trap(community, number, uptime, trap_oid, rows, inform=inform)
    outer = envelope(data)
    assert outer is not None
    trap = parse_trap(data)
    assert (outer[0], outer[1]) == (trap.community, trap.kind) == (community, INFORM if inform else TRAP_V2)
    assert len(trap.trap_oid) >= 0x80 or trap_name(outer[2]) == trap.trap_oid
    again = encode_trap(community, number ^ 1, uptime ^ 1, trap_oid, rows, inform=inform)
    assert envelope(again) == outer, "request-id and uptime do not tell traps apart"


@given(
    st.binary(max_size=40), st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 2**31 - 1), varbinds
)
def test_the_envelope_of_v1_leaves_out_the_time_only(
    community: bytes, uptime: int, generic: int, specific: int, rows: list[VarBind]
) -> None:
    data = v1_trap(community, uptime, generic, specific, rows)
    outer = envelope(data)
    assert outer is not None
    assert outer[:2] == (community, TRAP_V1)
    assert trap_name(outer[2]) == parse_trap(data).trap_oid
    assert envelope(v1_trap(community, uptime ^ 1, generic, specific, rows)) == outer
    assert envelope(v1_trap(community, uptime, generic, specific ^ 1, rows)) != outer


@given(varbinds, varbinds)
def test_traps_that_differ_have_different_envelopes(one: list[VarBind], other: list[VarBind]) -> None:
    first, second = (encode_trap(b"c", 1, 1, LINK_DOWN, rows) for rows in (one, other))
    assert (envelope(first) == envelope(second)) == (one == other)
    assert (shared(parse_trap(first)) == shared(parse_trap(second))) == (one == other)


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read_and_never_raise(data: bytes) -> None:
    envelope(data)
    assert version_of(data) in {-1, 0, 1, 3}


@settings(max_examples=500)
@given(st.data())
def test_damaged_traps_never_raise_and_keep_their_lengths(data: st.DataObject) -> None:
    whole = bytearray(link_trap(7, 3) if data.draw(st.booleans()) else v1_trap(b"c", 1, 6, 4, []))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    outer = envelope(cut)
    trap_name(outer[2] if outer else b"")
    if outer is not None:
        assert outer[0] in cut


def test_an_acknowledgement_is_the_inform_as_a_response() -> None:
    inform = encode_trap(
        b"watch", 77, 1, LINK_DOWN, [(encode_oid("1.3.6.1.2.1.1.5.0"), 4, b"x")], inform=True
    )
    answer = parse_response(acknowledgement(inform))
    assert (answer.request_id, answer.community, answer.error_status, len(answer.varbinds)) == (
        77,
        b"watch",
        0,
        3,
    )
    with pytest.raises(BerError):
        acknowledgement(link_trap(1, 1))


def test_what_only_looks_like_an_old_trap_has_no_name() -> None:
    """Found by fuzzing: a shared part that begins like a v1 trap's and ends in the middle of it."""
    whole = bytes.fromhex("06022b0640047f00000102010602020101")
    assert trap_name(whole) == bytes.fromhex("2b06") + b"\0" + encode_index((257,))
    for size in range(len(whole)):
        assert trap_name(whole[:size]) == b""
    assert trap_name(bytes.fromhex("0608") + whole[2:]) == b""
