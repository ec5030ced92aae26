"""Classic histograms (`le` buckets): histogram_quantile, histogram_quantiles, histogram_fraction.

histogram_count, _sum, _avg, _stddev and _stdvar are of native histograms only; of floats they give nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from monitor.metrics.interface import Bools, Floats, Ints, Labels
from monitor.metrics.promql import notes
from monitor.metrics.promql.functions import buckets
from monitor.metrics.promql.functions.signature import Function
from monitor.metrics.promql.nodes import Call
from monitor.metrics.promql.values import (
    NAME,
    Context,
    Table,
    Value,
    compact,
    empty,
    execution_error,
    merge,
    scalar_of,
    table_of,
    text_of,
)
from monitor.metrics.series import Joined, Listed, SeriesSet

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|inf|infinity)", re.IGNORECASE)
_MOST_NOTES = 10


@dataclass(frozen=True, slots=True)
class _Layout:
    """Histograms with the same bounds: `columns` [g, k] in ascending order of bounds, `place` their numbers in
    the result. `bounds` are the different ones, `starts` [bounds] where the columns of each begin.
    """

    bounds: Floats
    starts: Ints
    columns: Ints
    place: Ints


@dataclass(frozen=True, slots=True)
class _Histograms:
    """What label sets alone tell: the result's label sets, their metric, and columns that are no bucket."""

    labels: SeriesSet
    first: list[int]
    layouts: list[_Layout]
    odd: list[int]


def _histograms(labels: Sequence[Labels]) -> _Histograms:
    groups: dict[Labels, list[tuple[float, int]]] = {}
    odd = []
    for column, item in enumerate(labels):
        text = next((value for name, value in item if name == "le"), "")
        if _NUMBER.fullmatch(text):
            key = tuple(pair for pair in item if pair[0] != "le")
            groups.setdefault(key, []).append((float(text), column))
        else:
            odd.append(column)
    alike: dict[tuple[float, ...], list[tuple[int, list[int]]]] = {}
    for place, members in enumerate(groups.values()):
        members.sort()
        alike.setdefault(tuple(bound for bound, _ in members), []).append((place, [i for _, i in members]))
    first = [min(column for _, column in members) for members in groups.values()]
    return _Histograms(Listed(groups), first, [_layout(*item) for item in alike.items()], odd)


def _layout(bounds: tuple[float, ...], members: list[tuple[int, list[int]]]) -> _Layout:
    different, starts = np.unique(np.array(bounds), return_index=True)
    columns = np.array([columns for _, columns in members], np.int64)
    return _Layout(different, starts, columns, np.array([place for place, _ in members], np.int64))


Judge = Callable[[Ints, Floats, Floats], tuple[Floats, Bools]]
"""(step of each cell, counts [cells, bounds], bounds) to values and whether the buckets had to be mended [cells]."""


def _judged(context: Context, table: Table, call: Call, argument: int, judge: Judge) -> Table:
    """A value for every histogram and step that has any bucket; `argument` is where the buckets come from."""
    found = table.labels.remembered("histograms", lambda: _histograms(table.labels))
    steps = table.present.shape[0]
    values = np.zeros((steps, len(found.labels)))
    present = np.zeros(values.shape, np.bool_)
    mended = np.zeros(len(found.labels), np.bool_)
    for layout in found.layouts:
        context.budget.check()
        shape = (steps, *layout.columns.shape)
        context.budget.room(24 * math.prod(shape))
        counts, there = _cells(table, layout, shape)
        value, was_mended = _by_pattern(counts, there, layout, judge)
        values[:, layout.place] = value.reshape(shape[:2])
        present[:, layout.place] = there.any(axis=1).reshape(shape[:2])
        mended[layout.place] |= was_mended.reshape(shape[:2]).any(axis=0)
    place = call.place_of(argument)
    for number in np.flatnonzero(mended)[:_MOST_NOTES].tolist():
        notes.forced_monotonicity(context.budget.report, _metric(table, found.first[number]), place)
    for column in [i for i in found.odd[: 10 * _MOST_NOTES] if table.present[:, i].any()][:_MOST_NOTES]:
        bound = dict(table.labels[column]).get("le", "")
        notes.bad_bucket_label(context.budget.report, bound, _metric(table, column), place)
    return compact(Table(found.labels, values, present, np.ones(len(found.labels), np.bool_)))


def _metric(table: Table, column: int) -> str:
    return "" if table.dropped[column] else dict(table.labels[column]).get(NAME, "")


def _cells(table: Table, layout: _Layout, shape: tuple[int, ...]) -> tuple[Floats, Bools]:
    """Counts and presence of each bound [cells, bounds], equal bounds added up; cells go step by step."""
    flat = layout.columns.ravel()
    there = table.present[:, flat].reshape(-1, shape[2])
    counts = np.where(there, table.values[:, flat].reshape(-1, shape[2]), 0.0)
    if len(layout.bounds) < shape[2]:
        counts = np.add.reduceat(counts, layout.starts, axis=1)
        there = np.logical_or.reduceat(there, layout.starts, axis=1)
    return counts, there


def _by_pattern(counts: Floats, there: Bools, layout: _Layout, judge: Judge) -> tuple[Floats, Bools]:
    """Judge the cells with the same buckets together: a bucket without a sample is no bucket."""
    groups = len(layout.place)
    step = np.arange(len(counts)) // max(groups, 1)
    if bool(there.all()):
        return judge(step, counts, layout.bounds)
    values, mended = np.zeros(len(counts)), np.zeros(len(counts), np.bool_)
    patterns, codes = np.unique(np.packbits(there, axis=1), axis=0, return_inverse=True)
    for code, packed in enumerate(patterns):
        pattern = np.unpackbits(packed, count=len(layout.bounds)).astype(np.bool_)
        if bool(pattern.any()):
            cells = np.flatnonzero(codes.ravel() == code)
            values[cells], mended[cells] = judge(
                step[cells], counts[cells][:, pattern], layout.bounds[pattern]
            )
    return values, mended


def _quantile_of(
    context: Context, table: Table, call: Call, argument: int, wanted: Floats, place: str
) -> Table:
    for value in np.unique(wanted[~((wanted >= 0) & (wanted <= 1))]).tolist()[:_MOST_NOTES]:
        notes.quantile_out_of_range(context.budget.report, value, place)

    def judge(step: Ints, counts: Floats, bounds: Floats) -> tuple[Floats, Bools]:
        return buckets.quantile(wanted[step], counts, bounds)

    return _judged(context, table, call, argument, judge)


def _histogram_quantile(context: Context, call: Call, args: Sequence[Value]) -> Table:
    return _quantile_of(context, table_of(args[1]), call, 1, scalar_of(args[0]), call.place_of(0))


def _histogram_quantiles(context: Context, call: Call, args: Sequence[Value]) -> Table:
    """Several quantiles at once, told apart by a label."""
    table, name = table_of(args[0]), text_of(args[1])
    if not name:
        raise execution_error('invalid label name ""')
    parts = []
    for number, arg in enumerate(args[2:], start=2):
        wanted = scalar_of(arg)
        part = _quantile_of(context, table, call, 0, wanted, call.place_of(number))
        # A quantile that changes with the step is another label value at each.
        for value in np.unique(wanted).tolist():
            same = np.isnan(wanted) if math.isnan(value) else wanted == value
            labels = Listed(_with(item, name, _open_metrics(value)) for item in part.labels)
            parts.append(Table(labels, part.values, part.present & same[:, None], part.dropped))
    joined = Table(
        Joined([part.labels for part in parts]),
        np.concatenate([part.values for part in parts], axis=1),
        np.concatenate([part.present for part in parts], axis=1),
        np.concatenate([part.dropped for part in parts]),
    )
    return merge(compact(joined))


def _with(labels: Labels, name: str, value: str) -> Labels:
    return tuple(sorted([*(item for item in labels if item[0] != name), (name, value)]))


def _open_metrics(value: float) -> str:
    """A number as OpenMetrics writes it: always with a point or an exponent."""
    text = notes.number(value)
    return text if not math.isfinite(value) or "." in text or "e" in text else f"{text}.0"


def _histogram_fraction(context: Context, call: Call, args: Sequence[Value]) -> Table:
    lower, upper = scalar_of(args[0]), scalar_of(args[1])

    def judge(step: Ints, counts: Floats, bounds: Floats) -> tuple[Floats, Bools]:
        return buckets.fraction(lower[step], upper[step], counts, bounds), np.zeros(len(counts), np.bool_)

    return _judged(context, table_of(args[2]), call, 2, judge)


def _of_native_only(context: Context, call: Call, args: Sequence[Value]) -> Table:
    return empty(len(context.steps))


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "histogram_quantile": Function(_histogram_quantile),
        "histogram_quantiles": Function(_histogram_quantiles),
        "histogram_fraction": Function(_histogram_fraction),
        **{
            f"histogram_{part}": Function(_of_native_only)
            for part in ("count", "sum", "avg", "stddev", "stdvar")
        },
    }
)
