"""Who answers what: one engine over everything is the oracle for ours over the newest part plus a back end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import (
    Labels,
    Limits,
    Matcher,
    MatchOp,
    Matrix,
    QueryControl,
    Result,
    Scalar,
    Vector,
    block_of,
    make_labels,
)
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.compile import compile_plan
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.remote.longrange import Held, LongRangeQueries, LongRangeStore, stitch
from monitor.metrics.remote.queries import RemoteError
from monitor.metrics.remote.reach import reach

MINUTE = 60_000
HOUR = 60 * MINUTE
START = 1_800_000_000_000 // HOUR * HOUR
HELD = START + 6 * HOUR
END = START + 12 * HOUR
EXPRESSIONS = (
    "up",
    "sum by (site) (rate(octets[10m]))",
    "up offset 90m",
    "max_over_time(up[4h])",
    "increase(octets[1h:5m])",
    "topk(1, octets)",
    f"octets - octets @ {START // 1000 + 3600}",
    f"octets - octets @ {END // 1000}",
    "octets - octets @ start()",
    "octets - octets @ end()",
    "time()",
    "vector(1) + 2",
    "absent(nothing)",
    "count(up) or vector(0)",
    "rate(octets[5m]) > 0 and on (site) up offset 3h",
    "avg_over_time(up[100d])",
)


def filled(start: int) -> MemoryStore:
    """Ten minutes-wide series from a time on, a counter and a gauge per device."""
    store = MemoryStore()
    for at in range(START, END + 1, MINUTE):
        if at >= start:
            store.append(
                block_of(
                    (make_labels({"device": f"d{i}", "site": f"s{i % 2}"}, name), at, value)
                    for i in range(3)
                    for name, value in (
                        ("octets", (at - START) / 1000 * (i + 1)),
                        ("up", at // MINUTE % (i + 2)),
                    )
                )
            )
    return store


class EngineAsBackend:
    """What RemoteQueries is, over a store in memory."""

    name = "https://vm.test"

    def __init__(self, store: MemoryStore) -> None:
        self.engine = PromqlEngine(store)
        self.store = store
        self.asked: list[str] = []

    def instant(self, expression: str, at_ms: int, limits: Limits, lookback_ms: int) -> Result:
        self.asked.append(expression)
        return self.engine.instant(expression, at_ms, limits, QueryControl(lookback_ms=lookback_ms))

    def range(self, expression: str, grid: tuple[int, int, int], limits: Limits, lookback_ms: int) -> Matrix:
        self.asked.append(expression)
        return self.engine.range(expression, *grid, limits, QueryControl(lookback_ms=lookback_ms))

    def series(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Labels]:
        return self.store.series(matchers, start_ms, end_ms)

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        return self.store.label_names(matchers, start_ms, end_ms)

    def label_values(self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        return self.store.label_values(name, matchers, start_ms, end_ms)


@pytest.fixture(scope="module")
def backend() -> EngineAsBackend:
    return EngineAsBackend(filled(START))


@pytest.fixture(scope="module")
def near() -> MemoryStore:
    return filled(HELD)


def queries_of(near: MemoryStore, backend: EngineAsBackend, since: int = 0) -> LongRangeQueries:
    return LongRangeQueries(PromqlEngine(near), backend, lambda: Held(HELD, 0), lambda: since)


@pytest.fixture(scope="module")
def queries(near: MemoryStore, backend: EngineAsBackend) -> LongRangeQueries:
    return queries_of(near, backend)


def who(control: QueryControl) -> list[str]:
    return [note for note in control.report.infos if "answered by" in note]


def same(found: Matrix, expected: Matrix) -> None:
    assert [tuple(labels) for labels in found.labels] == [tuple(labels) for labels in expected.labels]
    assert found.timestamps.tolist() == expected.timestamps.tolist()
    assert (found.present == expected.present).all()
    assert np.array_equal(found.values[found.present], expected.values[expected.present], equal_nan=True)


@settings(deadline=None, max_examples=60)
@given(
    expression=st.sampled_from(EXPRESSIONS),
    start=st.integers(-60, 700),
    length=st.integers(0, 400),
    step=st.integers(1, 90),
)
def test_a_range_is_as_if_we_held_everything(
    queries: LongRangeQueries,
    backend: EngineAsBackend,
    expression: str,
    start: int,
    length: int,
    step: int,
) -> None:
    grid = START + start * MINUTE, START + (start + length) * MINUTE, step * MINUTE
    same(queries.range(expression, *grid), backend.engine.range(expression, *grid))


@settings(deadline=None, max_examples=60)
@given(expression=st.sampled_from(EXPRESSIONS), minute=st.integers(0, 720))
def test_an_instant_is_as_if_we_held_everything(
    queries: LongRangeQueries, backend: EngineAsBackend, expression: str, minute: int
) -> None:
    at = START + minute * MINUTE
    found, expected = queries.instant(expression, at), backend.engine.instant(expression, at)
    if isinstance(expected, Scalar):
        assert found == expected
        return
    assert isinstance(found, Vector)
    assert isinstance(expected, Vector)
    values = {tuple(labels): value for labels, value in zip(found.labels, found.values, strict=True)}
    assert values == {
        tuple(labels): value for labels, value in zip(expected.labels, expected.values, strict=True)
    }


def test_what_we_hold_is_answered_here_and_the_note_says_who_answered_the_rest(
    near: MemoryStore, backend: EngineAsBackend
) -> None:
    queries = queries_of(near, backend)
    backend.asked.clear()
    control = QueryControl()
    queries.range("rate(octets[10m])", HELD + 10 * MINUTE, END, MINUTE, control=control)
    queries.instant("up", END, control=control)
    assert not backend.asked
    assert not who(control)
    queries.range("rate(octets[10m])", HELD + 9 * MINUTE, END, MINUTE, control=control)
    assert backend.asked == ["rate(octets[10m])"]
    (note,) = who(control)
    assert "2027-01-15T14:09:00Z answered by https://vm.test" in note
    assert not control.report.warnings


def test_who_is_behind_is_said(near: MemoryStore, backend: EngineAsBackend) -> None:
    queries = queries_of(near, backend, since=END - HOUR)
    control = QueryControl()
    queries.range("up", START, END, MINUTE, control=control)
    assert not control.report.warnings  # the newest points are ours
    queries.range("up offset 6h", HELD, END, MINUTE, control=control)
    assert "has not been taking samples since 2027-01-15T19:00:00Z" in control.report.warnings[0]


def test_a_lookback_of_the_asker_counts(near: MemoryStore, backend: EngineAsBackend) -> None:
    queries = queries_of(near, backend)
    backend.asked.clear()
    queries.instant("up", HELD + 5 * MINUTE)
    assert not backend.asked
    queries.instant("up", HELD + 5 * MINUTE, control=QueryControl(lookback_ms=6 * MINUTE))
    assert backend.asked == ["up"]


@pytest.mark.parametrize(
    ("start", "end", "step", "text"),
    [(START, END, 0, "step"), (END, START, MINUTE, "before start"), (START, END, 1, "maximum resolution")],
)
def test_impossible_ranges_are_refused_without_asking(
    near: MemoryStore, backend: EngineAsBackend, start: int, end: int, step: int, text: str
) -> None:
    backend.asked.clear()
    with pytest.raises(QueryError, match=text):
        queries_of(near, backend).range("up", start, end, step)
    with pytest.raises(QueryError, match="range vector"):
        queries_of(near, backend).range("up[5m]", START, END, MINUTE)
    assert not backend.asked


class SilentBackend(EngineAsBackend):
    """Does not answer."""

    kind = "unavailable"

    def _silent(self, *_: object, **__: object) -> NoReturn:
        raise RemoteError(self.name, "no answer", self.kind)

    instant = range = series = label_names = label_values = _silent


def test_without_the_back_end_a_young_store_answers_alone_but_an_old_one_does_not(near: MemoryStore) -> None:
    silent = SilentBackend(MemoryStore())
    up = [Matcher("__name__", MatchOp.EQ, "up")]
    young = Held(START, HELD)
    queries = LongRangeQueries(PromqlEngine(near), silent, lambda: young, lambda: 0)
    control = QueryControl()
    found = queries.range("up", START + HOUR, END, HOUR, control=control)
    assert found.present.sum(0).tolist() == [7, 7, 7]
    (warning,) = control.report.warnings
    assert warning.startswith(
        "long-range back end https://vm.test: no answer; there are only samples from here"
    )
    assert len(queries.instant("max_over_time(up[10h])", END).labels) == 3  # type: ignore[union-attr]
    store = LongRangeStore(near, silent, lambda: young)
    assert len(store.series(up, START, END)) == 3
    assert store.label_values("device", up, START, END) == ["d0", "d1", "d2"]
    old = Held(HELD, 0)
    for ask in (
        lambda: queries_of(near, silent).range("up", START, END, HOUR),
        lambda: queries_of(near, silent).instant("up", START),
        lambda: LongRangeStore(near, silent, lambda: old).label_names(up, START, END),
    ):
        with pytest.raises(RemoteError, match=r"vm\.test"):
            ask()
    silent.kind = "execution"
    with pytest.raises(RemoteError):
        queries.instant("up", START + HOUR)


@pytest.mark.parametrize(
    ("expression", "back", "since", "whole"),
    [
        ("1 + 2", None, None, False),
        ("up", 5, None, False),
        ("up offset 10m", 15, None, False),
        ("up offset -10m", -5, None, False),
        ("rate(octets[10m] offset 1h)", 70, None, False),
        ("max_over_time(rate(octets[10m])[1h:1m] offset 2h)", 190, None, False),
        ("sum(up) / max_over_time(up[30m])", 30, None, False),
        ("up @ 6000", None, 95, False),
        ("max_over_time(up[10m:1m] @ 6000)", None, 85, False),
        ("max_over_time((up @ 6000)[10m:1m])", None, 95, False),
        ("up @ start()", None, 995, True),
        ("-sum_over_time((up + up @ end())[1h:])", 65, 1995, True),
        ("quantile(scalar(up offset 2h), octets)", 125, None, False),
    ],
)
def test_reach(expression: str, back: int | None, since: int | None, whole: bool) -> None:
    root = compile_plan(expression, Limits()).root
    found = reach(root, 1000 * MINUTE, 2000 * MINUTE, 5 * MINUTE)
    assert (found.back_ms, found.since_ms, found.whole) == (
        back if back is None else back * MINUTE,
        since if since is None else since * MINUTE,
        whole,
    )


def test_names_the_back_end_keeps_do_not_split_a_line() -> None:
    def matrix(labels: Labels, at: int) -> Matrix:
        return Matrix([labels], np.array([at], np.int64), np.ones((1, 1)), np.ones((1, 1), np.bool_))

    bare, named = make_labels({"device": "d0"}), make_labels({"device": "d0"}, "up")
    assert stitch(matrix(named, 1), matrix(bare, 2)).labels == [bare]
    assert stitch(matrix(named, 1), matrix(named, 2)).labels == [named]
    assert stitch(matrix(bare, 1), matrix(named, 2)).labels == [named, bare]


def test_series_and_labels_of_the_past_come_from_both(near: MemoryStore) -> None:
    far = MemoryStore()
    gone = make_labels({"device": "retired", "room": "A1"}, "up")
    far.append(block_of([(gone, START + MINUTE, 1.0)]))
    store = LongRangeStore(near, EngineAsBackend(far), lambda: Held(HELD, 0))
    up = [Matcher("__name__", MatchOp.EQ, "up")]
    assert gone in store.series(up, START, END)
    assert len(store.series(up, START, END)) == 4
    assert gone not in store.series(up, HELD, END)
    assert gone not in store.series(up, 0, END)
    assert "room" in store.label_names(up, START, END)
    assert "room" not in store.label_names(up, HELD, END)
    assert store.label_values("device", up, START, END) == ["d0", "d1", "d2", "retired"]
    assert store.label_values("device", up, 0, END) == ["d0", "d1", "d2"]
    assert store.stats() == near.stats()
    assert len(store.window(up, HELD, END).labels) == 3
