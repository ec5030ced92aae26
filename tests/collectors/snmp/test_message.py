"""Messages: round trips, hostile bytes, and pysnmp as a second opinion."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto import api

from collectors.snmp import ber, message
from collectors.snmp.ber import VarBind, encode_oid
from collectors.snmp.errors import BerError, TrailingDataError, TruncatedError, WrongTagError

IF_IN = encode_oid("1.3.6.1.2.1.31.1.1.1.6.268435457")


def _typed() -> st.SearchStrategy[tuple[int, int | bytes | None]]:
    unsigned = st.integers(0, 2**32 - 1)
    return st.one_of(
        st.tuples(st.just(ber.INTEGER), st.integers(-(2**31), 2**31 - 1)),
        st.tuples(st.sampled_from([ber.COUNTER32, ber.GAUGE32, ber.TIME_TICKS]), unsigned),
        st.tuples(st.just(ber.COUNTER64), st.integers(0, 2**64 - 1)),
        st.tuples(st.just(ber.OCTET_STRING), st.binary(max_size=300)),
        st.tuples(st.just(ber.IP_ADDRESS), st.binary(min_size=4, max_size=4)),
        st.tuples(st.just(ber.OBJECT_ID), st.just(encode_oid("1.3.6.1.4.1.2011.2.23.291"))),
        st.tuples(st.sampled_from([ber.NULL, ber.NO_SUCH_INSTANCE, ber.END_OF_MIB_VIEW]), st.none()),
    )


NAMES = st.lists(st.integers(0, 2**32 - 1), max_size=40).map(lambda tail: encode_oid((1, 3, 6, 1, *tail)))
VARBINDS = st.lists(st.tuples(NAMES, _typed()).map(lambda item: (item[0], *item[1])), max_size=12)
REQUEST = message.Message(message.V2C, b"public", message.GET, 77, 0, 0, [])


@given(VARBINDS, st.integers(-(2**31), 2**31 - 1), st.integers(0, 18), st.binary(max_size=40))
def test_response_round_trip(varbinds: list[VarBind], request_id: int, status: int, community: bytes) -> None:
    request = message.Message(message.V2C, community, message.GET, request_id, 0, 0, [])
    answer = message.parse_response(message.encode_response(request, varbinds, status, 1))
    assert answer == message.Message(
        message.V2C, community, message.RESPONSE, request_id, status, 1, varbinds
    )


@given(st.lists(NAMES, max_size=30), st.integers(0, 50), st.integers(0, 2**31 - 1))
def test_bulk_request_round_trip(oids: list[bytes], repetitions: int, request_id: int) -> None:
    data = message.encode_request(message.V2C, b"c", message.GET_BULK, request_id, oids, 1, repetitions)
    request = message.parse_request(data)
    assert (request.error_status, request.error_index) == (1, repetitions)
    assert request.varbinds == message.null_varbinds(oids)


@given(VARBINDS, st.integers(0, 2**32 - 1), st.booleans())
def test_trap_round_trip(varbinds: list[VarBind], uptime: int, inform: bool) -> None:
    trap_oid = encode_oid("1.3.6.1.6.3.1.1.5.3")
    trap = message.parse_trap(message.encode_trap(b"c", 5, uptime, trap_oid, varbinds, inform=inform))
    assert (trap.trap_oid, trap.uptime, trap.varbinds) == (trap_oid, uptime, varbinds)
    assert trap.kind == (message.INFORM if inform else message.TRAP_V2)


def test_v1_trap_becomes_its_v2_name() -> None:
    v1 = api.PROTOCOL_MODULES[api.SNMP_VERSION_1]
    for generic, specific, name in ((2, 0, "1.3.6.1.6.3.1.1.5.3"), (6, 17, "1.3.6.1.4.1.2011.5.0.17")):
        pdu = v1.TrapPDU()
        v1.apiTrapPDU.set_defaults(pdu)
        v1.apiTrapPDU.set_enterprise(pdu, (1, 3, 6, 1, 4, 1, 2011, 5))
        v1.apiTrapPDU.set_agent_address(pdu, "192.0.2.7")
        v1.apiTrapPDU.set_generic_trap(pdu, generic)
        v1.apiTrapPDU.set_specific_trap(pdu, specific)
        v1.apiTrapPDU.set_timestamp(pdu, 1234)
        v1.apiTrapPDU.set_varbinds(pdu, [((1, 3, 6, 1, 2, 1, 2, 2, 1, 1, 9), v1.Integer(9))])
        envelope = v1.Message()
        v1.apiMessage.set_defaults(envelope)
        v1.apiMessage.set_community(envelope, "traps")
        v1.apiMessage.set_pdu(envelope, pdu)
        trap = message.parse_trap(encoder.encode(envelope))
        assert ber.dotted(trap.trap_oid) == name
        assert (trap.agent_address, trap.uptime, trap.community) == (b"\xc0\x00\x02\x07", 1234, b"traps")
        assert trap.varbinds == [(encode_oid("1.3.6.1.2.1.2.2.1.1.9"), ber.INTEGER, 9)]


SAMPLE = message.encode_response(
    REQUEST,
    [
        (IF_IN, ber.COUNTER64, 2**63),
        (encode_oid("1.3.6.1.2.1.1.1.0"), ber.OCTET_STRING, b"core " * 40),
        (encode_oid("1.3.6.1.2.1.1.2.0"), ber.OBJECT_ID, encode_oid("1.3.6.1.4.1.9.1.1208")),
        (encode_oid("1.3.6.1.2.1.4.20.1.1.10.0.0.1"), ber.IP_ADDRESS, b"\x0a\0\0\x01"),
        (encode_oid("1.3.6.1.2.1.1.3.0"), ber.TIME_TICKS, 4_000_000_000),
        (encode_oid("1.3.6.1.2.1.1.9.0"), ber.END_OF_MIB_VIEW, None),
    ],
)
PARSERS = (message.parse_response, message.parse_request, message.parse_trap, message.parse_message)


@settings(max_examples=600)
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_raise_nothing_but_the_typed_error(flips: list[tuple[int, int]]) -> None:
    data = bytearray(SAMPLE)
    for at, octet in flips:
        data[at] = octet
    _parse_all(bytes(data))


def test_every_octet_replaced_by_every_edge_value() -> None:
    for at in range(len(SAMPLE)):
        for octet in (0, 1, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFF, SAMPLE[at] ^ 0x80):
            _parse_all(SAMPLE[:at] + bytes((octet,)) + SAMPLE[at + 1 :])


@given(st.binary(max_size=200))
def test_noise_raises_nothing_but_the_typed_error(data: bytes) -> None:
    _parse_all(data)


def _parse_all(data: bytes) -> None:
    for parse in PARSERS:
        try:
            parsed = parse(data)
        except BerError:
            continue
        for oid, tag, value in parsed.varbinds:
            assert len(ber.decode_oid(oid)) >= 2
            assert isinstance(value, int if tag in ber.NUMERIC else bytes | None)


def test_every_cut_is_truncated() -> None:
    for size in range(len(SAMPLE)):
        with pytest.raises(TruncatedError):
            message.parse_response(SAMPLE[:size])


def test_refusals_have_their_own_error() -> None:
    with pytest.raises(TrailingDataError):
        message.parse_response(SAMPLE + b"\0")
    with pytest.raises(WrongTagError):
        message.parse_request(SAMPLE)
    with pytest.raises(WrongTagError):
        message.parse_trap(SAMPLE)
    with pytest.raises(WrongTagError, match="neither v1 nor v2c"):
        message.parse_response(SAMPLE.replace(b"\x02\x01\x01\x04", b"\x02\x01\x03\x04", 1))


@given(VARBINDS, st.integers(0, 2**31 - 1))
def test_pysnmp_reads_what_we_write(varbinds: list[VarBind], request_id: int) -> None:
    request = message.Message(message.V2C, b"public", message.GET, request_id, 0, 0, [])
    data = message.encode_response(request, varbinds)
    assert _pysnmp_varbinds(data) == [
        (ber.decode_oid(oid), _plain(tag, value)) for oid, tag, value in varbinds
    ]


@settings(max_examples=200)
@given(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255))
def test_both_decoders_agree_on_flipped_bytes(at: int, octet: int) -> None:
    data = SAMPLE[:at] + bytes((octet,)) + SAMPLE[at + 1 :]
    try:
        ours = message.parse_response(data).varbinds
        theirs = _pysnmp_varbinds(data)
    except Exception:  # one of them refuses: strictness differs, the values must not
        return
    assert theirs == [(ber.decode_oid(oid), _plain(tag, value)) for oid, tag, value in ours]


def _pysnmp_varbinds(data: bytes) -> list[tuple[tuple[int, ...], int | bytes | None]]:
    v2c = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
    decoded, rest = decoder.decode(data, asn1Spec=v2c.Message())
    assert not rest
    pdu = v2c.apiMessage.get_pdu(decoded)
    return [(tuple(name), _from_pysnmp(value)) for name, value in v2c.apiPDU.get_varbinds(pdu)]


def _from_pysnmp(value: object) -> int | bytes | None:
    kind = type(value).__name__
    if kind in {"Null", "NoSuchObject", "NoSuchInstance", "EndOfMibView", "UnSpecified"}:
        return None
    if kind == "ObjectIdentifier":
        return encode_oid(tuple(value))  # type: ignore[call-overload]
    if hasattr(value, "asOctets"):
        return bytes(value.asOctets())
    return int(value)  # type: ignore[call-overload]


def _plain(tag: int, value: int | bytes | None) -> int | bytes | None:
    return None if tag in ber.EMPTY else value
