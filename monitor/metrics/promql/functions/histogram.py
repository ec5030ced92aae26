"""Classic histograms (`le` buckets): histogram_quantile and histogram_fraction."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from monitor.metrics.interface import Labels
from monitor.metrics.promql.functions.signature import Function
from monitor.metrics.promql.nodes import Call
from monitor.metrics.promql.values import NAME, Context, Table, Value, compact, scalar_of, table_of

_SMALL_DELTA = 1e-12
Buckets = list[tuple[float, float]]


def _bound(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _histograms(table: Table) -> Mapping[Labels, list[tuple[int, float]]]:
    """Columns of each histogram with their upper bounds; columns without a readable `le` are left out."""
    groups: dict[Labels, list[tuple[int, float]]] = {}
    for column, labels in enumerate(table.labels):
        bound = _bound(dict(labels).get("le", ""))
        if bound is not None:
            key = tuple(item for item in labels if item[0] not in ("le", NAME))
            groups.setdefault(key, []).append((column, bound))
    return groups


def _buckets(table: Table, members: list[tuple[int, float]]) -> Iterator[tuple[int, Buckets]]:
    """For each step with data: (step, cumulative buckets sorted by bound, equal bounds added up)."""
    ordered = sorted(members, key=lambda member: member[1])
    for step in range(table.present.shape[0]):
        merged: dict[float, float] = {}
        for column, bound in ordered:
            if table.present[step, column]:
                merged[bound] = merged.get(bound, 0.0) + float(table.values[step, column])
        if merged:
            yield step, list(merged.items())


def _monotonic(buckets: Buckets) -> Buckets:
    """Counts never fall from bucket to bucket; differences within rounding are no differences."""
    fixed = [buckets[0]]
    before = buckets[0][1]
    for bound, count in buckets[1:]:
        close = abs(count - before) <= _SMALL_DELTA * (abs(count) + abs(before))
        if count != before and not close and not count < before:
            before = count
        fixed.append((bound, before))
    return fixed


def bucket_quantile(wanted: float, buckets: Buckets) -> float:
    """The quantile of a classic histogram, linear inside a bucket."""
    if math.isnan(wanted):
        return math.nan
    if not 0 <= wanted <= 1:
        return math.copysign(math.inf, wanted)
    if buckets[-1][0] != math.inf:
        return math.nan
    buckets = _monotonic(buckets)
    total = buckets[-1][1]
    if len(buckets) < 2 or total == 0 or math.isnan(total):
        return math.nan
    rank = wanted * total
    place = next((i for i, (_, count) in enumerate(buckets[:-1]) if count >= rank), len(buckets) - 1)
    if place == len(buckets) - 1:
        return buckets[-2][0]
    end, count = buckets[place]
    if place == 0 and end <= 0:
        return end
    start = 0.0
    if place:
        start, below = buckets[place - 1]
        count, rank = count - below, rank - below
    return start + (end - start) * (rank / count) if count else math.nan


def bucket_fraction(lower: float, upper: float, buckets: Buckets) -> float:
    """The share of observations between two values, linear inside a bucket."""
    total = buckets[-1][1]
    if buckets[-1][0] != math.inf or total == 0 or math.isnan(lower) or math.isnan(upper):
        return math.nan
    if lower >= upper:
        return 0.0
    return (_rank_of(upper, buckets) - _rank_of(lower, buckets)) / total


def _rank_of(value: float, buckets: Buckets) -> float:
    """How many observations are below a value."""
    below, start = 0.0, -math.inf
    for end, count in buckets:
        if start >= value:
            return below
        if end > value:
            if start == -math.inf:
                if end <= 0:
                    return count if value > -math.inf else 0.0
                start = 0.0
            share = max(value - start, 0.0) / (end - start)
            return below + (count - below) * share
        below, start = count, end
    return buckets[-1][1]


Judge = Callable[[int, Buckets], float]


def _each_histogram(context: Context, table: Table, judge: Judge) -> Table:
    groups = _histograms(table)
    values = np.zeros((table.present.shape[0], len(groups)))
    present = np.zeros(values.shape, np.bool_)
    for column, members in enumerate(groups.values()):
        context.budget.check()
        for step, buckets in _buckets(table, members):
            values[step, column] = judge(step, buckets)
            present[step, column] = True
    return compact(Table(list(groups), values, present, np.zeros(len(groups), np.bool_)))


def _histogram_quantile(context: Context, call: Call, args: Sequence[Value]) -> Table:
    wanted = scalar_of(args[0])

    def judge(step: int, buckets: Buckets) -> float:
        return bucket_quantile(float(wanted[step]), buckets)

    return _each_histogram(context, table_of(args[1]), judge)


def _histogram_fraction(context: Context, call: Call, args: Sequence[Value]) -> Table:
    lower, upper = scalar_of(args[0]), scalar_of(args[1])

    def judge(step: int, buckets: Buckets) -> float:
        return bucket_fraction(float(lower[step]), float(upper[step]), buckets)

    return _each_histogram(context, table_of(args[2]), judge)


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {"histogram_quantile": Function(_histogram_quantile), "histogram_fraction": Function(_histogram_fraction)}
)
