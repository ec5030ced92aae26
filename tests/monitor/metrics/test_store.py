"""The whole store against a dictionary: sealing, reopening, late data, retention."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.metrics import history
from monitor.metrics.chunks import DAY_MS, SLOT_MS
from monitor.metrics.errors import QueryError
from monitor.metrics.interface import (
    STALE,
    Labels,
    Matcher,
    MatchOp,
    MetricStore,
    SampleBlock,
    Vector,
    block_of,
    make_labels,
)
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.store import LocalStore
from tests.monitor.metrics.oracle import Oracle, bits_of, contents, selected

NOON = 1_795_262_400_000
MINUTE = 60_000
HOUR = 3_600_000
UP = make_labels({"job": "snmp", "device": "a"}, "up")
SERIES = [
    make_labels({"job": f"j{i % 2}", "device": f"d{i % 3}", "x": str(i)}, f"m{i % 4}") for i in range(8)
]


def metric(name: str) -> list[Matcher]:
    return [Matcher("__name__", MatchOp.EQ, name)]


@dataclass(frozen=True)
class Append:
    """Samples (series, minutes before now, value)."""

    samples: list[tuple[int, int, float]]


VALUES = st.sampled_from([0.0, 1.0, 2.0, -0.0, 2.5, 1e300, float("nan"), STALE])
STEPS = st.lists(
    st.one_of(
        st.builds(Append, st.lists(st.tuples(st.integers(0, 7), st.integers(0, 400), VALUES), max_size=25)),
        st.integers(1, 500),  # minutes that go by
        st.sampled_from(["maintain", "reopen", "compact"]),
    ),
    max_size=14,
)
WINDOWS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 1500)), min_size=1, max_size=3)


class FirstWins(Oracle):
    """Takes samples in any order; of two at one time the first that was stored stays."""

    def append(self, samples: Iterable[tuple[Labels, int, float]]) -> tuple[int, int, int]:
        accepted = duplicate = rejected = 0
        for labels, at, value in samples:
            stored = dict(self.samples.get(labels, []))
            if at not in stored:
                stored[at] = bits_of(value)
                accepted += 1
            elif stored[at] == bits_of(value):
                duplicate += 1
            else:
                rejected += 1
            self.samples[labels] = sorted(stored.items())
        return accepted, duplicate, rejected


@settings(max_examples=60, deadline=None)
@given(STEPS, WINDOWS)
def test_any_history_against_a_dictionary(
    steps: list[Append | int | str], windows: list[tuple[int, int]]
) -> None:
    clock, oracle = ManualClock(NOON), FirstWins()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, sealed = LocalStore(folder, clock), False
        for step in steps:
            sealed = sealed or step in ("maintain", "compact")
            if isinstance(step, Append):
                now = clock.now_ms()
                samples = [(SERIES[s], now - back * MINUTE, value) for s, back, value in step.samples]
                result = store.append(block_of(samples))
                accepted, duplicate, rejected = oracle.append(samples)
                told = (result.accepted, result.duplicate, result.rejected)
                # What is sealed is compared only when it is sealed again: until then a second sample of its time
                # counts as accepted, and a third is compared with the second.
                assert told == (accepted, duplicate, rejected) or (sealed and result.accepted >= accepted)
                assert result.accepted + result.duplicate + result.rejected == len(samples)
                assert result.rejected == sum(result.reasons.values())
            elif isinstance(step, int):
                clock.advance(step * 60)
            elif step == "maintain":
                store.maintain()
            elif step == "compact":
                store.compact(clock.now_ms() - DAY_MS // 4)
            else:
                store.close()
                store = LocalStore(folder, clock)
        try:
            for back, length in windows:
                after = clock.now_ms() - back * MINUTE
                until = after + length * MINUTE
                for matchers in ([], metric("m1"), [Matcher("x", MatchOp.RE, "[2-5]")]):
                    expected = oracle.window(matchers, after, until)
                    assert contents(store.window(matchers, after, until)) == expected
                    assert selected(store.select(matchers, after, until), after, until) == expected
        finally:
            store.close()


def fill(store: MetricStore, clock: ManualClock, hours: int, step_minutes: int = 10) -> int:
    """A sample of every series each few minutes while the clock goes on; when it began."""
    start = clock.now_ms()
    for at in range(0, hours * 60, step_minutes):
        store.append(block_of((labels, clock.now_ms(), float(at * i)) for i, labels in enumerate(SERIES)))
        if isinstance(store, LocalStore):
            store.maintain()
        clock.advance(step_minutes * 60)
    return start


def test_a_window_spans_chunks_and_head(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    start = fill(store, clock, 26)
    found = store.window([], start - 1, clock.now_ms())
    assert found.present.all()
    assert found.values.shape == (156, len(SERIES))
    assert store.stats()["seals"] > 10
    assert len(list((tmp_path / "chunks" / "raw").iterdir())) == 2
    store.close()


def test_what_does_not_fit_in_memory_is_refused(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path, clock)
    start = fill(store, clock, 26)
    monkeypatch.setattr(history, "_MOST_CELLS", 100)
    with pytest.raises(QueryError, match="more than 100 samples of past days"):
        store.select([], start - 1, clock.now_ms())
    assert store.select([], clock.now_ms() - HOUR // 2, clock.now_ms()).parts
    store.close()


def test_the_log_shrinks_after_sealing(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    fill(store, clock, 30)
    held = store.stats()["wal_bytes"]
    fill(store, clock, 30)
    assert store.stats()["wal_bytes"] < held * 1.5
    assert len(list((tmp_path / "wal").glob("*.seg"))) <= 4
    store.close()


def test_a_long_outage_is_filled_in_afterwards(tmp_path: Path, clock: ManualClock) -> None:
    """What a collector kept while the line was down arrives hours late, beside devices that were never away."""
    store = LocalStore(tmp_path, clock)
    here, away = make_labels({"job": "snmp", "device": "here"}, "up"), UP
    times = []
    for _ in range(60):
        times.append(clock.now_ms())
        store.append(block_of([(here, clock.now_ms(), 1.0)]))
        store.maintain()
        clock.advance(600)
    assert store.append(block_of((away, at, 0.5) for at in times)).accepted == 60
    clock.advance(700)
    store.maintain()
    found = contents(store.window([], 0, clock.now_ms()))
    assert found[here] == [(at, bits_of(1.0)) for at in times]
    assert found[away] == [(at, bits_of(0.5)) for at in times]
    store.close()


def test_old_days_go_and_their_series_with_them(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock, retention_days=2)
    store.append(block_of([(UP, clock.now_ms(), 1.0)]))
    for _ in range(5):
        clock.advance(DAY_MS / 1000)
        store.append(block_of([(SERIES[0], clock.now_ms(), 1.0)]))
        store.maintain()
    assert len(list((tmp_path / "chunks" / "raw").iterdir())) <= 3
    assert store.series([], 0, clock.now_ms()) == [SERIES[0]]
    assert store.append(block_of([(SERIES[0], clock.now_ms() - 3 * DAY_MS, 1.0)])).reasons == {"too_old": 1}
    assert store.append(block_of([(UP, clock.now_ms(), 2.0)])).accepted == 1
    expected = contents(store.window([], clock.now_ms() - HOUR, clock.now_ms()))
    assert expected == {UP: [(clock.now_ms(), bits_of(2.0))], SERIES[0]: [(clock.now_ms(), bits_of(1.0))]}
    store.close()
    again = LocalStore(tmp_path, clock, retention_days=2)
    assert contents(again.window([], clock.now_ms() - HOUR, clock.now_ms())) == expected
    again.close()


def test_names_and_values_of_labels(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    now = clock.now_ms()
    store.append(block_of((labels, now, 1.0) for labels in SERIES))
    assert store.label_names([], now - 1, now) == ["__name__", "device", "job", "x"]
    assert store.label_values("device", metric("m1"), now - 1, now) == ["d1", "d2"]
    assert store.label_values("none", [], now - 1, now) == []
    assert store.series(metric("m1"), now - 1, now) == [SERIES[1], SERIES[5]]
    assert store.series([], now, now + HOUR) == []
    assert store.series([], now - HOUR, now - 1) == []
    store.close()


def test_the_order_of_a_series_survives_sealing_and_reopening(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    now = clock.now_ms()
    store.append(block_of([(UP, now, 1.0)]))
    clock.advance(2 * SLOT_MS / 1000)
    store.maintain()
    for _ in range(2):
        assert store.append(block_of([(UP, now, 1.0)])).duplicate == 1
        assert store.append(block_of([(UP, now, 2.0)])).reasons == {"conflicting": 1}
        store.close()
        store = LocalStore(tmp_path, clock)
    assert contents(store.window([], 0, now)) == {UP: [(now, bits_of(1.0))]}
    store.close()


def test_writers_readers_and_sealing_at_the_same_time(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    start = clock.now_ms()
    names: list[tuple[Labels, ...]] = [
        tuple(make_labels({"job": "j", "device": f"d{w}-{i}"}, "m") for i in range(200)) for w in range(3)
    ]
    problems: list[str] = []
    done = threading.Event()

    def write(labels: tuple[Labels, ...]) -> None:
        for row in range(300):
            times = np.full(200, start + row * MINUTE)
            block = SampleBlock(labels, np.arange(200, dtype=np.int32), times, np.full(200, float(row)))
            if store.append(block).accepted != 200:
                problems.append(f"row {row} was not accepted")

    def read() -> None:
        while not done.is_set():
            for samples in contents(store.window([], start - 1, start + 300 * MINUTE)).values():
                if samples != [(start + row * MINUTE, bits_of(float(row))) for row in range(len(samples))]:
                    problems.append(f"a hole or a double: {len(samples)}")

    clock.advance(300 * 60 + SLOT_MS / 1000)
    writers = [threading.Thread(target=write, args=(labels,)) for labels in names]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    while any(writer.is_alive() for writer in writers):
        clock.advance(601)
        store.maintain()
        writers[0].join(0.02)
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert problems == []
    clock.advance(601)
    store.maintain()
    found = store.window([], start - 1, start + 300 * MINUTE)
    assert found.present.all()
    assert found.values.shape == (300, 600)
    assert store.stats()["seals"] > 0
    store.close()


def test_a_metric_nobody_told_of_beside_an_operator(tmp_path: Path, clock: ManualClock) -> None:
    store, now = LocalStore(tmp_path, clock), clock.now_ms()
    for minute in range(10, -1, -1):
        labels = [make_labels({"port": str(port)}, "m") for port in range(400)]
        store.append(block_of([(one, now - minute * 60_000, -float(minute)) for one in labels]))
    engine = PromqlEngine(store)
    for expression, size in (
        ("rate(m[5m]) * 8 or rate(absent[5m]) * 8", 400),
        ("rate(absent[5m]) or rate(m[5m])", 400),
        ("rate(m[5m]) and rate(absent[5m])", 0),
    ):
        found = engine.instant(expression, now)
        assert isinstance(found, Vector)
        assert len(found.labels) == size, expression
    store.close()
