"""What people type as ranges: read right, refused with the part named, never more than may be scanned."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.discovery.ranges import MAX_ADDRESSES, Ranges, parse_ranges, split_ranges
from monitor.errors import InputError

PUBLIC = st.integers(int(ipaddress.IPv4Address("1.0.0.0")), int(ipaddress.IPv4Address("200.0.0.0")))


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("10.1.2.3", ["10.1.2.3"]),
        ("10.1.2.0/30", ["10.1.2.1", "10.1.2.2"]),
        ("10.1.2.1/30", ["10.1.2.1", "10.1.2.2"]),
        ("10.1.2.4/31", ["10.1.2.4", "10.1.2.5"]),
        ("10.1.2.4/32", ["10.1.2.4"]),
        ("10.1.2.254-10.1.3.1", ["10.1.2.254", "10.1.2.255", "10.1.3.0", "10.1.3.1"]),
        ("10.1.2.3-5", ["10.1.2.3", "10.1.2.4", "10.1.2.5"]),
        (
            "10.1.2.3 – 5，10.1.2.4、10.1.2.9；10.1.2.8",
            ["10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.8", "10.1.2.9"],
        ),
        ("fd00::1-fd00::3", ["fd00::1", "fd00::2", "fd00::3"]),
        ("fd00::10/127\n10.0.0.1", ["10.0.0.1", "fd00::10", "fd00::11"]),
    ],
)
def test_ranges_as_people_write_them(text: str, addresses: list[str]) -> None:
    ranges = parse_ranges(split_ranges(text))
    assert list(ranges) == addresses
    assert ranges.count == len(addresses)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no range"),
        ("10.1.2", "10.1.2"),
        ("10.1.2.0/33", "10.1.2.0/33"),
        ("10.1.2.9-3", "upwards"),
        ("10.1.2.3-300", "10.1.2.3-300"),
        ("10.0.0.0/8", "more than 65536"),
        ("10.0.0.0/17 10.1.0.0/16", "more than 65536"),
        ("fd00::/64", "more than 65536"),
        ("10.1.2.3-fd00::1", "one family"),
        ("224.0.0.1", "no address of a device"),
        ("255.255.255.255", "no address of a device"),
        ("0.0.0.0/24", "no address of a device"),
        ("::", "no address of a device"),
        ("ff02::1", "no address of a device"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("hospital.example", "hospital.example"),
        ("1" * 300, "1111"),
        (" ".join(f"10.0.0.{n}" for n in range(65)), "more than 64 ranges"),
    ],
)
def test_what_is_refused_is_named_in_both_languages(text: str, named: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_ranges(split_ranges(text))
    assert named in str(caught.value)
    assert any("\u4e00" <= character <= "\u9fff" for character in caught.value.zh)


@settings(deadline=None)
@given(st.lists(st.tuples(PUBLIC, st.integers(0, 600)), min_size=1, max_size=12))
def test_every_address_once_in_order_and_contained(parts: list[tuple[int, int]]) -> None:
    texts = [f"{ipaddress.IPv4Address(a)}-{ipaddress.IPv4Address(a + n)}" for a, n in parts]
    wanted = {number for a, n in parts for number in range(a, a + n + 1)}
    ranges = parse_ranges(texts)
    found = [int(ipaddress.IPv4Address(address)) for address in ranges]
    assert found == sorted(wanted)
    assert ranges.count == len(wanted)
    for a, n in parts:
        assert str(ipaddress.IPv4Address(a)) in ranges
        assert (str(ipaddress.IPv4Address(a + n + 1)) in ranges) == (a + n + 1 in wanted)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        ranges = parse_ranges(split_ranges(text))
    except InputError:
        return
    assert 0 < ranges.count <= MAX_ADDRESSES


def test_a_name_is_in_no_range() -> None:
    assert "hospital" not in parse_ranges(["10.0.0.0/24"])
    assert "10.0.0.1" not in Ranges(())
