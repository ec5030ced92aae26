"""Layouts against the plain reading of the same replies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.snmp.batch.layouts import NO_LAYOUT, NUMBERS, REPLY_BYTES, REPLY_WORDS, Layouts
from collectors.snmp.batch.shape import Shape, read_message
from collectors.snmp.ber import COUNTER32, COUNTER64, GAUGE32, INTEGER, NUMERIC, OCTET_STRING, VarBind, tlv
from collectors.snmp.errors import BerError
from collectors.snmp.message import RESPONSE, V2C, encode_varbind, frame

REQUEST_ID = 0x41234567
SYSTEM = bytes((0x2B, 6, 1, 2, 1, 1))

NUMBERS_OF = {
    INTEGER: st.integers(-(2**31), 2**31 - 1),
    COUNTER32: st.integers(0, 2**32 - 1),
    GAUGE32: st.integers(0, 2**32 - 1),
    COUNTER64: st.integers(0, 2**64 - 1),
}
numbers = st.sampled_from(list(NUMBERS_OF)).flatmap(lambda tag: st.tuples(st.just(tag), NUMBERS_OF[tag]))
values = st.one_of(numbers, st.tuples(st.just(OCTET_STRING), st.binary(max_size=20)))


def reply(varbinds: list[VarBind], request_id: int = REQUEST_ID, status: int = 0) -> bytes:
    body = b"".join(encode_varbind(*varbind) for varbind in varbinds)
    return frame(V2C, b"public", RESPONSE, request_id, status, 0, body)


def named(pairs: list[tuple[int, int | bytes]]) -> list[VarBind]:
    return [(SYSTEM + bytes((at + 1,)), tag, value) for at, (tag, value) in enumerate(pairs)]


def rows_of(replies: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.full((len(replies), REPLY_BYTES), 0xA5, np.uint8)  # what an earlier datagram left behind
    for row, data in zip(rows, replies, strict=True):
        row[: len(data)] = np.frombuffer(data, np.uint8)
    return rows.view(np.uint64), np.array([len(data) for data in replies])


def plain(shape: Shape) -> list[float]:
    """By the decoder of single values, which the shape must agree with."""
    found = [shape.value(at) for at, tag in enumerate(shape.tags) if tag in NUMERIC]
    assert shape.numbers() == found
    return [float(one) for one in found if isinstance(one, int)]


@given(st.lists(values, min_size=1, max_size=40), st.data())
def test_a_reply_of_the_same_shape_is_read_as_the_plain_reading_does(
    pairs: list[tuple[int, int | bytes]], data: st.DataObject
) -> None:
    first = reply(named(pairs))
    again = [(tag, data.draw(NUMBERS_OF[tag]) if tag in NUMERIC else value) for tag, value in pairs]
    second = reply(named(again), REQUEST_ID + 1)
    layouts = Layouts(capacity=2)
    number = layouts.learn(read_message(first))
    words, sizes = rows_of([first, second])
    fits = layouts.fits(np.array([number, number]), words, sizes)
    assert fits[0]
    lengths = [[len(encode_varbind(*one)) for one in named(some)] for some in (pairs, again)]
    assert fits[1] == (lengths[0] == lengths[1])
    at = np.flatnonzero(fits)
    found = layouts.numbers(np.full(len(at), number), words, at)
    for row, wire in zip(found, [first, second], strict=False):
        expected = plain(read_message(wire))
        assert row[: len(expected)].tolist() == expected


@given(st.lists(values, min_size=1, max_size=12), st.data())
def test_any_octet_outside_the_numbers_that_differs_is_seen(
    pairs: list[tuple[int, int | bytes]], data: st.DataObject
) -> None:
    wire = reply(named(pairs))
    shape = read_message(wire)
    layouts = Layouts()
    number = layouts.learn(shape)
    at = data.draw(st.integers(0, len(wire) - 1))
    broken = bytearray(wire)
    broken[at] ^= data.draw(st.integers(1, 255))
    free = {*range(shape.request_id_at, shape.request_id_at + 4)}
    for spot, tag in enumerate(shape.tags):
        if tag in NUMERIC:
            free |= set(range(shape.starts[spot], shape.ends[spot]))
    words, sizes = rows_of([bytes(broken)])
    fits = bool(layouts.fits(np.array([number]), words, sizes)[0])
    assert fits <= (at in free)


def test_padded_unsigned_numbers_are_read_as_the_plain_reading_does() -> None:
    wire = frame(
        V2C, b"x", RESPONSE, REQUEST_ID, 0, 0,
        b"".join(
            tlv(0x30, tlv(6, SYSTEM + bytes((at,))) + tlv(tag, content))
            for at, (tag, content) in enumerate([
                (COUNTER32, b"\xff\xff\xff\xff"), (COUNTER32, b"\xff\xff\xff\xff\xff"), (GAUGE32, b"\xff\xfe"),
                (COUNTER32, b"\x01\x00\x00\x00\x05"), (COUNTER64, b"\x00\xff\xff\xff\xff\xff\xff\xff\xfe"),
                (COUNTER64, b"\xff" * 8), (INTEGER, b"\xff\xff\xff\xff\xff\xff\xff\xfe"), (INTEGER, b"\x80"),
            ])
        ),
    )  # fmt: skip
    shape = read_message(wire)
    layouts = Layouts()
    number = layouts.learn(shape)
    words, sizes = rows_of([wire])
    assert layouts.fits(np.array([number]), words, sizes).all()
    assert layouts.numbers(np.array([number]), words, np.array([0]))[0].tolist() == plain(shape)


def test_no_layout_fits_nothing_and_forgotten_ones_are_given_again() -> None:
    layouts = Layouts(capacity=2)
    wire, other = reply(named([(INTEGER, 5)])), reply(named([(INTEGER, 500)]))
    first, second = layouts.learn(read_message(wire)), layouts.learn(read_message(other))
    words, sizes = rows_of([wire, wire, other])
    assert layouts.fits(np.array([NO_LAYOUT, first, second]), words, sizes).tolist() == [False, True, True]
    layouts.forget([first, NO_LAYOUT])
    assert len(layouts) == 1
    assert layouts.fits(np.array([NO_LAYOUT, first, second]), words, sizes).tolist() == [False, False, True]
    assert layouts.learn(read_message(wire)) == first


def test_equal_layouts_are_one_until_the_last_is_forgotten() -> None:
    layouts = Layouts(capacity=2)
    ours, theirs = (reply(named([(OCTET_STRING, b"GE1"), (INTEGER, number)])) for number in (5, 7))
    first = layouts.learn(read_message(ours))
    assert layouts.learn(read_message(theirs)) == first
    assert layouts.learn(read_message(reply(named([(OCTET_STRING, b"GE2"), (INTEGER, 5)])))) != first
    assert layouts.learn(read_message(reply(named([(GAUGE32, 5), (INTEGER, 5)])))) != first
    assert len(layouts) == 3
    words, sizes = rows_of([ours])
    layouts.forget([first])
    assert layouts.fits(np.array([first]), words, sizes).all()
    layouts.forget([first])
    assert len(layouts) == 2
    assert not layouts.fits(np.array([first]), words, sizes).any()
    assert layouts.learn(read_message(theirs)) == first


def test_replies_that_are_too_long_or_too_full_get_no_layout() -> None:
    layouts = Layouts()
    full = reply(named([(INTEGER, 1)] * (NUMBERS + 1)))
    long = reply(named([(OCTET_STRING, b"x" * REPLY_BYTES)]))
    assert [layouts.learn(read_message(wire)) for wire in (full, long)] == [NO_LAYOUT, NO_LAYOUT]
    assert REPLY_WORDS * 8 == REPLY_BYTES


@given(st.binary(max_size=120))
def test_reading_a_shape_never_raises_anything_but_its_own_error(data: bytes) -> None:
    wire = reply(named([(INTEGER, 5), (OCTET_STRING, b"abc")]))
    for hostile in (data, wire[: len(data)] + data, data + wire, wire + data[:1]):
        try:
            read_message(hostile)
        except BerError:
            continue
        assert hostile[:1] == b"\x30"


def test_a_request_id_of_another_size_is_no_shape() -> None:
    with pytest.raises(BerError, match="request id"):
        read_message(reply(named([(INTEGER, 5)]), request_id=5))
