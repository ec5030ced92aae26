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
    unit: str  # bps, percent or celsius
    expressions: tuple[tuple[object, str], ...]
    low: float
    high: float | None
    threshold: float | None = None


CHARTS = {
    "traffic": Chart(
        "traffic",
        _l("接口流量"),
        _l("够用吗？"),
        "bps",
        (
            (_l("入"), "sum(rate(ifHCInOctets{{{m}}}[{w}s])) * 8"),
            (_l("出"), "sum(rate(ifHCOutOctets{{{m}}}[{w}s])) * 8"),
        ),
        0,
        None,
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
                "100 * sum(device_memory_used_bytes{{{m}}}) / sum(device_memory_size_bytes{{{m}}})",
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
}


def quote(text: str) -> str:
    """A PromQL string literal."""
    return json.dumps(text, ensure_ascii=False)


def chart_data(chart: Chart, device: Device, span: str, interface: str = "") -> dict[str, object]:
    """The lines of a chart over a range ending now, with the same hours a week ago."""
    length, step = RANGES.get(span, RANGES["1h"])
    # Rounded up, so that a reading of a few seconds ago is already the last point.
    end = -(-backend().clock.now_ms() // 1000 // step) * step
    start = end - length
    matcher = f"device={quote(device.id)}"
    if interface and chart.key == "traffic":
        matcher += f",ifName={quote(interface)}"
    times = list(range(start, end + 1, step))
    lines = []
    for position, (name, expression) in enumerate(chart.expressions):
        asked = expression.format(m=matcher, w=max(300, step * 4))
        lines.append(
            {
                "name": str(name),
                "color": f"--c-{position + 1}",
                "fill": position == 0,
                "data": line(asked, times),
            }
        )
        if position == 0:
            before = line(asked, [t - WEEK for t in times])
            if any(value is not None for value in before):
                lines.append({"name": "", "color": "--c-prev", "dash": True, "data": before})
    return {
        "xs": times,
        "series": lines,
        "unit": chart.unit,
        "low": chart.low,
        "high": chart.high,
        "thresholds": [] if chart.threshold is None else [{"y": chart.threshold}],
    }


def line(expression: str, times: Sequence[int]) -> list[float | None]:
    """One value a time stamp (seconds, evenly spaced), None where there is no sample."""
    found = lines(expression, times)
    return next(iter(found.values()), [None] * len(times))


def lines(expression: str, times: Sequence[int], label: str = "") -> dict[str, list[float | None]]:
    """Several lines at once, by the value of a label."""
    step = times[1] - times[0]
    place = {at: index for index, at in enumerate(times)}
    found = {}
    for labels, points in backend().metrics.range(expression, times[0] * 1000, times[-1] * 1000, step * 1000):
        values: list[float | None] = [None] * len(times)
        for at_ms, value in points:
            if (index := place.get(at_ms // 1000)) is not None and math.isfinite(value):
                values[index] = value
        found[labels.get(label, "")] = values
    return found


def latest(expression: str, label: str = "") -> dict[str, float]:
    """The values of now, by the value of a label."""
    found = backend().metrics.instant(expression)
    return {labels.get(label, ""): value for labels, value in found if math.isfinite(value)}
