"""One evaluation of one rule on a query engine: pure in its inputs, no clock, no store, no database.

Follows Prometheus: the metric name is dropped, rule labels override, `alertname` is added, two alerts with the
same labels are an error, a result above the group's limit is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Labels, Limits, Plan, QueryEngine, Scalar, Vector, make_labels
from rules.alerting.errors import TemplateError
from rules.alerting.files import AlertRule, RecordRule, Templates
from rules.alerting.states import Phase, Reading, Tracked, Transition, step
from rules.alerting.template import QueryFunction, Template, expand
from rules.alerting.template_functions import Value

_NAME = "__name__"
_EXPANSION_FAILED = "<error expanding template: {}>"

Sample = tuple[Labels, float]
Tracking = Mapping[Labels, Tracked]


@dataclass(frozen=True, slots=True)
class Change:
    """An alert that moved, or whose value did (transition None). `tracked` is its last known shape."""

    tracked: Tracked
    transition: Transition | None


@dataclass(frozen=True, slots=True)
class AlertOutcome:
    """What an alerting rule tracks after an evaluation, what changed, and the ALERTS series to write."""

    tracked: dict[Labels, Tracked]
    changes: list[Change]
    samples: list[Sample]


def evaluate_alert(
    rule: AlertRule, engine: QueryEngine, before: Tracking, at_ms: int, *, limit: int = 0
) -> AlertOutcome:
    """One evaluation at `at_ms`. Raises QueryError; then the caller keeps `before`."""
    readings = _readings(rule, engine, before, at_ms)
    if limit and len(readings) > limit:
        raise QueryError(f"exceeded limit of {limit} with {len(readings)} alerts", kind="execution")
    after: dict[Labels, Tracked] = {}
    changes: list[Change] = []
    for labels, reading in readings.items():
        old = before.get(labels)
        new, transition = step(old, reading, at_ms, hold_ms=rule.hold_ms, keep_ms=rule.keep_ms)
        if new is not None:
            after[labels] = new
            if new is not old and new != old:
                changes.append(Change(new, transition))
    for labels, old in before.items():
        if labels in readings:
            continue
        new, transition = step(old, None, at_ms, hold_ms=rule.hold_ms, keep_ms=rule.keep_ms)
        if new is not None:
            after[labels] = new
        if new is not old:
            changes.append(Change(new or old, transition))
    return AlertOutcome(after, changes, alert_samples(after.values()))


def alert_samples(tracked: Iterable[Tracked]) -> list[Sample]:
    """The series ALERTS and ALERTS_FOR_STATE of tracked alerts."""
    samples: list[Sample] = []
    for alert in tracked:
        labels = dict(alert.labels)
        state = "firing" if alert.phase is Phase.FIRING else "pending"
        samples.append((make_labels(labels | {"alertstate": state}, "ALERTS"), 1.0))
        samples.append((make_labels(labels, "ALERTS_FOR_STATE"), alert.active_at / 1000))
    return samples


def evaluate_record(rule: RecordRule, engine: QueryEngine, at_ms: int, *, limit: int = 0) -> list[Sample]:
    """The series a recording rule yields at `at_ms`. Raises QueryError."""
    extra = dict(rule.labels)
    samples: dict[Labels, float] = {}
    vector = _vector(engine, rule.plan, at_ms)
    for labels, value in zip(vector.labels, vector.values.tolist(), strict=True):
        key = make_labels(dict(labels) | extra, rule.name)
        if key in samples:
            raise QueryError(
                "vector contains metrics with the same labelset after applying rule labels", kind="execution"
            )
        samples[key] = value
    if limit and len(samples) > limit:
        raise QueryError(f"exceeded limit of {limit} with {len(samples)} series", kind="execution")
    return list(samples.items())


def _vector(engine: QueryEngine, plan: Plan, at_ms: int) -> Vector:
    result = engine.instant(plan, at_ms, Limits())
    if isinstance(result, Scalar):
        return Vector(at_ms, [()], np.array([result.value], np.float64))
    if not isinstance(result, Vector):
        raise QueryError("rule result is not a vector or scalar", kind="execution")
    return result


def _readings(rule: AlertRule, engine: QueryEngine, before: Tracking, at_ms: int) -> dict[Labels, Reading]:
    vector = _vector(engine, rule.plan, at_ms)
    query = _query_function(engine, at_ms)
    fixed = {name: expand(t, {}, 0.0) for name, t in rule.labels if t.constant} | {"alertname": rule.name}
    moving = tuple((name, t) for name, t in rule.labels if not t.constant)
    found: dict[Labels, Reading] = {}
    for series, value in zip(vector.labels, vector.values.tolist(), strict=True):
        raw = dict(series)
        labels = {k: v for k, v in raw.items() if k != _NAME} | _expand_all(moving, raw, value, query) | fixed
        key = make_labels(labels)
        if key in found:
            raise QueryError(
                "vector contains metrics with the same labelset after applying alert labels", kind="execution"
            )
        old = before.get(key)
        if old is not None and old.value == value and not _asks(rule.annotations):
            annotations = old.annotations
        else:
            annotations = _expand_all(rule.annotations, raw, value, query)
        found[key] = Reading(key, annotations, value)
    return found


def _asks(templates: Templates) -> bool:
    """Whether a text may change although labels and value do not."""
    return any("query" in template.source for _, template in templates)


def _expand_all(
    templates: Templates, labels: Mapping[str, str], value: float, query: QueryFunction
) -> dict[str, str]:
    return {name: _expand(template, labels, value, query) for name, template in templates}


def _expand(template: Template, labels: Mapping[str, str], value: float, query: QueryFunction) -> str:
    try:
        return expand(template, labels, value, query=query)
    except (TemplateError, QueryError) as error:
        return _EXPANSION_FAILED.format(error.message)


def _query_function(engine: QueryEngine, at_ms: int) -> QueryFunction:
    found: dict[str, Vector] = {}

    def query(expression: str) -> Sequence[Value]:
        if expression not in found:
            found[expression] = _vector(engine, engine.compile(expression), at_ms)
        vector = found[expression]
        pairs = zip(vector.labels, vector.values.tolist(), strict=True)
        return [{"Labels": dict(labels), "Value": value} for labels, value in pairs]

    return query
