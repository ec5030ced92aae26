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
from monitor.metrics.promql.grouping import partition
from monitor.metrics.promql.nodes import Binary, Matching
from monitor.metrics.promql.values import (
    IDENTITY,
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
)
from monitor.metrics.series import Joined, Listed, Mapped, SeriesSet, Trimmed

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
        return np.stack([np.bincount(self.codes[row], minlength=self.groups) for row in self.table.present])


def _sides(
    context: Context, left: Table, right: Table, matching: Matching
) -> tuple[_Side, _Side, list[Labels]]:
    names = frozenset(matching.labels)
    keys, codes = left.labels.remembered(
        ("sides", matching.on, names, right.labels),
        lambda: partition([left.labels, right.labels], names, context.dictionary, keep=matching.on),
    )
    count = len(left.labels)
    return _Side(left, codes[:count], len(keys)), _Side(right, codes[count:], len(keys)), keys


def _set_operation(context: Context, node: Binary, left: Table, right: Table) -> Table:
    a, b, _ = _sides(context, left, right, node.matching)
    if node.op == "or":
        extra = replace(right, present=right.present & ~a.seen()[:, b.codes])
        return _beside(left, compact(extra))
    other = b.seen()[:, a.codes]
    return compact(replace(left, present=left.present & (other if node.op == "and" else ~other)))


def _beside(left: Table, right: Table) -> Table:
    """Both tables' columns; equal label sets become one column."""
    labels: SeriesSet = left.labels.remembered(
        ("beside", right.labels), lambda: Joined([left.labels, right.labels])
    )
    dropped = np.concatenate((left.dropped, right.dropped))
    if bool(dropped.any()) and not bool(dropped.all()):
        labels, dropped = _told_apart(labels, dropped)
    joined = Table(
        labels,
        np.concatenate((left.values, right.values), axis=1),
        np.concatenate((left.present, right.present), axis=1),
        dropped,
    )
    return merge(joined)


def _told_apart(labels: SeriesSet, dropped: Bools) -> tuple[SeriesSet, Bools]:
    """A series that is to lose its name is not the one of the same label set that keeps it: it loses it here."""
    _, codes = labels.remembered("merge", lambda: distinct(labels))
    keeps, loses = (np.bincount(codes, flags) > 0 for flags in (~dropped, dropped))
    both = (keeps & loses)[codes] & dropped
    if not bool(both.any()):
        return labels, dropped
    return Trimmed(labels, IDENTITY.__contains__, both), dropped & ~both


def _join(context: Context, node: Binary, left: Table, right: Table) -> Table:
    matching = node.matching
    a, b, keys = _sides(context, left, right, matching)
    many, one = (b, a) if matching.many == "right" else (a, b)
    # As in Prometheus, with group_right the two fill values change sides too: `fill_left` is for the many side.
    many, one = _filled(many, one, keys, matching.fill_left), _filled(one, many, keys, matching.fill_right)
    _check_unique(many, one, keys, "left" if matching.many == "right" else "right")
    rows, columns, whole = many.table.labels.remembered(
        ("pairs", matching, one.table.labels), lambda: _pairs(many, one)
    )
    context.budget.room(_BYTES_OF_A_PAIR * len(rows) * many.table.present.shape[0])
    many_values = many.table.values if whole else many.table.values[:, rows]
    one_values = one.table.values[:, columns]
    operands = (one_values, many_values) if matching.many == "right" else (many_values, one_values)
    values, keep = _compute(node, *operands)
    matched = (many.table.present if whole else many.table.present[:, rows]) & one.table.present[:, columns]
    changes_name = node.op in _ARITHMETIC
    labels = many.table.labels.remembered(
        ("join", matching, changes_name, one.table.labels),
        lambda: _joined_labels(
            many.table.labels, one.table.labels, rows, columns, matching, renamed=changes_name
        ),
    )
    dropped = many.table.dropped[rows] | (changes_name or node.bool_modifier)
    if not matching.many:
        _check_pairs(many.codes[rows], matched, keys)
    result = compact(Table(labels, values, matched & keep, dropped))
    if matching.many:
        return merge(result, "multiple matches for labels: grouping labels must ensure unique matches")
    # At a single step a match group has one result, and groups differ in the labels that results keep.
    filled = matching.fill_left is not None or matching.fill_right is not None
    return merge(result) if filled or len(context.steps) > 1 else result


def _filled(side: _Side, other: _Side, keys: Sequence[Labels], value: float | None) -> _Side:
    """The side with a stand-in where only the other side has a value."""
    if value is None:
        return side
    missing: Bools = np.asarray(other.seen() & ~side.seen())
    groups = np.flatnonzero(np.any(missing, axis=0))
    steps = missing.shape[0]
    table = Table(
        Joined([side.table.labels, Listed(keys[group] for group in groups.tolist())]),
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


def _pairs(many: _Side, one: _Side) -> tuple[Ints, Ints, bool]:
    """All pairs (column of many, column of one) in the same match group, in the order of many; and whether
    these are all columns of many, once each."""
    order = np.argsort(one.codes, kind="stable")
    ordered = one.codes[order]
    start = np.searchsorted(ordered, many.codes, side="left")
    counts = np.searchsorted(ordered, many.codes, side="right") - start
    rows = np.repeat(np.arange(len(many.codes)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, order[np.repeat(start, counts) + within], bool((counts == 1).all())


def _check_pairs(codes: Ints, present: Bools, keys: Sequence[Labels]) -> None:
    """One-to-one: at most one result per match group and step."""
    if np.bincount(codes).max(initial=0) <= 1:
        return
    groups, inverse = np.unique(codes, return_inverse=True)
    counts = np.stack([np.bincount(inverse[row], minlength=len(groups)) for row in present])
    bad = np.flatnonzero((counts > 1).any(axis=0))
    if len(bad):
        raise execution_error(
            f"multiple matches for labels {show(keys[int(groups[bad[0]])])}: many-to-one matching must be explicit"
            " (group_left/group_right)"
        )


def _joined_labels(
    many: SeriesSet, one: SeriesSet, rows: Ints, columns: Ints, matching: Matching, *, renamed: bool
) -> SeriesSet:
    """The labels of the result: those of the many side, without or with what the matching says."""
    named = frozenset(matching.labels)
    base = many.pick(rows, repeated=True)
    everywhere = np.ones(len(rows), np.bool_)
    if matching.include:
        return Mapped(
            len(rows),
            lambda at: _result_labels(
                many.at(int(rows[at])), one.at(int(columns[at])), matching, changes_name=renamed
            ),
        )
    if matching.many:
        return Trimmed(base, IDENTITY.__contains__, everywhere) if renamed else base

    def gone(name: str) -> bool:
        return (renamed and name in IDENTITY) or (name in named) != matching.on

    return Trimmed(base, gone, everywhere)


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
