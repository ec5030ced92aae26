"""promtool's unit tests for rules, on a store in memory: same file format, same verdicts.

Time starts at 0. All groups are evaluated every `evaluation_interval`, in file order or `group_eval_order`; an
expectation at T is compared with the evaluation at the last step not after T.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import STALE, Labels, QueryEngine, Scalar, Vector, block_of, make_labels
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.engine import PromqlEngine
from rules.alerting.errors import RuleFileError
from rules.alerting.evaluation import Sample, evaluate_alert, evaluate_record
from rules.alerting.files import MAX_BYTES, AlertRule, Rule, RuleGroup, load_rule_file, parse_duration
from rules.alerting.notation import parse_series, parse_values
from rules.alerting.states import Phase, Tracked
from rules.alerting.template_functions import go_float

_FILE = {"rule_files", "evaluation_interval", "group_eval_order", "tests", "fuzzy_compare"}
_TEST = {
    "interval",
    "name",
    "input_series",
    "alert_rule_test",
    "promql_expr_test",
    "external_labels",
    "external_url",
}
_MINUTE = 60_000
_MAX_STEPS = 100_000

Document = Mapping[str, Any]
Alert = tuple[Labels, Labels]  # labels and annotations


@dataclass(slots=True)
class _RuleRun:
    """A rule in a test: what it tracks and which series it wrote last."""

    group: RuleGroup
    rule: Rule
    tracked: dict[Labels, Tracked] = field(default_factory=dict)
    series: frozenset[Labels] = frozenset()


def run_rule_test(path: Path) -> list[str]:
    """Failures of a unit-test file in promtool's words; empty when it passes. Raises RuleFileError."""
    document = _read(path)
    interval = _duration(document, "evaluation_interval", path) or _MINUTE
    failures: list[str] = []
    for test in _list(document, "tests", path):
        _known(test, _TEST, path, "test")
        store = MemoryStore()
        groups = _groups(document, path, PromqlEngine(store))
        failures += _RuleTest(test, path, store, groups, interval).run()
    return failures


def _read(path: Path) -> Document:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RuleFileError(f"larger than {MAX_BYTES} bytes", where=str(path))
        document = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise RuleFileError(f"cannot be read: {error}", where=str(path)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise RuleFileError(f"not valid YAML: {error}", where=where) from error
    _known(document, _FILE, path, "test file")
    return dict(document)


def _known(document: object, fields: set[str], path: Path, what: str) -> None:
    if not isinstance(document, dict):
        raise RuleFileError(f"a {what} must be a mapping", where=str(path))
    for name in document:
        if name not in fields:
            raise RuleFileError(f"field {name} not found in {what}", where=str(path))


def _list(document: Document, name: str, path: Path) -> list[Any]:
    value = document.get(name) or []
    if not isinstance(value, list):
        raise RuleFileError(f"{name} must be a list", where=str(path))
    return value


def _duration(document: Document, name: str, path: Path) -> int:
    try:
        return parse_duration(str(document.get(name, "0")))
    except ValueError as error:
        raise RuleFileError(f"{name}: {error}", where=str(path)) from error


def _groups(document: Document, path: Path, engine: QueryEngine) -> list[RuleGroup]:
    groups: list[RuleGroup] = []
    for pattern in _list(document, "rule_files", path):
        matches = sorted(glob.glob(str(path.parent / str(pattern))))  # noqa: PTH207 - patterns may be absolute
        if not matches:
            raise RuleFileError(f"no file matches {pattern!r}", where=str(path))
        for match in matches:
            groups += load_rule_file(Path(match), engine.compile)
    order = {name: place for place, name in enumerate(_list(document, "group_eval_order", path))}
    return sorted(groups, key=lambda group: order.get(group.name, len(order)))


class _RuleTest:
    """One entry of `tests`."""

    def __init__(
        self, test: Document, path: Path, store: MemoryStore, groups: Sequence[RuleGroup], interval: int
    ) -> None:
        self._test = test
        self._path = path
        self._store = store
        self._engine = PromqlEngine(store)
        self._rules = [_RuleRun(group, rule) for group in groups for rule in group.rules]
        self._interval = interval

    def run(self) -> list[str]:
        self._load()
        alerts = [(self._time(item), item) for item in _list(self._test, "alert_rule_test", self._path)]
        exprs = [(self._time(item), item) for item in _list(self._test, "promql_expr_test", self._path)]
        last = max([at for at, _ in [*alerts, *exprs]], default=0)
        if last // self._interval > _MAX_STEPS:
            raise RuleFileError(f"more than {_MAX_STEPS} evaluations", where=str(self._path))
        failures = []
        for step in range(0, last + 1, self._interval):
            failures += self._evaluate(step)
            for at, item in alerts:
                if step <= at < step + self._interval:
                    failures += self._check_alerts(at, item)
        for at, item in exprs:
            failures += self._check_expr(at, item)
        name = self._test.get("name")
        return [f"  name: {name},\n{failure}" for failure in failures] if name else failures

    def _time(self, item: Document) -> int:
        _known(item, {"eval_time", "alertname", "exp_alerts", "expr", "exp_samples"}, self._path, "case")
        return _duration(item, "eval_time", self._path)

    def _load(self) -> None:
        every = _duration(self._test, "interval", self._path) or _MINUTE
        where = str(self._path)
        for series in _list(self._test, "input_series", self._path):
            _known(series, {"series", "values"}, self._path, "input series")
            labels = parse_series(str(series.get("series", "")), where)
            values = parse_values(str(series.get("values", "")), where)
            samples = [(labels, i * every, value) for i, value in enumerate(values) if value is not None]
            if samples:
                self._store.append(block_of(samples))

    def _evaluate(self, at: int) -> list[str]:
        failures = []
        for run in self._rules:
            try:
                self._write(run, self._samples(run, at), at)
            except QueryError as error:
                failures.append(f"    rule: {run.rule.name}, time: {_clock(at)}, err: {error}")
        return failures

    def _samples(self, run: _RuleRun, at: int) -> list[Sample]:
        if isinstance(run.rule, AlertRule):
            outcome = evaluate_alert(run.rule, self._engine, run.tracked, at, limit=run.group.limit)
            run.tracked = outcome.tracked
            return outcome.samples
        return evaluate_record(run.rule, self._engine, at, limit=run.group.limit)

    def _write(self, run: _RuleRun, samples: Sequence[Sample], at: int) -> None:
        written = frozenset(labels for labels, _ in samples)
        block = [(labels, at, value) for labels, value in samples]
        block += [(labels, at, STALE) for labels in run.series - written]
        run.series = written
        if block:
            self._store.append(block_of(block))

    def _check_alerts(self, at: int, item: Document) -> list[str]:
        name = str(item.get("alertname", ""))
        if not name:
            raise RuleFileError("an alert_rule_test needs an alertname", where=str(self._path))
        expected: list[Alert] = []
        for alert in _list(item, "exp_alerts", self._path):
            _known(alert, {"exp_labels", "exp_annotations"}, self._path, "expected alert")
            labels = _texts(alert.get("exp_labels")) | {"alertname": name}
            expected.append((make_labels(labels), make_labels(_texts(alert.get("exp_annotations")))))
        got = [
            (alert.labels, make_labels(alert.annotations))
            for run in self._rules
            if isinstance(run.rule, AlertRule) and run.rule.name == name
            for alert in run.tracked.values()
            if alert.phase is Phase.FIRING
        ]
        if sorted(expected) == sorted(got):
            return []
        shown = f"        exp:{_shown(expected)}, \n        got:{_shown(got)}"
        return [f"    alertname: {name}, time: {_clock(at)}, \n{shown}"]

    def _check_expr(self, at: int, item: Document) -> list[str]:
        expr = str(item.get("expr", ""))
        head = f'    expr: "{expr}", time: {_clock(at)},'
        expected = []
        for sample in _list(item, "exp_samples", self._path):
            _known(sample, {"labels", "value"}, self._path, "expected sample")
            labels = parse_series(str(sample.get("labels") or ""), str(self._path))
            expected.append((labels, float(sample.get("value", 0))))
        try:
            result = self._engine.instant(expr, at)
        except QueryError as error:
            return [f"{head} err: {error}"]
        if isinstance(result, Scalar):
            got: list[Sample] = [((), result.value)]
        elif isinstance(result, Vector):
            got = list(zip(result.labels, result.values.tolist(), strict=True))
        else:
            return [f"{head} err: the result is neither a vector nor a scalar"]
        if sorted(expected) == sorted(got):
            return []
        return [f"{head}\n        exp: {_numbers(expected)}\n        got: {_numbers(got)}"]


def _texts(raw: object) -> dict[str, str]:
    """A mapping of strings; booleans and numbers as YAML wrote them."""
    if not isinstance(raw, dict):
        return {}
    return {
        str(k): str(v).lower() if isinstance(v, bool) else "" if v is None else str(v) for k, v in raw.items()
    }


def _clock(ms: int) -> str:
    hours, rest = divmod(ms, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    parts = [
        f"{hours}h" if hours else "",
        f"{minutes}m" if minutes else "",
        f"{rest / 1000:g}s" if rest else "",
    ]
    return "".join(parts) or "0s"


def _labels_text(labels: Labels) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"


def _shown(alerts: Sequence[Alert]) -> str:
    if not alerts:
        return "[]"
    lines = [
        f"            {i}:\n              Labels:{_labels_text(labels)}\n"
        f"              Annotations:{_labels_text(texts)}"
        for i, (labels, texts) in enumerate(sorted(alerts))
    ]
    return "[\n" + "\n".join(lines) + "\n            ]"


def _numbers(samples: Sequence[Sample]) -> str:
    shown = ", ".join(f"{_labels_text(labels)} {go_float(value)}" for labels, value in sorted(samples))
    return shown or "nil"
