"""Parts of a date, UTC: year, month, day_of_month, day_of_week, day_of_year, days_in_month, hour, minute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from monitor.metrics.interface import Floats, Ints
from monitor.metrics.promql.functions.signature import Function
from monitor.metrics.promql.nodes import Call
from monitor.metrics.promql.values import Context, Table, Value, table_of, with_dropped_names
from monitor.metrics.series import Listed

Moments = npt.NDArray[np.datetime64]


def _calendar(part: Callable[[Moments], Ints]) -> Function:
    def apply(context: Context, call: Call, args: Sequence[Value]) -> Table:
        table = table_of(args[0]) if args else _now(context)
        known = np.isfinite(table.values)
        moments = np.where(known, table.values, 0).astype(np.int64).astype("datetime64[s]")
        values: Floats = np.where(known, part(moments).astype(np.float64), np.nan)
        return with_dropped_names(replace(table, values=values))

    return Function(apply)


def _now(context: Context) -> Table:
    values = (context.steps / 1000)[:, None]
    return Table(Listed([()]), values, np.ones(values.shape, np.bool_), np.zeros(1, np.bool_))


def _since(moments: Moments, whole: str, unit: str) -> Ints:
    start = moments.astype(f"datetime64[{whole}]").astype(f"datetime64[{unit}]")
    return np.asarray((moments.astype(f"datetime64[{unit}]") - start).astype(np.int64))


def _year(moments: Moments) -> Ints:
    return moments.astype("datetime64[Y]").astype(np.int64) + 1970


def _month(moments: Moments) -> Ints:
    return _since(moments, "Y", "M") + 1


def _days_in_month(moments: Moments) -> Ints:
    month = moments.astype("datetime64[M]")
    length = (month + np.timedelta64(1, "M")).astype("datetime64[D]") - month.astype("datetime64[D]")
    return np.asarray(length.astype(np.int64))


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "year": _calendar(_year),
        "month": _calendar(_month),
        "day_of_month": _calendar(lambda moments: _since(moments, "M", "D") + 1),
        "day_of_year": _calendar(lambda moments: _since(moments, "Y", "D") + 1),
        # 1970-01-01 was a Thursday; Sunday is 0.
        "day_of_week": _calendar(lambda moments: (moments.astype("datetime64[D]").astype(np.int64) + 4) % 7),
        "days_in_month": _calendar(_days_in_month),
        "hour": _calendar(lambda moments: _since(moments, "D", "h")),
        "minute": _calendar(lambda moments: _since(moments, "h", "m")),
    }
)
