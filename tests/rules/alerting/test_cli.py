"""`zhishou rules check|test` against Debian's promtool, and the rule library against both."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from rules.alerting.cli import rules
from rules.alerting.service import LIBRARY, rule_files

LIBRARY_FILES = rule_files("")
RULES = """
groups:
  - name: g
    rules:
      - alert: Down
        expr: up == 0
        for: 1m
        labels: {severity: major}
        annotations: {summary: "{{ $labels.device }} {{ $value }}"}
      - record: "site:up:sum"
        expr: sum by (site) (up)
"""
CASE = {
    "name": "case",
    "interval": "1m",
    "input_series": [
        {"series": 'up{device="a",site="H1"}', "values": "1 0+0x3 _x2 1 stale"},
        {"series": 'up{device="b", site="H1"}', "values": "1-1x1 3+0.5x6"},
    ],
    "alert_rule_test": [
        {"eval_time": "1m", "alertname": "Down"},
        {
            "eval_time": "3m",
            "alertname": "Down",
            "exp_alerts": [
                {
                    "exp_labels": {"device": "a", "site": "H1", "severity": "major"},
                    "exp_annotations": {"summary": "a 0"},
                }
            ],
        },
    ],
    "promql_expr_test": [
        {
            "expr": "site:up:sum",
            "eval_time": "3m",
            "exp_samples": [{"labels": 'site:up:sum{site="H1"}', "value": 3.5}],
        },
        {"expr": "count(up)", "eval_time": "8m", "exp_samples": [{"labels": "{}", "value": 1}]},
        {"expr": "ALERTS", "eval_time": "8m"},
    ],
}


def ours(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(rules, list(arguments))
    return done.exit_code, done.output


def theirs(*arguments: str) -> int:
    return subprocess.run(["promtool", *arguments], capture_output=True, check=False).returncode


def write(folder: Path, case: dict[str, object]) -> str:
    (folder / "r.yml").write_text(RULES)
    path = folder / "t.yml"
    path.write_text(json.dumps({"rule_files": ["r.yml"], "evaluation_interval": "30s", "tests": [case]}))
    return str(path)


def test_a_passing_test_passes_with_both(tmp_path: Path) -> None:
    path = write(tmp_path, CASE)
    code, output = ours("test", path)
    assert (code, theirs("test", "rules", path)) == (0, 0), output
    assert "SUCCESS" in output


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        ("alert_rule_test", [{"eval_time": "3m", "alertname": "Down"}]),
        (
            "alert_rule_test",
            [{"eval_time": "1m", "alertname": "Down", "exp_alerts": [{"exp_labels": {"device": "a"}}]}],
        ),
        ("promql_expr_test", [{"expr": "site:up:sum", "eval_time": "3m"}]),
        ("promql_expr_test", [{"expr": "1 + 1", "eval_time": "0m", "exp_samples": [{"value": 3}]}]),
        ("promql_expr_test", [{"expr": "sum(", "eval_time": "0m"}]),
        ("input_series", [{"series": "up", "values": "1 two"}]),
        ("input_series", [{"series": "up{", "values": "1"}]),
        ("interval", "soon"),
        ("surprise", 1),
    ],
)
def test_a_failing_test_fails_with_both(tmp_path: Path, where: str, wrong: object) -> None:
    path = write(tmp_path, CASE | {where: wrong})
    code, output = ours("test", path)
    assert (code, theirs("test", "rules", path)) == (1, 1)
    assert "FAILED" in output


def test_the_difference_is_shown(tmp_path: Path) -> None:
    wrong = [{"eval_time": "3m", "alertname": "Down", "exp_alerts": [{"exp_labels": {"device": "x"}}]}]
    _, output = ours("test", write(tmp_path, CASE | {"alert_rule_test": wrong}))
    assert 'device="x"' in output
    assert 'summary="a 0"' in output
    assert "name: case" in output


def test_check(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(RULES)
    bad.write_text(RULES.replace("up == 0", "up == = 0"))
    assert ours("check", str(good))[0] == theirs("check", "rules", str(good)) == 0
    assert "SUCCESS: 2 rules found" in ours("check", str(good))[1]
    for wrong in (str(bad), str(tmp_path / "absent.yml")):
        assert ours("check", str(good), wrong)[0] == theirs("check", "rules", str(good), wrong) == 1
    assert f"{bad}:6" in ours("check", str(bad))[1]
    code, output = ours("check", "--json", str(good), str(bad))
    assert code == 1
    assert [(item["ok"], item["rules"]) for item in json.loads(output)] == [(True, 2), (False, 1)]


def test_duplicates_are_a_warning_as_with_promtool(tmp_path: Path) -> None:
    path = tmp_path / "r.yml"
    path.write_text(RULES + "      - alert: Down\n        expr: up == 2\n        labels: {severity: major}\n")
    code, output = ours("check", str(path))
    assert code == theirs("check", "rules", str(path)) == 0
    assert "duplicate" in output


@pytest.mark.parametrize("path", LIBRARY_FILES, ids=lambda path: path.stem)
def test_every_file_of_the_library_passes_with_both(path: Path) -> None:
    tests = path.with_name(f"{path.stem}_test.yml")
    assert ours("check", str(path))[0] == theirs("check", "rules", str(path)) == 0
    code, output = ours("test", str(tests))
    assert (code, theirs("test", "rules", str(tests))) == (0, 0), output


def test_every_rule_of_the_library_is_complete_and_tested_both_ways() -> None:
    names: list[str] = []
    for path in LIBRARY_FILES:
        quiet, firing = set(), set()
        for case in yaml.safe_load(path.with_name(f"{path.stem}_test.yml").read_text())["tests"]:
            for check in case["alert_rule_test"]:
                (firing if check["exp_alerts"] else quiet).add(check["alertname"])
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                names.append(rule["alert"])
                assert set(rule["annotations"]) == {"summary", "description", "summary_en", "description_en"}
                assert rule["labels"]["severity"] in {"critical", "major", "minor", "info"}
                assert rule["alert"] in quiet & firing
                assert any("一" <= c <= "鿿" for c in rule["annotations"]["summary"])
                assert not any("一" <= c <= "鿿" for c in rule["annotations"]["summary_en"])
    assert len(names) == len(set(names)) >= 30
    assert {path.stem for path in LIBRARY.glob("*_test.yml")} == {
        f"{path.stem}_test" for path in LIBRARY_FILES
    }
