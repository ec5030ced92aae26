"""Every file of the corpus gets the same verdict and exit code from us and from Debian's promtool.

`ok-` files pass and `bad-` files fail with both. What is here needs nothing newer than Prometheus 2.42 and no
sample on the edge of a range, where Prometheus 3, as we, leaves out what 2.42 takes in.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.metrics.interface import Vector, block_of
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.engine import PromqlEngine
from rules.alerting.cli import rules
from rules.alerting.durations import parse_duration
from rules.alerting.evaluation import AlertEvaluator, RecordEvaluator, Tracking
from rules.alerting.files import AlertRule, RecordRule, load_rule_file
from rules.alerting.notation import parse_series, parse_values
from rules.alerting.states import Phase
from rules.alerting.trail import Trail

CORPUS = Path(__file__).with_name("corpus")
FILES = [(kind, path) for kind in ("check", "test") for path in sorted((CORPUS / kind).glob("*.yml"))]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(("kind", "path"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_same_verdict_as_promtool(kind: str, path: Path) -> None:
    expected = int(path.stem.startswith("bad-"))
    ours = CliRunner().invoke(rules, [kind, str(path)])
    theirs = subprocess.run(["promtool", kind, "rules", path], capture_output=True, text=True, check=False)
    assert theirs.returncode == expected, theirs.stderr
    assert ours.exit_code == expected, ours.output
    assert ("FAILED" in ours.output, "SUCCESS" in ours.output) == (bool(expected), not expected)


def test_the_corpus_is_wide() -> None:
    for kind in ("check", "test"):
        names = [path.stem for found, path in FILES if found == kind]
        assert sum(name.startswith("ok-") for name in names) >= 20
        assert sum(name.startswith("bad-") for name in names) >= 40


@pytest.mark.parametrize(
    ("kind", "path"),
    [(kind, path) for kind, path in FILES if path.stem.startswith("bad-")],
    ids=lambda v: getattr(v, "stem", v),
)
def test_every_fault_names_its_place(kind: str, path: Path) -> None:
    output = CliRunner().invoke(rules, [kind, str(path)]).output
    rule_failed = "rule:" in output  # an evaluation that fails has a rule and a time instead
    assert rule_failed or re.search(rf"{re.escape(str(CORPUS))}/\S+\.yml:\d+", output), output


def test_lint_can_be_fatal_or_off() -> None:
    path = str(CORPUS / "check" / "ok-duplicate-rules.yml")
    for options in ([], ["--lint-fatal"], ["--lint=none", "--lint-fatal"], ["--lint=all"]):
        ours = CliRunner().invoke(rules, ["check", *options, path])
        theirs = subprocess.run(
            ["promtool", "check", "rules", *options, path], capture_output=True, check=False
        )
        assert ours.exit_code == theirs.returncode
        assert ("duplicate rule" in ours.output) == ("--lint=none" not in options)


def test_what_only_newer_promtools_know(tmp_path: Path) -> None:
    """Group labels, query_offset, fuzzy_compare and the default of `interval` came after 2.42."""
    (tmp_path / "r.yml").write_text(
        "groups:\n- name: g\n  query_offset: 1m\n  labels: {team: net}\n  rules:\n  - record: y\n    expr: x\n"
    )
    test = tmp_path / "t.yml"
    test.write_text(
        "rule_files: [r.yml]\nfuzzy_compare: true\nevaluation_interval: 30s\ntests:\n"
        "- input_series: [{series: x, values: 1 2 3 4 5}]\n"
        "  promql_expr_test:\n"
        "  - {expr: y, eval_time: 2m, exp_samples: [{labels: 'y{team=\"net\"}', value: 3}]}\n"
        "  - {expr: 0.1 + 0.2, eval_time: 0s, exp_samples: [{value: 0.3}]}\n"
    )
    done = CliRunner().invoke(rules, ["test", str(test)])
    assert done.exit_code == 0, done.output
    test.write_text(test.read_text().replace("fuzzy_compare: true\n", ""))
    assert "0.30000000000000004" in CliRunner().invoke(rules, ["test", str(test)]).output


def test_a_missing_rule_file_is_said_and_tolerated() -> None:
    done = CliRunner().invoke(rules, ["test", str(CORPUS / "test" / "ok-no-file-matches.yml")])
    assert "no file match pattern" in done.output


def test_histograms_are_refused_in_words() -> None:
    done = CliRunner().invoke(rules, ["test", str(CORPUS / "test" / "bad-notation-histogram.yml")])
    assert "native histograms" in done.output


def test_random_histories_end_as_in_prometheus(tmp_path: Path) -> None:
    """Alerts, ALERTS and recorded series after every step of series that come, go and end, whatever the rule."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    dice = random.Random(7)
    for number in range(40):
        rules_text = {
            "groups": [
                {
                    "name": "g",
                    "rules": [
                        {"record": "r", "expr": "x > 0", "labels": {"by": "rule"}},
                        {
                            "alert": "A",
                            "expr": dice.choice(
                                ["x > 1", "r > 1", "sum by (a) (x) > 1", "r unless on (a) r > 2"]
                            ),
                            "for": f"{dice.choice([0, 1, 2, 4])}m",
                            "keep_firing_for": f"{dice.choice([0, 1, 3])}m",
                            "labels": {
                                "v": dice.choice(["v", "{{ if gt $value 2.0 }}high{{ else }}low{{ end }}"])
                            },
                            "annotations": {"t": "{{ $labels.a }} {{ $value }}"},
                        },
                    ],
                }
            ]
        }
        (tmp_path / f"r{number}.json").write_text(json.dumps(rules_text))
        series = [
            {
                "series": f'x{{a="{name}"}}',
                "values": " ".join(
                    dice.choices(["0", "1", "2", "3", "_", "stale"], [2, 1, 3, 2, 1, 1], k=14)
                ),
            }
            for name in "pqr"
        ]
        (tmp_path / f"t{number}.json").write_text(
            json.dumps(filled(tmp_path / f"r{number}.json", series, [f"{minute}m" for minute in range(14)]))
        )
    files = sorted(tmp_path.glob("t*.json"))
    done = subprocess.run(["promtool", "test", "rules", *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("SUCCESS")) == (0, len(files)), done.stderr[:4000]


def filled(rule_file: Path, series: list[dict[str, str]], times: list[str]) -> dict[str, object]:
    """A unit test that expects at each time what our engine has then."""
    store = MemoryStore()
    engine = PromqlEngine(store)
    (group,) = load_rule_file(rule_file, engine.compile)
    record, alert = group.rules
    assert isinstance(record, RecordRule)
    assert isinstance(alert, AlertRule)
    records, alerts = RecordEvaluator(record, engine), AlertEvaluator(alert, engine)
    trails = Trail(), Trail()
    samples = [
        (parse_series(one["series"], ""), i * 60_000, value)
        for one in series
        for i, value in enumerate(parse_values(one["values"], ""))
        if value is not None
    ]
    store.append(block_of(sorted(samples, key=lambda sample: sample[1])))
    tracked: Tracking = {}
    checks: list[dict[str, object]] = []
    queries: list[dict[str, object]] = []
    for time in times:
        at = parse_duration(time)
        trails[0].write(store, records.evaluate(at), at)
        outcome = alerts.evaluate(tracked, at)
        tracked = outcome.tracked
        trails[1].write(store, outcome.output, at)
        firing = [alert for alert in tracked.values() if alert.phase is Phase.FIRING]
        expected = [{"exp_labels": dict(a.labels), "exp_annotations": dict(a.annotations)} for a in firing]
        checks.append({"eval_time": time, "alertname": "A", "exp_alerts": expected})
        for expr in ("ALERTS", "ALERTS_FOR_STATE", "r"):
            found = engine.instant(expr, at)
            assert isinstance(found, Vector)
            values = [
                {"labels": "{" + ",".join(f'{k}="{v}"' for k, v in labels) + "}", "value": value}
                for labels, value in zip(found.labels, found.values.tolist(), strict=True)
            ]
            queries.append({"expr": expr, "eval_time": time, "exp_samples": values})
    test = {"interval": "1m", "input_series": series, "alert_rule_test": checks, "promql_expr_test": queries}
    return {"rule_files": [rule_file.name], "tests": [test]}
