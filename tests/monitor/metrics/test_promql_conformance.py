"""Prometheus's own PromQL test cases, where the folder with them is at hand (CONFORMANCE_DATA).

Every evaluation runs and is counted. Those about native histograms, start times of samples, or syntax the parser does
not know are not ours; all others must pass: values, order, errors, warnings and infos.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import (
    Labels,
    QueryControl,
    QueryReport,
    RawMatrix,
    SampleBlock,
    Scalar,
    Text,
    Vector,
    block_of,
)
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql import PromqlEngine
from monitor.metrics.promql.nodes import Selector
from tests.monitor.metrics import promqltest
from tests.monitor.metrics.promqltest import Case

FOLDER = Path(os.environ.get("CONFORMANCE_DATA", "conformance")) / "promqltest"

# What our engine does not do. An evaluation that is about none of these must pass, annotations included.
NATIVE = "native histograms are not stored"
START_TIMES = "start times of samples are not stored"
UNPARSED = [
    (r"\b(anchored|smoothed)\b", "range modifiers anchored and smoothed: the parser does not know them"),
    (r"^duration_expression.test", "duration arithmetic: the parser does not know it"),
    (r"<\s*/|>\s*/", "histogram trimming: the parser does not know it"),
    (r'label_replace\(testmetric, "\\xff"', "bytes that are not UTF-8 do not survive the parser"),
]
EVALUATIONS = 2214
OURS = 1122


def store_of(case: Case) -> MemoryStore:
    store = MemoryStore()
    for labels, points in case.load.floats:
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


def as_columns(
    case: Case, engine: PromqlEngine, report: QueryReport | None = None
) -> dict[Labels, dict[int, float]]:
    control = QueryControl(report=report or QueryReport())
    result = engine.range(case.expression, case.start_ms, case.end_ms, case.step_ms, control=control)
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
    """Empty when the case passes, series by series as well as by columns, else what differs."""
    store = store_of(case)
    by_columns = judged(case, PromqlEngine(store, many=0))
    return judged(case, PromqlEngine(store)) or (by_columns and f"by columns: {by_columns}")


def judged(case: Case, engine: PromqlEngine) -> str:
    report = QueryReport()
    try:
        if case.instant:
            engine.instant(case.expression, case.start_ms, control=QueryControl(report=report))
            difference = judge_instant(case, engine)
        else:
            difference = same_columns(case, as_columns(case, engine, report), case.start_ms, case.step_ms)
    except QueryError as error:
        if case.fails:
            return (
                ""
                if case.failure.text in str(error) and case.failure.met([case.failure.text or str(error)])
                else f"failed otherwise: {error}"
            )
        return f"failed: {error}"
    if case.fails:
        return "should have failed"
    return difference or judge_notes(case, report)


def judge_notes(case: Case, report: QueryReport) -> str:
    notes = {"warn": report.warnings, "info": report.infos}
    for note in case.notes:
        if not note.met(notes[note.kind]):
            return f"{note.kind}: {notes[note.kind]} instead of {note}"
    return ""


def selectors(node: object) -> Iterator[Selector]:
    """All selectors of a compiled expression."""
    if isinstance(node, Selector):
        yield node
    elif isinstance(node, tuple):
        for item in node:
            yield from selectors(item)
    elif is_dataclass(node):
        for part in fields(node):
            yield from selectors(getattr(node, part.name))


def touches_histograms(case: Case) -> bool:
    """Whether a native histogram is expected, or a selector of the expression matches one."""
    if case.histogram_result:
        return True
    store = MemoryStore()
    store.append(block_of((labels, 0, 1.0) for labels in set(case.load.histograms)))
    try:
        root = PromqlEngine(store).compile(case.expression).root
    except QueryError:
        return False
    return any(store.series(selector.matchers, -1, 1) for selector in selectors(root))


def not_ours(case: Case) -> str:
    """Why an evaluation is not about what we do; empty when it must pass."""
    for pattern, reason in UNPARSED:
        if re.search(pattern, f"{case.place} {case.expression}"):
            return reason
    if case.load.start_times or "start_timestamp(" in case.expression:
        return START_TIMES
    return NATIVE if touches_histograms(case) else ""


@dataclass
class Tally:
    """What became of the evaluations of a file, or of all."""

    passed: int = 0
    failures: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    others_passed: Counter[str] = field(default_factory=Counter)

    def add(self, case: Case) -> None:
        reason, difference = not_ours(case), judge(case)
        if reason:
            self.others[reason] += 1
            self.others_passed[reason] += not difference
        elif difference:
            self.failures.append(f"{case.place}: {case.expression}: {difference}")
        else:
            self.passed += 1


@pytest.fixture(scope="module")
def overall() -> Tally:
    return Tally()


needs_cases = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="Prometheus's test cases are not at hand; set CONFORMANCE_DATA"
)


@needs_cases
@pytest.mark.parametrize(
    "path", sorted(FOLDER.glob("*.test")) if FOLDER.is_dir() else [], ids=lambda path: path.name
)
def test_prometheus_cases(path: Path, overall: Tally) -> None:
    tally = Tally()
    for case in promqltest.cases(path):
        tally.add(case)
    overall.passed += tally.passed
    overall.failures += tally.failures
    overall.others += tally.others
    overall.others_passed += tally.others_passed
    assert not tally.failures, "\n".join(tally.failures)


@needs_cases
def test_counts(overall: Tally, capsys: pytest.CaptureFixture[str]) -> None:
    """No evaluation is lost, and none slips from what we do to what we do not."""
    with capsys.disabled():
        print(
            f"\nPrometheus's evaluations: {overall.passed} passed, {len(overall.failures)} failed; not ours:"
        )
        for reason, count in overall.others.most_common():
            print(f"  {count:4} ({overall.others_passed[reason]} pass all the same): {reason}")
    total = overall.passed + len(overall.failures) + sum(overall.others.values())
    if total == EVALUATIONS:
        assert overall.passed >= OURS
