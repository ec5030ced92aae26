"""Warnings and infos of a query, in Prometheus's words and with the place in the text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monitor.metrics.interface import QueryControl, QueryReport, block_of, make_labels
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql import PromqlEngine, notes
from monitor.metrics.promql.places import Places, line_and_column

NOT_A_COUNTER = (
    "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
)


@pytest.fixture(params=[0, 1 << 40], ids=["many", "few"])
def engine(request: pytest.FixtureRequest) -> Iterator[PromqlEngine]:
    store = MemoryStore()
    names = ("ifHCInOctets", "sysUpTime", "requests_total")
    store.append(
        block_of(
            (make_labels({"n": str(n)}, name), minute * 60_000, float(minute * n))
            for name in names
            for n in range(3)
            for minute in range(11)
        )
    )
    falling = (("0.1", 5.0), ("1", 3.0), ("+Inf", 9.0), ("much", 9.0))
    store.append(block_of((make_labels({"le": le}, "d_bucket"), 600_000, value) for le, value in falling))
    yield PromqlEngine(store, many=request.param)
    store.close()


def told(engine: PromqlEngine, expression: str, *, step_ms: int = 0) -> tuple[list[str], list[str]]:
    report = QueryReport()
    control = QueryControl(report=report)
    if step_ms:
        engine.range(expression, 300_000, 600_000, step_ms, control=control)
    else:
        engine.instant(expression, 600_000, control=control)
    return list(report.warnings), list(report.infos)


@pytest.mark.parametrize(
    ("expression", "warnings", "infos"),
    [
        ("rate(requests_total[5m])", [], []),
        ("sum(rate(ifHCInOctets[5m])) * 8", [], [f'{NOT_A_COUNTER}"ifHCInOctets" (1:10)']),
        (
            "increase(ifHCInOctets[5m])\n  / on (n) rate(\n  sysUpTime[5m])",
            [],
            [f'{NOT_A_COUNTER}"ifHCInOctets" (1:10)', f'{NOT_A_COUNTER}"sysUpTime" (3:3)'],
        ),
        ("rate(nothing[5m])", [], []),
        ("irate(sysUpTime[5m])", [], []),
        ("rate((sysUpTime * 2)[5m:1m])", [], []),
        (
            "quantile by (n) (1.5, sysUpTime)",
            ["PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:18)"],
            [],
        ),
        (
            "quantile_over_time(NaN, sysUpTime[5m])",
            ["PromQL warning: quantile value should be between 0 and 1, got NaN (1:20)"],
            [],
        ),
        ("quantile_over_time(-1, nothing[5m])", [], []),
        (
            "limit_ratio(-2, sysUpTime)",
            ["PromQL warning: ratio value should be between -1 and 1, got -2, capping to -1 (1:13)"],
            [],
        ),
        (
            'histogram_quantile(0.5, d_bucket{le!="much"})',
            [],
            [
                (
                    "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus"
                    ".io/docs/prometheus/latest/querying/functions/#histogram_quantile) for metric name "
                    '"d_bucket" (1:25)'
                )
            ],
        ),
        (
            'histogram_fraction(0, 1, d_bucket{le="much"})',
            [
                (
                    'PromQL warning: bucket label "le" is missing or has a malformed value of "much" '
                    'for metric name "d_bucket" (1:26)'
                )
            ],
            [],
        ),
        ("sort(sysUpTime)", [], []),
    ],
)
def test_notes(engine: PromqlEngine, expression: str, warnings: list[str], infos: list[str]) -> None:
    assert told(engine, expression) == (warnings, infos)


def test_a_sort_inside_a_range_query(engine: PromqlEngine) -> None:
    warnings, infos = told(engine, "1 + sort_desc(sysUpTime)", step_ms=60_000)
    assert infos == []
    assert warnings == [
        "PromQL warning: sort is ineffective for range queries since results are always ordered by labels (1:5)"
    ]
    assert told(engine, "sort(sysUpTime @ 0)", step_ms=60_000) == ([], [])


def test_notes_are_few_even_when_every_series_gives_one() -> None:
    store = MemoryStore()
    store.append(block_of((make_labels({"le": f"x{n}"}, f"m{n}"), 0, 1.0) for n in range(500)))
    warnings, _ = told_at_zero(PromqlEngine(store), 'histogram_quantile(0.5, {__name__=~"m.*"})')
    assert 0 < len(warnings) <= 10


def told_at_zero(engine: PromqlEngine, expression: str) -> tuple[list[str], list[str]]:
    report = QueryReport()
    engine.instant(expression, 0, control=QueryControl(report=report))
    return list(report.warnings), list(report.infos)


def test_samples_are_counted(engine: PromqlEngine) -> None:
    report = QueryReport()
    engine.instant("sum(rate(requests_total[5m]))", 600_000, control=QueryControl(report=report))
    assert report.samples >= 15


NAMES = frozenset(("sum", "rate", "info", "label_replace", "start", "quantile"))


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("sum by (rate) (rate(x[5m]))", [("sum", "1:1", ("1:16",)), ("rate", "1:16", ("1:21",))]),
        ("sum(x) without (sum)", [("sum", "1:1", ("1:5",))]),
        ("quantile(0.5, # ( , \n x)", [("quantile", "1:1", ("1:10", "2:2"))]),
        (
            'label_replace(x, "a(", ",", "b", `rate(`)',
            [("label_replace", "1:1", ("1:15", "1:18", "1:24", "1:29", "1:34"))],
        ),
        ("x @ start() + start()", [("start", "1:15", ())]),
        ('x{sum="1", rate=~"("} + SUM (x)', [("sum", "1:25", ("1:30",))]),
        ("sum + rate", []),
    ],
)
def test_places(expression: str, found: list[tuple[str, str, tuple[str, ...]]]) -> None:
    places = Places(expression, NAMES)
    taken = [places.take(name) for name, _, _ in found]
    assert [(item.name, item.place, item.arguments) for item in taken] == found
    assert places.take("sum").place == ""


def test_places_are_given_up_when_the_order_is_another() -> None:
    places = Places("sum(rate(x[5m]))", NAMES)
    assert places.take("rate").place == ""
    assert places.take("sum").place == ""


def test_columns_count_from_one() -> None:
    assert [line_and_column("ab\nc", offset) for offset in (0, 1, 3)] == ["1:1", "1:2", "2:1"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-1.1, "-1.1"),
        (123456.5, "123456.5"),
        (1e6, "1e+06"),
        (-1234567.0, "-1.234567e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e100, "1e+100"),
        (float("inf"), "+Inf"),
    ],
)
def test_numbers_are_written_as_go_does(value: float, text: str) -> None:
    assert notes.number(value) == text
