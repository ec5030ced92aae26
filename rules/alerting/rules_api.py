"""Rules and alerts in the JSON shape of Prometheus's /api/v1/rules and /api/v1/alerts.

Registered as `current_app.extensions["zhishou.rules"]`, where the metrics room's endpoints find it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from monitor.clock import to_datetime
from rules.alerting.engine import Engine, GroupStatus, RuleStatus
from rules.alerting.files import AlertRule
from rules.alerting.go_format import go_float
from rules.alerting.states import Phase, Tracked

Json = dict[str, Any]


class RulesView:
    """What the engine is doing, read without waiting for it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def groups(self) -> list[Json]:
        """Every group with its rules, as `data.groups`."""
        return [_group(status) for _, status in sorted(self._engine.groups.items())]

    def alerts(self) -> list[Json]:
        """Every pending and firing alert, as `data.alerts`."""
        rules = [rule for status in self._engine.groups.values() for rule in status.rules]
        return [alert for rule in rules for alert in _alerts(rule.tracked.values())]


def _group(status: GroupStatus) -> Json:
    return {
        "name": status.group.name,
        "file": status.group.file,
        "interval": status.interval_ms / 1000,
        "limit": status.group.limit,
        "lastEvaluation": _time(status.evaluated_at),
        "evaluationTime": status.seconds,
        "rules": [_rule(rule) for rule in status.rules],
    }


def _rule(status: RuleStatus) -> Json:
    rule = status.rule
    shown: Json = {
        "name": rule.name,
        "query": rule.expr,
        "health": status.health,
        "lastError": status.last_error,
        "lastEvaluation": _time(status.evaluated_at),
        "evaluationTime": status.seconds,
    }
    if isinstance(rule, AlertRule):
        phases = {alert.phase for alert in status.tracked.values()}
        state = "firing" if Phase.FIRING in phases else "pending" if phases else "inactive"
        shown |= {
            "type": "alerting",
            "state": state,
            "duration": rule.hold_ms / 1000,
            "keepFiringFor": rule.keep_ms / 1000,
            "labels": {name: template.source for name, template in rule.labels},
            "annotations": {name: template.source for name, template in rule.annotations},
            "alerts": _alerts(status.tracked.values()),
        }
    else:
        shown |= {"type": "recording", "labels": dict(rule.labels)}
    return {key: value for key, value in shown.items() if not (key == "lastError" and not value)}


def _alerts(tracked: Iterable[Tracked]) -> list[Json]:
    return [
        {
            "labels": dict(alert.labels),
            "annotations": dict(alert.annotations),
            "state": alert.phase.value,
            "activeAt": _time(alert.active_at),
            "value": go_float(alert.value),
        }
        for alert in tracked
    ]


def _time(ms: int) -> str:
    return to_datetime(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
