"""Hostile and odd tables: whatever arrives, decoding ends, and what is left makes sense."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.snmp.ber import Oid, Typed, encode_index
from collectors.topology import tables
from collectors.topology.decode import facts_of
from collectors.topology.identity import address_of, chassis_of, mac_of, port_id_of
from monitor.topology.facts import MAX_MACS, Facts, Learned, from_detail, kept_fairly, to_detail
from tests.collectors.topology import agent as rows

ALL = [column for _, group in tables.GROUPS for column in group]
VALUES = st.one_of(
    st.tuples(st.sampled_from([2, 0x41, 0x42, 0x46]), st.integers(-(2**63), 2**64)),
    st.tuples(st.sampled_from([4, 6, 0x40, 0x44]), st.binary(max_size=24)),
    st.tuples(st.just(5), st.none()),
)
INDEXES = st.one_of(
    st.binary(max_size=20),
    st.lists(st.integers(0, 2**32 - 1), max_size=12).map(lambda parts: encode_index(tuple(parts))),
    st.lists(st.integers(0, 6), min_size=1, max_size=9).map(lambda parts: encode_index(tuple(parts))),
)
COLUMNS = st.dictionaries(
    st.sampled_from(ALL), st.dictionaries(INDEXES, VALUES, max_size=8), max_size=len(ALL)
)
MAC = re.compile(r"[0-9a-f]{12}")


@settings(max_examples=300)
@given(COLUMNS, st.dictionaries(st.sampled_from(tables.SCALARS), VALUES))
def test_any_table_decodes_to_facts_that_travel(
    columns: dict[Oid, dict[bytes, Typed]], scalars: dict[Oid, Typed]
) -> None:
    facts = facts_of(scalars, columns, 1000)
    assert all(MAC.fullmatch(mac) for mac in facts.macs)
    assert all(MAC.fullmatch(mac) for one in facts.fdb for mac in one.macs)
    assert all(address and MAC.fullmatch(mac) for address, mac, _ in facts.arp)
    detail = json.loads(json.dumps(to_detail(facts)))
    again = from_detail(detail)
    assert to_detail(again) == to_detail(from_detail(to_detail(again)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=11) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from(list(to_detail(Facts(0)))), JSON))
def test_any_detail_is_taken_for_what_it_is_worth(detail: dict[str, object]) -> None:
    facts = from_detail(detail)
    assert from_detail(to_detail(facts)) == facts


@pytest.mark.parametrize(
    ("subtype", "octets", "said"),
    [
        (4, bytes.fromhex("00e0fc123456"), "mac:00e0fc123456"),
        (4, b"00-E0-FC-12-34-56", "mac:00e0fc123456"),
        (7, b"00e0.fc12.3456", "mac:00e0fc123456"),
        (4, b"\xff\xff\xff\xff\xff\xff", "other:ff:ff:ff:ff:ff:ff"),  # no station
        (5, b"\x01\x0a\x00\x00\x01", "ip:10.0.0.1"),
        (5, b"\x0a\x00\x00\x01", "ip:10.0.0.1"),
        (5, b"\x02" + b"\xfd" + b"\x00" * 14 + b"\x01", "ip:fd00::1"),
        (6, b"Vlan1", "name:Vlan1"),
        (7, "机房核心".encode("gb18030"), "local:机房核心"),
        (2, b"slot 3\0\0", "alias:slot 3"),
        (1, b"EntPhysical", "other:EntPhysical"),
        (99, b"x", "other:x"),
        (4, b"\0\0\0\0\0\0", ""),
        (4, b"", ""),
    ],
)
def test_the_kinds_of_chassis_ids(subtype: int, octets: bytes, said: str) -> None:
    assert chassis_of(subtype, octets) == said


@pytest.mark.parametrize(
    ("subtype", "octets", "said"),
    [
        (5, b"GigabitEthernet1/0/1", "name:GigabitEthernet1/0/1"),
        (1, b"uplink", "alias:uplink"),
        (3, bytes.fromhex("00e0fc123456"), "mac:00e0fc123456"),
        (7, b"25", "local:25"),
        (4, b"\x01\x0a\x00\x00\x01", "ip:10.0.0.1"),
        (2, b"2/1", "other:2/1"),
        (6, b"circuit", "other:circuit"),
    ],
)
def test_the_kinds_of_port_ids(subtype: int, octets: bytes, said: str) -> None:
    assert port_id_of(subtype, octets) == said


def test_addresses_of_other_lengths_are_none() -> None:
    assert [address_of(b"\1" * size) for size in (0, 3, 5, 15, 17)] == [""] * 5
    assert address_of(bytes(4)) == ""
    assert mac_of(bytes(6)) == mac_of(b"\1\0\x5e\0\0\1") == mac_of(b"abc") == ""


def columns_of(*varbinds: tuple[Oid, int, object]) -> dict[Oid, dict[bytes, Typed]]:
    found: dict[Oid, dict[bytes, Typed]] = {column: {} for column in ALL}
    for oid, tag, value in varbinds:
        for column in ALL:
            if oid.startswith(column):
                found[column][oid[len(column) :]] = (tag, value)  # type: ignore[assignment]
    return found


def test_a_local_port_is_found_by_name_description_bridge_port_or_number() -> None:
    def port(kind: int, name: bytes, descr: bytes = b"", number: int = 1) -> tuple[int, str]:
        local = [
            rows.number(f"{rows.LLDP}.3.7.1.2.{number}", kind), rows.text(f"{rows.LLDP}.3.7.1.3.{number}", name),
            rows.text(f"{rows.LLDP}.3.7.1.4.{number}", descr),
            rows.number(f"{rows.LLDP}.4.1.1.4.0.{number}.1", 4), rows.text(f"{rows.LLDP}.4.1.1.5.0.{number}.1", rows.UPSTREAM),
        ]  # fmt: skip
        heard = facts_of({}, columns_of(*rows.interfaces(), *local), 1).neighbours
        return heard[0].port, heard[0].port_name

    assert port(5, b"ge0/0/3") == (103, "GE0/0/3")
    assert port(3, bytes((0, 0xE0, 0xFC, 1, 0, 102))) == (102, "GE0/0/2")
    assert port(7, b"103") == (103, "GE0/0/3")
    assert port(7, b"strange", b"GigabitEthernet GE0/0/2") == (102, "GE0/0/2")
    assert port(7, b"strange", number=3) == (103, "GE0/0/3")  # as a port of the bridge
    assert port(7, b"strange", number=104) == (104, "Eth-Trunk1")  # as an interface number
    assert port(7, b"strange", number=99) == (0, "strange")


def test_an_address_without_its_length_is_read_and_one_with_a_zone_is_not() -> None:
    base = "1.3.6.1.2.1.4.35.1.4.5"
    table = [
        rows.text(f"{base}.1.10.0.0.33", rows.HOST),
        rows.text(f"{base}.1.4.10.0.0.34", rows.HOST),
        rows.text(f"{base}.3.8.10.0.0.35.0.0.0.1", rows.HOST),
        rows.text(f"{base}.1.5.10.0.0.36.1", rows.HOST),
        rows.text(f"{base}.1.4.10.0.0.300", rows.HOST),
        rows.text(f"{base}.1.4.10.0.0.37", b"\xff" * 6),
    ]
    assert facts_of({}, columns_of(*table), 1).arp == (
        ("10.0.0.33", rows.HOST.hex(), 5),
        ("10.0.0.34", rows.HOST.hex(), 5),
    )


def test_a_crowded_table_keeps_small_ports_whole_and_samples_alike() -> None:
    crowd = [f"{number:012x}" for number in range(2, 10_002, 2)]
    first = kept_fairly({1: crowd, 2: ["aa" * 6], 3: ["bb" * 6, "cc" * 6]})
    second = kept_fairly({7: crowd})
    assert first[1:] == (Learned(2, 1, ("aa" * 6,)), Learned(3, 2, ("bb" * 6, "cc" * 6)))
    assert first[0].total == second[0].total == 5000
    assert sum(len(one.macs) for one in first) == MAX_MACS
    assert set(first[0].macs) < set(second[0].macs)
