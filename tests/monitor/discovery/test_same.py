"""Which answers are one device, and which device of the inventory they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.discovery.interface import Find
from monitor.discovery.same import Register, fingerprint, grouped, plain_serial, same_device
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess

CORE = Find(
    "10.0.0.1", 161, "ro", "2c", sys_object_id="1.3.6.1.4.1.2011.2.23", sys_name="core", engine_id="8000",
    vendor="Huawei", serial="2102351234", addresses=("10.0.0.1", "10.0.1.1", "127.0.0.1"), macs=("04:f0:21:00:00:01",),
)  # fmt: skip
OTHER = replace(CORE, address="10.0.1.1")
BARE = Find("10.0.9.1", 161, "ro", "2c", sys_object_id="1.3.6.1.4.1.8072", sys_name="web")


def test_the_other_address_of_a_device_is_the_same_device() -> None:
    assert same_device(CORE, OTHER)
    assert same_device(CORE, replace(OTHER, serial="2102 3512-34", engine_id="", macs=(), addresses=()))


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"serial": "2102359999"}, False),  # a serial number that differs outweighs everything that agrees
        ({"vendor": "H3C"}, False),  # the same number of two vendors is chance
        ({"serial": "", "macs": ("04:f0:21:00:00:09",)}, False),
        ({"serial": ""}, True),  # the MAC agrees
        (
            {"serial": "", "macs": ("00:00:5e:00:01:01",), "engine_id": "", "addresses": ()},
            False,
        ),  # VRRP's own MAC
        ({"serial": "Unknown", "macs": ()}, True),  # the engine and the name agree
        ({"serial": "", "macs": (), "engine_id": "9000"}, True),  # name and all own addresses agree
        ({"serial": "", "macs": (), "engine_id": "9000", "addresses": ("10.0.1.1",)}, False),
        ({"serial": "", "macs": (), "sys_name": "edge"}, False),  # a cloned engine id
        ({"serial": "", "macs": (), "sys_object_id": "1.3.6.1.4.1.9"}, False),
    ],
    ids=str,
)
def test_evidence(changes: dict[str, object], same: bool) -> None:
    mine = (
        replace(CORE, macs=("00:00:5e:00:01:01",)) if changes.get("macs") == ("00:00:5e:00:01:01",) else CORE
    )
    assert same_device(mine, replace(OTHER, **changes)) is same  # type: ignore[arg-type]


def test_hosts_that_share_only_a_loopback_and_a_name_stay_apart() -> None:
    lo = {"addresses": ("127.0.0.1", "::1")}
    assert not same_device(replace(BARE, **lo), replace(BARE, address="10.0.9.2", **lo))  # type: ignore[arg-type]


def test_one_find_may_join_two_groups() -> None:
    left = replace(CORE, serial="", macs=("04:00:00:00:00:01",), sys_name="a")
    right = replace(CORE, address="10.0.2.1", serial="", macs=("04:00:00:00:00:02",), sys_name="b")
    both = replace(CORE, address="10.0.3.1", serial="", macs=(*left.macs, *right.macs), sys_name="c")
    assert [len(group) for group in grouped([left, right, BARE])] == [1, 1, 1]
    assert sorted(len(group) for group in grouped([left, right, BARE, both])) == [1, 3]


def device(name: str, address: str, port: int = 161, serial: str = "") -> Device:
    return Device(
        DeviceId(name),
        SiteId("H001"),
        name,
        Kind.NETWORK,
        address,
        serial=serial,
        snmp=SnmpAccess("ro", port),
    )


@pytest.mark.parametrize(
    ("known", "read", "found"),
    [
        (device("D1", "10.0.0.1"), {}, "D1"),
        (device("D1", "10.0.0.1", port=16100), {}, None),  # another agent on the same host
        (device("D1", "10.0.1.1"), {}, "D1"),  # registered under another of its own addresses
        (device("D1", "10.0.1.1", serial="OTHER-BOX"), {}, None),  # that address is another box's by now
        (device("D1", "10.9.9.9", serial="2102351234"), {}, "D1"),
        (device("D1", "10.9.9.9"), {"D1": "2102351234"}, "D1"),  # what the last poll read
        (device("D1", "127.0.0.1"), {}, None),  # everybody has a loopback
        (device("D1", "10.9.9.9"), {}, None),
    ],
)
def test_what_is_in_the_inventory_is_known(known: Device, read: dict[str, str], found: str | None) -> None:
    serials = {DeviceId(key): value for key, value in read.items()}
    assert Register([known], serials).device_of(CORE) == found


def test_an_ipv6_address_is_known_however_it_is_written() -> None:
    find = replace(BARE, address="fd00::a")
    assert Register([device("D6", "FD00:0:0::000A")], {}).device_of(find) == "D6"
    assert Register([device("D6", "host.example")], {}).device_of(find) is None


def test_placeholders_are_no_serial_numbers() -> None:
    for text in ("", "000000000", "Unknown", "N/A", "To be filled by O.E.M", "abc", "xxxxxx"):
        assert plain_serial(text) == "", text
    assert plain_serial(" 2102-35.X ") == "210235x"


def test_a_new_version_is_no_other_device_but_a_new_box_is() -> None:
    assert fingerprint(CORE) == fingerprint(replace(CORE, version="9", address="10.0.0.9"))
    assert fingerprint(CORE) != fingerprint(replace(CORE, serial="2102359999"))
    assert fingerprint(CORE) != fingerprint(replace(CORE, sys_name="edge"))
