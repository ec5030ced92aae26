"""Unit-test files for rules in promtool's format, read strictly; every fault with file:line.

Format: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from monitor.metrics.interface import Labels
from rules.alerting.errors import RuleFileError
from rules.alerting.notation import parse_series, parse_values
from rules.alerting.yaml_reader import YamlReader, is_null, read_text

_FILE = ("rule_files", "evaluation_interval", "group_eval_order", "tests", "fuzzy_compare")
_TEST = (
    "interval",
    "name",
    "input_series",
    "alert_rule_test",
    "promql_expr_test",
    "external_labels",
    "external_url",
)
_MINUTE = 60_000

ExpectedAlert = tuple[Labels, Labels]  # labels and annotations


@dataclass(frozen=True, slots=True)
class InputSeries:
    """One series and its values, one an interval, None where there is no sample."""

    labels: Labels
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class AlertCase:
    """Which alerts of one name fire at a time (ms from the start)."""

    at: int
    name: str
    expected: tuple[ExpectedAlert, ...]
    where: str


@dataclass(frozen=True, slots=True)
class ExprCase:
    """What an expression yields at a time (ms from the start)."""

    at: int
    expr: str
    expected: tuple[tuple[str, float], ...]  # labels as written, parsed when compared
    where: str


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One entry of `tests`. `interval` is that of the input series, in ms."""

    name: str
    interval: int
    series: tuple[InputSeries, ...]
    alerts: tuple[AlertCase, ...]
    exprs: tuple[ExprCase, ...]
    external_labels: tuple[tuple[str, str], ...]
    external_url: str
    where: str


@dataclass(frozen=True, slots=True)
class TestFile:
    """A whole file; `interval` is that of evaluation, in ms. `fuzzy` forgives the last bit of a value."""

    __test__ = False

    path: Path
    rule_files: tuple[str, ...]
    interval: int
    order: tuple[str, ...]
    fuzzy: bool
    tests: tuple[RuleTest, ...]


def read_test_file(path: Path) -> TestFile:
    """A unit-test file. Raises RuleFileError, the first of all errors found."""
    reader = YamlReader(str(path))
    found = _file(reader, reader.document(read_text(path)), path)
    if reader.errors:
        raise reader.errors[0]
    return found


def _file(reader: YamlReader, root: yaml.Node | None, path: Path) -> TestFile:
    fields = reader.mapping(root, _FILE, "test file")
    interval = reader.duration(fields.get("evaluation_interval"), "evaluation_interval") or _MINUTE
    order = reader.sequence(fields.get("group_eval_order"), "group_eval_order")
    names = tuple(reader.text(node, "group_eval_order") for node in order)
    for place, node in enumerate(order):
        if names[place] in names[:place]:
            reader.fault(node, f"group name repeated in evaluation order: {names[place]}")
    files = reader.sequence(fields.get("rule_files"), "rule_files")
    tests = [_test(reader, node, interval) for node in reader.sequence(fields.get("tests"), "tests")]
    return TestFile(
        path,
        tuple(reader.text(node, "rule_files") for node in files),
        interval,
        names,
        reader.flag(fields.get("fuzzy_compare"), "fuzzy_compare"),
        tuple(tests),
    )


def _test(reader: YamlReader, node: yaml.Node, evaluation: int) -> RuleTest:
    fields = reader.mapping(node, _TEST, "test")
    external = reader.texts(fields.get("external_labels"), "external_labels")
    alerts = reader.sequence(fields.get("alert_rule_test"), "alert_rule_test")
    exprs = reader.sequence(fields.get("promql_expr_test"), "promql_expr_test")
    return RuleTest(
        reader.text(fields.get("name"), "name"),
        reader.duration(fields.get("interval"), "interval") or evaluation,
        tuple(_series(reader, item) for item in reader.sequence(fields.get("input_series"), "input_series")),
        tuple(_alert_case(reader, item) for item in alerts),
        tuple(_expr_case(reader, item) for item in exprs),
        tuple(sorted(external.items())),
        reader.text(fields.get("external_url"), "external_url"),
        reader.place(node),
    )


def _series(reader: YamlReader, node: yaml.Node) -> InputSeries:
    fields = reader.mapping(node, ("series", "values"), "input series")
    series, values = fields.get("series", node), fields.get("values", node)
    try:
        text = reader.text(fields.get("series"), "series")
        if not text.strip():
            raise RuleFileError("an input series needs a series", where=reader.place(series))
        labels = parse_series(text, reader.place(series))
        numbers = parse_values(reader.text(fields.get("values"), "values"), reader.place(values))
    except RuleFileError as error:
        reader.errors.append(error)
        return InputSeries((), ())
    return InputSeries(labels, tuple(numbers))


def _alert_case(reader: YamlReader, node: yaml.Node) -> AlertCase:
    fields = reader.mapping(node, ("eval_time", "alertname", "exp_alerts"), "alert_rule_test")
    name = reader.text(fields.get("alertname"), "alertname")
    if not name:
        reader.fault(node, "an item under alert_rule_test misses required attribute alertname")
    expected = []
    for item in reader.sequence(fields.get("exp_alerts"), "exp_alerts"):
        alert = reader.mapping(item, ("exp_labels", "exp_annotations"), "exp_alerts")
        labels = reader.texts(alert.get("exp_labels"), "exp_labels") | {"alertname": name}
        texts = reader.texts(alert.get("exp_annotations"), "exp_annotations")
        expected.append((tuple(sorted(labels.items())), tuple(sorted(texts.items()))))
    at = reader.duration(fields.get("eval_time"), "eval_time")
    return AlertCase(at, name, tuple(expected), reader.place(node))


def _expr_case(reader: YamlReader, node: yaml.Node) -> ExprCase:
    fields = reader.mapping(node, ("expr", "eval_time", "exp_samples"), "promql_expr_test")
    expected = []
    for item in reader.sequence(fields.get("exp_samples"), "exp_samples"):
        sample = reader.mapping(item, ("labels", "value", "histogram"), "exp_samples")
        if "histogram" in sample and not is_null(sample["histogram"]):
            reader.fault(sample["histogram"], "native histograms are not supported")
        labels = reader.text(sample.get("labels"), "labels")
        expected.append((labels, reader.number(sample.get("value"), "value")))
    at = reader.duration(fields.get("eval_time"), "eval_time")
    return ExprCase(at, reader.text(fields.get("expr"), "expr"), tuple(expected), reader.place(node))
