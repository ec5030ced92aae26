"""Aggregations: all steps of a group at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import blake2b
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from monitor.metrics.interface import Bools, Floats, Ints, Labels
from monitor.metrics.promql import notes
from monitor.metrics.promql.memo import LabelMemo
from monitor.metrics.promql.nodes import Aggregate
from monitor.metrics.promql.quantile import quantile_of
from monitor.metrics.promql.values import (
    NAME,
    Context,
    Table,
    Value,
    compact,
    distinct,
    execution_error,
    pick,
    scalar_of,
    text_of,
)

_LARGEST = np.finfo(np.float64).max
_MOST_NOTES = 10


def group_key(labels: Labels, names: frozenset[str], *, by: bool) -> Labels:
    """The labels of the group a series belongs to."""
    if by:
        return tuple(item for item in labels if item[0] in names)
    return tuple(item for item in labels if item[0] not in names and item[0] != NAME)


class Groups:
    """Columns sorted by group, so that a group is a slice."""

    __slots__ = ("codes", "dropped", "labels", "order", "present", "starts", "values")

    def __init__(self, table: Table, node: Aggregate, memo: LabelMemo) -> None:
        names = frozenset(node.labels)

        def work_out() -> tuple[list[Labels], Ints, Ints, Ints]:
            labels, codes = distinct(group_key(item, names, by=node.by) for item in table.labels)
            order = np.argsort(codes, kind="stable")
            return labels, codes, order, np.searchsorted(codes[order], np.arange(len(labels)))

        found = memo.of(("group", node.by, names), table.labels, work_out)
        self.labels, self.codes, self.order, self.starts = found
        self.values: Floats = table.values[:, self.order]
        self.present: Bools = table.present[:, self.order]
        self.dropped: Bools = np.zeros(len(self.labels), np.bool_)
        np.logical_or.at(self.dropped, self.codes, table.dropped)

    def counts(self) -> Ints:
        """Values in each group [s, g]."""
        return np.add.reduceat(self.present.astype(np.int64), self.starts, axis=1)

    def members(self) -> list[Ints]:
        """The columns of each group, as positions in the table."""
        return np.split(self.order, self.starts[1:])

    def slices(self) -> list[slice]:
        """The columns of each group, as positions in `values`."""
        stops = [*self.starts[1:].tolist(), len(self.order)]
        return [slice(a, b) for a, b in zip(self.starts.tolist(), stops, strict=True)]


def _extended_sum(groups: Groups) -> npt.NDArray[np.longdouble]:
    """Sums in extended precision; where terms cancel out, exact sums instead [s, g]."""
    terms = np.where(groups.present, groups.values, 0.0)
    total = np.add.reduceat(terms.astype(np.longdouble), groups.starts, axis=1)
    gross = np.add.reduceat(np.abs(terms).astype(np.longdouble), groups.starts, axis=1)
    doubtful = np.isfinite(gross) & (np.abs(total) < 0.5 * gross) & (gross < _LARGEST)
    slices = groups.slices()
    for step, group in zip(*np.nonzero(doubtful), strict=True):
        total[step, group] = math.fsum(terms[step, slices[group]].tolist())
    return total


def _sum(groups: Groups) -> Floats:
    return _extended_sum(groups).astype(np.float64)


def _avg(groups: Groups) -> Floats:
    return (_extended_sum(groups) / groups.counts()).astype(np.float64)


def _min(groups: Groups) -> Floats:
    return np.fmin.reduceat(np.where(groups.present, groups.values, np.nan), groups.starts, axis=1)


def _max(groups: Groups) -> Floats:
    return np.fmax.reduceat(np.where(groups.present, groups.values, np.nan), groups.starts, axis=1)


def _count(groups: Groups) -> Floats:
    return groups.counts().astype(np.float64)


def _group(groups: Groups) -> Floats:
    return np.ones((groups.values.shape[0], len(groups.labels)))


def _stdvar(groups: Groups) -> Floats:
    counts = groups.counts()
    mean = _extended_sum(groups) / counts
    centre = np.repeat(mean, np.diff([*groups.starts.tolist(), len(groups.order)]), axis=1)
    square = np.where(groups.present, (groups.values - centre) ** 2, 0)
    return (np.add.reduceat(square, groups.starts, axis=1) / counts).astype(np.float64)


def _stddev(groups: Groups) -> Floats:
    return np.sqrt(_stdvar(groups))


_SIMPLE: Mapping[str, Callable[[Groups], Floats]] = MappingProxyType(
    {
        "sum": _sum,
        "avg": _avg,
        "min": _min,
        "max": _max,
        "count": _count,
        "group": _group,
        "stddev": _stddev,
        "stdvar": _stdvar,
    }
)


def aggregate(context: Context, node: Aggregate, table: Table, param: Value | None) -> Table:
    """One aggregation over a table."""
    table = compact(table)
    if node.op in ("topk", "bottomk"):
        return _extremes(context, node, table, param)
    if node.op in ("limitk", "limit_ratio"):
        return _LIMITS[node.op](context, node, table, scalar_of(param if param is not None else ""))
    if not len(table.labels):
        return table
    if node.op == "count_values":
        return _count_values(node, table, param)
    groups = Groups(table, node, context.memo)
    values = _quantile(context, node, groups, param) if node.op == "quantile" else _SIMPLE[node.op](groups)
    return Table(groups.labels, values, groups.counts() > 0, groups.dropped)


def _quantile(context: Context, node: Aggregate, groups: Groups, param: Value | None) -> Floats:
    wanted = scalar_of(param if param is not None else "")
    for value in np.unique(wanted[~((wanted >= 0) & (wanted <= 1))]).tolist()[:_MOST_NOTES]:
        notes.quantile_out_of_range(context.budget.report, value, node.param_place)
    values = np.zeros((groups.values.shape[0], len(groups.labels)))
    for column, members in enumerate(groups.slices()):
        context.budget.check()
        values[:, column] = quantile_of(wanted, groups.values[:, members].T, groups.present[:, members].T)
    return values


def _extremes(context: Context, node: Aggregate, table: Table, param: Value | None) -> Table:
    """topk and bottomk: columns stay as they are, all but the k best of each group vanish."""
    limits = scalar_of(param if param is not None else "")
    if bool(np.isnan(limits).any()):
        raise execution_error("Parameter value is NaN")
    if not len(table.labels):
        return table
    limits = np.clip(limits, 0, len(table.labels)).astype(np.int64)
    # NaN is the worst value both ways; equal values keep their order.
    keys = -table.values if node.op == "topk" else table.values
    kept = np.zeros(table.present.shape, np.bool_)
    order: list[int] = []
    for members in Groups(table, node, context.memo).members():
        context.budget.check()
        for step in range(len(limits)):
            here = members[table.present[step, members]]
            best = here[np.argsort(keys[step, here], kind="stable")][: limits[step]]
            kept[step, best] = True
            order.extend(best.tolist() if len(limits) == 1 else ())
    result = Table(table.labels, table.values, table.present & kept, table.dropped)
    return pick(result, np.array(order, np.int64)) if len(limits) == 1 else compact(result)


def _limitk(context: Context, node: Aggregate, table: Table, limits: Floats) -> Table:
    """The first k series of each group, in the order they come."""
    if bool(np.isnan(limits).any()):
        raise execution_error("Parameter value is NaN")
    if not len(table.labels):
        return table
    groups = Groups(table, node, context.memo)
    there = groups.present.astype(np.int64)
    place = np.cumsum(there, axis=1)
    before: Ints = place[:, groups.starts] - there[:, groups.starts]
    place -= np.repeat(before, np.diff([*groups.starts.tolist(), len(groups.order)]), axis=1)
    kept = np.zeros(table.present.shape, np.bool_)
    most = np.clip(limits, 0, len(table.labels)).astype(np.int64)
    kept[:, groups.order] = groups.present & (place <= most[:, None])
    return compact(replace(table, present=kept))


def _limit_ratio(context: Context, node: Aggregate, table: Table, ratios: Floats) -> Table:
    """A share of the series, always the same ones; a negative ratio takes what 1 + ratio leaves."""
    if bool(np.isnan(ratios).any()):
        raise execution_error("Ratio value is NaN")
    for value, used in ((float(ratios.max()), 1.0), (float(ratios.min()), -1.0)):
        if abs(value) > 1 and value * used > 0:
            notes.ratio_out_of_range(context.budget.report, value, used, node.param_place)
    lots = context.memo.of("lots", table.labels, lambda: np.array([_lot(item) for item in table.labels]))
    ratio = np.clip(ratios, -1, 1)[:, None]
    chosen = np.where(ratio >= 0, lots < ratio, lots >= 1 + ratio)
    return compact(replace(table, present=table.present & chosen))


def _lot(labels: Labels) -> float:
    """A number in [0, 1) drawn from a label set. Not the hash Prometheus takes: which series is left open there."""
    text = "\x00".join(part for item in labels for part in item)
    return int.from_bytes(blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48


_LIMITS: Mapping[str, Callable[[Context, Aggregate, Table, Floats], Table]] = MappingProxyType(
    {"limitk": _limitk, "limit_ratio": _limit_ratio}
)


def _count_values(node: Aggregate, table: Table, param: Value | None) -> Table:
    name = text_of(param if param is not None else np.zeros(0))
    if not name:
        raise execution_error('invalid label name ""')
    names = frozenset(node.labels)
    index: dict[Labels, int] = {}
    cells: dict[tuple[int, int], int] = {}
    dropped: dict[int, bool] = {}
    for column, labels in enumerate(table.labels):
        key = [item for item in group_key(labels, names, by=node.by) if item[0] != name]
        for step in np.flatnonzero(table.present[:, column]).tolist():
            text = plain_number(float(table.values[step, column]))
            target = index.setdefault(tuple(sorted([*key, (name, text)])), len(index))
            cells[step, target] = cells.get((step, target), 0) + 1
            dropped[target] = dropped.get(target, False) or bool(table.dropped[column])
    values = np.zeros((table.values.shape[0], len(index)))
    for (step, target), count in cells.items():
        values[step, target] = count
    return Table(list(index), values, values > 0, np.array([dropped[i] for i in range(len(index))], np.bool_))


def plain_number(value: float) -> str:
    """A number without exponent, shortest digits, as Go's FormatFloat(v, 'f', -1, 64)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(np.format_float_positional(value, trim="-"))
