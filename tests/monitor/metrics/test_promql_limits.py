"""What one query may use: samples, memory, time, patience of the caller, and the cost of regular expressions."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator

import pytest

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Limits, QueryControl, block_of, make_labels
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql import PromqlEngine

SERIES = 60


@pytest.fixture(scope="module", params=[0, 1 << 40], ids=["many", "few"])
def engine(request: pytest.FixtureRequest) -> Iterator[PromqlEngine]:
    store = MemoryStore()
    store.append(
        block_of(
            (make_labels({"n": str(n), "even": str(n % 2)}, "x"), minute * 60_000, float(minute * n))
            for n in range(SERIES)
            for minute in range(61)
        )
    )
    yield PromqlEngine(store, many=request.param)
    store.close()


def refusal(engine: PromqlEngine, expression: str, limits: Limits | None = None) -> QueryError:
    with pytest.raises(QueryError) as caught:
        engine.range(expression, 0, 3_600_000, 60_000, limits)
    return caught.value


@pytest.mark.parametrize(
    "expression",
    [
        "x",
        "rate(x[30m])",
        "x[10m:1s]",
        "max_over_time(x[10m:1s])",
        "quantile_over_time(0.5, x[1h])",
        "sum(x + on (n) x)",
        "max_over_time(max_over_time(vector(1)[1h:1s])[1h:1s])",
    ],
)
def test_memory_is_estimated_before_it_is_taken(engine: PromqlEngine, expression: str) -> None:
    wrapped = f"sum({expression})" if not expression.startswith("x[") else f"sum(max_over_time({expression}))"
    assert engine.range(wrapped, 0, 3_600_000, 60_000) is not None
    error = refusal(engine, wrapped, Limits(memory=20_000))
    assert error.kind == "execution"
    assert "memory" in str(error)


def test_values_that_wait_for_others_count(engine: PromqlEngine) -> None:
    """One look-up fits, but not while the results of others are held."""
    one = "x"
    room = next(size for size in range(100_000, 10_000_000, 50_000) if fits(engine, one, size))
    deep = "x + (x + (x + (x + (x + (x + (x + x))))))"
    assert not fits(engine, deep, room)
    assert fits(engine, deep, 4 * room)


def fits(engine: PromqlEngine, expression: str, size: int) -> bool:
    try:
        engine.range(expression, 0, 3_600_000, 60_000, Limits(memory=size))
    except QueryError as error:
        if "memory" in str(error):
            return False
        raise
    return True


def test_a_subquery_cannot_ask_for_more_steps_than_samples_are_allowed(engine: PromqlEngine) -> None:
    started = time.monotonic()
    error = refusal(engine, "max_over_time(vector(1)[30d:1ms])")
    assert "too many samples" in str(error)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "expression",
    [
        "quantile_over_time(0.9, x[30m])",
        "stddev_over_time(x[30m])",
        "max_over_time(rate(x[5m])[30m:1m])",
        "topk by (even) (3, x)",
        "quantile by (n) (0.5, x)",
        "histogram_quantile(0.5, x)",
        "sum(x) + sum(x) + sum(x) + sum(x)",
    ],
)
def test_a_query_stops_when_nobody_waits(engine: PromqlEngine, expression: str) -> None:
    """It stops at whichever of its questions is answered yes, not only at the first."""
    asked = _asked(engine, expression)
    assert asked >= 2
    for last in {1, asked // 2, asked}:
        count = _Counter(last)
        with pytest.raises(QueryError) as caught:
            engine.range(expression, 0, 3_600_000, 60_000, control=QueryControl(cancelled=count))
        assert caught.value.kind == "canceled"
        assert count.calls == last


def _asked(engine: PromqlEngine, expression: str) -> int:
    count = _Counter(10**9)
    engine.range(expression, 0, 3_600_000, 60_000, control=QueryControl(cancelled=count))
    return count.calls


class _Counter:
    """Says yes the n-th time it is asked."""

    def __init__(self, last: int) -> None:
        self.calls = 0
        self._last = last

    def __call__(self) -> bool:
        self.calls += 1
        return self.calls >= self._last


@pytest.mark.parametrize(
    "pattern",
    ["(a*)*b", "(a|a)*b", "(.*a){30}", "((a{0,99}){0,99}){0,9}", "(x+x+)+y", "(?:(?:(?:a?){50})a){20}"],
)
def test_no_regular_expression_takes_long(pattern: str) -> None:
    store = MemoryStore()
    store.append(block_of((make_labels({"v": "a" * 3000 + str(n)}, "x"), 0, 1.0) for n in range(20)))
    engine = PromqlEngine(store)
    started = time.monotonic()
    for expression in (f'x{{v=~"{pattern}"}}', f'label_replace(x, "w", "$1", "v", "{pattern}")'):
        with contextlib.suppress(QueryError):  # too large to compile is an answer, too
            engine.instant(expression, 0)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    "expression",
    [
        'x{n=~"((a{1000}){1000}){1000}"}',
        f'x{{n=~"{"a|" * 3000}b"}}',
        'x{n=~"("}',
        'label_replace(x, "n", "", "n", "((a{1000}){1000}){1000}")',
        f'label_replace(x, "n", "", "n", "{"a|" * 3000}b")',
    ],
)
def test_regular_expressions_that_are_refused(engine: PromqlEngine, expression: str) -> None:
    assert re.search("regular expression|illegal regex", str(refusal(engine, expression)))
