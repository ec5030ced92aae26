"""Prometheus's own PromQL test cases, where the folder with them is at hand (CONFORMANCE_DATA).

Every case runs. A case that does not pass must be covered by a reviewed exclusion below, with its reason.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Labels, RawMatrix, SampleBlock, Scalar, Text, Vector
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql import PromqlEngine
from tests.monitor.metrics import promqltest
from tests.monitor.metrics.promqltest import Case

FOLDER = Path(os.environ.get("CONFORMANCE_DATA", "conformance")) / "promqltest"

EXCLUDED_TAGS = {
    "histogram": "native histograms are out of scope",
    "histogram result": "native histograms are out of scope",
    "start timestamp": "start timestamps of samples are experimental and not stored",
}
EXCLUDED = [
    (r"\b(anchored|smoothed)\b", "experimental range modifiers; the parser does not know them"),
    (r"^duration_expression.test", "experimental duration arithmetic; the parser does not know it"),
    (r"\binfo\(", "experimental function info()"),
    (r"\bhistogram_quantiles\(", "experimental function histogram_quantiles()"),
    (r'label_replace\(testmetric, "\\xff"', "bytes that are not UTF-8 do not survive the parser"),
]

# How many cases of each file pass: an exclusion must not hide that one stops to.
PASSED = {
    "aggregators.test": 153,
    "at_modifier.test": 78,
    "collision.test": 2,
    "duration_expression.test": 8,
    "extended_vectors.test": 38,
    "fill-modifier.test": 46,
    "functions.test": 395,
    "histograms.test": 93,
    "info.test": 2,
    "limit.test": 0,
    "literals.test": 25,
    "name_label_dropping.test": 30,
    "native_histograms.test": 125,
    "operators.test": 212,
    "range_queries.test": 18,
    "selectors.test": 31,
    "staleness.test": 17,
    "start_timestamps.test": 10,
    "subquery.test": 34,
    "trig_functions.test": 19,
    "type_and_unit.test": 58,
}


def store_of(case: Case) -> MemoryStore:
    store = MemoryStore()
    for labels, points in case.loaded:
        if points:
            times, values = zip(*points, strict=True)
            block = SampleBlock(
                [labels],
                np.zeros(len(times), np.int32),
                np.array(times, np.int64),
                np.array(values, np.float64),
            )
            store.append(block)
    return store


def close(expected: float, actual: float) -> bool:
    if math.isnan(expected) or math.isnan(actual):
        return math.isnan(expected) and math.isnan(actual)
    return expected == actual or abs(expected - actual) <= 1e-6 * (abs(expected) + abs(actual))


def as_columns(case: Case, engine: PromqlEngine) -> dict[Labels, dict[int, float]]:
    result = engine.range(case.expression, case.start_ms, case.end_ms, case.step_ms)
    return {
        labels: {
            at: float(value)
            for at, value, there in zip(
                result.timestamps.tolist(), result.values[:, i], result.present[:, i], strict=True
            )
            if there
        }
        for i, labels in enumerate(result.labels)
    }


def same_columns(case: Case, actual: dict[Labels, dict[int, float]], start: int, step: int) -> str:
    expected = {
        labels: {start + i * step: value for i, value in enumerate(values) if value is not None}
        for labels, values in case.vector
    }
    if case.scalar is not None:
        expected = {(): {start: case.scalar}}
    expected = {labels: points for labels, points in expected.items() if points}
    if expected.keys() != actual.keys():
        return f"series {sorted(actual)} instead of {sorted(expected)}"
    for labels, points in expected.items():
        mine = actual[labels]
        if points.keys() != mine.keys() or not all(close(points[at], mine[at]) for at in points):
            return f"{labels}: {mine} instead of {points}"
    return ""


def judge_instant(case: Case, engine: PromqlEngine) -> str:
    result = engine.instant(case.expression, case.start_ms)
    match result:
        case Text(value=value):
            return "" if value == case.text else f"{value!r} instead of {case.text!r}"
        case Scalar(value=value):
            good = case.scalar is not None and close(case.scalar, value)
            return "" if good else f"{value} instead of {case.scalar}"
        case RawMatrix(series=found):
            actual = {
                labels: dict(zip(times.tolist(), values.tolist(), strict=True))
                for labels, times, values in found
            }
            return same_columns(case, actual, *(case.raw or (case.start_ms, 1)))
        case Vector(labels=labels, values=values):
            if case.ordered and list(labels) != [item for item, _ in case.vector]:
                return f"order {list(labels)}"
            if len(set(labels)) != len(labels):
                return "duplicate series"
            actual = {
                item: {case.start_ms: value} for item, value in zip(labels, values.tolist(), strict=True)
            }
            return same_columns(case, actual, case.start_ms, 1) or judge_middle(case, engine)


def judge_middle(case: Case, engine: PromqlEngine) -> str:
    """The same instant as the middle step of a range query."""
    if case.ordered:
        return ""
    at = case.start_ms
    wide = Case(**{**case.__dict__, "start_ms": at - 60_000, "end_ms": at + 60_000, "step_ms": 60_000})
    found = {labels: {at: points[at]} for labels, points in as_columns(wide, engine).items() if at in points}
    difference = same_columns(case, found, at, 1)
    return f"as a range: {difference}" if difference else ""


def judge(case: Case) -> str:
    """Empty when the case passes, else what differs."""
    engine = PromqlEngine(store_of(case))
    try:
        if case.instant:
            difference = judge_instant(case, engine)
        else:
            difference = same_columns(case, as_columns(case, engine), case.start_ms, case.step_ms)
    except QueryError as error:
        return "" if case.fails else f"failed: {error}"
    return "should have failed" if case.fails else difference


def reason_to_exclude(case: Case) -> str:
    for tag, reason in EXCLUDED_TAGS.items():
        if tag in case.tags:
            return reason
    for pattern, reason in EXCLUDED:
        if re.search(pattern, f"{case.place} {case.expression}"):
            return reason
    return ""


@pytest.mark.skipif(
    not FOLDER.is_dir(), reason="Prometheus's test cases are not at hand; set CONFORMANCE_DATA"
)
@pytest.mark.parametrize(
    "path", sorted(FOLDER.glob("*.test")) if FOLDER.is_dir() else [], ids=lambda path: path.name
)
def test_prometheus_cases(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passed, excluded, failures = 0, Counter[str](), []
    for case in promqltest.cases(path):
        difference = judge(case)
        reason = reason_to_exclude(case) if difference else ""
        if not difference:
            passed += 1
        elif reason:
            excluded[reason] += 1
        else:
            failures.append(f"{case.place}: {case.expression}: {difference}")
    with capsys.disabled():
        print(f"\n{path.name}: {passed} passed, {sum(excluded.values())} excluded, {len(failures)} failed")
    assert not failures, "\n".join(failures)
    assert passed >= PASSED.get(path.name, 0)
