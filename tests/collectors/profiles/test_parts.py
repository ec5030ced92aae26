"""Matching, formulas, values, and the corners of reading a row."""

from __future__ import annotations

import json
import math
import re
import struct
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.profiles.expression import compile_expression
from collectors.profiles.identify import read_identity
from collectors.profiles.loader import load_profiles
from collectors.profiles.match import best_match
from collectors.profiles.profile import Emit, Match, Module, Profile, Template
from collectors.profiles.read import Report, read_module, summarise
from collectors.profiles.values import mac_of, number_of, text_of
from collectors.snmp import ber
from collectors.snmp.ber import encode_oid
from monitor.errors import InputError

SHIPPED = load_profiles()


@pytest.mark.parametrize(
    ("oid", "descr", "answers", "name"),
    [
        ("1.3.6.1.4.1.2011.2.23.291", "Huawei Versatile Routing Platform", "", "huawei-vrp"),
        ("1.3.6.1.4.1.2011.2.91", "ISM SNMP Agent", "", "huawei-oceanstor"),
        ("1.3.6.1.4.1.2011.2.235.1", "", "", "huawei-ibmc"),
        ("1.3.6.1.4.1.2011.10.1.90", "H3C", "", "h3c-comware-2011"),
        ("1.3.6.1.4.1.25506.1.578", "H3C", "1.3.6.1.4.1.2011.10.2.6.1.1.1.1.6.1", "h3c-comware-2011"),
        ("1.3.6.1.4.1.2011.2.321.1", "Huawei USG6000", "", "huawei-usg"),
        ("1.3.6.1.4.1.9.1.2115", "Cisco Adaptive Security Appliance Version 9", "", "cisco-asa"),
        ("1.3.6.1.4.1.9.12.3.1.3.1", "Cisco NX-OS(tm) n9000", "", "cisco-nxos"),
        ("1.3.6.1.4.1.30803", "Netentsec NGFW", "", "netentsec"),
        ("1.3.6.1.4.1.30803", "Vyatta VC6.6R1", "", "vyatta"),
        ("1.3.6.1.4.19849", "NSFOCUS-OSMS", "", "nsfocus"),
        ("1.3.6.1.4.1.8072.3.2.10", "Linux gw", "1.3.6.1.4.1.2620.1.6.4.1.0", "checkpoint-gaia"),
        ("1.3.6.1.4.1.8072.3.2.10", "Linux lb", "1.3.6.1.4.1.3375.2.1.4.2.0", "f5-bigip"),
        ("1.3.6.1.4.1.25506.1.578", "", "", "h3c-comware"),
        ("1.3.6.1.4.1.8072.3.2.10", "Linux a", "", "linux-netsnmp"),
        ("1.3.6.1.4.1.8072.3.2.10", "Linux a", "1.3.6.1.4.1.6574.1.5.1.0", "synology-dsm"),
        ("1.3.6.1.4.1.99999", "Software: Windows", "", "windows"),
        ("1.3.6.1.4.1.99999", "Some UPS card", "", "generic"),
        ("1.3.6.1.4.1.99999", "Some UPS card", "1.3.6.1.2.1.33.1.2.1.0", "ups-rfc1628"),
        ("", "", "", "generic"),
    ],
)
def test_longest_prefix_then_existence_then_description(
    oid: str, descr: str, answers: str, name: str
) -> None:
    answered = encode_oid(answers) if answers else b""
    object_id = encode_oid(oid) if oid else b""
    assert best_match(SHIPPED.values(), object_id, descr, lambda asked: asked == answered) == name


def test_existence_is_asked_only_when_the_rest_fits() -> None:
    asked: list[bytes] = []
    profile = Profile(
        "p", (Match(encode_oid("1.3.6.1.4.1.1"), re.compile("box"), encode_oid("1.3.6.1.4.1.1.9.0")),), {}, ()
    )

    def exists(oid: bytes) -> bool:
        asked.append(oid)
        return True

    assert best_match([profile], encode_oid("1.3.6.1.4.1.2"), "box", exists) == "generic"
    assert best_match([profile], encode_oid("1.3.6.1.4.1.1.5"), "other", exists) == "generic"
    assert not asked
    assert best_match([profile], encode_oid("1.3.6.1.4.1.1.5"), "box", exists) == "p"


def test_formulas() -> None:
    known = {"a": 6.0, "b": 2.0, "zero": 0.0}
    for text, value in (
        ("c or a", 6.0),
        ("c or zero", 0.0),
        ("c or c", None),
        ("a if a > b else zero", 6.0),
        ("a if c > b else zero", 0.0),
        ("10 * log10(a / 0.6)", 10.0),
        ("log10(zero)", None),
        ("log10(-a)", None),
        ("min(a, b) + max(a, b)", 8.0),
        ("a / b - 1", 2.0),
        ("-a * 10 ** -b", -0.06),
        ("(a + b) / zero", None),
        ("a * c", None),
    ):
        result = compile_expression(text).evaluate(known.get)
        assert result == (pytest.approx(value) if value is not None else None)
    assert compile_expression("0 - a ** 0.5").evaluate({"a": 4.0}.get) == -2
    assert compile_expression("a ** 0.5").evaluate({"a": -4.0}.get) is None
    assert compile_expression("10 ** a").evaluate({"a": 9999.0}.get) is None
    for bad in (
        "a.b",
        "a[0]",
        "f(a)",
        "min(a)",
        "log10(x=a)",
        "a < b < c",
        "'x'",
        "True",
        "a % b",
        "a and b",
    ):
        with pytest.raises(InputError):
            compile_expression(bad)
    for bad in ("lambda: 1", "a" * 300, "(" * 150, "a.log10(b)", "max(*a)", "not a", "a is b"):
        with pytest.raises(InputError):
            compile_expression(bad)


@pytest.mark.parametrize(
    ("tag", "value", "text", "number"),
    [
        (ber.OCTET_STRING, "核心交换机\0\0".encode(), "核心交换机", None),
        (ber.OCTET_STRING, "门诊楼接入".encode("gbk"), "门诊楼接入", None),
        (ber.OCTET_STRING, "核心交换机".encode()[:-1], "核心交换", None),
        (ber.OCTET_STRING, "门诊楼接入".encode("gbk")[:-1], "门诊楼接", None),
        (
            ber.OCTET_STRING,
            b"DCRS-5750\xda Device, Version 7.0\xff",
            "DCRS-5750\ufffd Device, Version 7.0\ufffd",
            None,
        ),
        (
            ber.OCTET_STRING,
            b"a text of 16 oct\x01\xff",
            ":".join(f"{o:02x}" for o in b"a text of 16 oct\x01\xff"),
            None,
        ),
        (ber.OCTET_STRING, b" 4.47 %", "4.47 %", 4.47),
        (ber.OCTET_STRING, b"cpu 5", "cpu 5", None),
        (ber.OCTET_STRING, b"\x00\x50\xc2\x00\x00\x01", "50:c2:00:00:01", None),
        (ber.OCTET_STRING, b"", "", None),
        (ber.OBJECT_ID, encode_oid("1.3.6.1"), "1.3.6.1", None),
        (ber.IP_ADDRESS, b"\x0a\x00\x00\x01", "10.0.0.1", None),
        (ber.OPAQUE, b"\x9f\x78\x04" + struct.pack(">f", 1.5), "9f:78:04:3f:c0", 1.5),
        (ber.INTEGER, -5, "-5", -5),
        (ber.NULL, None, "", None),
    ],
)
def test_values_of_real_agents(tag: int, value: bytes | int | None, text: str, number: float | None) -> None:
    assert text_of((tag, value)) == text
    assert number_of((tag, value)) == number


@given(st.sampled_from([ber.OCTET_STRING, ber.OPAQUE]), st.binary(max_size=40))
def test_any_octets_are_text_or_hex(tag: int, octets: bytes) -> None:
    text = text_of((tag, octets))
    assert all(character.isprintable() or character in "\r\n\t" for character in text)
    assert isinstance(number_of((tag, octets)), float | None)


def test_mac_addresses() -> None:
    assert mac_of("", b"\x00\x50\xc2\x00\x00\x01") == "00:50:c2:00:00:01"
    assert mac_of("", bytes(6)) is None
    assert mac_of("00:50:c2:00:00:01", b"00:50:c2:00:00:01") == "00:50:c2:00:00:01"
    assert mac_of("nonsense", b"nonsense") is None


def _storage(**formulas: str) -> Module:
    base = encode_oid("1.3.6.1.4.1.1")
    aliases = ("used", "size", "free", "percent")
    return Module(
        "m",
        columns={alias: base + bytes((at,)) for at, alias in enumerate(aliases, 1)},
        rows=(
            Emit(
                "storage",
                name=(Template((("disk", ""),)),),
                formulas={key: compile_expression(text) for key, text in formulas.items()},
            ),
        ),
    )


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"used": 25, "size": 100}, (25, 100, 0.25)),
        ({"free": 75, "size": 100}, (25, 100, 0.25)),
        ({"used": 25, "free": 75}, (25, 100, 0.25)),
        ({"percent": 25, "size": 100}, (25, 100, 0.25)),
        ({"percent": 25}, (None, None, 0.25)),
        ({"percent": 25, "size": 0}, (None, None, 0.25)),
        ({"used": 200, "size": 100}, None),
        ({"used": 0, "size": 0}, None),
        ({"size": 100}, None),
        ({"percent": 101}, None),
    ],
)
def test_space_from_what_is_known(
    cells: dict[str, int], expected: tuple[int | None, int | None, float] | None
) -> None:
    module = _storage(used="used", size="size", free="free", percent="percent")
    columns = {module.columns[alias]: {b"\x01": (ber.INTEGER, value)} for alias, value in cells.items()}
    report = Report()
    read_module(module, {}, columns, report)
    if expected is None:
        assert report.storage == []
        return
    used, size, ratio = expected
    assert report.storage == [
        {"name": "disk", "used_bytes": used, "size_bytes": size, "utilization_ratio": ratio}
    ]


TYPED = st.one_of(
    st.tuples(st.sampled_from([ber.INTEGER, ber.COUNTER64]), st.integers(-(2**31), 2**64 - 1)),
    st.tuples(st.sampled_from([ber.OCTET_STRING, ber.OPAQUE]), st.binary(max_size=12)),
    st.tuples(st.just(ber.OBJECT_ID), st.sampled_from([b"", encode_oid("1.3.6.1.2.1.25.2.1.4")])),
    st.just((ber.NULL, None)),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_profile_stumbles_over_values_of_the_wrong_kind(data: st.DataObject) -> None:
    profile = SHIPPED[data.draw(st.sampled_from(sorted(SHIPPED)))]
    report = Report()
    for module in profile.modules:
        scalars = {oid: data.draw(TYPED) for oid in module.scalars.values()}
        rows = [(1,), (2**32 - 1,), (1, 300)]
        lookups = [lookup.column for lookup in module.lookups.values()]
        columns = {
            oid: {ber.encode_index(row): data.draw(TYPED) for row in rows}
            for oid in (*module.columns.values(), *lookups)
        }
        read_module(module, scalars, columns, report)
    summarise(report)
    json.dumps(report.detail(), allow_nan=False)
    assert all(math.isfinite(reading.value) for reading in report.readings)


def test_equal_names_stay_two_series_and_the_load_is_the_mean() -> None:
    module = _storage(used="used", size="size")
    rows = {b"\x01": (ber.INTEGER, 10), b"\x02": (ber.INTEGER, 20)}
    report = Report()
    read_module(module, {}, {module.columns["used"]: rows, module.columns["size"]: rows}, report)
    assert [entry["name"] for entry in report.storage] == ["disk", "disk (2)"]
    assert len({(reading.name, reading.labels) for reading in report.readings}) == 4
    report.processors += [{"name": "a", "utilization_ratio": 0.2}, {"name": "b", "utilization_ratio": 0.6}]
    summarise(report)
    assert [reading.value for reading in report.readings if reading.name == "device_cpu_ratio"] == [0.4]


def test_whole_numbers_do_not_grow_without_bound() -> None:
    huge = {"a": 2**64 - 1}
    assert compile_expression("a ** a").evaluate(huge.get) is None
    assert compile_expression("*".join(["a"] * 50)).evaluate(huge.get) is None
    assert compile_expression("a").evaluate(huge.get) == 2**64 - 1


def _loaded(folder: Path, body: str) -> Module:
    (folder / "p.yml").write_text(
        f"name: p\nmodules:\n  m:\n{textwrap.indent(textwrap.dedent(body), '    ')}"
    )
    return load_profiles(folder)["p"].modules[0]


def test_parts_of_texts_and_of_the_index(tmp_path: Path) -> None:
    module = _loaded(
        tmp_path,
        r"""
        columns: {raw: 1.3.6.1.4.1.1.1, mac: 1.3.6.1.4.1.1.2}
        extracts:
          cpu: {from: raw, regex: 'cpu-usage: ([\d.]+%)'}
          slot: {from: index, regex: '^(\d+)'}
          port: {from: index, regex: '\.(\d+)$'}
          letters: {from: index, as: characters}
          whole: {from: mac, as: octets}
          hex: {from: raw, regex: '0x\w+', as: hex}
        lookups:
          name: {column: 1.3.6.1.4.1.1.3, by: slot}
          peer: {column: 1.3.6.1.4.1.1.3, by: '{port}.{slot}'}
          first: {column: 1.3.6.1.4.1.1.3, by: 1}
        rows:
          - kind: metrics
            labels: {name: '{name}', peer: '{peer}', first: '{first}', letters: '{letters}'}
            values: {cpu: cpu, whole: whole, hex: hex}
        """,
    )
    column = encode_oid("1.3.6.1.4.1.1.3")
    row = ber.encode_index((72, 105))
    columns = {
        module.columns["raw"]: {row: (ber.OCTET_STRING, b"cpu-usage: 4.5% at 0x1F")},
        module.columns["mac"]: {row: (ber.OCTET_STRING, b"\x01\x00")},
        column: {
            ber.encode_index((1,)): (ber.OCTET_STRING, b"one"),
            ber.encode_index((72,)): (ber.OCTET_STRING, b"slot 72"),
            ber.encode_index((105, 72)): (ber.OCTET_STRING, b"port 105"),
        },
    }
    report = Report()
    read_module(module, {}, columns, report)
    found = {reading.name: reading.value for reading in report.readings}
    assert found == {"cpu": 4.5, "whole": 256, "hex": 31}
    labels = {"name": "slot 72", "peer": "port 105", "first": "one", "letters": "Hi"}
    assert dict(report.readings[0].labels) == labels


def test_conditions_and_states_of_what_is_not_fitted(tmp_path: Path) -> None:
    module = _loaded(
        tmp_path,
        """
        columns: {state: 1.3.6.1.4.1.1.1, rpm: 1.3.6.1.4.1.1.2}
        rows:
          - {kind: component, name: 'fan {index}', state: '{state}', states: {"1": ok, "2": absent, "*": critical}}
          - {kind: sensor, name: 'fan {index}', when: rpm > 0, class: fanspeed, value: rpm}
        """,
    )
    columns = {
        module.columns["state"]: {bytes((at,)): (ber.INTEGER, at) for at in (1, 2, 3)},
        module.columns["rpm"]: {b"\x01": (ber.GAUGE32, 4000), b"\x02": (ber.GAUGE32, 0)},
    }
    report = Report()
    read_module(module, {}, columns, report)
    assert [(row["name"], row["state"]) for row in report.components] == [
        ("fan 1", "ok"),
        ("fan 3", "critical"),
    ]
    assert [(row["name"], row["value"]) for row in report.sensors] == [("fan 1", 4000)]


def test_identity_can_be_translated(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text(
        "name: p\nidentity:\n  version:\n"
        "    - {oid: 1.3.6.1.2.1.1.1.0, regex: 'Build (\\d+)', values: {'17763': '2019'}, value: 'Server {}'}\n"
        "    - {oid: 1.3.6.1.2.1.1.1.0, regex: 'Build (\\d+)'}\n"
    )
    profile = load_profiles(tmp_path)["p"]
    descr = encode_oid("1.3.6.1.2.1.1.1.0")
    for text, version in (("Build 17763", "Server 2019"), ("Build 9", "9")):
        found = read_identity(profile, {descr: (ber.OCTET_STRING, text.encode())}, {})
        assert found == {"version": version}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("44292kB", 44292 * 1024),
        ('"7802 MB', 7802 << 20),
        ("63kbps", 63_000),
        ("3.3 mV", 0.0033),
        ("5 bananas", None),
    ],
)
def test_numbers_with_units(text: str, number: float | None) -> None:
    found = number_of((ber.OCTET_STRING, text.encode()))
    assert found == (None if number is None else pytest.approx(number))


@pytest.mark.parametrize(
    ("oid", "vendor"), [("1.3.6.1.4.1.39165.1.6", "Hikvision"), ("1.3.6.1.4.1.99999", None)]
)
def test_a_maker_is_told_by_the_enterprise_number(oid: str, vendor: str | None) -> None:
    asked = {encode_oid("1.3.6.1.2.1.1.2.0"): (ber.OBJECT_ID, encode_oid(oid))}
    assert read_identity(SHIPPED["generic"], asked, {}).get("vendor") == vendor


def test_every_network_vendor_of_a_hospital_has_a_profile() -> None:
    makers = {source.value for profile in SHIPPED.values() for source in profile.identity.get("vendor", ())}
    assert makers >= {
        *(
            "Huawei",
            "H3C",
            "HPE",
            "Ruijie",
            "ZTE",
            "Maipu",
            "Digital China",
            "Cisco",
            "Juniper",
            "Aruba",
            "Fortinet",
        ),
        *(
            "Palo Alto",
            "Check Point",
            "Hillstone",
            "Sangfor",
            "TopSec",
            "Venustech",
            "NSFOCUS",
            "DPtech",
            "Netentsec",
        ),
        *("Legendsec", "F5", "Brocade"),
    }
