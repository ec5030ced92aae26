"""promtool's unit tests for rules, on a store in memory: same file format, same verdicts.

Time starts at 0. All groups are evaluated every `evaluation_interval`, in file order or `group_eval_order`; an
expectation at T is compared with the evaluation at the last step not after T. A rule that fails ends its test.

Where Prometheus has moved on since 2.42, the newest promtool in Debian 12, this follows it: `interval` defaults to the
evaluation interval, ranges are open on the left, `fuzzy_compare`, `query_offset` and labels of groups are known.
"""

from __future__ import annotations

import glob
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Labels, Scalar, Vector, block_of
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.engine import PromqlEngine
from rules.alerting.errors import RuleFileError
from rules.alerting.evaluation import AlertEvaluator, RecordEvaluator, Setting, Tracking
from rules.alerting.files import AlertRule, Compile, Rule, RuleGroup, read_rule_file
from rules.alerting.go_format import go_float, go_quote
from rules.alerting.notation import parse_series
from rules.alerting.states import Phase
from rules.alerting.testfile import AlertCase, ExpectedAlert, ExprCase, RuleTest, TestFile, read_test_file
from rules.alerting.trail import Trail

_MAX_STEPS = 100_000

Sample = tuple[Labels, float]


class _RuleRun:
    """A rule in a test: what it tracks and which series it wrote last."""

    def __init__(self, group: RuleGroup, rule: Rule, engine: PromqlEngine, setting: Setting) -> None:
        self.rule = rule
        self.limit = max(group.limit, 0)
        self.offset = group.offset_ms
        self.tracked: Tracking = {}
        self.trail = Trail()
        self.alerts = AlertEvaluator(rule, engine, setting) if isinstance(rule, AlertRule) else None
        self.records = None if isinstance(rule, AlertRule) else RecordEvaluator(rule, engine)

    def evaluate(self, store: MemoryStore, at: int) -> None:
        """Raises QueryError."""
        if self.alerts is not None:
            outcome = self.alerts.evaluate(self.tracked, at - self.offset, limit=self.limit)
            self.tracked, output = outcome.tracked, outcome.output
        elif self.records is not None:
            output = self.records.evaluate(at - self.offset, limit=self.limit)
        self.trail.write(store, output, at - self.offset)


def run_rule_test(path: Path, warn: list[str] | None = None) -> list[str]:
    """Failures of a unit-test file in promtool's words; empty when it passes. Raises RuleFileError.

    `warn` receives what is no failure but worth a word.
    """
    document = read_test_file(path)
    failures: list[str] = []
    for test in document.tests:
        store = MemoryStore()
        engine = PromqlEngine(store)
        groups = _groups(document, engine.compile, [] if warn is None else warn)
        failures += _Runner(document, test, store, engine, groups).run()
    return failures


def _groups(document: TestFile, compile_: Compile, warn: list[str]) -> list[RuleGroup]:
    groups: list[RuleGroup] = []
    for pattern in document.rule_files:
        where = str(document.path.parent / pattern)
        matches = sorted(glob.glob(where))  # noqa: PTH207 - patterns may be absolute
        if not matches:
            message = f"  WARNING: no file match pattern {where}"
            if message not in warn:
                warn.append(message)
        for match in matches:
            found, errors = read_rule_file(Path(match), compile_)
            if errors:
                raise errors[0]
            groups += found
    # A group that the order does not name counts as its first, as in promtool; file order decides among equals.
    order = {name: place for place, name in enumerate(document.order)}
    return sorted(groups, key=lambda group: order.get(group.name, 0))


class _Runner:
    """One entry of `tests`."""

    def __init__(
        self,
        document: TestFile,
        test: RuleTest,
        store: MemoryStore,
        engine: PromqlEngine,
        groups: Sequence[RuleGroup],
    ) -> None:
        self._test = test
        self._store = store
        self._engine = engine
        setting = Setting(test.external_labels, test.external_url)
        self._rules = [_RuleRun(group, rule, engine, setting) for group in groups for rule in group.rules]
        self._interval = document.interval
        self._fuzzy = document.fuzzy

    def run(self) -> list[str]:
        """Failures, in promtool's words."""
        test = self._test
        self._load()
        last = max([*(case.at for case in test.alerts), *(case.at for case in test.exprs)], default=0)
        if last // self._interval > _MAX_STEPS:
            raise RuleFileError(f"more than {_MAX_STEPS} evaluations", where=test.where)
        failures: list[str] = []
        for step in range(0, last + 1, self._interval):
            broken = self._evaluate(step)
            if broken:
                return failures + broken
            for case in sorted(test.alerts, key=lambda case: case.at):
                if step <= case.at < step + self._interval:
                    failures += self._check_alerts(case)
        for expr in test.exprs:
            failures += self._check_expr(expr)
        return failures

    def _load(self) -> None:
        samples = [
            (series.labels, i * self._test.interval, value)
            for series in self._test.series
            for i, value in enumerate(series.values)
            if value is not None
        ]
        samples.sort(key=lambda sample: sample[1])
        if samples:
            self._store.append(block_of(samples))

    def _evaluate(self, at: int) -> list[str]:
        failures = []
        for run in self._rules:
            try:
                run.evaluate(self._store, at)
            except QueryError as error:
                failures.append(f"    rule: {run.rule.name}, time: {_clock(at)}, err: {error}")
        return failures

    def _check_alerts(self, case: AlertCase) -> list[str]:
        got = [
            (alert.labels, tuple(sorted(alert.annotations.items())))
            for run in self._rules
            if isinstance(run.rule, AlertRule) and run.rule.name == case.name
            for alert in run.tracked.values()
            if alert.phase is Phase.FIRING
        ]
        if sorted(case.expected) == sorted(got):
            return []
        shown = f"        exp:{_shown(case.expected)}, \n        got:{_shown(got)}"
        head = f"    name: {self._test.name},\n" if self._test.name else ""
        return [f"{case.where}:\n{head}    alertname: {case.name}, time: {_clock(case.at)}, \n{shown}"]

    def _check_expr(self, case: ExprCase) -> list[str]:
        head = f"{case.where}:\n    expr: {go_quote(case.expr)}, time: {_clock(case.at)},"
        try:
            result = self._engine.instant(case.expr, case.at)
            expected = [(parse_series(labels, case.where), value) for labels, value in case.expected]
        except (QueryError, RuleFileError) as error:
            return [f"{head} err: {error}"]
        if isinstance(result, Scalar):
            got: list[Sample] = [((), result.value)]
        elif isinstance(result, Vector):
            got = list(zip(result.labels, result.values.tolist(), strict=True))
        else:
            return [f"{head} err: rule result is not a vector or scalar"]
        if self._alike(sorted(expected), sorted(got)):
            return []
        return [f"{head}\n        exp: {_numbers(expected)}\n        got: {_numbers(got)}"]

    def _alike(self, expected: Sequence[Sample], got: Sequence[Sample]) -> bool:
        """Same series and values; NaN equals nothing, as in promtool."""
        return [labels for labels, _ in expected] == [labels for labels, _ in got] and all(
            one == two
            or (self._fuzzy and two in {math.nextafter(one, math.inf), math.nextafter(one, -math.inf)})
            for (_, one), (_, two) in zip(expected, got, strict=True)
        )


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
    return "{" + ", ".join(f"{name}={go_quote(value)}" for name, value in labels) + "}"


def _shown(alerts: Iterable[ExpectedAlert]) -> str:
    lines = [
        f"            {i}:\n              Labels:{_labels_text(labels)}\n"
        f"              Annotations:{_labels_text(texts)}"
        for i, (labels, texts) in enumerate(sorted(alerts))
    ]
    return "[\n" + "\n".join(lines) + "\n            ]" if lines else "[]"


def _numbers(samples: Sequence[Sample]) -> str:
    shown = ", ".join(f"{_labels_text(labels)} {go_float(value)}" for labels, value in sorted(samples))
    return shown or "nil"
