"""Charts of a device: the question each answers as PromQL, and the answer as JSON for the browser."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask_babel import lazy_gettext as _l

from dashboards.scope import backend
from monitor.model import Device

RANGES: Mapping[str, tuple[int, int]] = {
    "1h": (3600, 15),
    "6h": (21_600, 60),
    "24h": (86_400, 300),
    "7d": (604_800, 1800),
}
WEEK = 604_800


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. `expressions` name the lines; `{m}` is the label matcher, `{w}` the rate window in seconds."""

    key: str
    title: object
    question: object
    unit: str  # bps, percent, celsius, count or rate (a second)
    expressions: tuple[tuple[object, str], ...]
    low: float
    high: float | None
    threshold: float | None = None
    compared: int = 1  # how many of the lines are drawn for last week too


def _octets(direction: str) -> str:
    """Bit/s from the 64-bit counters, or from the old ones of an agent that has no others."""
    wide, narrow = f"ifHC{direction}Octets", f"if{direction}Octets"
    return f"sum(rate({wide}{{{{{{m}}}}}}[{{w}}s])) * 8 or sum(rate({narrow}{{{{{{m}}}}}}[{{w}}s])) * 8"


CHARTS = {
    "traffic": Chart(
        "traffic",
        _l("接口流量"),
        _l("够用吗？"),
        "bps",
        (
            (_l("入"), _octets("In")),
            (_l("出"), _octets("Out")),
        ),
        0,
        None,
    ),
    "port": Chart(
        "port",
        _l("流量"),
        _l("够用吗？"),
        "bps",
        (
            (_l("入"), _octets("In")),
            (_l("出"), _octets("Out")),
        ),
        0,
        None,
        compared=2,
    ),
    "errors": Chart(
        "errors",
        _l("错误与丢弃"),
        _l("线路干净吗？"),
        "rate",
        (
            (_l("入错误"), "sum(rate(ifInErrors{{{m}}}[{w}s]))"),
            (_l("出错误"), "sum(rate(ifOutErrors{{{m}}}[{w}s]))"),
            (_l("入丢弃"), "sum(rate(ifInDiscards{{{m}}}[{w}s]))"),
            (_l("出丢弃"), "sum(rate(ifOutDiscards{{{m}}}[{w}s]))"),
        ),
        0,
        None,
        1,
        compared=0,
    ),
    "cpu": Chart(
        "cpu",
        "CPU",
        _l("忙不过来吗？"),
        "percent",
        ((_l("平均"), "avg(device_cpu_ratio{{{m}}}) * 100"),),
        0,
        100,
        90,
    ),
    "memory": Chart(
        "memory",
        _l("内存"),
        _l("还剩多少？"),
        "percent",
        (
            (
                _l("已用"),
                (
                    "100 * sum(device_memory_used_bytes{{{m}}}) / sum(device_memory_size_bytes{{{m}}})"
                    " or 100 * max(device_memory_ratio{{{m}}})"
                ),
            ),
        ),
        0,
        100,
        90,
    ),
    "temperature": Chart(
        "temperature",
        _l("最高温度"),
        _l("过热吗？"),
        "celsius",
        ((_l("最高"), "max(device_sensor_celsius{{{m}}})"),),
        0,
        None,
    ),
    "sessions": Chart(
        "sessions",
        _l("会话数"),
        _l("有异常暴涨吗？"),
        "count",
        ((_l("并发"), "max(device_sessions{{{m}}})"),),
        0,
        None,
    ),
    "ups": Chart(
        "ups",
        _l("电量与负载"),
        _l("撑得住吗？"),
        "percent",
        (
            (_l("电量"), "min(ups_battery_charge_ratio{{{m}}}) * 100"),
            (_l("负载"), "max(ups_load_ratio{{{m}}}) * 100"),
        ),
        0,
        100,
        compared=0,
    ),
}


def quote(text: str) -> str:
    """A PromQL string literal."""
    return json.dumps(text, ensure_ascii=False)


def chart_data(
    chart: Chart,
    device: Device,
    span: str,
    own: Mapping[str, str] | None = None,
    threshold: float | None = None,
) -> dict[str, object]:
    """The lines of a chart over a range ending now, with the same hours a week ago.

    `own` are further labels to match (ifName, ifIndex); `threshold` takes the place of the chart's.
    """
    length, step = RANGES.get(span, RANGES["1h"])
    # Rounded up, so that a reading of a few seconds ago is already the last point.
    end = -(-backend().clock.now_ms() // 1000 // step) * step
    start = end - length
    matcher = ",".join(
        f"{name}={quote(value)}" for name, value in {"device": device.id, **(own or {})}.items()
    )
    times = list(range(start, end + 1, step))
    now, before = [], []
    for position, (name, expression) in enumerate(chart.expressions):
        asked = expression.format(m=matcher, w=max(300, step * 4))
        drawn = {"name": str(name), "color": f"--c-{position + 1}", "fill": position == 0}
        now.append({**drawn, "data": line(asked, times)})
        if position < chart.compared:
            past = line(asked, [t - WEEK for t in times])
            if any(value is not None for value in past):
                before.append({"name": "", "color": "--c-prev", "dash": True, "data": past})
    limit = chart.threshold if threshold is None else threshold
    return {
        "xs": times,
        "series": [*now, *before],
        "unit": chart.unit,
        "low": chart.low,
        "high": chart.high,
        "thresholds": [] if limit is None else [{"y": limit}],
    }


def line(expression: str, times: Sequence[int]) -> list[float | None]:
    """One value a time stamp (seconds, evenly spaced), None where there is no sample."""
    found = lines(expression, times)
    return next(iter(found.values()), [None] * len(times))


def lines(
    expression: str, times: Sequence[int], label: str | tuple[str, ...] = ""
) -> dict[str, list[float | None]]:
    """Several lines at once, by the value of a label, or of several joined by NUL."""
    names = (label,) if isinstance(label, str) else label
    step = times[1] - times[0]
    place = {at: index for index, at in enumerate(times)}
    found = {}
    for labels, points in backend().metrics.range(expression, times[0] * 1000, times[-1] * 1000, step * 1000):
        values: list[float | None] = [None] * len(times)
        for at_ms, value in points:
            if (index := place.get(at_ms // 1000)) is not None and math.isfinite(value):
                values[index] = value
        found["\0".join(labels.get(name, "") for name in names)] = values
    return found


def latest(expression: str, label: str = "") -> dict[str, float]:
    """The values of now, by the value of a label."""
    found = backend().metrics.instant(expression)
    return {labels.get(label, ""): value for labels, value in found if math.isfinite(value)}
