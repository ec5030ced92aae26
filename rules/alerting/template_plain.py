"""Expands the templates that nearly every rule has, text with labels and a formatted value, without the interpreter.

A storm has thousands of alerts; their texts cost a tenth this way. Whatever is not of this shape is left alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from rules.alerting.go_format import go_float
from rules.alerting.template_nodes import Action, Command, Dot, Literal, Operand, Text, Tree, Variable, Word
from rules.alerting.template_numbers import (
    humanize,
    humanize1024,
    humanize_duration,
    humanize_percentage,
)

Part = str | Callable[[Mapping[str, str], float], str]

_FORMATS: Mapping[str, Callable[[float], str]] = {
    "humanize": humanize,
    "humanize1024": humanize1024,
    "humanizeDuration": humanize_duration,
    "humanizePercentage": humanize_percentage,
}
_FIXED_POINT = re.compile(r"([^%]*)%\.(\d)f((?:[^%]|%%)*)")


def plain_parts(tree: Tree) -> tuple[Part, ...] | None:
    """The parts of a template of the simple shape; None for any other."""
    if tree.named:
        return None
    parts: list[Part] = []
    for node in tree.nodes:
        part = node.text if isinstance(node, Text) else _part(node) if isinstance(node, Action) else None
        if part is None:
            return None
        parts.append(part)
    return tuple(parts)


def _part(action: Action) -> Part | None:
    pipe = action.pipe
    if pipe.targets or len(pipe.commands) > 2:
        return None
    first, last = pipe.commands[0], pipe.commands[-1]
    if len(pipe.commands) == 2:
        piped = _is_value(first.args[0]) and len(first.args) == 1
        return _formatted(last) if piped else None
    if len(first.args) == 1:
        return _operand(first.args[0])
    if _is_value(first.args[-1]):
        return _formatted(Command(first.at, first.args[:-1]))
    return None


def _operand(operand: Operand) -> Part | None:
    if _is_value(operand):
        return lambda _labels, value: go_float(value)
    if isinstance(operand, Variable) and operand.name == "$labels" and len(operand.fields) == 1:
        return _label(operand.fields[0])
    if isinstance(operand, Dot) and operand.fields[:1] == ("Labels",) and len(operand.fields) == 2:
        return _label(operand.fields[1])
    return None


def _label(name: str) -> Part:
    return lambda labels, _value: labels.get(name, "")


def _is_value(operand: Operand) -> bool:
    if isinstance(operand, Dot):
        return operand.fields == ("Value",)
    return isinstance(operand, Variable) and operand.name == "$value" and not operand.fields


def _formatted(command: Command) -> Part | None:
    """A function that takes the value as its last argument."""
    head = command.args[0]
    if not isinstance(head, Word):
        return None
    form = _FORMATS.get(head.name)
    if form is not None and len(command.args) == 1:
        return lambda _labels, value: form(value)
    if head.name == "printf" and len(command.args) == 2 and isinstance(command.args[1], Literal):
        return _fixed_point(command.args[1])
    return None


def _fixed_point(literal: Literal) -> Part | None:
    match = _FIXED_POINT.fullmatch(str(literal.value)) if literal.kind == "string" else None
    if match is None:
        return None
    before, digits, after = match[1], int(match[2]), match[3].replace("%%", "%")

    def show(_labels: Mapping[str, str], value: float) -> str:
        shown = f"{value:.{digits}f}" if math.isfinite(value) else go_float(value)
        return f"{before}{shown}{after}"

    return show
