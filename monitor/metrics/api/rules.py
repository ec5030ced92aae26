"""`rules`, `alerts` and `alertmanagers`, from what the alert engine puts into the application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Protocol

from flask import Response, current_app

from monitor.metrics.api.answers import success
from monitor.metrics.api.arguments import Arguments, read_arguments
from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Matcher
from monitor.metrics.matching import predicate

RULES_EXTENSION = "zhishou.rules"
_TYPES = MappingProxyType({"": "", "alert": "alerting", "record": "recording"})
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("", "0", "f", "F", "false", "FALSE", "False"))


class RuleSource(Protocol):
    """What the alert engine knows, in the shape of Prometheus's JSON."""

    def groups(self) -> Sequence[Mapping[str, object]]:
        """The rule groups, as in `/api/v1/rules`."""
        ...

    def alerts(self) -> Sequence[Mapping[str, object]]:
        """The active alerts, as in `/api/v1/alerts`."""
        ...


def rules() -> Response:
    """Rule groups, by type, rule_name[], rule_group[], file[] and match[] (the labels that rules set).

    Groups without a rule left are not shown.
    `group_limit` asks for so many groups; `group_next_token` for those after the answer that gave it.
    """
    arguments = read_arguments()
    kind = _TYPES.get(arguments.text("type").lower())
    if kind is None:
        raise QueryError(f'invalid parameter "type": not supported value "{arguments.text("type")}"')
    bare = _flag(arguments, "exclude_alerts")
    names = frozenset(arguments.texts("rule_name[]"))
    selections = arguments.selections()
    most = arguments.limit("group_limit")
    shown: list[Mapping[str, object]] = []
    for group in _after(arguments.text("group_next_token"), _groups(arguments), most):
        kept = [
            rule
            for rule in _rules_of(group)
            if (not kind or rule.get("type") == kind)
            and (not names or rule.get("name") in names)
            and (not selections or _sets_labels(rule, selections))
        ]
        if kept and 0 < most <= len(shown):
            return success({"groups": shown, "groupNextToken": _token(shown[-1])})
        if kept:
            shown.append({**group, "rules": [_without_alerts(rule) for rule in kept] if bare else kept})
    return success({"groups": shown})


def alerts() -> Response:
    """Active alerts."""
    source = _source()
    return success({"alerts": list(source.alerts()) if source else []})


def alertmanagers() -> Response:
    """Alerts are sent on by this server itself."""
    return success({"activeAlertmanagers": [], "droppedAlertmanagers": []})


def _groups(arguments: Arguments) -> list[Mapping[str, object]]:
    source = _source()
    wanted = {
        "name": frozenset(arguments.texts("rule_group[]")),
        "file": frozenset(arguments.texts("file[]")),
    }
    return [
        group
        for group in (source.groups() if source else ())
        if all(not values or group.get(key) in values for key, values in wanted.items())
    ]


def _after(token: str, groups: list[Mapping[str, object]], most: int) -> list[Mapping[str, object]]:
    if not token:
        return groups
    if not most:
        raise QueryError('invalid parameter "group_limit": it is needed together with group_next_token')
    for place, group in enumerate(groups):
        if _token(group) == token:
            return groups[place + 1 :]
    raise QueryError(f'invalid parameter "group_next_token": "{token[:80]}"; were rule groups changed?')


def _token(group: Mapping[str, object]) -> str:
    return sha256(f"{group.get('file')};{group.get('name')}".encode()).hexdigest()


def _rules_of(group: Mapping[str, object]) -> list[Mapping[str, object]]:
    found = group.get("rules")
    return [rule for rule in found if isinstance(rule, Mapping)] if isinstance(found, list) else []


def _sets_labels(rule: Mapping[str, object], selections: Sequence[tuple[Matcher, ...]]) -> bool:
    labels = rule.get("labels")
    shown = labels if isinstance(labels, Mapping) else {}
    return any(
        all(predicate(matcher)(str(shown.get(matcher.name, ""))) for matcher in matchers)
        for matchers in selections
    )


def _without_alerts(rule: Mapping[str, object]) -> Mapping[str, object]:
    return {**rule, "alerts": []} if "alerts" in rule else rule


def _flag(arguments: Arguments, name: str) -> bool:
    value = arguments.text(name)
    if value not in _TRUE | _FALSE:
        raise QueryError(f'invalid parameter "{name}": "{value}" is neither true nor false')
    return value in _TRUE


def _source() -> RuleSource | None:
    source: RuleSource | None = current_app.extensions.get(RULES_EXTENSION)
    return source
