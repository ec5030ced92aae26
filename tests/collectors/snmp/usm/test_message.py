"""Octets of SNMPv3 messages: round trips, bounds, any octets at all, and pysnmp's codec as oracle."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto.mpmod.rfc3412 import SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters

from collectors.snmp.ber import encode_integer, tlv
from collectors.snmp.errors import BerError, OversizeError, TrailingDataError, TruncatedError, WrongTagError
from collectors.snmp.message import parse_pdu
from collectors.snmp.usm.message import (
    decode_message,
    decode_scoped,
    encode_header,
    encode_message,
    encode_scoped,
    encode_security,
)
from tests.collectors.snmp.usm.engine import ENGINE_ID, GET, RESPONSE, SYS_NAME

NUMBERS = st.integers(0, 2**31 - 1)
SCOPED = encode_scoped(ENGINE_ID, b"", RESPONSE)
SECURITY = encode_security(ENGINE_ID, 3, 1000, b"ops", bytes(12), bytes(8))
MESSAGE = encode_message(encode_header(9, 3), SECURITY, tlv(4, bytes(40)))


@given(
    NUMBERS, st.sampled_from([0, 1, 3, 4, 5, 7]), st.binary(max_size=32), NUMBERS, NUMBERS, st.binary(max_size=32),
    st.binary(max_size=48), st.binary(max_size=8), st.binary(max_size=600),
)  # fmt: skip
def test_round_trip(
    msg_id: int,
    flags: int,
    engine: bytes,
    boots: int,
    time: int,
    user: bytes,
    digest: bytes,
    salt: bytes,
    raw: bytes,
) -> None:
    body = tlv(4, raw) if flags & 2 else SCOPED
    data = encode_message(
        encode_header(msg_id, flags), encode_security(engine, boots, time, user, digest, salt), body
    )
    got = decode_message(data)
    assert (got.msg_id, got.flags, got.engine_id, got.boots, got.time) == (msg_id, flags, engine, boots, time)
    assert (got.user, got.digest, got.salt) == (user, digest, salt)
    assert got.body == (raw if flags & 2 else SCOPED)
    assert data[got.digest_at : got.digest_at + len(digest)] == digest
    assert int.from_bytes(data[got.time_at : got.time_end], "big") == time
    assert int.from_bytes(data[got.msg_id_at : got.msg_id_end], "big") == msg_id


@given(NUMBERS, NUMBERS, NUMBERS, st.binary(max_size=32), st.binary(max_size=32))
def test_pysnmp_reads_what_we_write_and_we_read_what_it_writes(
    msg_id: int, boots: int, time: int, engine: bytes, user: bytes
) -> None:
    security = encode_security(engine, boots, time, user, bytes(12), b"")
    data = encode_message(encode_header(msg_id, 5), security, encode_scoped(engine, b"ctx", GET))
    theirs, rest = decoder.decode(data, asn1Spec=SNMPv3Message())
    assert not rest
    header = theirs["msgGlobalData"]
    assert (int(header["msgID"]), bytes(header["msgFlags"]), int(header["msgSecurityModel"])) == (
        msg_id,
        b"\x05",
        3,
    )
    parameters, rest = decoder.decode(
        bytes(theirs["msgSecurityParameters"]), asn1Spec=UsmSecurityParameters()
    )
    assert not rest
    assert [bytes(parameters[at]) for at in (0, 3, 4, 5)] == [engine, user, bytes(12), b""]
    assert [int(parameters[at]) for at in (1, 2)] == [boots, time]
    assert bytes(theirs["msgData"]["plaintext"]["contextName"]) == b"ctx"
    again = bytes(encoder.encode(theirs))
    assert decode_message(again) == decode_message(data)
    scoped = decode_scoped(decode_message(again).body, padded=False)
    assert (scoped.engine_id, scoped.context, scoped.pdu) == (engine, b"ctx", GET)
    assert parse_pdu(scoped.pdu).varbinds[0][0] == SYS_NAME


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedError),
        (MESSAGE[:-1], TruncatedError),
        (MESSAGE + b"\0", TrailingDataError),
        (tlv(0x30, encode_integer(1) + tlv(4, b"public") + GET), WrongTagError),
        (encode_message(encode_header(9, 3).replace(b"\x02\x01\x03", b"\x02\x01\x02"), SECURITY, SCOPED), WrongTagError),
        (encode_message(encode_header(9, 1), SECURITY, tlv(4, b"x")), WrongTagError),
        (encode_message(encode_header(9, 3), SECURITY, SCOPED), WrongTagError),
        (encode_message(encode_header(-1, 3), SECURITY, tlv(4, b"x")), OversizeError),
        (encode_message(encode_header(2**31, 3), SECURITY, tlv(4, b"x")), OversizeError),
        (encode_message(encode_header(9, 3), encode_security(b"", -1, 0, b""), tlv(4, b"x")), OversizeError),
        (encode_message(encode_header(9, 3), encode_security(bytes(33), 0, 0, b""), tlv(4, b"x")), OversizeError),
        (encode_message(encode_header(9, 3), encode_security(b"", 0, 0, bytes(33)), tlv(4, b"x")), OversizeError),
        (encode_message(encode_header(9, 3), encode_security(b"", 0, 0, b"", bytes(49)), tlv(4, b"")), OversizeError),
        (encode_message(encode_header(9, 3), encode_security(b"", 0, 0, b"", b"", bytes(9)), tlv(4, b"")), OversizeError),
        (encode_message(encode_header(9, 3), tlv(4, tlv(0x30, b"") + b"x"), tlv(4, b"")), TrailingDataError),
        (encode_message(encode_header(9, 3), SECURITY, tlv(4, b"") + b"x"), TrailingDataError),
        (MESSAGE.ljust(65508, b"\0"), OversizeError),
        (b"\x30\x80" + MESSAGE[2:], BerError),
    ],
)  # fmt: skip
def test_what_breaks_the_form_is_refused_with_its_cause(data: bytes, error: type[BerError]) -> None:
    with pytest.raises(error):
        decode_message(data)


def test_padding_is_one_block_at_most_and_only_where_a_cipher_left_it() -> None:
    assert decode_scoped(SCOPED + bytes(16), padded=True).pdu == RESPONSE
    for data, padded in ((SCOPED + bytes(17), True), (SCOPED + b"\0", False)):
        with pytest.raises(TrailingDataError):
            decode_scoped(data, padded=padded)


@given(st.binary(max_size=400), st.integers(0, len(MESSAGE) - 1))
def test_any_octets_give_fields_or_a_ber_error(data: bytes, at: int) -> None:
    for octets in (
        data,
        MESSAGE[:at] + data,
        MESSAGE[:at] + data[:1] + MESSAGE[at + 1 :],
        SCOPED[: at % 40] + data,
    ):
        for read in (decode_message, parse_pdu, lambda octets: decode_scoped(octets, padded=True)):
            with suppress(BerError):
                read(octets)
