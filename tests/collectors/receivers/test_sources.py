"""Whose trap it is, and what it must prove."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collectors.interface import Credential
from collectors.receivers.sources import RELAY_TAG, SourceBook, literal, resolved
from monitor.model import SiteId
from tests.collectors.receivers.station import COMMUNITY, USER, assignment, device

A, B, RELAY = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)), bytes((10, 0, 0, 9))


def book(*devices: object, **credentials: Credential) -> SourceBook:
    return SourceBook(assignment(devices, **{"c": COMMUNITY, **credentials}), literal)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("community", "refused"),
    [(b"watch", ""), (b"WATCH", "community"), (b"", "community"), (b"watch ", "community")],
)
def test_a_device_must_use_its_community(community: bytes, refused: str) -> None:
    verdict = book(device("A", "10.0.0.1")).judge(A, community)
    assert verdict.refused == refused
    assert verdict.source is not None
    assert verdict.verified == (not refused)


def test_unknown_addresses_are_nobody() -> None:
    verdict = book(device("A", "10.0.0.1")).judge(B, b"watch", A)
    assert (verdict.source, verdict.refused) == (None, "unknown-source"), "the inner address is not believed"


def test_a_device_with_v3_must_sign() -> None:
    assert book(device("A", "10.0.0.1"), c=USER).judge(A, b"watch").refused == "unsigned"


def test_a_device_that_is_not_polled_has_nothing_to_prove_with() -> None:
    verdict = book(device("A", "10.0.0.1", credential="")).judge(A, b"anything")
    assert (verdict.refused, verdict.verified) == ("", False)


def test_an_empty_community_in_the_credential_fits_nothing() -> None:
    assert book(device("A", "10.0.0.1"), c=Credential("snmp-v2c")).judge(A, b"").refused == "community"


def test_the_inner_address_is_believed_of_a_relay_only() -> None:
    relay = device("R", "10.0.0.9", tags=(RELAY_TAG,))
    plain = device("P", "10.0.0.2")
    devices = book(device("A", "10.0.0.1"), plain, relay)
    assert devices.judge(B, b"watch", A).source.device.id == "P"  # type: ignore[union-attr]
    assert devices.judge(RELAY, b"watch", A).source.device.id == "A"  # type: ignore[union-attr]
    assert devices.judge(RELAY, b"watch", bytes(4)).source.device.id == "R"  # type: ignore[union-attr]
    assert devices.judge(RELAY, b"watch", bytes((10, 9, 9, 9))).refused == "unknown-relayed"
    assert devices.judge(RELAY, b"wrong", A).refused == "community"


def test_a_relay_does_not_take_the_signature_of_a_v3_device() -> None:
    relay = device("R", "10.0.0.9", tags=(RELAY_TAG,))
    devices = book(device("A", "10.0.0.1", credential="v3"), relay, v3=USER)
    assert devices.judge(RELAY, b"watch", A).refused == "unsigned"


def test_devices_that_share_an_address_are_told_apart_by_community_or_not_at_all() -> None:
    other = replace(device("B", "10.0.0.1", credential="d"), site=SiteId("H2"))
    first = device("A", "10.0.0.1")
    two = book(first, other, d=Credential("snmp-v2c", community="other"))
    assert two.judge(A, b"other").source.device.id == "B"  # type: ignore[union-attr]
    assert two.judge(A, b"third").refused == "community"
    assert book(first, other, d=COMMUNITY).judge(A, b"watch").refused == "ambiguous"
    same_site = book(first, device("A2", "10.0.0.1"))
    assert same_site.judge(A, b"watch").refused == ""


def test_host_names_are_resolved() -> None:
    assert bytes((127, 0, 0, 1)) in resolved("localhost") or resolved("localhost") == [bytes(15) + b"\1"]
    assert resolved("no-such-host.invalid") == []
    assert literal("2001:db8::1%eth0") == [bytes.fromhex("20010db8000000000000000000000001")]
