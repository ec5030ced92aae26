"""Drafting profiles: what is suggested, and that every draft loads, as it is and with its suggestions taken."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from collectors.profiles.cli import profile
from collectors.profiles.library import load_library
from collectors.profiles.lint import lint
from collectors.profiles.loader import parse_profile
from collectors.profiles.recording import parse_recording
from collectors.profiles.replay import COMMUNITY, ReplayAgent
from collectors.profiles.wizard import draft
from collectors.profiles.wizard_tables import find_tables
from collectors.snmp.ber import INTEGER, OCTET_STRING, VarBind, encode_oid
from monitor.errors import InputError, UnreachableError
from tests.real.snmpd import LoopbackSnmpd

LIBRARY = load_library()
WALKS = Path(__file__).parent / "walks"
ACME = """\
1.3.6.1.2.1.1.1.0|4|Acme OS Version 7.2.1 build 9
1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.7.1
1.3.6.1.2.1.1.3.0|67|100
1.3.6.1.2.1.1.5.0|4|acme-1
1.3.6.1.2.1.2.2.1.1.1|2|1
1.3.6.1.2.1.2.2.1.2.1|4|eth1
1.3.6.1.2.1.2.2.1.5.1|66|1000000000
1.3.6.1.2.1.2.2.1.6.1|4x|020000000001
1.3.6.1.2.1.2.2.1.7.1|2|1
1.3.6.1.2.1.2.2.1.8.1|2|1
1.3.6.1.2.1.2.2.1.10.1|65|10
1.3.6.1.2.1.2.2.1.13.1|65|0
1.3.6.1.2.1.2.2.1.14.1|65|0
1.3.6.1.2.1.2.2.1.16.1|65|10
1.3.6.1.2.1.2.2.1.19.1|65|0
1.3.6.1.2.1.2.2.1.20.1|65|0
1.3.6.1.2.1.31.1.1.1.1.1|4|eth1
1.3.6.1.2.1.31.1.1.1.6.1|70|10
1.3.6.1.2.1.31.1.1.1.10.1|70|10
1.3.6.1.2.1.31.1.1.1.15.1|66|1000
1.3.6.1.2.1.31.1.1.1.18.1|4|uplink
1.3.6.1.4.1.99999.2.1.0|4|42.5 C
1.3.6.1.4.1.99999.2.2.0|2|1
1.3.6.1.4.1.99999.2.3.0|4|SN-0001
1.3.6.1.4.1.99999.3.1.1.1.1|2|1
1.3.6.1.4.1.99999.3.1.1.1.2|2|2
1.3.6.1.4.1.99999.3.1.1.2.1|4|CPU 0
1.3.6.1.4.1.99999.3.1.1.2.2|4|CPU 1
1.3.6.1.4.1.99999.3.1.1.3.1|66|3
1.3.6.1.4.1.99999.3.1.1.3.2|66|99
1.3.6.1.4.1.99999.3.1.1.4.1|2|41
1.3.6.1.4.1.99999.3.1.1.4.2|2|44
1.3.6.1.4.1.99999.3.1.1.5.1|4|12.1 V
1.3.6.1.4.1.99999.3.1.1.5.2|4|11.9 V
1.3.6.1.4.1.99999.3.1.1.6.1|2|1
1.3.6.1.4.1.99999.3.1.1.6.2|2|1
1.3.6.1.4.1.99999.3.1.1.7.1|65|123456
1.3.6.1.4.1.99999.3.1.1.7.2|65|654321
"""


def taken(text: str) -> str:
    """A draft with every suggestion taken."""
    head, marker, body = text.partition("# 以下为候选")
    lines = body.partition("\n")[2].splitlines()
    return head + "\n".join(line.removeprefix("# ") for line in lines) if marker else text


def problems(folder: Path, name: str, text: str) -> list[str]:
    path = folder / f"{name}.yml"
    path.write_text(text, "utf-8")
    return [str(one) for one in lint(path, LIBRARY) if "is the same as that of" not in str(one)]


def test_a_device_nobody_knows(tmp_path: Path) -> None:
    drafted = draft("acme-switch", parse_recording(ACME, "w").varbinds, LIBRARY)
    assert (drafted.matched, drafted.extends) == ("generic", ("generic-if",))
    assert (drafted.tables, drafted.scalars) == (1, 3)
    assert problems(tmp_path, "acme-switch", drafted.text) == []
    assert problems(tmp_path, "acme-switch", taken(drafted.text)) == []
    text = drafted.text
    assert "- {sys_object_id: 1.3.6.1.4.1.99999.7.1}" in text
    for line in (
        "# 7.2.1",
        "# serial: {oid: 1.3.6.1.4.1.99999.2.3.0}   # SN-0001",
        '{kind: processor, name: "{c2}", percent: c3}',
        '{kind: sensor, class: temperature, name: "{c2}", value: c4}',
        '{kind: sensor, class: voltage, name: "{c2}", value: c5}',
        '{kind: component, name: "{c2}", state: "{c6}"',
        "values: {vendor_c7: c7}",
        '{kind: sensor, class: temperature, name: "scalar 1", value: s1}',
        "名称 name: CPU 0, CPU 1",
        "1.3.6.1.4.1.99999.3.1.1: 2 行 rows",
    ):
        assert line in text, line
    profile = parse_profile(tmp_path / "acme-switch.yml").profile
    assert [module.name for module in profile.modules] == ["scalars", "table-99999-3-1"]


@pytest.mark.parametrize("walk", sorted(WALKS.glob("*.snmprec")), ids=lambda path: path.stem)
def test_every_walk_gives_a_draft_that_loads(tmp_path: Path, walk: Path) -> None:
    rows = parse_recording(walk.read_text("utf-8"), walk.name).varbinds
    drafted = draft("mine", rows, LIBRARY)
    assert problems(tmp_path, "mine", drafted.text) == []
    assert [one for one in problems(tmp_path, "mine", taken(drafted.text)) if "never used" not in one] == []


SUBIDS = st.tuples(st.integers(1, 3), st.just(1), st.integers(1, 4), st.integers(0, 5)) | st.tuples(
    st.integers(0, 2**32 - 1), st.integers(0, 3)
)
CELLS = st.dictionaries(
    SUBIDS.map(lambda subids: encode_oid((1, 3, 6, 1, 4, 1, 99999, 1, *subids))),
    st.tuples(st.just(INTEGER), st.integers(-(2**31), 2**31 - 1))
    | st.tuples(st.just(OCTET_STRING), st.binary(max_size=12) | st.text(max_size=8).map(str.encode)),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(CELLS)
def test_whatever_a_mib_holds_the_draft_loads(
    tmp_path_factory: pytest.TempPathFactory, cells: dict[bytes, tuple[int, int | bytes]]
) -> None:
    rows: list[VarBind] = [(oid, *typed) for oid, typed in cells.items()]
    folder = tmp_path_factory.mktemp("drafts")
    drafted = draft("any", rows, LIBRARY)
    assert problems(folder, "any", drafted.text) == []
    assert [one for one in problems(folder, "any", taken(drafted.text)) if "never used" not in one] == []
    tables, scalars = find_tables(rows)
    assert sum(table.rows * len(table.columns) for table in tables) + len(scalars) <= 3 * len(rows)


def test_debians_snmpd_from_the_wire_and_from_a_text_walk(tmp_path: Path) -> None:
    wire, text = tmp_path / "one" / "wire.yml", tmp_path / "two" / "text.yml"
    wire.parent.mkdir()
    text.parent.mkdir()
    with LoopbackSnmpd(tmp_path) as snmpd:
        target = f"{snmpd.host}:{snmpd.port}"
        made = run("new", target, "--community", snmpd.community, "--name", "wire", "--out", wire)
        walk = tmp_path / "text.walk"
        argv = ["snmpwalk", "-v2c", "-c", snmpd.community, "-OnQ", target, "1.3.6.1"]
        walk.write_bytes(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)
    assert made.exit_code == 0, made.output
    typed = run("new", "--walk", walk, "--name", "text", "--out", text)
    assert typed.exit_code == 0, typed.output
    for path in (wire, text):
        assert "extends: [linux-netsnmp]" in path.read_text("utf-8")
        assert run("test", path).exit_code == 0
        expected = json.loads(path.with_suffix(".json").read_text("utf-8"))
        assert expected["identity"]["os"] == "Linux"
        assert "lo" in [port["name"] for port in expected["detail"]["interfaces"]]


@pytest.mark.parametrize("name", ["", "Acme", "a b", "../x", "9"])
def test_a_name_must_be_a_name(name: str) -> None:
    with pytest.raises(InputError):
        draft(name, parse_recording(ACME, "w").varbinds, LIBRARY)


def run(*arguments: str | Path) -> Result:
    with capture_logs():
        return CliRunner().invoke(profile, [str(argument) for argument in arguments])


def test_new_writes_three_files_that_pass_lint_and_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    walk = tmp_path / "recorded.walk"
    walk.write_text(ACME, "utf-8")
    made = run("new", "--walk", walk, "--name", "acme-switch")
    assert made.exit_code == 0, made.output
    assert {path.name for path in tmp_path.iterdir()} == {
        "recorded.walk", "acme-switch.yml", "acme-switch.snmprec", "acme-switch.json",
    }  # fmt: skip
    expected = json.loads((tmp_path / "acme-switch.json").read_text("utf-8"))
    assert expected["identity"]["profile"] == "acme-switch"
    assert expected["identity"]["version"] == "7.2.1"
    assert expected["detail"]["interfaces"][0]["alias"] == "uplink"
    assert run("lint", "acme-switch.yml").exit_code == 0
    assert run("test", "acme-switch.yml").exit_code == 0
    assert run("test", "--profiles", tmp_path, "acme-switch").exit_code == 0
    again = run("new", "--walk", walk, "--name", "acme-switch")
    assert isinstance(again.exception, InputError)
    assert run("new", "--walk", walk, "--name", "acme-switch", "--force").exit_code == 0


def test_new_asks_a_device(tmp_path: Path) -> None:
    out = tmp_path / "acme.yml"
    with ReplayAgent(parse_recording(ACME, "w").varbinds) as agent:
        made = run("new", f"127.0.0.1:{agent.port}", "--community", COMMUNITY, "--name", "acme", "--out", out)
    assert made.exit_code == 0, made.output
    recorded = parse_recording(out.with_suffix(".snmprec").read_text("utf-8"), "w")
    assert recorded.varbinds == parse_recording(ACME, "w").varbinds
    silent = run("new", "127.0.0.1:1", "--name", "other", "--out", tmp_path / "other.yml")
    assert isinstance(silent.exception, UnreachableError)
    assert not (tmp_path / "other.yml").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--name", "x"),
        ("host", "--walk", "f", "--name", "x"),
        ("--walk", "none", "--name", "x"),
        ("--walk", "none", "--name", "x", "--out", "y.yml"),
    ],
)
def test_new_refuses_what_makes_no_sense(arguments: tuple[str, ...]) -> None:
    assert isinstance(run("new", *arguments).exception, InputError)


def test_test_shows_what_differs(tmp_path: Path) -> None:
    (tmp_path / "acme.yml").write_text(
        "name: acme\nextends: generic-if\nmatch: [{sys_object_id: 1.3.6.1.4.1.99999}]\n"
    )
    lacking = run("test", "--profiles", tmp_path, "acme")
    assert lacking.exit_code == 1
    assert "缺少录制数据" in lacking.output
    (tmp_path / "acme.walk").write_text(ACME)
    assert run("test", "--profiles", tmp_path, "acme").exit_code == 1
    assert run("test", "--profiles", tmp_path, "acme", "--write").exit_code == 0
    expected = json.loads((tmp_path / "acme.json").read_text("utf-8"))
    expected["identity"]["sys_name"] = "other"
    expected["detail"]["interfaces"].append({})
    expected["readings"].pop("sysUpTime{}")
    (tmp_path / "acme.json").write_text(json.dumps(expected))
    found = run("test", "--profiles", tmp_path, "acme", "--json")
    assert found.exit_code == 1
    (outcome,) = json.loads(found.stdout)
    assert outcome["problems"] == [
        'identity.sys_name: expected "other", found "acme-1"',
        "detail.interfaces: expected 2 entries, found 1",
        "readings.sysUpTime{}: not expected, found 100.0",
    ]
    assert isinstance(run("test", "no-such-profile").exception, InputError)
    assert isinstance(run("test", tmp_path / "none.yml").exception, InputError)


def test_our_own_profiles_pass_their_own_commands() -> None:
    found = run("test", "linux-netsnmp", "huawei-vrp", "--json")
    assert found.exit_code == 0, found.output
    assert [one["profile"] for one in json.loads(found.stdout)] == ["linux-netsnmp", "huawei-vrp"]


def test_lint_and_list_speak_json(tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("name: bad\nmodules: {m: {rows: 5}}\n")
    (tmp_path / "snmp.yml").write_text("acme: {walk: [1.3.6.1.4.1.9], metrics: []}\n")
    found = run("lint", tmp_path, "--json")
    assert found.exit_code == 1
    (finding,) = json.loads(found.stdout)
    assert finding["where"] == f"{tmp_path / 'bad.yml'}:2"
    plain = run("lint", tmp_path)
    assert plain.exit_code == 1
    assert f"{tmp_path / 'bad.yml'}:2" in plain.output
    listed = json.loads(run("list", "--profiles", tmp_path, "--json").stdout)
    by_name = {one["name"]: one for one in listed["profiles"]}
    assert by_name["acme"]["source"] == str(tmp_path / "snmp.yml")
    assert by_name["huawei-vrp"]["source"] == "zhishou"
    assert by_name["huawei-vrp"]["vendor"] == "Huawei"
    assert len(listed["problems"]) == 1
    assert "huawei-vrp" in run("list").output
    assert isinstance(run("list", "--profiles", tmp_path / "none").exception, InputError)
