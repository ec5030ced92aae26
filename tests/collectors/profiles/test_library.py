"""An operator's own folder of profiles and snmp.yml files beside ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from collectors.interface import Credential
from collectors.profiles.library import (
    SHIPPED,
    SHIPPED_MODULES,
    Library,
    load_library,
    load_module_files,
)
from collectors.profiles.lint import lint
from collectors.profiles.loader import load_profiles
from collectors.profiles.recording import parse_recording
from collectors.profiles.replay import COMMUNITY, ReplayAgent
from collectors.snmp.cli import poll
from collectors.snmp.poller import SnmpPoller
from monitor.clock import SystemClock
from monitor.errors import InputError
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess

MODULES = """
acme:
  walk: [1.3.6.1.4.1.99999.1]
  metrics:
  - name: acmeFanSpeed
    oid: 1.3.6.1.4.1.99999.1.1.2
    type: gauge
    help: fan
    indexes: [{labelname: fan, type: gauge}]
    lookups: [{labels: [fan], labelname: fanName, oid: 1.3.6.1.4.1.99999.1.1.1, type: DisplayString}]
"""
PROFILE = """
name: acme-switch
extends: [generic-if, acme]
match:
  - {sys_object_id: 1.3.6.1.4.1.99999.7}
identity: {vendor: Acme}
"""
WALK = """\
1.3.6.1.2.1.1.1.0|4|Acme switch
1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.7.1
1.3.6.1.2.1.1.3.0|67|100
1.3.6.1.4.1.99999.1.1.1.1|4|left
1.3.6.1.4.1.99999.1.1.1.2|4|right
1.3.6.1.4.1.99999.1.1.2.1|2|3000
1.3.6.1.4.1.99999.1.1.2.2|2|3100
"""


def library(folder: Path, **files: str) -> Library:
    for name, text in files.items():
        (folder / f"{name.replace('_', '-')}.yml").write_text(text, "utf-8")
    return load_library(folder)


def test_a_folder_comes_after_ours(tmp_path: Path) -> None:
    found = library(tmp_path, acme_switch=PROFILE, snmp=MODULES)
    assert not found.problems
    assert set(found.profiles) == {*load_profiles(), "if_mib", "acme", "acme-switch"}
    assert [module.name for module in found.profiles["acme-switch"].modules] == ["system", "if", "acme"]
    assert set(found.files.modules) == {"if_mib", "acme"}
    assert found.sources["acme"] == tmp_path / "snmp.yml"


def test_a_poll_reads_a_module_of_snmp_exporter(tmp_path: Path) -> None:
    library(tmp_path, acme_switch=PROFILE, snmp=MODULES)
    poller = SnmpPoller(SystemClock(), load_library(tmp_path).profiles)
    with ReplayAgent(parse_recording(WALK, "w").varbinds) as agent:
        device = Device(
            DeviceId("d"), SiteId("s"), "d", Kind.NETWORK, agent.host, snmp=SnmpAccess("c", port=agent.port)
        )
        result = poller.poll(device, Credential("snmp-v2c", community=COMMUNITY))
    assert result.identity["profile"] == "acme-switch"
    assert not result.errors
    readings = {(one.name, one.labels): one.value for one in result.readings}
    assert readings[("acmeFanSpeed", (("fan", "1"), ("fanName", "left")))] == 3000
    assert readings[("acmeFanSpeed", (("fan", "2"), ("fanName", "right")))] == 3100
    assert readings[("snmp_module_up", (("module", "acme"),))] == 1


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("generic", "name: generic\n", "ships with the program"),
        ("new", "name: new\nreplaces: true\n", "no profile new ships"),
        ("new", "name: new\nreplaces: perhaps\n", "replaces is true"),
        ("new", "name: other\n", "name must be new"),
        ("new", "name: new\nextends: nothing\n", "profile nothing does not exist"),
        ("new", "name: new\nmodules: {m: {columns: {a: 1.x}}}\n", "1.x"),
        ("new", "bad: {walk: [1.3.6.1], metrics: [{name: 5x, oid: 1.3.6, type: gauge}]}\n", "5x"),
    ],
)
def test_a_bad_file_is_left_out_and_told(tmp_path: Path, name: str, text: str, words: str) -> None:
    found = library(tmp_path, acme_switch=PROFILE, snmp=MODULES, **{name: text})
    (problem,) = found.problems
    assert words in problem.message
    assert problem.where.startswith(str(tmp_path / f"{name}.yml"))
    assert "acme-switch" in found.profiles
    assert set(load_profiles()) <= set(found.profiles)


def test_what_extends_a_bad_profile_is_left_out_with_it(tmp_path: Path) -> None:
    found = library(tmp_path, a="name: a\nextends: b\n", b="name: b\nextends: a\n", c="name: c\n")
    assert {"a", "b"} & set(found.profiles) == set()
    assert "c" in found.profiles
    assert found.problems


def test_replacing_must_be_said(tmp_path: Path) -> None:
    text = "name: huawei-vrp\nreplaces: true\nmatch: [{sys_object_id: 1.3.6.1.4.1.2011.2}]\n"
    found = library(tmp_path, huawei_vrp=text)
    assert not found.problems
    assert found.profiles["huawei-vrp"].modules == ()
    assert found.sources["huawei-vrp"] == tmp_path / "huawei-vrp.yml"


def test_modules_alone_need_no_profile(tmp_path: Path) -> None:
    library(tmp_path, acme_switch="name: [", snmp=MODULES)
    files, problems = load_module_files(tmp_path)
    assert set(files.modules) == {"if_mib", "acme"}
    assert [problem.where.rpartition(":")[0] for problem in problems] == [str(tmp_path / "acme-switch.yml")]


def test_own_modules_stand_before_ours_but_not_before_each_other(tmp_path: Path) -> None:
    own = "if_mib: {walk: [1.3.6.1.2.1.2], metrics: []}\n"
    found = library(tmp_path, a=own)
    assert not found.problems
    assert found.files.modules["if_mib"].metrics == ()
    (problem,) = library(tmp_path, b=own).problems
    assert "exists already" in problem.message


def test_no_folder_is_only_ours(tmp_path: Path) -> None:
    assert (
        set(load_library(tmp_path / "none").profiles)
        == set(load_library().profiles)
        == {*load_profiles(), "if_mib"}
    )


def findings(folder: Path, name: str, text: str) -> list[str]:
    path = folder / f"{name}.yml"
    path.write_text(text, "utf-8")
    return [str(finding).removeprefix(f"{path}:") for finding in lint(path, load_library())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\n", []),
        (
            "name: x\nmodules:\n  m:\n    columns:\n      a: 1.3.6.1\n      b: 1.3.6.2\n    rows: [{kind: metrics, values: {v: a}}]\n",
            ["6: b is read but never used in module m"],
        ),
        (
            "name: x\nmatch:\n- {sys_object_id: 1.3.6.1.4.1.8072.3.2}\n",
            ["3: match 1.3.6.1.4.1.8072.3.2 is the same"],
        ),
        ("name: x\nmodules: {m: {scalers: {}}}\n", ["2: key scalers is not known here"]),
        (
            "m:\n  walk: [1.3.6.1.2]\n  metrics:\n  - {name: a, oid: 1.3.6.1.3.1, type: gauge}\n",
            ["4: a (1.3.6.1.3.1) is not"],
        ),
        (
            "m:\n  get: [1.3.6]\n  metrics:\n  - {name: a, oid: 1.3.6, type: gauge}\n  - {name: b, oid: 1.3.6, type: gauge}\n",
            ["5: b and a read the same object"],
        ),
        (
            "modules:\n  m:\n    walk: [1.3.6.1]\n    metrics:\n    - {name: a, oid: 1.3, type: text}\n",
            ["5: type text"],
        ),
    ],
)
def test_lint_names_the_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = findings(tmp_path, "x", text)
    assert len(found) == len(expected), found
    assert all(one.startswith(words) for one, words in zip(found, expected, strict=True)), found


def test_lint_knows_names_that_are_taken(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, "generic", "name: generic\n")
    assert found.startswith("1: profile generic exists already")


def test_zhishou_poll_takes_a_folder(tmp_path: Path) -> None:
    library(tmp_path, acme_switch=PROFILE, snmp=MODULES, bad="name: worse\n")
    with ReplayAgent(parse_recording(WALK, "w").varbinds) as agent, capture_logs():
        target = [f"{agent.host}:{agent.port}", "--community", COMMUNITY, "--json"]
        done = CliRunner().invoke(poll, [*target, "--profiles", str(tmp_path)])
        named = CliRunner().invoke(poll, [*target, "--profiles", str(tmp_path), "--profile", "acme"])
        missing = CliRunner().invoke(poll, [*target, "--profiles", str(tmp_path / "none")])
    assert json.loads(done.stdout)["device"]["profile"] == "acme-switch"
    assert "bad.yml" in done.stderr
    assert json.loads(named.stdout)["samples"] == 3
    assert isinstance(missing.exception, InputError)


def test_our_own_profiles_pass_lint() -> None:
    ours = load_library()
    found = [str(finding) for path in sorted(SHIPPED.glob("*.yml")) for finding in lint(path, ours)]
    assert found == []
    assert lint(SHIPPED_MODULES, ours) == []
