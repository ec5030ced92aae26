"""Numbers, lengths and object identifiers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.snmp import ber
from collectors.snmp.errors import BerError, IndefiniteLengthError, OversizeError, TruncatedError

SUBIDS = st.lists(st.integers(0, 2**32 - 1), min_size=0, max_size=20)


@st.composite
def oids(draw: st.DrawFn) -> tuple[int, ...]:
    first = draw(st.integers(0, 2))
    second = draw(st.integers(0, 39 if first < 2 else 2**32 - 1))
    return (first, second, *draw(SUBIDS))


@given(oids())
def test_oid_round_trip(oid: tuple[int, ...]) -> None:
    assert ber.decode_oid(ber.encode_oid(oid)) == oid
    assert ber.encode_oid(".".join(map(str, oid))) == ber.encode_oid(oid)


@given(oids(), oids())
def test_order_is_that_of_the_sub_identifiers(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    assert ber.increases(ber.encode_oid(a), ber.encode_oid(b)) == (b > a)


@given(SUBIDS)
def test_index_round_trip(subids: list[int]) -> None:
    assert ber.decode_index(ber.encode_index(tuple(subids))) == tuple(subids)


def test_known_encodings() -> None:
    assert ber.encode_oid("1.3.6.1.4.1.2011") == bytes.fromhex("2b060104018f5b")
    assert ber.encode_oid("2.999.3") == bytes.fromhex("883703")
    assert ber.dotted(b"") == "0.0"
    assert ber.encode_integer(-129) == bytes.fromhex("0202ff7f")
    assert ber.encode_value(ber.COUNTER64, 2**64 - 1) == bytes.fromhex("460900ffffffffffffffff")


@pytest.mark.parametrize(
    "text", ["", "1", "3.1", "1.40", "1.3.x", "1..3", "1.3.4294967296", "1.3.-1", "1.3.\u0663"]
)
def test_bad_oids_are_refused(text: str) -> None:
    with pytest.raises(BerError):
        ber.encode_oid(text)


@pytest.mark.parametrize(
    "content", [b"\x2b\x86", b"\x2b\x80\x01", b"\x2b\x90\x80\x80\x80\x00", b"\x2b" + b"\x01" * 128]
)
def test_bad_encoded_oids_are_refused(content: bytes) -> None:
    with pytest.raises(BerError):
        ber.decode_oid(content)


@given(st.integers(-(2**31), 2**31 - 1))
def test_integer_round_trip(value: int) -> None:
    encoded = ber.encode_integer(value)
    assert ber.read_integer(encoded, 0, len(encoded)) == (value, len(encoded))
    assert len(encoded) <= 6


@pytest.mark.parametrize(
    ("tag", "content", "value"),
    [
        (ber.COUNTER32, "ffffffff", 2**32 - 1),  # sign bit set: agents leave the leading zero out
        (ber.GAUGE32, "ffffffffffffffff", 2**32 - 1),  # sign-extended to 64 bits
        (ber.TIME_TICKS, "0000000005", 5),
        (ber.INTEGER, "ff", -1),
        (ber.INTEGER, "0080000000", 2**31),
        (ber.COUNTER64, "00ffffffffffffffff", 2**64 - 1),
    ],
)
def test_sloppy_numbers_of_real_agents(tag: int, content: str, value: int) -> None:
    assert ber.decode_value(tag, bytes.fromhex(content)) == value


@pytest.mark.parametrize(
    ("tag", "content"),
    [
        (ber.INTEGER, b""),
        (ber.COUNTER64, b"\x01" * 10),
        (ber.IP_ADDRESS, b"abc"),
        (ber.NULL, b"x"),
        (0x1F, b""),
    ],
)
def test_impossible_values_are_refused(tag: int, content: bytes) -> None:
    with pytest.raises(BerError):
        ber.decode_value(tag, content)


def test_lengths() -> None:
    assert ber.read_header(b"\x04\x84\x00\x00\x00\x01x", 0, 7) == (4, 6, 7)  # non-minimal is accepted
    with pytest.raises(IndefiniteLengthError):
        ber.read_header(b"\x30\x80\x00\x00", 0, 4)
    with pytest.raises(OversizeError):
        ber.read_header(b"\x30\x85\x00\x00\x00\x00\x00", 0, 7)
    with pytest.raises(TruncatedError):
        ber.read_header(b"\x30\x82\x01", 0, 3)
    with pytest.raises(TruncatedError):
        ber.read_header(b"\x04\x05abcd", 0, 6)


@pytest.mark.parametrize(
    ("tag", "value"),
    [(ber.GAUGE32, -1), (ber.INTEGER, 2**31), (ber.OCTET_STRING, 5), (ber.COUNTER64, b"1"), (3, 1)],
)
def test_values_that_do_not_fit_their_tag(tag: int, value: int | bytes) -> None:
    with pytest.raises(BerError):
        ber.encode_value(tag, value)
