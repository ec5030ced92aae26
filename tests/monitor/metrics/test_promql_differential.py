"""The same queries to Debian's Prometheus and to us, over the same samples.

Query times are off the sample grid: Prometheus 2 windows are closed on the left, ours (as Prometheus 3's) open.
"""

from __future__ import annotations

import math
import os
import random
import re
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from monitor.clock import ManualClock
from monitor.metrics.client import PrometheusClient
from monitor.metrics.errors import QueryError
from monitor.metrics.interface import STALE, Labels, SampleBlock, block_of, make_labels
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql import PromqlEngine
from monitor.metrics.store import LocalStore
from tests.monitor.metrics.promqlpeer import END, START, running

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed"
)

TEMPLATES = Path(os.environ.get("CONFORMANCE_DATA", "conformance")) / "promql-test-queries.yml"
VARIANTS = {
    "simpleAggrOp": ["sum", "avg", "max", "min", "count", "stddev", "stdvar"],
    "topBottomOp": ["topk", "bottomk"],
    "quantile": ["-0.5", "0.1", "0.5", "0.75", "0.95", "0.90", "0.99", "1", "1.5"],
    "arithBinOp": ["+", "-", "*", "/", "%", "^"],
    "compBinOp": ["==", "!=", "<", ">", "<=", ">="],
    "binOp": ["+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">="],
    "simpleTimeAggrOp": [
        "sum",
        "avg",
        "max",
        "min",
        "count",
        "stddev",
        "stdvar",
        "absent",
        "last",
        "present",
    ],
    "simpleMathFunc": ["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "round"],
    "extrapolatedRateFunc": ["delta", "rate", "increase"],
    "instantRateFunc": ["idelta", "irate"],
    "clampFunc": ["clamp_min", "clamp_max"],
    "dateFunc": ["day_of_month", "day_of_week", "days_in_month", "hour", "minute", "month", "year"],
    "range": ["1s", "15s", "1m", "5m", "15m", "1h"],
    "offset": ["1m", "5m", "10m"],
}
NOT_IN_2_42 = ["~invalid"]  # Prometheus 3 takes any label name, 2 does not
OWN = [
    "sum by (type) (rate(demo_cpu_usage_seconds_total[3m]))",
    "sum without (mode, job) (irate(demo_cpu_usage_seconds_total[7m]))",
    "demo_memory_usage_bytes / on (instance, job) group_left demo_num_cpus > 100",
    "demo_num_cpus unless on (instance) demo_memory_usage_bytes{type='free'} > 4e9",
    "demo_num_cpus or demo_intermittent_metric",
    "absent_over_time(demo_intermittent_metric[3m])",
    "count_over_time(demo_intermittent_metric[17m:1m])",
    "max_over_time(rate(demo_cpu_usage_seconds_total{mode='user'}[5m])[30m:7m] offset 3m)",
    "demo_num_cpus @ start() - demo_num_cpus @ end()",
    "rate(demo_cpu_usage_seconds_total[10m] @ end() offset 5m)",
    "scalar(demo_num_cpus{instance='a:1'}) * demo_disk_usage_bytes",
    "sgn(demo_disk_usage_bytes - 5e8)",
    "quantile by (type) (0.3, demo_memory_usage_bytes)",
    "group by (instance) (demo_memory_usage_bytes)",
    "histogram_quantile(0.9, sum by (le) (rate(demo_api_request_duration_seconds_bucket[11m])))",
    "round(demo_memory_usage_bytes, 1024)",
    "deriv(demo_memory_usage_bytes[9m]) and demo_memory_usage_bytes > 3e9",
    "count_values('n', round(demo_memory_usage_bytes / 1e9))",
    "day_of_year() * 24 + hour()",
]


def samples() -> SampleBlock:
    """Counters with resets, gauges, a histogram, a metric that comes and goes, jitter, holes and stale markers."""
    chance = random.Random(20_260_726)
    found: list[tuple[Labels, int, float]] = []
    for number, instance in enumerate(("a:1", "b:2", "c:3")):
        common = {"instance": instance, "job": "demo"}
        jitter = chance.randrange(500, 9_000)
        times = [at + jitter for at in range(START, END - 10_000, 15_000) if chance.random() > 0.02]
        for kind in ("free", "cached", "used"):
            labels = make_labels({**common, "type": kind}, "demo_memory_usage_bytes")
            found += [(labels, at, float(chance.randrange(1, 6_000_000_000))) for at in times]
        for mode in ("user", "idle"):
            labels, total = make_labels({**common, "mode": mode}, "demo_cpu_usage_seconds_total"), 5_000.0
            for at in times:
                total = 100.0 if chance.random() < 0.01 else total + chance.random() * 20
                found.append((labels, at, total))
        for name, start, slope in (("demo_disk_usage_bytes", 1e8, 2e5), ("demo_num_cpus", 2.0 + number, 0.0)):
            found += [(make_labels(common, name), at, start + slope * i) for i, at in enumerate(times)]
        labels = make_labels(common, "demo_batch_last_success_timestamp_seconds")
        found += [(labels, at, float(at // 100_000 * 100)) for at in times]
        for bound, share in (("0.1", 3), ("0.5", 7), ("2", 9), ("+Inf", 10)):
            labels = make_labels({**common, "le": bound}, "demo_api_request_duration_seconds_bucket")
            found += [(labels, at, float(1000 + i * share)) for i, at in enumerate(times)]
        labels = make_labels(common, "demo_intermittent_metric")
        gone = [at // 600_000 % 2 == number % 2 for at in times]
        for at, now, before in zip(times, gone, [True, *gone], strict=False):
            if not now or not before:
                found.append((labels, at, STALE if now else 1.0))
    return block_of(found)


def templates() -> list[dict[str, Any]]:
    """The query templates of Prometheus's compliance tests, where they are at hand."""
    found: list[dict[str, Any]] = yaml.safe_load(TEMPLATES.read_text("utf-8"))["test_cases"]
    return found


def filled(case: dict[str, Any]) -> Iterator[str]:
    """A template with every combination of its variants."""
    names = case.get("variant_args", [])
    for values in product(*(VARIANTS[name] for name in names)):
        text = str(case["query"])
        for name, value in zip(names, values, strict=True):
            text = text.replace("{{." + name + "}}", value)
        yield text


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusClient]:
    with running(tmp_path_factory.mktemp("prometheus")) as peer:
        peer.write(samples())
        yield peer.client


@pytest.fixture(scope="module")
def ours() -> PromqlEngine:
    store = MemoryStore()
    result = store.append(samples())
    assert result.rejected == 0
    return PromqlEngine(store)


def same(expected: float, actual: float) -> bool:
    if math.isnan(expected) or math.isnan(actual):
        return math.isnan(expected) and math.isnan(actual)
    # An exactly constant spread may differ by rounding only.
    return expected == actual or math.isclose(expected, actual, rel_tol=1e-9, abs_tol=1e-7)


def difference(expression: str, peer: PrometheusClient, ours: PromqlEngine) -> str:
    start, end, step = START + 3_601_123, END - 60_877, 97_000
    try:
        expected = {
            tuple(sorted(labels.items())): dict(points)
            for labels, points in peer.range(expression, start, end, step)
        }
    except QueryError:
        try:
            ours.range(expression, start, end, step)
        except QueryError:
            return ""
        return "should have been refused"
    matrix = ours.range(expression, start, end, step)
    actual = {
        labels: {
            at: value
            for at, value, there in zip(
                matrix.timestamps.tolist(),
                matrix.values[:, i].tolist(),
                matrix.present[:, i].tolist(),
                strict=True,
            )
            if there
        }
        for i, labels in enumerate(matrix.labels)
    }
    if actual.keys() != expected.keys():
        return f"series {sorted(actual)[:3]} instead of {sorted(expected)[:3]}"
    for labels, points in expected.items():
        if points.keys() != actual[labels].keys():
            return f"{labels}: {len(actual[labels])} points instead of {len(points)}"
        for at, value in points.items():
            if not same(value, actual[labels][at]):
                return f"{labels} at {at}: {actual[labels][at]!r} instead of {value!r}"
    return ""


@needs_prometheus
def test_same_answers_as_prometheus(peer: PrometheusClient, ours: PromqlEngine) -> None:
    wrong = {text: found for text in OWN if (found := difference(text, peer, ours))}
    assert not wrong, "\n".join(f"{text}: {found}" for text, found in wrong.items())


@needs_prometheus
@pytest.mark.skipif(
    not TEMPLATES.exists(), reason="Prometheus's query templates are not at hand; set CONFORMANCE_DATA"
)
def test_same_answers_to_the_compliance_templates(
    peer: PrometheusClient, ours: PromqlEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    """All templates in all variants, but for what 2.42 cannot do; refusals count as answers."""
    asked = [text for case in templates() for text in filled(case)]
    left_out = [text for text in asked if any(re.search(pattern, text) for pattern in NOT_IN_2_42)]
    wrong = {}
    for text in asked:
        if text not in left_out and (found := difference(text, peer, ours)):
            wrong[text] = found
    with capsys.disabled():
        print(
            f"\n{len(templates())} templates, {len(asked)} queries, {len(wrong)} differ, left out: {left_out}"
        )
    assert not wrong, "\n".join(f"{text}: {found}" for text, found in wrong.items())
    assert not [text for text in asked if re.search(r"\{\{\.", text)]


def test_same_answers_from_the_store_on_disk(ours: PromqlEngine, tmp_path: Path) -> None:
    """Our own two stores give the engine the same windows, holes and stale markers included."""
    store = LocalStore(tmp_path, ManualClock(END))
    block = samples()
    # Devices reach the core minute by minute, not series by series.
    for part in np.array_split(np.argsort(block.timestamps, kind="stable"), 40):
        sent = SampleBlock(block.labels, block.series[part], block.timestamps[part], block.values[part])
        assert store.append(sent).rejected == 0
    disk = PromqlEngine(store)
    start, end, step = START + 1_801_123, END - 60_877, 61_000
    for text in OWN:
        one, two = ours.range(text, start, end, step), disk.range(text, start, end, step)
        assert one.labels == two.labels, text
        assert np.array_equal(one.present, two.present), text
        there = one.present
        assert np.allclose(one.values[there], two.values[there], rtol=1e-12, atol=1e-12, equal_nan=True), text
    store.close()
