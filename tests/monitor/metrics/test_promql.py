"""The query engine through its public face: our own cases, refusals, limits, shapes."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import (
    STALE,
    Limits,
    RawMatrix,
    Scalar,
    Text,
    Vector,
    block_of,
    make_labels,
)
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql import PromqlEngine
from monitor.metrics.promql.compile import pretty
from tests.monitor.metrics import promqltest
from tests.monitor.metrics.test_promql_conformance import judge

OWN_CASES = list(promqltest.cases(Path(__file__).with_name("promql_cases.test")))


@pytest.fixture(params=[0, 1 << 40], ids=["many", "few"])
def engine(request: pytest.FixtureRequest) -> Iterator[PromqlEngine]:
    store = MemoryStore()
    store.append(
        block_of(
            (make_labels({"n": str(n)}, "load"), minute * 60_000, float(minute * n))
            for n in range(4)
            for minute in range(31)
        )
    )
    yield PromqlEngine(store, many=request.param)
    store.close()


@pytest.mark.parametrize("case", OWN_CASES, ids=lambda case: f"{case.place} {case.expression}")
def test_own_cases(case: promqltest.Case) -> None:
    assert judge(case) == ""


def test_there_are_own_cases() -> None:
    assert len(OWN_CASES) > 70


def test_result_types(engine: PromqlEngine) -> None:
    at = 600_000
    assert engine.instant("1 + 1", at) == Scalar(at, 2.0)
    assert engine.instant('"中文"', at) == Text(at, "中文")
    vector = engine.instant('load{n="3"}', at)
    assert isinstance(vector, Vector)
    assert vector.labels == [(("__name__", "load"), ("n", "3"))]
    assert vector.values.tolist() == [30.0]
    raw = engine.instant('load{n="3"}[2m]', at)
    assert isinstance(raw, RawMatrix)
    ((labels, times, values),) = raw.series
    assert labels == (("__name__", "load"), ("n", "3"))
    assert (times.tolist(), values.tolist()) == ([540_000, 600_000], [27.0, 30.0])


def test_a_plan_is_reusable(engine: PromqlEngine) -> None:
    plan = engine.compile('load{n="2"} > 10')
    assert plan.expression == 'load{n="2"} > 10'
    results = [engine.instant(plan, minute * 60_000) for minute in (5, 6)]
    assert [len(result.labels) for result in results if isinstance(result, Vector)] == [0, 1]


def test_range_equals_its_instants(engine: PromqlEngine) -> None:
    for expression in (
        "sum(rate(load[4m]))",
        "topk(2, load)",
        "load - load offset 3m",
        "max_over_time(load[5m:2m])",
    ):
        matrix = engine.range(expression, 0, 1_800_000, 90_000)
        for row, at in enumerate(matrix.timestamps.tolist()):
            vector = engine.instant(expression, at)
            assert isinstance(vector, Vector)
            there = {
                labels: matrix.values[row, column]
                for column, labels in enumerate(matrix.labels)
                if matrix.present[row, column]
            }
            assert there == dict(zip(vector.labels, vector.values.tolist(), strict=True))


def test_range_of_a_scalar(engine: PromqlEngine) -> None:
    matrix = engine.range("time() * 2", 0, 120_000, 60_000)
    assert (matrix.labels, matrix.values[:, 0].tolist()) == ([()], [0.0, 120.0, 240.0])


@pytest.mark.parametrize(
    ("expression", "kind", "reason"),
    [
        ("sum(", "bad_data", "parse error"),
        ("rate(load)", "bad_data", "expected type matrix"),
        ("{}", "bad_data", "non-empty matcher"),
        ("nonsense(load)", "bad_data", "unknown function"),
        ('load{n=~"a(?=b)"}', "bad_data", ""),
        ("load @ 1e300", "bad_data", "1:6: timestamp out of bounds"),
        ("load @ -1e12", "bad_data", "1:6: timestamp out of bounds"),
        ("load @ 5q", "bad_data", "1:6: '5q' is not a time"),
        ("load[9e99]", "bad_data", "number out of range"),
        ("load[2999999999y5m]", "bad_data", "duration out of range"),
        ("load offset 300y", "bad_data", "duration out of range"),
        ("1 + start_timestamp(load)", "bad_data", "1:5: function start_timestamp is not supported"),
        ('info(load, load{n="1"} or load)', "bad_data", ""),
        ("limitk(NaN, load)", "execution", "Parameter value is NaN"),
        ("limit_ratio(NaN, load)", "execution", "Ratio value is NaN"),
        (f'load{{n=~"{"a" * 5000}"}}', "bad_data", "at most 4096"),
        ('load{n="1" or n="2"}', "bad_data", "not PromQL"),
        ('label_replace(load, "n", "x", "n", ".*")', "execution", "same labelset"),
        ("load + on () group_left () load", "execution", "found duplicate series"),
        ("topk(NaN, load)", "execution", "NaN"),
    ],
)
def test_refusals(engine: PromqlEngine, expression: str, kind: str, reason: str) -> None:
    with pytest.raises(QueryError) as caught:
        engine.instant(expression, 600_000)
    assert caught.value.kind == kind
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 9000 + "load" + ")" * 9000,
        "sum(" * 3000,
        "1" + "+1" * 8000,
        "-" * 9000 + "load",
        "a{" * 5000,
        "[" * 200,
    ],
)
def test_the_parser_cannot_take_the_process_down(expression: str) -> None:
    script = (
        "import sys\n"
        "from monitor.metrics.errors import QueryError\n"
        "from monitor.metrics.memory import MemoryStore\n"
        "from monitor.metrics.promql import PromqlEngine\n"
        "try:\n"
        "    PromqlEngine(MemoryStore()).compile(sys.stdin.read())\n"
        "except QueryError as error:\n"
        "    print('refused', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=expression, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("refused")


def test_a_place_is_named_for_deep_nesting(engine: PromqlEngine) -> None:
    with pytest.raises(QueryError, match="2:67: nested deeper than 64"):
        engine.compile("1 +\n  " + "(" * 80)


def test_the_longest_chain_still_evaluates(engine: PromqlEngine) -> None:
    result = engine.instant("(" * 60 + "vector(1)" + "+1" * 299 + ")" * 60, 0)
    assert isinstance(result, Vector)
    assert result.values.tolist() == [300.0]


def test_brackets_in_strings_and_comments_do_not_count(engine: PromqlEngine) -> None:
    many = "(" * 100
    assert engine.instant(f'label_replace(vector(1), "a", "{many}", "", "") # {many}', 0) is not None


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        (Limits(samples=10), "execution"),
        (Limits(seconds=-1.0), "timeout"),
        (Limits(expression_chars=5), "bad_data"),
    ],
)
def test_limits(engine: PromqlEngine, limits: Limits, kind: str) -> None:
    with pytest.raises(QueryError) as caught:
        engine.instant("sum(rate(load[20m]))", 1_200_000, limits)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("expression", "lines"),
    [
        ("sum  by(n) (rate(load[5m]))", ["sum by (n) (rate(load[5m]))"]),
        ("load @ -5.5 + load @ 1e3", ["load @ -5.5 + load @ 1e3"]),
        ('info( load,{n=~".*"} )', ['info(load, {n=~".*"})']),
        ('load{n="@ 3"} @ start() offset 1m', ['load{n="@ 3"} @ start() offset 1m']),
    ],
)
def test_pretty(expression: str, lines: list[str]) -> None:
    text = pretty(expression, Limits())
    assert text.splitlines() == lines
    assert pretty(text, Limits()) == text


CORPUS = [case.expression for case in OWN_CASES]
BITS = [
    *list("()[]{}@+-,:'\"`\\#\n^"),
    " offset ",
    "5m",
    "1e400",
    "0x",
    "by",
    "on()",
    "bool",
    "NaN",
    "-5",
    "1y",
    "info(",
    "@ start()",
    "中",
    "{}",
    "[0s]",
    "9e99",
]


@settings(max_examples=400, deadline=None)
@given(
    text=st.sampled_from(CORPUS),
    cuts=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 3), st.sampled_from(BITS)), min_size=1, max_size=4
    ),
)
def test_broken_expressions_are_refused_or_compiled(text: str, cuts: list[tuple[float, int, str]]) -> None:
    for place, gone, bit in cuts:
        cut = int(place * len(text))
        text = text[:cut] + bit + text[cut + gone :]
    try:
        plan = PromqlEngine(MemoryStore()).compile(text)
    except QueryError as error:
        assert str(error)  # noqa: PT017  either outcome is right
    else:
        assert plan.expression == text
        assert pretty(text, Limits())


def test_grid_refusals(engine: PromqlEngine) -> None:
    with pytest.raises(QueryError, match="maximum resolution of 11,000 points"):
        engine.range("load", 0, 11_000, 1)
    assert len(engine.range("load", 0, 10_999, 1).timestamps) == 11_000
    with pytest.raises(QueryError, match="zero or negative"):
        engine.range("load", 0, 10, 0)
    with pytest.raises(QueryError, match="before start"):
        engine.range("load", 10, 0, 1)
    with pytest.raises(QueryError, match='"range vector" for range query'):
        engine.range("load[5m]", 0, 10, 1)


def test_stale_marker_is_told_from_nan() -> None:
    store = MemoryStore()
    labels = make_labels({}, "x")
    store.append(
        block_of(
            [(labels, 0, 1.0), (labels, 60_000, math.nan), (labels, 120_000, STALE), (labels, 180_000, 2.0)]
        )
    )
    matrix = PromqlEngine(store).range("x", 0, 180_000, 60_000)
    assert matrix.present[:, 0].tolist() == [True, True, False, True]
    assert np.isnan(matrix.values[1, 0])


def reference_increase(samples: list[tuple[int, float]], start: int, end: int) -> float | None:
    """Prometheus's extrapolatedRate for a counter, one window, written plainly."""
    inside = [(at, value) for at, value in samples if start < at <= end]
    if len(inside) < 2:
        return None
    result = inside[-1][1] - inside[0][1]
    for (_, before), (_, after) in pairwise(inside):
        result += before if after < before else 0
    sampled = (inside[-1][0] - inside[0][0]) / 1000
    average = sampled / (len(inside) - 1)
    to_start, to_end = (inside[0][0] - start) / 1000, (end - inside[-1][0]) / 1000
    if to_start >= average * 1.1:
        to_start = average / 2
    if result > 0 and inside[0][1] >= 0:
        to_start = min(to_start, sampled * inside[0][1] / result)
    if to_end >= average * 1.1:
        to_end = average / 2
    return result * (sampled + to_start + to_end) / sampled


@settings(max_examples=60, deadline=None)
@given(
    columns=st.lists(
        st.lists(st.tuples(st.integers(1, 90_000), st.integers(0, 50)), min_size=1, max_size=25),
        min_size=1,
        max_size=4,
    ),
    window=st.integers(1, 400),
)
def test_increase_against_a_plain_reference(columns: list[list[tuple[int, int]]], window: int) -> None:
    store = MemoryStore()
    series = {}
    for number, steps in enumerate(columns):
        at, samples = 0, []
        for gap, value in steps:
            at += gap
            samples.append((at, float(value)))
        labels = make_labels({"n": str(number)}, "c")
        series[make_labels({"n": str(number)})] = samples
        store.append(block_of((labels, at, value) for at, value in samples))
    matrix = PromqlEngine(store).range(f"increase(c[{window}s])", 0, 600_000, 37_000)
    for row, end in enumerate(matrix.timestamps.tolist()):
        expected = {
            labels: reference_increase(samples, end - window * 1000, end)
            for labels, samples in series.items()
        }
        actual = {
            labels: float(matrix.values[row, column])
            for column, labels in enumerate(matrix.labels)
            if matrix.present[row, column]
        }
        assert actual == pytest.approx(
            {labels: value for labels, value in expected.items() if value is not None}
        )


def test_many_resets_and_few_give_the_same_increase() -> None:
    noisy = [(at * 60_000, float(value)) for at, value in enumerate([5, 3, 9, 2, 8, 1, 7, 6, 4, 3] * 3)]
    calm = [(at * 60_000, float(at if at < 20 else at - 20)) for at in range(30)]
    store = MemoryStore()
    for name, samples in (("noisy", noisy), ("calm", calm)):
        store.append(block_of((make_labels({"n": name}, "c"), at, value) for at, value in samples))
    engine = PromqlEngine(store)
    for expression in ('increase(c{n="calm"}[15m])', "increase(c[15m])"):
        result = engine.instant(expression, 29 * 60_000)
        assert isinstance(result, Vector)
        found = dict(zip(result.labels, result.values.tolist(), strict=True))
        for name, samples in (("noisy", noisy), ("calm", calm)):
            labels = make_labels({"n": name})
            if labels in found:
                assert found[labels] == pytest.approx(reference_increase(samples, 14 * 60_000, 29 * 60_000))
        assert make_labels({"n": "calm"}) in found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=1, max_size=40))
def test_aggregations_of_any_floats(values: list[float]) -> None:
    store = MemoryStore()
    store.append(block_of((make_labels({"n": str(n)}, "x"), 0, value) for n, value in enumerate(values)))
    engine = PromqlEngine(store)

    def one(expression: str) -> float:
        result = engine.instant(expression, 0)
        assert isinstance(result, Vector)
        return float(result.values[0])

    assert one("count(x)") == len(values)
    real = [value for value in values if not math.isnan(value)]
    assert one("max(x)") == max(real) if real else math.isnan(one("max(x)"))
    assert one("min(x)") == min(real) if real else math.isnan(one("min(x)"))
    finite = all(map(math.isfinite, values)) and sum(map(abs, values)) < 1e300
    if finite:
        assert one("sum(x)") == pytest.approx(math.fsum(values), rel=1e-12, abs=1e-300)
        assert one("avg(x)") == pytest.approx(math.fsum(values) / len(values), rel=1e-12, abs=1e-300)
    elif any(map(math.isnan, values)):
        assert math.isnan(one("sum(x)"))
