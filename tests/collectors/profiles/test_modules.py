"""snmp_exporter's modules: the loader on both shapes, and what comes out of varbinds type by type."""

from __future__ import annotations

import os
import struct
import time
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.place import MAX_DEPTH, Place, parse_yaml
from collectors.profiles.modules import INDEX_TYPES, METRIC_TYPES, Index, ModuleFile, WalkModule
from collectors.profiles.modules_loader import is_module_file, parse_modules, pattern, seconds
from collectors.profiles.modules_profile import as_profile
from collectors.profiles.modules_read import Families, date_and_time, expand, read_families
from collectors.profiles.modules_text import apply_hint, split_index, text
from collectors.snmp.ber import (
    COUNTER64,
    GAUGE32,
    INTEGER,
    IP_ADDRESS,
    OBJECT_ID,
    OCTET_STRING,
    OPAQUE,
    Typed,
    encode_oid,
)
from collectors.snmp.exposition.text import render
from monitor.errors import InputError

CONFORMANCE = Path(os.environ.get("CONFORMANCE_DATA", "conformance")) / "snmp.yml"

NEW = """
auths:
  public_v2: {community: public, version: 2}
  secure: {version: 3, security_level: authPriv, username: u, password: pppppppp, auth_protocol: SHA256,
    priv_protocol: AES, priv_password: qqqqqqqq}
modules:
  small:
    walk: [1.3.6.1.2.1.2]
    get: [1.3.6.1.2.1.1.3.0]
    max_repetitions: 10
    retries: 0
    timeout: 1m30s
    filters: [{oid: 1.3.6.1.2.1.2.2.1.3, targets: [1.3.6.1.2.1.2.2.1.4], values: ['^6$']}]
    metrics:
    - {name: m, oid: 1.3.6.1.2.1.2.2.1.4, type: gauge, help: h, scale: 0.1, offset: -2}
"""
OLD = """
small:
  walk: [1.3.6.1.2.1.2]
  version: 1
  auth: {community: word}
  metrics:
  - {name: m, oid: 1.3.6.1.2.1.2.2.1.4, type: gauge, help: h}
plain:
  get: [1.3.6.1.2.1.1.3.0]
"""


def tree(text: str) -> Place:
    return parse_yaml(text.encode(), "f.yml")


def load(text: str) -> ModuleFile:
    return parse_modules(tree(text))


def module(metric: str) -> WalkModule:
    return load(f"modules:\n  m:\n    walk: [1.3.6.1.4.1]\n    metrics:\n    - {metric}\n").modules["m"]


def exposed(metric: str, varbinds: dict[str, Typed]) -> dict[str, dict[tuple[str, ...], float]]:
    """Family name (and label names) to label values to value."""
    families = Families()
    read_families(module(metric), {encode_oid(oid): typed for oid, typed in varbinds.items()}, families, {})
    return {
        " ".join([family.name, *(name for name, _ in family.samples[0].labels)]): {
            tuple(value for _, value in sample.labels): sample.value for sample in family.samples
        }
        for family in families
    }


def test_the_shape_of_today() -> None:
    found = load(NEW)
    small = found.modules["small"]
    assert (small.max_repetitions, small.retries, small.timeout) == (10, 0, 90.0)
    assert (small.metrics[0].scale, small.metrics[0].offset) == (0.1, -2.0)
    assert found.auths["secure"].level == "authPriv"
    assert "pppppppp" not in repr(found)
    assert is_module_file(tree(NEW))


def test_the_shape_of_0_21() -> None:
    found = load(OLD)
    assert set(found.modules) == {"small", "plain"}
    assert found.auths["small"].version == 1
    assert found.auths["small"].community == "word"
    assert "plain" not in found.auths
    assert (found.modules["plain"].retries, found.modules["plain"].timeout) == (3, 5.0)
    assert is_module_file(tree(OLD))


@pytest.mark.parametrize(
    "text", ["name: x\nmodules: {a: {walk: [1.3.6.1]}}", "a: {columns: {}}", "[]", "modules: {}", "a: 1"]
)
def test_a_profile_is_no_module_file(text: str) -> None:
    assert not is_module_file(tree(text))


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("type: gauge", "type: guage", 16),
        ("oid: 1.3.6.1.2.1.2.2.1.4", "oid: 1.3.x", 16),
        ("scale: 0.1", "scale: .nan", 16),
        ("name: m,", "", 16),
        ("help: h", "hlep: h", 16),
        ("timeout: 1m30s", "timeout: soon", 13),
        ("timeout: 1m30s", "timeout: 11m", 13),
        ("retries: 0", "retries: 99", 12),
        ("'^6$'", "'('", 14),
        ("targets: [1.3.6.1.2.1.2.2.1.4], ", "", 14),
        ("version: 2", "version: 4", 3),
        ("authPriv", "secret", 4),
        ("username: u, ", "", 4),
        ("SHA256", "ROT13", 4),
        ("    retries: 0", "    retries: 0\n    retries: 1", 13),
        ("public_v2: {", "public_v2: &a {", 3),
        ("    walk: [1.3.6.1.2.1.2]\n    get: [1.3.6.1.2.1.1.3.0]", "", 8),
    ],
)
def test_what_is_wrong_is_named_with_its_line(before: str, after: str, line: int) -> None:
    assert before in NEW
    with pytest.raises(InputError) as caught:
        load(NEW.replace(before, after, 1))
    assert abs(int(caught.value.where.rpartition(":")[2]) - line) <= 1, caught.value
    assert caught.value.where.startswith("f.yml:")
    assert "f.yml" in caught.value.zh


@pytest.mark.parametrize("text", ["[" * 2000, "{a: " * 500, "a: *x", "- a\n---\n- b", "\ta: b", ""])
def test_hostile_yaml_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        tree(text)
    deep = "{a: " * (MAX_DEPTH - 1) + "1" + "}" * (MAX_DEPTH - 1)
    assert not tree(deep).scalar


@given(st.text(max_size=60))
def test_yaml_of_any_text_is_a_tree_or_an_input_error(text: str) -> None:
    with suppress(InputError):
        parse_modules(parse_yaml(text.encode("utf-8", "replace"), "f"))


@pytest.mark.parametrize(
    ("text", "value"), [("5s", 5.0), ("1m30s", 90.0), ("500ms", 0.5), ("20000000000", 20.0)]
)
def test_durations_are_those_of_go(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


INDEXED = "indexes: [{labelname: i, type: gauge}]"


@pytest.mark.parametrize(
    ("metric", "typed", "expected"),
    [
        ("type: gauge", (INTEGER, -7), {"m i": {("1",): -7.0}}),
        ("type: gauge, scale: 0.5, offset: 3", (GAUGE32, 8), {"m i": {("1",): 7.0}}),
        ("type: counter", (COUNTER64, 2**53 + 5), {"m i": {("1",): 5.0}}),
        ("type: Float", (OPAQUE, b"\x9f\x78\x04" + struct.pack(">f", 0.25)), {"m i": {("1",): 0.25}}),
        ("type: Double", (OPAQUE, b"\x9f\x79\x08" + struct.pack(">d", 0.1)), {"m i": {("1",): 0.1}}),
        ("type: gauge", (OCTET_STRING, b" 42 "), {"m i": {("1",): 42.0}}),
        ("type: gauge", (OCTET_STRING, b"warm"), {}),
        ("type: gauge", (OCTET_STRING, b"nan"), {}),
        ("type: gauge", (OCTET_STRING, b"1_0"), {}),
        ("type: OctetString", (OCTET_STRING, b"\x00\xff"), {"m i m": {("1", "0x00FF"): 1.0}}),
        ("type: OctetString", (OCTET_STRING, b""), {"m i m": {("1", ""): 1.0}}),
        (
            "type: OctetString, display_hint: '1d.1d'",
            (OCTET_STRING, b"\x01\x02"),
            {"m i m": {("1", "1.2"): 1.0}},
        ),
        ("type: DisplayString", (OCTET_STRING, "上联".encode()), {"m i m": {("1", "上联"): 1.0}}),
        ("type: DisplayString", (OCTET_STRING, "上联".encode("gbk")), {"m i m": {("1", "上联"): 1.0}}),
        ("type: DisplayString", (OBJECT_ID, encode_oid("1.3.6.1")), {"m i m": {("1", "1.3.6.1"): 1.0}}),
        (
            "type: PhysAddress48",
            (OCTET_STRING, bytes(range(6))),
            {"m i m": {("1", "00:01:02:03:04:05"): 1.0}},
        ),
        ("type: PhysAddress48", (OCTET_STRING, b""), {"m i m": {("1", "00:00:00:00:00:00"): 1.0}}),
        ("type: InetAddressIPv4", (IP_ADDRESS, bytes([10, 0, 0, 1])), {"m i m": {("1", "10.0.0.1"): 1.0}}),
        (
            "type: InetAddressIPv6",
            (OCTET_STRING, bytes(16)),
            {"m i m": {("1", "0000:0000:0000:0000:0000:0000:0000:0000"): 1.0}},
        ),
        ("type: EnumAsInfo, enum_values: {1: up}", (INTEGER, 1), {"m_info i m": {("1", "up"): 1.0}}),
        ("type: EnumAsInfo, enum_values: {1: up}", (INTEGER, 9), {"m_info i m": {("1", "9"): 1.0}}),
        (
            "type: EnumAsStateSet, enum_values: {1: up, 2: down}",
            (INTEGER, 2),
            {"m i m": {("1", "down"): 1.0, ("1", "up"): 0.0}},
        ),
        (
            "type: EnumAsStateSet, enum_values: {1: up}",
            (INTEGER, 5),
            {"m i m": {("1", "5"): 1.0, ("1", "up"): 0.0}},
        ),
        (
            "type: Bits, enum_values: {0: a, 7: b, 9: c}",
            (OCTET_STRING, b"\x81"),
            {"m i m": {("1", "a"): 1.0, ("1", "b"): 1.0, ("1", "c"): 0.0}},
        ),
        (
            "type: DateAndTime",
            (OCTET_STRING, bytes([7, 234, 11, 22, 8, 0, 0, 0, 43, 8, 0])),
            {"m i": {("1",): 1795305600.0}},
        ),
        ("type: DateAndTime", (OCTET_STRING, bytes(8)), {}),
        (
            "type: ParseDateAndTime, datetime_pattern: '%b %d %Y'",
            (OCTET_STRING, b"Nov 22 2026"),
            {"m i": {("1",): 1795305600.0}},
        ),
        ("type: ParseDateAndTime, datetime_pattern: '%b %d %Y'", (OCTET_STRING, b"never"), {}),
        (
            "type: NTPTimeStamp",
            (OCTET_STRING, struct.pack(">II", 2208988800 + 60, 0)),
            {"m i": {("1",): 60.0}},
        ),
        ("type: NTPTimeStamp", (OCTET_STRING, b"abc"), {}),
        (
            "type: DisplayString, regex_extracts: {T: [{regex: '([0-9.]+) C'}], U: [{regex: 'x'}]}",
            (OCTET_STRING, b"36.5 C"),
            {"mT i": {("1",): 36.5}},
        ),
    ],
)
def test_a_value_by_its_type(
    metric: str, typed: Typed, expected: dict[str, dict[tuple[str, ...], float]]
) -> None:
    found = exposed(f"{{name: m, oid: 1.3.6.1.4.1.9.1, {metric}, {INDEXED}}}", {"1.3.6.1.4.1.9.1.1": typed})
    assert found == expected


@pytest.mark.parametrize(
    ("index", "subids", "shown", "used", "rest"),
    [
        (Index("i", "gauge"), (7, 8), "7", 1, (8,)),
        (Index("i", "PhysAddress48"), (0, 1, 2, 3, 4, 255, 9), "00:01:02:03:04:FF", 6, (9,)),
        (Index("i", "OctetString"), (2, 1, 255, 9), "0x01FF", 3, (9,)),
        (Index("i", "OctetString", fixed_size=2), (1, 255, 9), "0x01FF", 2, (9,)),
        (Index("i", "DisplayString"), (2, 104, 105, 9), "hi", 3, (9,)),
        (Index("i", "DisplayString", implied=True), (104, 105), "hi", 2, ()),
        (Index("i", "DisplayString"), (200, 104, 105), "hi", 3, ()),
        (Index("i", "InetAddressIPv4"), (10, 0, 0, 1, 9), "10.0.0.1", 4, (9,)),
        (Index("i", "InetAddressIPv4"), (10, 0), "10.0.0.0", 4, ()),
        (Index("i", "InetAddress"), (1, 4, 10, 0, 0, 1, 9), "10.0.0.1", 6, (9,)),
        (Index("i", "InetAddress"), (2, 16, *([0] * 15), 1), "0000:" * 7 + "0001", 18, ()),
        (Index("i", "InetAddress"), (4, 2, 7, 8, 9), "0x04020708", 4, (9,)),
        (Index("i", "InetAddressMissingSize"), (1, 10, 0, 0, 1, 9), "10.0.0.1", 5, (9,)),
        (Index("i", "InetAddressMissingSize"), (9, 1), "0x0901", 2, ()),
        (Index("i", "LldpPortId"), (5, 2, 104, 105), "hi", 4, ()),
        (Index("i", "EnumAsInfo", enum_values={3: "three"}), (3,), "three", 1, ()),
        (Index("i", "EnumAsInfo", enum_values={3: "three"}), (4,), "4", 1, ()),
    ],
)
def test_an_index_by_its_type(
    index: Index, subids: tuple[int, ...], shown: str, used: int, rest: tuple[int, ...]
) -> None:
    part = split_index(subids, index)
    assert (part.text, len(part.used), part.rest) == (shown, used, rest)


@given(
    st.lists(st.integers(0, 2**32 - 1), max_size=40),
    st.sampled_from(sorted(INDEX_TYPES)),
    st.integers(0, 12),
    st.booleans(),
)
def test_any_index_is_split_and_never_grows(subids: list[int], kind: str, size: int, implied: bool) -> None:
    part = split_index(subids, Index("i", kind, size, implied))
    part.text.encode()
    assert len(part.rest) <= len(subids)
    assert len(part.text) <= 40 * 12


@given(
    st.sampled_from([OCTET_STRING, IP_ADDRESS, OPAQUE]),
    st.binary(max_size=24),
    st.sampled_from(sorted(INDEX_TYPES)),
)
def test_any_value_has_a_text(tag: int, octets: bytes, kind: str) -> None:
    text((tag, octets), kind).encode()
    date_and_time(octets)


@given(st.text("0123456789*dxoat.:-, ", max_size=12), st.binary(max_size=40))
def test_any_display_hint_ends(hint: str, octets: bytes) -> None:
    started = time.monotonic()
    apply_hint(hint, octets)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("hint", "octets", "shown"),
    [
        ("1d.1d.1d.1d", bytes([192, 168, 1, 1]), "192.168.1.1"),
        ("1x:", bytes([0, 26, 255]), "00:1A:FF"),
        ("2d-1d-1d,1d:1d:1d.1d,1a1d:1d", bytes([7, 200, 5, 26, 13, 30, 15, 0]), "1992-5-26,13:30:15.0"),
        ("*1x:/1x:", bytes([3, 10, 11, 12, 13, 14]), "0A:0B:0C/0D:0E"),
        ("1o", bytes([8]), "10"),
        ("9d", bytes(9), None),
        ("0d", b"ab", None),
        ("x", b"ab", None),
    ],
)
def test_display_hints_of_rfc_2579(hint: str, octets: bytes, shown: str | None) -> None:
    assert apply_hint(hint, octets) == shown


FUZZED = load(
    "modules:\n  m:\n    walk: [1.3.6.1.4.1]\n    metrics:\n"
    + "".join(
        f"    - {{name: m{number}, oid: 1.3.6.1.4.1.{number}, type: {kind}, help: h, scale: 1.5, "
        f"datetime_pattern: '%Y-%m-%d', display_hint: '*1d.', enum_values: {{0: a, 1: b, 300: c}}, "
        f"indexes: [{{labelname: x, type: {index}}}, {{labelname: y, type: {index}, implied: true}}], "
        f"lookups: [{{labels: [x], labelname: z, oid: 1.3.6.1.4.1.{number + 1}, type: {kind}}}, "
        f"{{labels: [z, x], labelname: w, oid: 1.3.6.1.4.1.{number}, type: {kind}}}]}}\n"
        for number, (kind, index) in enumerate(zip(sorted(METRIC_TYPES), cycle(sorted(INDEX_TYPES))), 1)
    )
).modules["m"]


@given(
    st.dictionaries(
        st.tuples(st.integers(1, len(METRIC_TYPES)), st.lists(st.integers(0, 300), max_size=4).map(tuple)),
        st.tuples(st.just(INTEGER), st.integers(-(2**31), 2**31 - 1))
        | st.tuples(st.just(COUNTER64), st.integers(0, 2**64 - 1))
        | st.tuples(st.sampled_from([OCTET_STRING, OPAQUE]), st.binary(max_size=16))
        | st.tuples(st.just(OBJECT_ID), st.just(b"") | st.just(encode_oid("1.3.6")))
        | st.tuples(st.just(IP_ADDRESS), st.binary(min_size=4, max_size=4)),
        max_size=12,
    )
)
def test_whatever_a_device_says_can_be_told(said: dict[tuple[int, tuple[int, ...]], Typed]) -> None:
    families = Families()
    varbinds = {
        encode_oid((1, 3, 6, 1, 4, 1, number, *index)): typed for (number, index), typed in said.items()
    }
    read_families(FUZZED, varbinds, families, {})
    lines = [line for line in render(families).split("\n") if line and not line.startswith("#")]
    assert len({line.rpartition(" ")[0] for line in lines}) == len(lines)
    assert all(isinstance(float(line.rpartition(" ")[2]), float) for line in lines)


def test_lookups_chain_and_drop_their_source() -> None:
    metric = """{name: m, oid: 1.3.6.1.4.1.9.1, type: gauge,
      indexes: [{labelname: a, type: gauge}, {labelname: b, type: gauge}],
      lookups: [{labels: [a, b], labelname: c, oid: 1.3.6.1.4.1.9.2, type: gauge},
        {labels: [c], labelname: d, oid: 1.3.6.1.4.1.9.3, type: DisplayString},
        {labels: [b], labelname: e, oid: 1.3.6.1.4.1.9.4, type: EnumAsInfo, enum_values: {6: six}},
        {labels: [d], labelname: none, oid: 1.3.6.1.4.1.9.5, type: DisplayString},
        {labels: [], labelname: a}]}"""
    found = exposed(
        metric.replace("\n", " "),
        {
            "1.3.6.1.4.1.9.1.1.2": (INTEGER, 5),
            "1.3.6.1.4.1.9.2.1.2": (INTEGER, 77),
            "1.3.6.1.4.1.9.3.77": (OCTET_STRING, b"policy"),
            "1.3.6.1.4.1.9.4.2": (INTEGER, 6),
        },
    )
    assert found == {"m b c d e none": {("2", "77", "policy", "six", ""): 5.0}}


def test_the_kind_of_an_address_comes_from_the_column_before() -> None:
    metric = f"{{name: m, oid: 1.3.6.1.4.1.9.3, type: InetAddress, {INDEXED}}}"
    varbinds: dict[str, Typed] = {
        "1.3.6.1.4.1.9.2.1": (INTEGER, 1),
        "1.3.6.1.4.1.9.3.1": (OCTET_STRING, bytes([10, 1, 2, 3])),
        "1.3.6.1.4.1.9.3.2": (OCTET_STRING, bytes([10, 1, 2, 3])),
    }
    assert exposed(metric, varbinds) == {"m i m": {("1", "10.1.2.3"): 1.0, ("2", "0x0A010203"): 1.0}}


@pytest.mark.parametrize(
    ("template", "expected"),
    [("$1", "a"), ("${2}x", "bx"), ("$1x", ""), ("$$", "$"), ("$", "$"), ("$name$9", "a"), ("7", "7")],
)
def test_templates_expand_as_in_go(template: str, expected: str) -> None:
    match = pattern("(?P<name>a)(b)").search("ab")
    assert match is not None
    assert expand(template, match) == expected


def test_a_module_in_a_poll_reads_what_a_walk_would() -> None:
    text = """
modules:
  m:
    walk: [1.3.6.1.4.1.9.1, 1.3.6.1.4.1.9.2.1, 1.3.6.1.4.1.9.3.7]
    get: [1.3.6.1.4.1.9.4.5.0]
    filters: [{oid: 1.3.6.1.4.1.9.1.9, targets: [1.3.6.1.4.1.9.1.1], values: [yes]}]
    metrics:
    - {name: filtered, oid: 1.3.6.1.4.1.9.1.1, type: gauge, indexes: [{labelname: i, type: gauge}],
       lookups: [{labels: [i], labelname: n, oid: 1.3.6.1.4.1.9.1.2, type: DisplayString}]}
    - {name: scalar, oid: 1.3.6.1.4.1.9.2.1, type: gauge}
    - {name: instance, oid: 1.3.6.1.4.1.9.3, type: gauge, indexes: [{labelname: i, type: gauge}]}
    - {name: got, oid: 1.3.6.1.4.1.9.4.5, type: gauge}
    - {name: beyond, oid: 1.3.6.1.4.1.9.8, type: gauge}
"""
    profile = as_profile(load(text).modules["m"])
    read = profile.modules[0]
    assert set(read.scalars) == {"1.3.6.1.4.1.9.2.1.0", "1.3.6.1.4.1.9.4.5.0"}
    assert set(read.columns) == {
        "1.3.6.1.4.1.9.1.1", "1.3.6.1.4.1.9.1.2", "1.3.6.1.4.1.9.1.9", "1.3.6.1.4.1.9.3",
    }  # fmt: skip
    one, two, seven = b"\x01", b"\x02", b"\x07"
    columns: dict[str, dict[bytes, Typed]] = {
        "1.3.6.1.4.1.9.1.1": {one: (INTEGER, 10), two: (INTEGER, 20)},
        "1.3.6.1.4.1.9.1.2": {one: (OCTET_STRING, b"one")},
        "1.3.6.1.4.1.9.1.9": {one: (OCTET_STRING, b"yes"), two: (OCTET_STRING, b"no")},
        "1.3.6.1.4.1.9.3": {one: (INTEGER, 1), seven: (INTEGER, 7)},
        "1.3.6.1.4.1.9.8": {one: (INTEGER, 8)},
    }
    assert read.reader is not None
    found = read.reader(
        {
            read.scalars["1.3.6.1.4.1.9.2.1.0"]: (INTEGER, 3),
            read.scalars["1.3.6.1.4.1.9.4.5.0"]: (INTEGER, 4),
        },
        {encode_oid(oid): rows for oid, rows in columns.items()},
    )
    assert set(found) == {
        ("filtered", (("i", "1"), ("n", "one")), 10.0),
        ("scalar", (), 3.0),
        ("instance", (("i", "7"),), 7.0),
        ("got", (), 4.0),
    }


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    from collectors.place import read_yaml

    path = tmp_path / "big.yml"
    path.write_bytes(b"a: b\n" * 10)
    with pytest.raises(InputError, match="at most 20 bytes"):
        read_yaml(path, 20)
    with pytest.raises(InputError):
        read_yaml(tmp_path / "missing.yml", 20)


@pytest.mark.skipif(
    not CONFORMANCE.is_file(), reason="CONFORMANCE_DATA does not lead to the conformance data"
)
def test_the_file_snmp_exporter_ships_loads_unchanged() -> None:
    from collectors.profiles.library import load_library
    from collectors.profiles.lint import lint
    from collectors.profiles.modules_loader import load_modules

    found = load_modules(CONFORMANCE)
    assert len(found.modules) == 53
    assert sum(len(one.metrics) for one in found.modules.values()) == 4802
    assert lint(CONFORMANCE, load_library()) == []
    for one in found.modules.values():
        read = as_profile(one).modules[0]
        assert read.scalars or read.columns, one.name
