"""The engine's own numbers on /metrics, named after Prometheus's prometheus_rule_* with our prefix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from rules.alerting.engine import Engine, GroupStatus
from rules.alerting.states import Phase

Family = CounterMetricFamily | GaugeMetricFamily

Value = Callable[[GroupStatus], float]

_GAUGES: tuple[tuple[str, str, Value], ...] = (
    ("group_last_duration_seconds", "How long the last evaluation took", lambda g: g.seconds),
    ("group_last_evaluation_timestamp_seconds", "When it was", lambda g: g.evaluated_at / 1000),
    ("group_last_evaluation_samples", "Series it wrote", lambda g: sum(len(r.trail.labels) for r in g.rules)),
    ("group_interval_seconds", "Time between two evaluations", lambda g: g.interval_ms / 1000),
    ("group_rules", "Rules in the group", lambda g: len(g.rules)),
    (
        "group_failing",
        "Rules whose last evaluation failed",
        lambda g: sum(r.health == "err" for r in g.rules),
    ),
)
_COUNTERS: tuple[tuple[str, str, Value], ...] = (
    ("group_iterations", "Evaluations due, made or missed", lambda g: g.evaluations + g.missed),
    ("group_iterations_missed", "Evaluations skipped, the one before being late", lambda g: g.missed),
    ("group_duration_seconds", "Time spent evaluating", lambda g: g.total_seconds),
    ("evaluations", "Evaluations of rules", lambda g: sum(rule.evaluations for rule in g.rules)),
    ("evaluation_failures", "Evaluations that failed", lambda g: sum(rule.failures for rule in g.rules)),
)


class EngineMetrics(Collector):
    """Numbers of each group, and how many alerts there are in each state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> list[Family]:
        """Read without waiting for an evaluation."""
        groups = list(self._engine.groups.values())
        found: list[Family] = []
        for name, text, value in _GAUGES:
            found.append(
                _filled(GaugeMetricFamily(f"zhishou_rule_{name}", text, labels=["group"]), groups, value)
            )
        for name, text, value in _COUNTERS:
            found.append(
                _filled(CounterMetricFamily(f"zhishou_rule_{name}", text, labels=["group"]), groups, value)
            )
        counts = Counter(
            alert.phase for group in groups for rule in group.rules for alert in rule.tracked.values()
        )
        alerts = GaugeMetricFamily("zhishou_alerts", "Alerts that are tracked", labels=["state"])
        for phase in (Phase.PENDING, Phase.FIRING):
            alerts.add_metric([phase.value], counts[phase])
        return [*found, alerts]


def _filled(family: Family, groups: list[GroupStatus], value: Value) -> Family:
    for group in groups:
        family.add_metric([f"{Path(group.group.file).name};{group.group.name}"], value(group))
    return family
