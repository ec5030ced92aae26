"""What a query tells besides its result, in Prometheus's words, so that dashboards and people recognise it."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import numpy as np

from monitor.metrics.interface import QueryReport

_MONOTONICITY = (
    "input to histogram_quantile needed to be fixed for monotonicity "
    "(see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
)


def number(value: float) -> str:
    """A number as Go's %g writes it: shortest digits, an exponent below 1e-4 and from 1e6 on."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    size = 0 if value == 0 else Decimal(repr(value)).adjusted()
    if -4 <= size < 6:
        return repr(value).removesuffix(".0")
    return str(np.format_float_scientific(value, trim="-", exp_digits=2))


def quoted(text: str) -> str:
    """A text in double quotes, escaped."""
    return json.dumps(text, ensure_ascii=False)


def _at(place: str) -> str:
    return f" ({place})" if place else ""


def _of_metric(name: str) -> str:
    return f" for metric name {quoted(name)}" if name else ""


def quantile_out_of_range(report: QueryReport, wanted: float, place: str) -> None:
    """A quantile is NaN or outside 0 to 1."""
    report.warn(f"PromQL warning: quantile value should be between 0 and 1, got {number(wanted)}{_at(place)}")


def ratio_out_of_range(report: QueryReport, wanted: float, used: float, place: str) -> None:
    """A ratio is outside -1 to 1."""
    report.warn(
        f"PromQL warning: ratio value should be between -1 and 1, got {number(wanted)}, "
        f"capping to {number(used)}{_at(place)}"
    )


def bad_bucket_label(report: QueryReport, bound: str, name: str, place: str) -> None:
    """A series of a classic histogram has no readable `le`."""
    report.warn(
        f'PromQL warning: bucket label "le" is missing or has a malformed value of {quoted(bound)}'
        f"{_of_metric(name)}{_at(place)}"
    )


def useless_sort(report: QueryReport, place: str) -> None:
    """A sort inside a range query."""
    report.warn(
        "PromQL warning: sort is ineffective for range queries since results are always ordered by labels"
        f"{_at(place)}"
    )


def possible_non_counter(report: QueryReport, name: str, place: str) -> None:
    """A rate of something that is not named as a counter."""
    report.inform(
        "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
        f"{quoted(name)}{_at(place)}"
    )


def forced_monotonicity(report: QueryReport, name: str, place: str) -> None:
    """Buckets of a classic histogram fell from one bound to the next."""
    report.inform(f"PromQL info: {_MONOTONICITY}{_of_metric(name)}{_at(place)}")
