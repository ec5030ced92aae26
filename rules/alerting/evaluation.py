"""One evaluation of one rule on a query engine: no clock, no store, no database.

Follows Prometheus: the metric name is dropped, rule labels override, `alertname` is added, two alerts with the
same labels are an error, a result above the group's limit is an error. An evaluator remembers what it worked out
for the series it saw last, so that a rule in a steady state costs next to nothing however many alerts it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Floats, Labels, Limits, Plan, QueryEngine, Scalar, Vector, make_labels
from rules.alerting.files import AlertRule, RecordRule, Templates
from rules.alerting.states import Phase, Reading, Tracked, Transition, step
from rules.alerting.template import expand_all
from rules.alerting.template_functions import World
from rules.alerting.template_values import CallError, SampleValue

_NAME = "__name__"
_NO_FLOATS = np.empty(0, np.float64)

Tracking = Mapping[Labels, Tracked]


@dataclass(frozen=True, slots=True)
class Setting:
    """What templates may know besides the alert: the labels and the address this installation is known by."""

    external_labels: tuple[tuple[str, str], ...] = ()
    external_url: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """An alert that moved, or whose value did (transition None). `tracked` is its last known shape."""

    tracked: Tracked
    transition: Transition | None


@dataclass(frozen=True, slots=True)
class Output:
    """Series to write: one value each. The same `labels` object again means the same series again (a store knows
    a tuple that it has seen)."""

    labels: tuple[Labels, ...]
    values: Floats


@dataclass(frozen=True, slots=True)
class AlertOutcome:
    """What an alerting rule tracks after an evaluation, what changed, and the ALERTS series to write."""

    tracked: Tracking
    changes: list[Change]
    output: Output


class AlertEvaluator:
    """Evaluates one alerting rule. Not for several threads at once."""

    def __init__(self, rule: AlertRule, engine: QueryEngine, setting: Setting | None = None) -> None:
        self._rule = rule
        self._engine = engine
        setting = setting or Setting()
        self._external = dict(setting.external_labels)
        self._url = setting.external_url
        self._moving_labels = tuple((name, t) for name, t in rule.labels if not t.constant)
        fixed = {name: t.text for name, t in rule.labels if t.constant}
        self._fixed_labels = fixed | {"alertname": rule.name}
        self._keys_by_series = all(template.by_labels for _, template in self._moving_labels)
        self._moving_texts = tuple((name, t) for name, t in rule.annotations if not t.by_labels)
        self._asks = any(template.asks for _, template in self._moving_texts)
        self._source: Sequence[Labels] = ()  # the result's own labels, and what they were
        self._series: list[Labels] = []
        self._keys: list[Labels] = []
        self._values: Floats = _NO_FLOATS
        self._after: Tracking | None = None  # what the last evaluation returned
        self._quiet_until = 0  # before this time a rule whose result stays the same changes nothing
        self._alerts_of: dict[Labels, tuple[Phase, Labels, Labels]] = {}
        self._output = Output((), _NO_FLOATS)

    def evaluate(self, before: Tracking, at_ms: int, *, limit: int = 0) -> AlertOutcome:
        """One evaluation at `at_ms`. Raises QueryError; then the caller keeps `before`."""
        vector = _vector(self._engine, self._rule.plan, at_ms)
        world = _world(self._engine, at_ms, self._url)
        series = self._series if vector.labels is self._source else _as_list(vector.labels)
        known = before is self._after
        same = series == self._series and self._keys_by_series
        keys = self._keys if same else self._new_keys(series, vector.values, world)
        values = vector.values
        if known and same and at_ms < self._quiet_until:
            moved = self._moved(values)
            if not len(moved):
                return AlertOutcome(before, [], self._output)
            after, changes = self._update(before, series, values, moved.tolist(), world)
        else:
            after, changes = self._step(before, series, keys, values, at_ms, world, fresh=not known)
        if limit and len(after) > limit:
            raise QueryError(f"exceeded limit of {limit} with {len(after)} alerts", kind="execution")
        if not (known and same and all(change.transition is None for change in changes)):
            self._output = self._alert_series(after)
        self._source, self._series, self._keys, self._values = vector.labels, series, keys, values
        self._after = after
        self._quiet_until = self._quiet(after, len(keys))
        return AlertOutcome(after, changes, self._output)

    def _moved(self, values: Floats) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """Which series have another value than last time, NaN being equal to itself."""
        if self._asks:
            return np.arange(len(values))
        now, then = (np.ascontiguousarray(v).view(np.uint64) for v in (values, self._values))
        return np.flatnonzero(now != then)

    def _quiet(self, after: Tracking, count: int) -> int:
        """Until when nothing moves by time alone: every alert is true now, and the next pending one is due then."""
        if len(after) != count:
            return 0
        quiet = 1 << 62
        for alert in after.values():
            if alert.phase is Phase.PENDING:
                quiet = min(quiet, alert.active_at + self._rule.hold_ms)
        return quiet

    def _update(
        self, before: Tracking, series: list[Labels], values: Floats, moved: list[int], world: World
    ) -> tuple[Tracking, list[Change]]:
        """Only values moved, and the texts that show them."""
        after = dict(before)
        changes = []
        numbers = values.tolist()
        for i in moved:
            key = self._keys[i]
            old = after[key]
            texts = old.annotations
            if self._moving_texts:
                texts = {**texts, **self._expand(self._moving_texts, dict(series[i]), numbers[i], world)}
                if self._asks and texts == old.annotations and old.value == numbers[i]:
                    continue
            new = Tracked(key, texts, numbers[i], old.phase, old.active_at, old.fired_at)
            after[key] = new
            changes.append(Change(new, None))
        return after, changes

    def _step(
        self,
        before: Tracking,
        series: list[Labels],
        keys: list[Labels],
        values: Floats,
        at_ms: int,
        world: World,
        *,
        fresh: bool,
    ) -> tuple[Tracking, list[Change]]:
        """Every alert takes its step. `fresh`: texts of earlier evaluations may be of another rule text."""
        rule = self._rule
        after: dict[Labels, Tracked] = {}
        changes: list[Change] = []
        for labels, key, value in zip(series, keys, values.tolist(), strict=True):
            old = before.get(key)
            if old is None or fresh:
                texts: Mapping[str, str] = self._expand(rule.annotations, dict(labels), value, world)
            elif (old.value == value and not self._asks) or not self._moving_texts:
                texts = old.annotations
            else:
                texts = {**old.annotations, **self._expand(self._moving_texts, dict(labels), value, world)}
            new, transition = step(
                old, Reading(key, texts, value), at_ms, hold_ms=rule.hold_ms, keep_ms=rule.keep_ms
            )
            if new is not None:
                after[key] = new
                if transition is not None or new != old:
                    changes.append(Change(new, transition))
        for key, old in before.items():
            if key in after:
                continue
            new, transition = step(old, None, at_ms, hold_ms=rule.hold_ms, keep_ms=rule.keep_ms)
            if new is not None:
                after[key] = new
            if new != old:
                changes.append(Change(new or old, transition))
        return after, changes

    def _new_keys(self, series: list[Labels], values: Floats, world: World) -> list[Labels]:
        """The label set of the alert of each series. Raises QueryError when two are the same."""
        known = dict(zip(self._series, self._keys, strict=True)) if self._keys_by_series else {}
        keys = []
        for labels, value in zip(series, values.tolist(), strict=True):
            key = known.get(labels)
            if key is None:
                raw = dict(labels)
                if self._moving_labels:
                    raw |= self._expand(self._moving_labels, raw, value, world)
                raw.pop(_NAME, None)
                key = make_labels(raw | self._fixed_labels)
            keys.append(key)
        if len(set(keys)) != len(keys):
            raise QueryError(
                "vector contains metrics with the same labelset after applying alert labels", kind="execution"
            )
        return keys

    def _expand(
        self, templates: Templates, labels: Mapping[str, str], value: float, world: World
    ) -> dict[str, str]:
        return expand_all(templates, labels, value, external_labels=self._external, world=world)

    def _alert_series(self, tracked: Tracking) -> Output:
        """The series ALERTS and ALERTS_FOR_STATE; label sets that were written before are the same objects."""
        known, names = self._alerts_of, {}
        labels: list[Labels] = []
        for key, alert in tracked.items():
            pair = known.get(key)
            if pair is None or pair[0] is not alert.phase:
                since = pair[2] if pair else _series_of(key, (_NAME, "ALERTS_FOR_STATE"))
                pair = (
                    alert.phase,
                    _series_of(key, (_NAME, "ALERTS"), ("alertstate", alert.phase.value)),
                    since,
                )
            names[key] = pair
            labels += pair[1:]
        self._alerts_of = names
        values = np.ones(2 * len(tracked), np.float64)
        values[1::2] = [alert.active_at / 1000 for alert in tracked.values()]
        return Output(tuple(labels), values)


class RecordEvaluator:
    """Evaluates one recording rule. Not for several threads at once."""

    def __init__(self, rule: RecordRule, engine: QueryEngine) -> None:
        self._rule = rule
        self._engine = engine
        self._extra = dict(rule.labels)
        self._source: Sequence[Labels] = ()
        self._series: list[Labels] = []
        self._keys: tuple[Labels, ...] = ()

    def evaluate(self, at_ms: int, *, limit: int = 0) -> Output:
        """The series the rule yields at `at_ms`. Raises QueryError."""
        vector = _vector(self._engine, self._rule.plan, at_ms)
        series = self._series if vector.labels is self._source else _as_list(vector.labels)
        if series != self._series:
            keys = tuple([make_labels(dict(labels) | self._extra, self._rule.name) for labels in series])
            if len(set(keys)) != len(keys):
                raise QueryError(
                    "vector contains metrics with the same labelset after applying rule labels",
                    kind="execution",
                )
            self._series, self._keys = series, keys
        self._source = vector.labels
        if limit and len(series) > limit:
            raise QueryError(f"exceeded limit of {limit} with {len(series)} series", kind="execution")
        return Output(self._keys, vector.values)


def _series_of(key: Labels, *own: tuple[str, str]) -> Labels:
    """The labels of an alert and those of a series about it, which win."""
    names = [name for name, _ in own]
    return tuple(sorted([*(pair for pair in key if pair[0] not in names), *own]))


def _as_list(labels: Sequence[Labels]) -> list[Labels]:
    return labels if isinstance(labels, list) else list(labels)


def _vector(engine: QueryEngine, plan: Plan, at_ms: int) -> Vector:
    result = engine.instant(plan, at_ms, Limits())
    if isinstance(result, Scalar):
        return Vector(at_ms, [()], np.array([result.value], np.float64))
    if not isinstance(result, Vector):
        raise QueryError("rule result is not a vector or scalar", kind="execution")
    return result


def _world(engine: QueryEngine, at_ms: int, external_url: str) -> World:
    found: dict[str, list[SampleValue]] = {}

    def query(expression: str) -> Sequence[SampleValue]:
        if expression not in found:
            try:
                vector = _vector(engine, engine.compile(expression), at_ms)
            except QueryError as error:
                raise CallError(error.message) from error
            pairs = zip(vector.labels, vector.values.tolist(), strict=True)
            found[expression] = [SampleValue(dict(labels), value) for labels, value in pairs]
        return found[expression]

    return World(query, external_url, at_ms)
