"""Functions of labels: label_replace, label_join, sort_by_label."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from monitor.metrics.interface import Bools, Labels
from monitor.metrics.matching import full_match
from monitor.metrics.promql import notes
from monitor.metrics.promql.functions.signature import Function
from monitor.metrics.promql.nodes import Call
from monitor.metrics.promql.values import (
    NAME,
    Context,
    Table,
    Value,
    execution_error,
    merge,
    pick,
    table_of,
    text_of,
)
from monitor.metrics.series import Listed

_REFERENCE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})")
_NUMBERS = re.compile(r"(\d+)")
_LONGEST = 1 << 16  # characters of one label value
_LONGEST_OF_ALL = 1 << 25  # of all that one call makes; nested calls would multiply them without end


def _with_label(labels: Labels, name: str, value: str) -> Labels:
    items = [item for item in labels if item[0] != name]
    if value:
        items.append((name, value))
    return tuple(sorted(items))


def _relabel(
    context: Context, table: Table, call: Call, target: str, change: Callable[[Mapping[str, str]], str | None]
) -> Table:
    """Set label `target` of every column to what `change` gives; None leaves the column alone.

    The texts of the call say what `change` does: for the same label sets it is asked once.
    """

    def work_out() -> tuple[Listed, Bools]:
        labels, changed = [], []
        made = 0
        for item in table.labels:
            value = change(dict(item))
            made += len(value or "")
            if made > _LONGEST_OF_ALL:
                raise execution_error(f"{call.name}() makes more than {_LONGEST_OF_ALL} characters of labels")
            labels.append(item if value is None else _with_label(item, target, value))
            changed.append(value is not None)
        return Listed(labels), np.array(changed, np.bool_)

    labels, changed = table.labels.remembered((call.name, call.args[1:]), work_out)
    dropped = table.dropped & ~changed if target == NAME else table.dropped
    return merge(Table(labels, table.values, table.present, dropped))


def _expand(template: str, match: Any) -> str:
    """Go's Regexp.Expand: $1, ${1}, $name, ${name}, $$; an unknown group is empty."""

    made = 0

    def one(reference: re.Match[str]) -> str:
        nonlocal made
        text = _group(reference, match)
        made += len(text)
        _check_length(made)
        return text

    return _REFERENCE.sub(one, template)


def _group(reference: re.Match[str], match: Any) -> str:
    if reference.group(1):
        return "$"
    name = reference.group(2) or reference.group(3)
    try:
        return match.group(int(name) if name.isdigit() else name) or ""
    except (IndexError, KeyError):
        return ""


def _check_length(characters: int) -> None:
    if characters > _LONGEST:
        raise execution_error(f"a label value would have more than {_LONGEST} characters")


def _label_replace(context: Context, call: Call, args: Sequence[Value]) -> Table:
    target, replacement, source, pattern = (text_of(arg) for arg in args[1:5])
    try:
        match_of = full_match(pattern)
    except ValueError as error:
        raise execution_error(
            f"invalid regular expression in label_replace(): {pattern[:80]!r}: {error}"
        ) from None
    if not target:
        raise execution_error(f"invalid destination label name in label_replace(): {target}")

    def change(labels: Mapping[str, str]) -> str | None:
        match = match_of(labels.get(source, ""))
        return None if match is None else _expand(replacement, match)

    return _relabel(context, table_of(args[0]), call, target, change)


def _label_join(context: Context, call: Call, args: Sequence[Value]) -> Table:
    target, separator, *sources = (text_of(arg) for arg in args[1:])
    if not target:
        raise execution_error(f"invalid destination label name in label_join(): {target}")
    if not all(sources):
        raise execution_error("invalid source label name in label_join(): ")

    def change(labels: Mapping[str, str]) -> str:
        values = [labels.get(source, "") for source in sources]
        _check_length(sum(map(len, values)) + len(separator) * len(values))
        return separator.join(values)

    return _relabel(context, table_of(args[0]), call, target, change)


def _natural(text: str) -> list[tuple[int, int, str]]:
    parts = _NUMBERS.split(text)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def _sort_by_label(context: Context, call: Call, args: Sequence[Value]) -> Table:
    table = table_of(args[0])
    if len(context.steps) != 1:
        notes.useless_sort(context.budget.report, call.place)
        return table
    names = [text_of(arg) for arg in args[1:]]

    def key(column: int) -> tuple[list[list[tuple[int, int, str]]], Labels]:
        labels = dict(table.labels[column])
        return [_natural(labels.get(name, "")) for name in names], table.labels[column]

    order = sorted(range(len(table.labels)), key=key, reverse=call.name.endswith("_desc"))
    return pick(table, np.array(order, np.int64))


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "label_replace": Function(_label_replace),
        "label_join": Function(_label_join),
        "sort_by_label": Function(_sort_by_label),
        "sort_by_label_desc": Function(_sort_by_label),
    }
)
