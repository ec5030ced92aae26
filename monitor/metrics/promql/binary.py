"""Binary operators: arithmetic, comparison, set operations, vector matching.

Vectors are joined once on their label sets; which pairs exist at a step follows from `present`. Matching errors
depend on the step, so they are checked on `present` too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from monitor.metrics.interface import Bools, Floats, Ints, Labels
from monitor.metrics.promql.nodes import Binary, Matching
from monitor.metrics.promql.values import (
    IDENTITY,
    NAME,
    Context,
    Table,
    Value,
    compact,
    distinct,
    execution_error,
    merge,
    scalar_of,
    show,
    table_of,
    with_dropped_names,
    without_name,
)

_ARITHMETIC: Mapping[str, Callable[[Floats, Floats], Floats]] = MappingProxyType(
    {
        "+": np.add,
        "-": np.subtract,
        "*": np.multiply,
        "/": np.divide,
        "%": np.fmod,
        "^": np.power,
        "atan2": np.arctan2,
    }
)
_COMPARISON: Mapping[str, Callable[[Floats, Floats], Bools]] = MappingProxyType(
    {
        "==": np.equal,
        "!=": np.not_equal,
        "<": np.less,
        "<=": np.less_equal,
        ">": np.greater,
        ">=": np.greater_equal,
    }
)
_BYTES_OF_A_PAIR = 3 * 8 + 4  # both operands, the result, and where they are
_SETS = frozenset(("and", "or", "unless"))


def apply(context: Context, node: Binary, left: Value, right: Value) -> Value:
    """One binary operation over evaluated operands."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        if node.op in _COMPARISON:
            return _COMPARISON[node.op](left, right).astype(np.float64)
        return _ARITHMETIC[node.op](left, right)
    if isinstance(left, Table) and isinstance(right, Table):
        return (
            _set_operation(context, node, left, right)
            if node.op in _SETS
            else _join(context, node, left, right)
        )
    if isinstance(left, Table):
        return _with_scalar(node, left, scalar_of(right)[:, None], scalar_first=False)
    return _with_scalar(node, table_of(right), scalar_of(left)[:, None], scalar_first=True)


def _with_scalar(node: Binary, table: Table, scalar: Floats, *, scalar_first: bool) -> Table:
    a, b = (scalar, table.values) if scalar_first else (table.values, scalar)
    values, keep = _compute(node, a, b)
    if node.op in _COMPARISON and not node.bool_modifier:
        return compact(replace(table, present=table.present & keep))
    return with_dropped_names(replace(table, values=values))


def _compute(node: Binary, a: Floats, b: Floats) -> tuple[Floats, Bools]:
    """Values and which of them stay; a filtering comparison keeps the left values."""
    if node.op in _ARITHMETIC:
        values = _ARITHMETIC[node.op](a, b)
        return values, np.ones(values.shape, np.bool_)
    holds = _COMPARISON[node.op](a, b)
    if node.bool_modifier:
        return holds.astype(np.float64), np.ones(holds.shape, np.bool_)
    return np.broadcast_to(a, holds.shape), holds


def signature(labels: Labels, matching: Matching, names: frozenset[str]) -> Labels:
    """The labels two series must share to match."""
    if matching.on:
        return tuple(item for item in labels if item[0] in names)
    return tuple(item for item in labels if item[0] not in names and item[0] != NAME)


@dataclass(frozen=True, slots=True)
class _Side:
    """A table with the match group of each column; `groups` counts the groups of both sides together."""

    table: Table
    codes: Ints
    groups: int

    def seen(self) -> Bools:
        """Whether the group has any value at the step [s, groups]."""
        return np.asarray(self.count() > 0)

    def count(self) -> Ints:
        """Values of the group at the step [s, groups]."""
        counts = np.zeros((self.groups, self.table.present.shape[0]), np.int64)
        np.add.at(counts, self.codes, self.table.present.T.astype(np.int64))
        return counts.T


def _sides(
    context: Context, left: Table, right: Table, matching: Matching
) -> tuple[_Side, _Side, list[Labels]]:
    names = frozenset(matching.labels)
    both = [*left.labels, *right.labels]
    keys, codes = context.memo.of(
        ("sides", matching.on, names),
        both,
        lambda: distinct(signature(item, matching, names) for item in both),
    )
    count = len(left.labels)
    return _Side(left, codes[:count], len(keys)), _Side(right, codes[count:], len(keys)), keys


def _set_operation(context: Context, node: Binary, left: Table, right: Table) -> Table:
    a, b, _ = _sides(context, left, right, node.matching)
    if node.op == "or":
        extra = replace(right, present=right.present & ~a.seen()[:, b.codes])
        return _beside(context, left, compact(extra))
    other = b.seen()[:, a.codes]
    return compact(replace(left, present=left.present & (other if node.op == "and" else ~other)))


def _beside(context: Context, left: Table, right: Table) -> Table:
    """Both tables' columns; equal label sets become one column."""
    labels = [*left.labels, *right.labels]
    dropped = np.concatenate((left.dropped, right.dropped))
    if bool(dropped.any()) and not bool(dropped.all()):
        labels, dropped = _told_apart(context, labels, dropped)
    joined = Table(
        labels,
        np.concatenate((left.values, right.values), axis=1),
        np.concatenate((left.present, right.present), axis=1),
        dropped,
    )
    return merge(joined, context.memo)


def _told_apart(context: Context, labels: list[Labels], dropped: Bools) -> tuple[list[Labels], Bools]:
    """A series that is to lose its name is not the one of the same label set that keeps it: it loses it here."""
    _, codes = context.memo.of("merge", labels, lambda: distinct(labels))
    keeps, loses = (np.bincount(codes, flags) > 0 for flags in (~dropped, dropped))
    both = (keeps & loses)[codes] & dropped
    if not bool(both.any()):
        return labels, dropped
    apart = list(labels)
    for column in np.flatnonzero(both).tolist():
        apart[column] = without_name(apart[column])
    return apart, dropped & ~both


def _join(context: Context, node: Binary, left: Table, right: Table) -> Table:
    matching = node.matching
    a, b, keys = _sides(context, left, right, matching)
    many, one = (b, a) if matching.many == "right" else (a, b)
    # As in Prometheus, with group_right the two fill values change sides too: `fill_left` is for the many side.
    many, one = _filled(many, one, keys, matching.fill_left), _filled(one, many, keys, matching.fill_right)
    _check_unique(many, one, keys, "left" if matching.many == "right" else "right")
    rows, columns = _pairs(many, one)
    context.budget.room(_BYTES_OF_A_PAIR * len(rows) * many.table.present.shape[0])
    many_values, one_values = many.table.values[:, rows], one.table.values[:, columns]
    operands = (one_values, many_values) if matching.many == "right" else (many_values, one_values)
    values, keep = _compute(node, *operands)
    matched = many.table.present[:, rows] & one.table.present[:, columns]
    changes_name = node.op in _ARITHMETIC
    labels = context.memo.of(
        ("join", matching, changes_name, len(many.table.labels)),
        [*many.table.labels, *one.table.labels],
        lambda: [
            _result_labels(many.table.labels[i], one.table.labels[j], matching, changes_name=changes_name)
            for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        ],
    )
    dropped = many.table.dropped[rows] | (changes_name or node.bool_modifier)
    if not matching.many:
        _check_pairs(many.codes[rows], matched, keys)
    result = compact(Table(labels, values, matched & keep, dropped))
    if matching.many:
        return merge(
            result, context.memo, "multiple matches for labels: grouping labels must ensure unique matches"
        )
    return merge(result, context.memo)


def _filled(side: _Side, other: _Side, keys: Sequence[Labels], value: float | None) -> _Side:
    """The side with a stand-in where only the other side has a value."""
    if value is None:
        return side
    missing: Bools = np.asarray(other.seen() & ~side.seen())
    groups = np.flatnonzero(np.any(missing, axis=0))
    steps = missing.shape[0]
    table = Table(
        [*side.table.labels, *(keys[group] for group in groups.tolist())],
        np.concatenate((side.table.values, np.full((steps, len(groups)), value)), axis=1),
        np.concatenate((side.table.present, missing[:, groups]), axis=1),
        np.concatenate((side.table.dropped, np.zeros(len(groups), np.bool_))),
    )
    return _Side(table, np.concatenate((side.codes, groups)), side.groups)


def _check_unique(many: _Side, one: _Side, keys: Sequence[Labels], name: str) -> None:
    if np.bincount(one.codes).max(initial=0) <= 1:
        return
    busy: Bools = np.any(many.table.present, axis=1, keepdims=True)
    bad = np.argwhere((one.count() > 1) & busy)
    if len(bad):
        step, group = (int(place) for place in bad[0])
        twins = np.flatnonzero((one.codes == group) & one.table.present[step])[:2]
        shown = ", ".join(show(one.table.labels[i]) for i in twins.tolist())
        raise execution_error(
            f"found duplicate series for the match group {show(keys[group])} on the {name} hand-side of the operation:"
            f" [{shown}];many-to-many matching not allowed: matching labels must be unique on one side"
        )


def _pairs(many: _Side, one: _Side) -> tuple[Ints, Ints]:
    """All pairs (column of many, column of one) in the same match group, in the order of many."""
    order = np.argsort(one.codes, kind="stable")
    ordered = one.codes[order]
    start = np.searchsorted(ordered, many.codes, side="left")
    counts = np.searchsorted(ordered, many.codes, side="right") - start
    rows = np.repeat(np.arange(len(many.codes)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, order[np.repeat(start, counts) + within]


def _check_pairs(codes: Ints, present: Bools, keys: Sequence[Labels]) -> None:
    """One-to-one: at most one result per match group and step."""
    if np.bincount(codes).max(initial=0) <= 1:
        return
    groups, inverse = np.unique(codes, return_inverse=True)
    counts = np.zeros((len(groups), present.shape[0]), np.int64)
    np.add.at(counts, inverse, present.T.astype(np.int64))
    bad = np.flatnonzero((counts > 1).any(axis=1))
    if len(bad):
        raise execution_error(
            f"multiple matches for labels {show(keys[int(groups[bad[0]])])}: many-to-one matching must be explicit"
            " (group_left/group_right)"
        )


def _result_labels(many: Labels, one: Labels, matching: Matching, *, changes_name: bool) -> Labels:
    items = dict(many)
    if changes_name:
        items = {name: value for name, value in items.items() if name not in IDENTITY}
    if not matching.many:
        named = frozenset(matching.labels)
        items = {name: value for name, value in items.items() if (name in named) == matching.on}
    if matching.include:
        source = dict(one)
        for name in matching.include:
            value = source.get(name, "")
            if value:
                items[name] = value
            else:
                items.pop(name, None)
    return tuple(sorted(items.items()))
