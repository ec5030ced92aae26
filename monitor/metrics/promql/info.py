"""`info()`: series take over labels of the info series (`target_info` and the like) of the same instance and job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.metrics.interface import Ints, Labels, Matcher
from monitor.metrics.matching import predicate
from monitor.metrics.promql.nodes import Info
from monitor.metrics.promql.values import (
    NAME,
    Context,
    Table,
    alive,
    compact,
    execution_error,
    merge,
    pick,
    show,
)
from monitor.metrics.series import Joined, Listed

_IDENTIFYING = ("instance", "job")


def enriched(context: Context, node: Info, base: Table, source: Table) -> Table:
    """`base` with the labels of the info series; the values of `source` are the times of its samples, in seconds."""
    base, source = alive(base), alive(source)
    names = [matcher for matcher in node.source.matchers if matcher.name == NAME]
    is_info = {name: _accepts(names, name) for name in {_value(labels, NAME) for labels in base.labels}}
    plain = [column for column, labels in enumerate(base.labels) if not is_info[_value(labels, NAME)]]
    targets: dict[Labels, list[int]] = {}
    for column in plain:
        targets.setdefault(_target(base.labels[column]), []).append(column)
    known = _by_target(_relevant(source, list(targets)))
    drops = any(not _accepts([matcher], "") for matcher in node.data)
    wanted = frozenset(matcher.name for matcher in node.data)
    as_they_are = np.setdiff1d(np.arange(len(base.labels)), plain)
    parts = [pick(base, as_they_are)]
    for target, columns in targets.items():
        context.budget.check()
        parts += [
            _with_labels(base, np.array(columns, np.int64), choice, wanted)
            for choice in _choices(known.get(target, []), base.values.shape[0])
            if choice.labels or not drops
        ]
    return merge(compact(_beside(parts)))


@dataclass(frozen=True, slots=True)
class _Choice:
    """At the steps of `rows`, the info series to take labels from."""

    rows: Ints
    labels: tuple[Labels, ...]


def _accepts(matchers: Sequence[Matcher], value: str) -> bool:
    return all(predicate(matcher)(value) for matcher in matchers)


def _value(labels: Labels, name: str) -> str:
    return next((value for key, value in labels if key == name), "")


def _target(labels: Labels) -> Labels:
    return tuple(item for item in labels if item[0] in _IDENTIFYING)


def _relevant(source: Table, targets: Sequence[Labels]) -> Table:
    """The info series of the targets: with one of their values of each identifying label they have."""
    values: dict[str, set[str]] = {}
    for target in targets:
        for name, value in target:
            values.setdefault(name, set()).add(value)
    columns = [
        column
        for column, labels in enumerate(source.labels)
        if values and all(_value(labels, name) in known for name, known in values.items())
    ]
    return pick(source, np.array(columns, np.int64))


def _by_target(source: Table) -> Mapping[Labels, list[tuple[Sequence[Labels], Ints]]]:
    """For each target and info metric: its series, and which of them is the newest at each step (-1: none)."""
    groups: dict[Labels, dict[str, list[int]]] = {}
    for column, labels in enumerate(source.labels):
        groups.setdefault(_target(labels), {}).setdefault(_value(labels, NAME), []).append(column)
    return {
        target: [
            ([source.labels[i] for i in columns], _newest(source, columns)) for columns in metrics.values()
        ]
        for target, metrics in groups.items()
    }


def _newest(source: Table, columns: list[int]) -> Ints:
    times = np.where(source.present[:, columns], source.values[:, columns], -np.inf)
    best = times.argmax(axis=1)
    top = times[np.arange(len(best)), best]
    some = top > -np.inf
    twins = (times == top[:, None]) & some[:, None]
    clash = np.flatnonzero(twins.sum(axis=1) > 1)
    if len(clash):
        one, two = np.flatnonzero(twins[clash[0]])[:2].tolist()
        at = round(float(top[clash[0]]) * 1000)
        shown = (show(source.labels[columns[place]]) for place in (one, two))
        existing, new = (f"{text} @ {at}" for text in shown)
        raise execution_error(f"found duplicate series for info metric: existing {existing}, new {new}")
    return np.where(some, best, -1)


def _choices(metrics: Sequence[tuple[Sequence[Labels], Ints]], steps: int) -> list[_Choice]:
    """The different combinations of info series over the steps."""
    if not metrics:
        return [_Choice(np.arange(steps), ())]
    chosen = np.stack([newest for _, newest in metrics], axis=1)
    if bool((chosen == chosen[0]).all()):
        combinations, codes = chosen[:1], np.zeros(steps, np.int64)
    else:
        combinations, codes = np.unique(chosen, axis=0, return_inverse=True)
    return [
        _Choice(
            np.flatnonzero(codes.ravel() == code),
            tuple(series[i] for (series, _), i in zip(metrics, row, strict=True) if i >= 0),
        )
        for code, row in enumerate(combinations.tolist())
    ]


def _with_labels(base: Table, columns: Ints, choice: _Choice, wanted: frozenset[str]) -> Table:
    found: dict[str, dict[str, None]] = {}
    for labels in choice.labels:
        for name, value in labels:
            if name != NAME and (not wanted or name in wanted):
                found.setdefault(name, {})[value] = None
    part = pick(base, columns)
    labels_of = []
    for labels in part.labels:
        extra = {name: values for name, values in found.items() if not _value(labels, name)}
        for name, values in extra.items():
            if len(values) > 1:
                raise execution_error(f"conflicting label: {name}")
        labels_of.append(
            tuple(sorted([*labels, *((name, next(iter(values))) for name, values in extra.items())]))
        )
    present = np.zeros(part.present.shape, np.bool_)
    present[choice.rows] = part.present[choice.rows]
    return Table(Listed(labels_of), part.values, present, part.dropped)


def _beside(parts: Sequence[Table]) -> Table:
    return Table(
        Joined([part.labels for part in parts]),
        np.concatenate([part.values for part in parts], axis=1),
        np.concatenate([part.present for part in parts], axis=1),
        np.concatenate([part.dropped for part in parts]),
    )
