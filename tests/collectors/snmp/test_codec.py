"""The seam other rooms use."""

from __future__ import annotations

import pytest

from collectors.snmp import ber, message
from collectors.snmp.codec import build
from monitor.devices import SnmpCodec
from monitor.errors import InputError


def test_get_and_answer() -> None:
    codec: SnmpCodec = build()
    request = message.parse_request(
        codec.encode_get("2c", "public", 9, ["1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.2.0"])
    )
    assert (request.version, request.community, request.kind) == (message.V2C, b"public", message.GET)
    values = [
        (request.varbinds[0][0], ber.OCTET_STRING, "核心交换机".encode()),
        (request.varbinds[1][0], ber.OBJECT_ID, ber.encode_oid("1.3.6.1.4.1.9")),
        (ber.encode_oid("1.3.6.1.2.1.4.20.1.1.1"), ber.IP_ADDRESS, b"\x0a\0\0\x01"),
        (ber.encode_oid("1.3.6.1.2.1.2.2.1.6.1"), ber.OCTET_STRING, b"\0\xff\x01\x02\x03\x04"),
        (ber.encode_oid("1.3.6.1.2.1.2.1.0"), ber.INTEGER, 4),
    ]
    answer = codec.decode(message.encode_response(request, values))
    assert answer.request_id == 9
    assert list(answer.varbinds.values()) == [
        "核心交换机",
        "1.3.6.1.4.1.9",
        "10.0.0.1",
        b"\0\xff\x01\x02\x03\x04",
        4,
    ]


def test_refusals() -> None:
    with pytest.raises(InputError, match="use 1 or 2c"):
        build().encode_get("3", "public", 1, ["1.3.6.1"])
    with pytest.raises(InputError, match="not an object identifier"):
        build().encode_get("1", "public", 1, ["ifDescr"])
    with pytest.raises(InputError):
        build().decode(b"\x30\x00")
