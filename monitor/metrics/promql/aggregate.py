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
from monitor.metrics.promql.grouping import partition
from monitor.metrics.promql.nodes import Aggregate
from monitor.metrics.promql.quantile import quantile_of
from monitor.metrics.promql.values import (
    Context,
    Table,
    Value,
    compact,
    execution_error,
    pick,
    scalar_of,
    text_of,
)
from monitor.metrics.series import Dictionary, Listed

_LARGEST = np.finfo(np.float64).max
_MOST_NOTES = 10
_BYTES_OF_A_COUNTED_CELL = 8 * 8  # value, bits, step, column, group, and codes while they are sorted


class Groups:
    """The columns of a table by group; `labels` [g] names the groups, `codes` [n] says which one a column is in."""

    __slots__ = ("_table", "codes", "counts", "dropped", "labels", "order", "starts")

    def __init__(self, table: Table, node: Aggregate, dictionary: Dictionary) -> None:
        names = frozenset(node.labels)
        labels = table.labels

        def work_out() -> tuple[Listed, Ints, Ints, Ints]:
            keys, codes = partition([labels], names, dictionary, keep=node.by)
            order = np.argsort(codes, kind="stable")
            return Listed(keys), codes, order, np.searchsorted(codes[order], np.arange(len(keys)))

        found = labels.remembered(("group", node.by, names), work_out)
        self.labels, self.codes, self.order, self.starts = found
        self._table = table
        self.counts: Ints = self.added(table.present)
        if bool(table.dropped.all()) or not bool(table.dropped.any()):
            self.dropped: Bools = np.full(len(self.labels), bool(table.dropped.any()))
        else:
            self.dropped = np.zeros(len(self.labels), np.bool_)
            np.logical_or.at(self.dropped, self.codes, table.dropped)

    def added(self, flags: Bools) -> Ints:
        """How many columns of each group are marked, [s, n] to [s, g]."""
        size = len(self.labels)
        if bool(flags.all()):
            whole = self._table.labels.remembered(
                ("group sizes", id(self.codes)), lambda: (np.bincount(self.codes, minlength=size), self.codes)
            )
            return np.broadcast_to(whole[0], (len(flags), size))
        return np.stack([np.bincount(self.codes[row], minlength=size) for row in flags])

    @property
    def values(self) -> Floats:
        """The values with the columns sorted by group, so that a group is a slice."""
        return self._table.values[:, self.order]

    @property
    def present(self) -> Bools:
        """The presence in the order of `values`."""
        return self._table.present[:, self.order]

    def plain_sum(self) -> Floats | None:
        """Sums [s, g] of finite terms that cannot cancel out, being all of one sign; None when they may."""
        table = self._table
        terms = table.values if bool(table.present.all()) else np.where(table.present, table.values, 0.0)
        lowest, highest = terms.min(initial=0.0), terms.max(initial=0.0)
        if not (np.isfinite(lowest) and np.isfinite(highest) and (lowest >= 0 or highest <= 0)):
            return None
        size = len(self.labels)
        sums: Floats = np.stack(
            [np.bincount(self.codes, row, minlength=size).astype(np.float64, copy=False) for row in terms]
        )
        return sums if bool(np.isfinite(sums).all()) else None

    def members(self) -> list[Ints]:
        """The columns of each group, as positions in the table."""
        return np.split(self.order, self.starts[1:])

    def slices(self) -> list[slice]:
        """The columns of each group, as positions in `values`."""
        stops = [*self.starts[1:].tolist(), len(self.order)]
        return [slice(a, b) for a, b in zip(self.starts.tolist(), stops, strict=True)]


def _extended_sum(groups: Groups) -> npt.NDArray[np.longdouble]:
    """Sums in extended precision; where terms cancel out, exact sums instead [s, g]."""
    terms: Floats = np.where(groups.present, groups.values, 0.0)
    total = np.add.reduceat(terms.astype(np.longdouble), groups.starts, axis=1)
    gross = np.add.reduceat(np.abs(terms).astype(np.longdouble), groups.starts, axis=1)
    doubtful = np.isfinite(gross) & (np.abs(total) < 0.5 * gross) & (gross < _LARGEST)
    slices = groups.slices()
    for step, group in zip(*np.nonzero(doubtful), strict=True):
        total[step, group] = math.fsum(terms[step, slices[group]].tolist())
    return total


def _sum(groups: Groups) -> Floats:
    plain = groups.plain_sum()
    return _extended_sum(groups).astype(np.float64) if plain is None else plain


def _avg(groups: Groups) -> Floats:
    plain = groups.plain_sum()
    return (
        (_extended_sum(groups) / groups.counts).astype(np.float64) if plain is None else plain / groups.counts
    )


def _min(groups: Groups) -> Floats:
    return np.fmin.reduceat(np.where(groups.present, groups.values, np.nan), groups.starts, axis=1)


def _max(groups: Groups) -> Floats:
    return np.fmax.reduceat(np.where(groups.present, groups.values, np.nan), groups.starts, axis=1)


def _count(groups: Groups) -> Floats:
    return groups.counts.astype(np.float64)


def _group(groups: Groups) -> Floats:
    return np.ones(groups.counts.shape)


def _stdvar(groups: Groups) -> Floats:
    counts = groups.counts
    mean = _extended_sum(groups) / counts
    values, present = groups.values, groups.present
    centre = np.repeat(mean, np.diff([*groups.starts.tolist(), len(groups.order)]), axis=1)
    square = np.where(present, (values - centre) ** 2, 0)
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
        return _count_values(context, node, table, param)
    groups = Groups(table, node, context.dictionary)
    values = _quantile(context, node, groups, param) if node.op == "quantile" else _SIMPLE[node.op](groups)
    return Table(groups.labels, values, groups.counts > 0, groups.dropped)


def _quantile(context: Context, node: Aggregate, groups: Groups, param: Value | None) -> Floats:
    wanted = scalar_of(param if param is not None else "")
    for value in np.unique(wanted[~((wanted >= 0) & (wanted <= 1))]).tolist()[:_MOST_NOTES]:
        notes.quantile_out_of_range(context.budget.report, value, node.param_place)
    values, present = groups.values, groups.present
    found = np.zeros(groups.counts.shape)
    for column, members in enumerate(groups.slices()):
        context.budget.check()
        found[:, column] = quantile_of(wanted, values[:, members].T, present[:, members].T)
    return found


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
    for members in Groups(table, node, context.dictionary).members():
        context.budget.check()
        for step in range(len(limits)):
            here = members[table.present[step, members]]
            best = _best(here, keys[step], int(limits[step]))
            kept[step, best] = True
            order.extend(best.tolist() if len(limits) == 1 else ())
    result = Table(table.labels, table.values, table.present & kept, table.dropped)
    return pick(result, np.array(order, np.int64)) if len(limits) == 1 else compact(result)


def _best(columns: Ints, keys: Floats, most: int) -> Ints:
    """The columns with the smallest keys, in that order; equal ones as they come, NaN last."""
    if 0 < most < len(columns) // 8:
        # All that are not worse than the last to be kept, and those alone are sorted.
        limit = np.partition(keys[columns], most - 1)[most - 1]
        columns = columns if np.isnan(limit) else columns[keys[columns] <= limit]
    return columns[np.argsort(keys[columns], kind="stable")][:most]


def _limitk(context: Context, node: Aggregate, table: Table, limits: Floats) -> Table:
    """The first k series of each group, in the order they come."""
    if bool(np.isnan(limits).any()):
        raise execution_error("Parameter value is NaN")
    if not len(table.labels):
        return table
    groups = Groups(table, node, context.dictionary)
    present = groups.present
    there = present.astype(np.int64)
    place = np.cumsum(there, axis=1)
    before: Ints = place[:, groups.starts] - there[:, groups.starts]
    place -= np.repeat(before, np.diff([*groups.starts.tolist(), len(groups.order)]), axis=1)
    kept = np.zeros(table.present.shape, np.bool_)
    most = np.clip(limits, 0, len(table.labels)).astype(np.int64)
    kept[:, groups.order] = present & (place <= most[:, None])
    return compact(replace(table, present=kept))


def _limit_ratio(context: Context, node: Aggregate, table: Table, ratios: Floats) -> Table:
    """A share of the series, always the same ones; a negative ratio takes what 1 + ratio leaves."""
    if bool(np.isnan(ratios).any()):
        raise execution_error("Ratio value is NaN")
    for value, used in ((float(ratios.max()), 1.0), (float(ratios.min()), -1.0)):
        if abs(value) > 1 and value * used > 0:
            notes.ratio_out_of_range(context.budget.report, value, used, node.param_place)
    lots = table.labels.remembered("lots", lambda: np.array([_lot(item) for item in table.labels]))
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


def _count_values(context: Context, node: Aggregate, table: Table, param: Value | None) -> Table:
    """How often each value occurs in each group: values are told apart by their bits, as their texts would be."""
    name = text_of(param if param is not None else np.zeros(0))
    if not name:
        raise execution_error('invalid label name ""')
    names = frozenset(node.labels)
    counted = names - {name} if node.by else names | {name}
    groups, group = partition([table.labels], counted, context.dictionary, keep=node.by)
    step, column = np.nonzero(table.present)
    context.budget.room(_BYTES_OF_A_COUNTED_CELL * len(step))
    values = table.values[step, column]
    bits = np.where(np.isnan(values), np.nan, values).view(np.int64)
    different, code = np.unique(bits, return_inverse=True)
    pairs, place = np.unique(group[column] * len(different) + code, return_inverse=True)
    shape = (table.present.shape[0], len(pairs))
    context.budget.charge(shape[0] * shape[1])
    context.budget.room(2 * 8 * shape[0] * shape[1])
    counts = np.bincount(step * len(pairs) + place, minlength=shape[0] * shape[1]).reshape(shape)
    dropped = np.bincount(place, table.dropped[column], len(pairs)) > 0
    texts = [plain_number(value) for value in different.view(np.float64).tolist()]
    labels = [
        tuple(sorted([*groups[pair // len(texts)], (name, texts[pair % len(texts)])]))
        for pair in pairs.tolist()
    ]
    return Table(Listed(labels), counts.astype(np.float64), counts > 0, dropped)


def plain_number(value: float) -> str:
    """A number without exponent, shortest digits, as Go's FormatFloat(v, 'f', -1, 64)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(np.format_float_positional(value, trim="-"))
