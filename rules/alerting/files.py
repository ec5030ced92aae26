"""Prometheus rule files: strict loading, every error with file:line.

Format: https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/ and alerting_rules. Unknown
fields are errors, as in promtool. All errors of a file are found in one pass (`load_rule_file` raises the first).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Plan
from rules.alerting.errors import RuleFileError, TemplateError
from rules.alerting.template import Template, parse_template

MAX_BYTES = 4 << 20
_DURATION = re.compile(r"^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$")
_UNITS_MS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1_000, 1)
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


@dataclass(slots=True)
class _Reader:
    """One file being read; collects errors instead of stopping at the first."""

    where: str
    compile: Compile
    errors: list[RuleFileError] = field(default_factory=list)

    def fault(self, node: yaml.Node, message: str) -> None:
        self.errors.append(RuleFileError(message, where=f"{self.where}:{node.start_mark.line + 1}"))


def load_rule_file(path: Path, compile_: Compile) -> list[RuleGroup]:
    """The groups of a file. Raises RuleFileError, the first of all errors found."""
    groups, errors = read_rule_file(path, compile_)
    if errors:
        raise errors[0]
    return groups


def read_rule_file(path: Path, compile_: Compile) -> tuple[list[RuleGroup], list[RuleFileError]]:
    """The groups of a file and everything wrong with it."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            return [], [RuleFileError(f"larger than {MAX_BYTES} bytes", where=str(path))]
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [], [RuleFileError(f"cannot be read: {error}", where=str(path))]
    return parse_rules(text, str(path), compile_)


def parse_rules(text: str, where: str, compile_: Compile) -> tuple[list[RuleGroup], list[RuleFileError]]:
    """As read_rule_file, from text; `where` names it in errors."""
    reader = _Reader(where, compile_)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return [], [RuleFileError(f"not valid YAML: {error.problem}", where=f"{where}:{line}")]
    except (yaml.YAMLError, RecursionError) as error:
        return [], [RuleFileError(f"not valid YAML: {error}", where=where)]
    if root is None:
        return [], []
    top = _mapping(reader, root, {"groups"}, "the file")
    groups: list[RuleGroup] = []
    seen: set[str] = set()
    for node in _sequence(reader, top.get("groups"), "groups"):
        group = _group(reader, node)
        if group is None:
            continue
        if group.name in seen:
            reader.fault(node, f'groupname: "{group.name}" is repeated in the same file')
        seen.add(group.name)
        groups.append(group)
    return groups, reader.errors


def parse_duration(text: str) -> int:
    """A Prometheus duration (5m, 1h30m, 0) in ms. Raises ValueError."""
    if text == "0":
        return 0
    match = _DURATION.match(text)
    if not text or match is None:
        raise ValueError(f"not a valid duration string: {text!r}")
    return sum(int(n) * unit for n, unit in zip(match.groups(), _UNITS_MS, strict=True) if n)


def _mapping(reader: _Reader, node: yaml.Node | None, known: set[str], what: str) -> dict[str, yaml.Node]:
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
        return {}
    if not isinstance(node, yaml.MappingNode):
        reader.fault(node, f"{what} must be a mapping")
        return {}
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else "?"
        if known and name not in known:
            reader.fault(key, f"field {name} not found in {what}")
        elif name in found:
            reader.fault(key, f"{name} is given twice in {what}")
        else:
            found[name] = value
    return found


def _sequence(reader: _Reader, node: yaml.Node | None, what: str) -> list[yaml.Node]:
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
        return []
    if not isinstance(node, yaml.SequenceNode):
        reader.fault(node, f"{what} must be a list")
        return []
    return list(node.value)


def _text(reader: _Reader, node: yaml.Node | None, what: str) -> str:
    if node is None:
        return ""
    if not isinstance(node, yaml.ScalarNode):
        reader.fault(node, f"{what} must be a string")
        return ""
    return "" if node.tag.endswith(":null") else str(node.value)


def _duration(reader: _Reader, node: yaml.Node | None, what: str) -> int:
    text = _text(reader, node, what)
    if node is None or not text:
        return 0
    try:
        return parse_duration(text)
    except ValueError as error:
        reader.fault(node, f"{what}: {error}")
        return 0


def _count(reader: _Reader, node: yaml.Node | None, what: str) -> int:
    text = _text(reader, node, what)
    if node is None or not text:
        return 0
    if not text.isdecimal():
        reader.fault(node, f"{what} must be a whole number, not {text!r}")
        return 0
    return int(text)


_GROUP_FIELDS = {"name", "interval", "limit", "query_offset", "labels", "rules"}
_RULE_FIELDS = {"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"}


def _group(reader: _Reader, node: yaml.Node) -> RuleGroup | None:
    fields = _mapping(reader, node, _GROUP_FIELDS, "group")
    if not fields:
        return None
    name = _text(reader, fields.get("name"), "name")
    if not name:
        reader.fault(node, "groupname must not be empty")
    common = _labels(reader, fields.get("labels"), f'group "{name}"')
    rules = []
    for position, item in enumerate(_sequence(reader, fields.get("rules"), "rules"), 1):
        rule = _rule(reader, item, name, position, common)
        if rule is not None:
            rules.append(rule)
    interval = _duration(reader, fields.get("interval"), "interval")
    return RuleGroup(
        reader.where,
        name,
        interval or None,
        _count(reader, fields.get("limit"), "limit"),
        _duration(reader, fields.get("query_offset"), "query_offset"),
        tuple(rules),
    )


def _rule(reader: _Reader, node: yaml.Node, group: str, position: int, common: dict[str, str]) -> Rule | None:
    fields = _mapping(reader, node, _RULE_FIELDS, "rule")
    alert, record = _text(reader, fields.get("alert"), "alert"), _text(reader, fields.get("record"), "record")
    what = f'group "{group}", rule {position}, "{alert or record}"'
    if alert and record:
        reader.fault(node, f"{what}: only one of 'record' and 'alert' must be set")
        return None
    if not alert and not record:
        reader.fault(node, f"{what}: one of 'record' or 'alert' must be set")
        return None
    expr = _text(reader, fields.get("expr"), "expr")
    plan = _plan(reader, fields.get("expr", node), expr, what)
    labels = common | _labels(reader, fields.get("labels"), what)
    if record:
        return (
            _record(reader, node, fields, RecordRule(record, expr, plan, (), 0), labels, what)
            if plan
            else None
        )
    annotations = _templates(reader, fields.get("annotations"), what, "annotation")
    expanded = _parsed(reader, fields.get("labels", node), labels, what, "label")
    hold, keep = (_duration(reader, fields.get(key), key) for key in ("for", "keep_firing_for"))
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
    for key in ("for", "keep_firing_for", "annotations"):
        if key in fields:
            reader.fault(fields[key], f"{what}: invalid field '{key}' in recording rule")
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
    for name, value in _mapping(reader, node, set(), "labels").items():
        if not _LABEL.match(name) or name == "__name__":
            reader.fault(value, f"{what}: invalid label name: {name}")
        found[name] = _text(reader, value, f"label {name}")
    return found


def _templates(reader: _Reader, node: yaml.Node | None, what: str, kind: str) -> Templates:
    texts = {}
    for name, value in _mapping(reader, node, set(), f"{kind}s").items():
        if not _LABEL.match(name):
            reader.fault(value, f"{what}: invalid {kind} name: {name}")
        texts[name] = _text(reader, value, f"{kind} {name}")
    return _parsed(reader, node, texts, what, kind) if node is not None else ()


def _parsed(reader: _Reader, node: yaml.Node, texts: dict[str, str], what: str, kind: str) -> Templates:
    found = []
    for name, text in texts.items():
        try:
            found.append((name, parse_template(text)))
        except TemplateError as error:
            reader.fault(node, f'{what}: {kind} "{name}": template: {error.message}')
    return tuple(found)
