"""The small parts: the v3 message nobody signs, suggested kinds, forbidden addresses, a profile's revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder
from pysnmp.proto.mpmod.rfc3412 import SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters

from collectors.discovery.engine import encode_discovery, parse_report
from collectors.discovery.kinds import suggest
from collectors.discovery.skips import Skip, forbidden
from collectors.profiles.profile import Profile, Source
from collectors.profiles.revision import revision
from collectors.snmp.ber import encode_integer, encode_oid, tlv
from collectors.snmp.errors import BerError
from monitor.model import Device, DeviceId, Kind, SiteId

ENGINE = bytes.fromhex("80001f8880da083543e7c8026b00000000")


def report(message_id: int, engine: bytes = ENGINE, *, kind: int = 0xA8) -> bytes:
    """A Report as an agent sends it: usmStatsUnknownEngineIDs, and who it is."""
    header = encode_integer(message_id) + encode_integer(65507) + tlv(0x04, b"\x00") + encode_integer(3)
    security = tlv(0x04, engine) + encode_integer(4) + encode_integer(99) + tlv(0x04, b"") * 3
    cell = tlv(0x30, tlv(0x06, encode_oid("1.3.6.1.6.3.15.1.1.4.0")) + tlv(0x41, b"\x01"))
    pdu = tlv(kind, encode_integer(message_id) + encode_integer(0) * 2 + tlv(0x30, cell))
    scoped = tlv(0x30, tlv(0x04, engine) + tlv(0x04, b"") + pdu)
    return tlv(0x30, encode_integer(3) + tlv(0x30, header) + tlv(0x04, tlv(0x30, security)) + scoped)


@pytest.mark.parametrize("message_id", [0, 1, 127, 128, 2**31 - 1])
def test_discovery_is_the_message_pysnmp_reads(message_id: int) -> None:
    message, rest = decoder.decode(encode_discovery(message_id), asn1Spec=SNMPv3Message())
    assert rest == b""
    header = message.getComponentByPosition(1)
    assert int(header.getComponentByPosition(0)) == message_id
    assert (
        bytes(header.getComponentByPosition(2)) == b"\x04"
    )  # reportable, neither authenticated nor encrypted
    security, _ = decoder.decode(bytes(message.getComponentByPosition(2)), asn1Spec=UsmSecurityParameters())
    assert bytes(security.getComponentByPosition(3)) == b""  # no user


def test_a_report_names_the_engine() -> None:
    assert parse_report(report(77)) == (77, ENGINE)
    _, rest = decoder.decode(report(77), asn1Spec=SNMPv3Message())
    assert rest == b""


@pytest.mark.parametrize(
    "data",
    [b"", encode_discovery(7), report(7, kind=0xA2), report(7, b"\x80"), report(7, b"\x80" * 40)],
    ids=range(5),
)
def test_what_is_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(BerError):
        parse_report(data)


@settings(deadline=None)
@given(st.binary(max_size=120), st.integers(0, 100), st.integers(0, 255))
def test_no_bytes_break_the_parser(tail: bytes, at: int, octet: int) -> None:
    bent = bytearray(report(9))
    bent[at % len(bent)] = octet
    for data in (tail, bytes(bent), report(9)[:at], report(9) + tail):
        try:
            parse_report(data)
        except BerError:
            continue


@pytest.mark.parametrize(
    ("profile", "vendor", "hardware", "descr", "services", "kind"),
    [
        ("huawei-vrp", "Huawei", "S5735-L48T4X", "Huawei VRP", 78, "network"),
        ("huawei-vrp", "Huawei", "USG6525E", "", 78, "security"),
        ("h3c-comware", "H3C", "SecPath F1000-AI-25", "", 78, "security"),
        ("fortinet-fortigate", "Fortinet", "FGT_100F", "", 78, "security"),
        ("linux-netsnmp", "", "x86_64", "Linux web 5.10.0", 72, "server"),
        ("windows", "Microsoft", "", "Hardware: Intel64 - Software: Windows Version 6.3", 76, "server"),
        ("dell-idrac", "Dell", "PowerEdge R740", "", 2, "server"),
        ("huawei-oceanstor", "Huawei", "OceanStor Dorado 3000", "", None, "storage"),
        ("synology-dsm", "Synology", "RS1221+", "Linux nas 4.4", 72, "storage"),
        ("apc-ups", "APC", "Smart-UPS 3000", "", 72, "environment"),
        ("ups-rfc1628", "KSTAR", "", "", None, "environment"),
        ("akcp-sensorprobe", "AKCP", "", "", None, "environment"),
        ("generic", "", "", "Ethernet thing", 2, "network"),
        ("generic", "", "", "A box", 64, "server"),
        ("generic", "", "", "A box", None, ""),
        ("generic", "", "", "A box", 72, "server"),
    ],
)
def test_the_kind_is_suggested_or_left_open(
    profile: str, vendor: str, hardware: str, descr: str, services: int | None, kind: str
) -> None:
    assert suggest(profile, vendor, hardware, descr, services, generic=profile == "generic") == kind


def test_suggestions_are_kinds_of_the_inventory(profiles: Mapping[str, Profile]) -> None:
    for name in profiles:
        assert suggest(name, "", "", "", None, generic=False) in {"", *Kind}


def test_forbidden_addresses_come_with_device_and_reason() -> None:
    icu = Device(
        DeviceId("ICU"), SiteId("H001"), "监护网关", Kind.MEDICAL, "10.0.0.5", do_not_probe="生命支持"
    )
    named = replace(icu, id=DeviceId("LOCAL"), address="localhost")
    gone = replace(icu, id=DeviceId("GONE"), address="no-such-host.invalid")
    free = replace(icu, id=DeviceId("FREE"), do_not_probe="")
    found = forbidden([icu, named, gone, free])
    assert Skip("10.0.0.5", "ICU", "生命支持") in found
    assert Skip("127.0.0.1", "LOCAL", "生命支持") in found
    assert {skip.device for skip in found} == {"ICU", "LOCAL"}


def test_a_revision_depends_on_the_identity_rules_alone(profiles: Mapping[str, Profile]) -> None:
    rules = {"serial": (Source(value="x", equals=frozenset({"a", "b", "c"})),)}
    one = Profile("one", (), rules, ())
    assert revision(one) == revision(replace(one, name="two"))
    assert revision(one) != revision(replace(one, identity={"serial": (Source(value="y"),)}))
    assert revision(one) == revision(
        replace(one, identity={"serial": (Source(value="x", equals=frozenset({"c", "b", "a"})),)})
    )
    assert len({revision(profile) for profile in profiles.values()}) > 10
