"""Prometheus rule files: strict loading, every error with file:line.

Format: https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/ and alerting_rules. Unknown
fields are errors, as in promtool. All errors of a file are found in one pass (`load_rule_file` raises the first).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Plan
from rules.alerting.errors import RuleFileError, TemplateError
from rules.alerting.template import Template, parse_template
from rules.alerting.yaml_reader import YamlReader, is_null, read_text

_METRIC = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")
_LABEL = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")

Compile = Callable[[str], Plan]
Templates = tuple[tuple[str, Template], ...]


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An alerting rule; durations in ms. `key` names it across restarts and changes with what identifies alerts."""

    name: str
    expr: str
    plan: Plan
    hold_ms: int
    keep_ms: int
    labels: Templates
    annotations: Templates
    line: int
    key: str


@dataclass(frozen=True, slots=True)
class RecordRule:
    """A recording rule."""

    name: str
    expr: str
    plan: Plan
    labels: tuple[tuple[str, str], ...]
    line: int


Rule = AlertRule | RecordRule


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules evaluated together, in order. `interval_ms` None means the default; `limit` 0 means none."""

    file: str
    name: str
    interval_ms: int | None
    limit: int
    offset_ms: int
    rules: tuple[Rule, ...]

    @property
    def key(self) -> str:
        """Unique over all files, as Prometheus writes it."""
        return f"{self.file};{self.name}"


class _Reader(YamlReader):
    """A rule file being read."""

    def __init__(self, where: str, compile_: Compile) -> None:
        super().__init__(where)
        self.compile = compile_


def load_rule_file(path: Path, compile_: Compile) -> list[RuleGroup]:
    """The groups of a file. Raises RuleFileError, the first of all errors found."""
    groups, errors = read_rule_file(path, compile_)
    if errors:
        raise errors[0]
    return groups


def read_rule_file(path: Path, compile_: Compile) -> tuple[list[RuleGroup], list[RuleFileError]]:
    """The groups of a file and everything wrong with it."""
    try:
        text = read_text(path)
    except RuleFileError as error:
        return [], [error]
    return parse_rules(text, str(path), compile_)


def parse_rules(text: str, where: str, compile_: Compile) -> tuple[list[RuleGroup], list[RuleFileError]]:
    """As read_rule_file, from text; `where` names it in errors."""
    reader = _Reader(where, compile_)
    top = reader.mapping(reader.document(text), {"groups"}, "the file")
    groups: list[RuleGroup] = []
    seen: set[str] = set()
    for node in reader.sequence(top.get("groups"), "groups"):
        group = _group(reader, node)
        if group is None:
            continue
        if group.name in seen:
            reader.fault(node, f'groupname: "{group.name}" is repeated in the same file')
        seen.add(group.name)
        groups.append(group)
    return groups, reader.errors


_GROUP_FIELDS = {"name", "interval", "limit", "query_offset", "labels", "rules"}
_RULE_FIELDS = {"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"}


def _group(reader: _Reader, node: yaml.Node) -> RuleGroup | None:
    if is_null(node):
        return None
    fields = reader.mapping(node, _GROUP_FIELDS, "group")
    name = reader.text(fields.get("name"), "name")
    if not name:
        reader.fault(node, "groupname must not be empty")
    common = _labels(reader, fields.get("labels"), f'group "{name}"')
    rules = []
    for position, item in enumerate(reader.sequence(fields.get("rules"), "rules"), 1):
        rule = _rule(reader, item, name, position, common)
        if rule is not None:
            rules.append(rule)
    interval = reader.duration(fields.get("interval"), "interval")
    return RuleGroup(
        reader.where,
        name,
        interval or None,
        reader.count(fields.get("limit"), "limit"),
        reader.duration(fields.get("query_offset"), "query_offset"),
        tuple(rules),
    )


def _rule(reader: _Reader, node: yaml.Node, group: str, position: int, common: dict[str, str]) -> Rule | None:
    if is_null(node):
        return None
    fields = reader.mapping(node, _RULE_FIELDS, "rule")
    alert, record = reader.text(fields.get("alert"), "alert"), reader.text(fields.get("record"), "record")
    what = f'group "{group}", rule {position}, "{alert or record}"'
    if alert and record:
        reader.fault(node, f"{what}: only one of 'record' and 'alert' must be set")
        return None
    if not alert and not record:
        reader.fault(node, f"{what}: one of 'record' or 'alert' must be set")
        return None
    expr = reader.text(fields.get("expr"), "expr")
    plan = _plan(reader, fields.get("expr", node), expr, what)
    labels = common | _labels(reader, fields.get("labels"), what)
    if record:
        return (
            _record(reader, node, fields, RecordRule(record, expr, plan, (), 0), labels, what)
            if plan
            else None
        )
    annotations = _templates(reader, fields.get("annotations"), what, alert)
    expanded = _parsed(reader, fields.get("labels", node), labels, what, ("label", alert))
    hold, keep = (reader.duration(fields.get(key), key) for key in ("for", "keep_firing_for"))
    if plan is None:
        return None
    line = node.start_mark.line + 1
    key = _rule_key(reader.where, group, alert, expr, labels)
    return AlertRule(alert, expr, plan, hold, keep, expanded, annotations, line, key)


def _rule_key(where: str, group: str, alert: str, expr: str, labels: dict[str, str]) -> str:
    """Same alert name, group and expression: the same rule, whatever its texts or times."""
    parts = "\x00".join(
        [Path(where).name, group, alert, " ".join(expr.split()), repr(sorted(labels.items()))]
    )
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def _record(
    reader: _Reader,
    node: yaml.Node,
    fields: dict[str, yaml.Node],
    rule: RecordRule,
    labels: dict[str, str],
    what: str,
) -> RecordRule:
    for key in ("for", "keep_firing_for"):
        if reader.duration(fields.get(key), key):
            reader.fault(fields[key], f"{what}: invalid field '{key}' in recording rule")
    if reader.mapping(fields.get("annotations"), None, "annotations"):
        reader.fault(fields["annotations"], f"{what}: invalid field 'annotations' in recording rule")
    if not _METRIC.match(rule.name):
        reader.fault(fields["record"], f"{what}: invalid recording rule name: {rule.name}")
    return RecordRule(
        rule.name, rule.expr, rule.plan, tuple(sorted(labels.items())), node.start_mark.line + 1
    )


def _plan(reader: _Reader, node: yaml.Node, expr: str, what: str) -> Plan | None:
    if not expr:
        reader.fault(node, f"{what}: field 'expr' must be set in rule")
        return None
    try:
        return reader.compile(expr)
    except QueryError as error:
        reader.fault(node, f"{what}: could not parse expression: {error.message}")
        return None


def _labels(reader: _Reader, node: yaml.Node | None, what: str) -> dict[str, str]:
    found = {}
    for name, value in reader.mapping(node, None, "labels").items():
        if not _LABEL.match(name) or name == "__name__":
            reader.fault(value, f"{what}: invalid label name: {name}")
        found[name] = reader.text(value, f"label {name}")
    return found


def _templates(reader: _Reader, node: yaml.Node | None, what: str, alert: str) -> Templates:
    texts = {}
    for name, value in reader.mapping(node, None, "annotations").items():
        if not _LABEL.match(name):
            reader.fault(value, f"{what}: invalid annotation name: {name}")
        texts[name] = reader.text(value, f"annotation {name}")
    return _parsed(reader, node, texts, what, ("annotation", alert)) if node is not None else ()


def _parsed(
    reader: _Reader, node: yaml.Node, texts: dict[str, str], what: str, kind: tuple[str, str]
) -> Templates:
    found = []
    places = {key.value: value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}
    for name, text in texts.items():
        try:
            found.append((name, parse_template(text, kind[1])))
        except TemplateError as error:
            reader.fault(places.get(name, node), f'{what}: {kind[0]} "{name}": template: {error.message}')
    return tuple(found)
