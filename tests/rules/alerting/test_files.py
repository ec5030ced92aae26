"""Rule files and templates: strict, errors with file:line, and the same texts as Prometheus writes."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.engine import PromqlEngine
from rules.alerting.durations import parse_duration
from rules.alerting.errors import RuleFileError, TemplateError
from rules.alerting.files import AlertRule, RecordRule, load_rule_file, parse_rules
from rules.alerting.go_format import go_float
from rules.alerting.template import expand, parse_template
from rules.alerting.template_functions import World
from rules.alerting.template_numbers import humanize_duration
from rules.alerting.template_values import SampleValue

COMPILE = PromqlEngine(MemoryStore()).compile
GOOD = """
groups:
  - name: one
    interval: 1m30s
    limit: 7
    rules:
      - record: "site:up:sum"
        expr: sum by (site) (up)
        labels: {origin: rule}
      - alert: Down
        expr: up == 0
        for: 5m
        keep_firing_for: 1h
        labels: {severity: major}
        annotations: {summary: "{{ $labels.device }}"}
"""


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "good.yml"
    path.write_text(GOOD)
    (group,) = load_rule_file(path, COMPILE)
    assert (group.interval_ms, group.limit) == (90_000, 7)
    record, alert = group.rules
    assert isinstance(record, RecordRule)
    assert (record.name, record.labels) == ("site:up:sum", (("origin", "rule"),))
    assert isinstance(alert, AlertRule)
    assert (alert.name, alert.hold_ms, alert.keep_ms, alert.line) == ("Down", 300_000, 3_600_000, 10)


BAD = [
    ("groups:\n- name: a\n  rulez: []", 3, "rulez"),
    ("groups:\n- name: a\n- name: a", 3, "repeated"),
    ("groups:\n- rules: []", 2, "groupname"),
    ("groups:\n- name: a\n  rules:\n  - alert: A\n    expr: up ==", 5, "could not parse"),
    ("groups:\n- name: a\n  rules:\n  - alert: A\n    expr: up\n    for: soon", 6, "duration"),
    ("groups:\n- name: a\n  rules:\n  - alert: A\n    record: b\n    expr: up", 4, "only one"),
    ("groups:\n- name: a\n  rules:\n  - expr: up", 4, "must be set"),
    ("groups:\n- name: a\n  rules:\n  - alert: A", 4, "'expr'"),
    ("groups:\n- name: a\n  rules:\n  - record: a b\n    expr: up", 4, "invalid recording"),
    ("groups:\n- name: a\n  rules:\n  - record: ab\n    expr: up\n    for: 1m", 6, "'for'"),
    ("groups:\n- name: a\n  rules:\n  - alert: A\n    expr: up\n    labels:\n      0x: b", 7, "label name"),
    (
        "groups:\n- name: a\n  rules:\n  - alert: A\n    expr: up\n    annotations:\n      a: '{{ $x }}'",
        7,
        "undefined",
    ),
    ("groups:\n- name: a\n  limit: many", 3, "whole number"),
    ("groups:\n- name: a\n  name: b", 3, "twice"),
    ("groups: 5", 1, "list"),
    ("a: [1", 1, "YAML"),
    ("groups:\n\t- x", 2, "YAML"),
]


@pytest.mark.parametrize(("text", "line", "word"), BAD)
def test_bad_files_are_refused_where_promtool_refuses_them(
    tmp_path: Path, text: str, line: int, word: str
) -> None:
    path = tmp_path / "bad.yml"
    path.write_text(text + "\n")
    _, errors = parse_rules(text, "bad.yml", COMPILE)
    assert word in str(errors[0])
    assert re.match(rf"bad\.yml:{line}:", str(errors[0]))
    with pytest.raises(RuleFileError):
        load_rule_file(path, COMPILE)
    if word != "twice":  # Debian's promtool takes the last of two; we do not guess
        assert (
            subprocess.run(["promtool", "check", "rules", path], capture_output=True, check=False).returncode
            == 1
        )


def test_every_fault_is_found_in_one_pass() -> None:
    text = (
        "groups:\n- name: a\n  rules:\n  - alert: A\n    expr: up ==\n  - alert: B\n    expr: up\n    for: x"
    )
    _, errors = parse_rules(text, "bad.yml", COMPILE)
    assert [error.where for error in errors] == ["bad.yml:5", "bad.yml:8"]


def test_size_and_encoding(tmp_path: Path) -> None:
    path = tmp_path / "big.yml"
    path.write_bytes(b"#" * (5 << 20))
    with pytest.raises(RuleFileError, match="larger"):
        load_rule_file(path, COMPILE)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RuleFileError, match="read"):
        load_rule_file(path, COMPILE)


@given(st.text(max_size=200))
def test_any_text_is_an_answer_never_a_crash(text: str) -> None:
    parse_rules(text, "x.yml", COMPILE)
    parse_rules(
        f"groups:\n- name: a\n  rules:\n  - alert: A\n    expr: up\n    annotations: {{a: {json.dumps(text)}}}",
        "x",
        COMPILE,
    )


@pytest.mark.parametrize(
    ("text", "ms"), [("0", 0), ("5m", 300_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("250ms", 250)]
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration(text) == ms
    for wrong in (text + "x", "-" + text, ""):
        with pytest.raises(ValueError):
            parse_duration(wrong)


TEMPLATES = [
    "plain 中文",
    "{{ $value }}",
    "{{ $labels }} {{$labels.device}} {{ .Labels.device }} {{ .Value }} {{ $labels.missing }}.",
    '{{ $value | printf "%.2f" }} {{ printf "%6.1f|%-6s|%5s|%q|%v|%%" $value "a" "b" "c" $labels.device }}',
    '{{ printf "%d" $value }} {{ printf "%s" }} {{ printf "x" 1 }}',
    "{{ humanize $value }} {{ humanize1024 $value }} {{ humanizeDuration $value }} {{ humanizePercentage $value }}",
    "{{ if lt $value 1e10 }}{{ $value | humanizeTimestamp }}{{ end }}",
    "{{ if gt $value 5.0 }}high{{ else if gt $value 1.0 }}mid{{ else }}low{{ end }}",
    "a {{- /* gone */ -}} b {{- $value -}} c",
    "{{ $x := $labels.device }}{{ $x | toUpper }}{{ with $labels.none }}no{{ else }}none{{ end }}",
    '{{ range $k, $v := $labels }}{{ if ne $k "__name__" }}{{ $k }}={{ $v }};{{ end }}{{ end }}',
    '{{ title "hello world" }} {{ toLower "ABC" }} {{ match "a.c" "xabcx" }} {{ reReplaceAll "(.)-(.)" "$2$1" "a-b" }}',
    '{{ (printf "%s!" $labels.device) | len }} {{ and true "" }} {{ or "" "b" }} {{ not true }} {{ index $labels "device" }}',
    '{{ range query "up" }}{{ .Labels.device }}={{ .Value }} {{ end }}{{ with query "up" }}{{ . | first | value }}{{ end }}',
    '{{ "quoted }}" }} {{ `raw {{` }}',
    '{{ printf "%e %g %t %x" $value $value true 255 }}',
]
VALUES = [0.0, 1.0, 2.5, 0.0001, 0.00001234, 123456.0, 1e6, 1234567.0, 93784.0, 1e16, -5.5, 1.7e9]


def test_templates_expand_exactly_as_prometheus_expands_them(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    annotations = {f"t{i:02d}": text for i, text in enumerate(TEMPLATES)}
    rule = {"alert": "A", "expr": "up", "annotations": annotations}
    (tmp_path / "r.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    labels = {"__name__": "up", "device": "sw-1"}
    tests = []
    for i, value in enumerate(VALUES):
        world = World(lambda _expr, value=value: [SampleValue(labels, value)])
        expected = {
            k: expand(parse_template(text), labels, value, world=world) for k, text in annotations.items()
        }
        alert = {"exp_labels": {"device": "sw-1"}, "exp_annotations": expected}
        tests.append({"eval_time": f"{i}m", "alertname": "A", "exp_alerts": [alert]})
    series = [{"series": 'up{device="sw-1"}', "values": " ".join(map(str, VALUES))}]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": tests}
    (tmp_path / "t.yml").write_text(json.dumps({"rule_files": ["r.yml"], "tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "t.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_function_that_cannot_is_a_template_error() -> None:
    with pytest.raises(TemplateError):
        expand(parse_template("{{ $value | humanizeTimestamp }}"), {}, 1e21)


@pytest.mark.parametrize(
    "text",
    ["{{ $labels.a", "{{ nope }}", "{{ if true }}", "{{ end }}", "{{ $x }}", "{{ | }}", '{{ "a }}',
     "{{ ( 1 }}", "{{ if }}{{ end }}", "{{ else }}", "{{ 1 .a }", "{{ 'ab' }}", "{{" * 3, "{{if true}}" * 50, "x" * 20_000],
)  # fmt: skip
def test_bad_templates(text: str) -> None:
    with pytest.raises(TemplateError):
        parse_template(text)


@given(st.text(alphabet='{}$.| "()`-abc1=/*:', max_size=40))
def test_a_template_parses_or_is_refused(text: str) -> None:
    with contextlib.suppress(TemplateError):
        expand(parse_template(text), {"a": "b"}, 1.0)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_go_floats_keep_the_value(value: float) -> None:
    assert float(go_float(value)) == value


@given(st.floats(0, 1e9))
def test_humanized_durations_lose_less_than_a_second_or_a_permille(value: float) -> None:
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    text = humanize_duration(value)
    if value >= 60:
        assert abs(sum(int(n) * units[u] for n, u in re.findall(r"(\d+)([dhms])", text)) - value) < 1
