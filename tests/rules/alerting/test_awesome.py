"""The rules of awesome-prometheus-alerts: all load and evaluate, and those with data fire as in Prometheus.

The rules are read from the folder that CONFORMANCE_DATA names; where it is absent these tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.metrics.interface import block_of
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.engine import PromqlEngine
from rules.alerting.durations import parse_duration
from rules.alerting.evaluation import AlertEvaluator, RecordEvaluator, Tracking
from rules.alerting.files import AlertRule, RuleGroup, parse_rules, read_rule_file
from rules.alerting.notation import parse_series, parse_values
from rules.alerting.states import Phase

FOLDER = Path(os.environ.get("CONFORMANCE_DATA", "conformance")) / "awesome-prometheus-alerts"
CASES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("awesome.yml").read_text())
EVERY_MS = 17_000
STEP_MS = 60_000

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the rules are not at hand; set CONFORMANCE_DATA")


def rule_text(file: str, alert: str) -> str:
    """One rule of a file as a file of its own."""
    groups = yaml.safe_load((FOLDER / f"{file}.yml").read_text())["groups"]
    (rule,) = [rule for group in groups for rule in group["rules"] or () if rule["alert"] == alert]
    return json.dumps({"groups": [{"name": "g", "rules": [rule]}]})


@cache
def firing(number: int) -> list[tuple[dict[str, str], dict[str, str]]]:
    """Labels and annotations of what fires in our engine for one case."""
    case = CASES[number]
    store = MemoryStore()
    engine = PromqlEngine(store)
    (group,), errors = parse_rules(rule_text(case["file"], case["alert"]), "r.yml", engine.compile)
    assert errors == []
    samples = [
        (parse_series(series, "here"), i * EVERY_MS, value)
        for series, values in case["series"].items()
        for i, value in enumerate(parse_values(str(values), "here"))
        if value is not None
    ]
    store.append(block_of(sorted(samples, key=lambda sample: sample[1])))
    (rule,) = group.rules
    assert isinstance(rule, AlertRule)
    evaluator = AlertEvaluator(rule, engine)
    tracked: Tracking = {}
    for at in range(0, parse_duration(case["at"]) + 1, STEP_MS):
        tracked = evaluator.evaluate(tracked, at).tracked
    return [
        (dict(alert.labels), dict(alert.annotations))
        for alert in tracked.values()
        if alert.phase is Phase.FIRING
    ]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case["alert"] for case in CASES])
def test_it_fires_in_our_engine(number: int) -> None:
    found = firing(number)
    assert found
    assert not any("<error" in text for _, texts in found for text in texts.values())


def test_prometheus_agrees_on_every_label_and_text(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    files = []
    for number, case in enumerate(CASES):
        (tmp_path / f"r{number}.yml").write_text(rule_text(case["file"], case["alert"]))
        expected = [{"exp_labels": labels, "exp_annotations": texts} for labels, texts in firing(number)]
        test = {
            "interval": "17s",
            "input_series": [{"series": key, "values": str(value)} for key, value in case["series"].items()],
            "alert_rule_test": [
                {"eval_time": case["at"], "alertname": case["alert"], "exp_alerts": expected}
            ],
        }
        files.append(tmp_path / f"t{number}.yml")
        files[-1].write_text(json.dumps({"rule_files": [f"r{number}.yml"], "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("SUCCESS")) == (0, len(CASES)), done.stderr


def test_the_cases_are_many_and_of_many_exporters() -> None:
    assert len({case["file"] for case in CASES}) >= 40


def test_all_rules_load_and_evaluate() -> None:
    engine = PromqlEngine(MemoryStore())
    groups: list[RuleGroup] = []
    for path in sorted(FOLDER.glob("*.yml")):
        found, errors = read_rule_file(path, engine.compile)
        assert errors == []
        groups += found
    rules = [rule for group in groups for rule in group.rules]
    assert len(rules) >= 900
    for rule in rules:
        if isinstance(rule, AlertRule):
            AlertEvaluator(rule, engine).evaluate({}, STEP_MS)
        else:
            RecordEvaluator(rule, engine).evaluate(STEP_MS)
