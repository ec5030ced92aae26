"""Samples that come late: accepted, kept, merged, sealed into their days; the first stored stays."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.metrics.chunks import DAY_MS, SLOT_MS
from monitor.metrics.interface import SampleBlock, block_of, make_labels
from monitor.metrics.late import LateBuffer
from monitor.metrics.layers import Layer, columns_of, merge, overlay, piece_of, stack
from monitor.metrics.piece import Columns
from monitor.metrics.store import LocalStore
from tests.monitor.metrics.oracle import bits_of, contents

UP = make_labels({"job": "snmp", "device": "a"}, "up")
DOWN = make_labels({"job": "snmp", "device": "b"}, "up")
MINUTE = 60_000
Rows = list[tuple[int, int, float]]
SAMPLES = st.dictionaries(st.tuples(st.integers(0, 5), st.integers(0, 30)), st.integers(0, 3).map(float))


def columns(samples: dict[tuple[int, int], float]) -> Columns:
    ordered = sorted(samples.items())
    return Columns(
        np.array([s for (s, _), _ in ordered], np.int32),
        np.array([t for (_, t), _ in ordered], np.int64),
        np.array([v for _, v in ordered], np.float64),
    )


def rows(columns: Columns) -> dict[tuple[int, int], float]:
    keys = zip(columns.series.tolist(), columns.timestamps.tolist(), strict=True)
    found = dict(zip(keys, columns.values.tolist(), strict=True))
    assert len(found) == len(columns.series)
    return found


def layers_of(samples: dict[tuple[int, int], float], cuts: list[int]) -> list[Layer]:
    """The samples cut along time at some places."""
    edges = [-1, *sorted(set(cuts)), 31]
    layers: list[Layer] = []
    for low, high in itertools.pairwise(edges):
        part = {key: value for key, value in samples.items() if low < key[1] <= high}
        evens = {key: value for key, value in part.items() if key[0] % 2 == 0}
        odds = {key: value for key, value in part.items() if key[0] % 2}
        layers.append([piece_of(columns(some)) for some in (evens, odds) if some])
    return layers


def check_order(layers: list[Layer]) -> dict[tuple[int, int], float]:
    """Disjoint series in each layer, newer than in the layers before; everything there is."""
    found: dict[tuple[int, int], float] = {}
    newest: dict[int, int] = {}
    for layer in layers:
        numbers = [series for piece in layer for series in piece.series.tolist()]
        assert len(set(numbers)) == len(numbers)
        part = rows(columns_of(layer)) if layer else {}
        for series, at in part:
            assert at > newest.get(series, -1)
        for series, at in part:
            newest[series] = max(newest.get(series, -1), at)
        found.update(part)
    return found


@given(SAMPLES)
def test_samples_become_a_piece_and_samples_again(samples: dict[tuple[int, int], float]) -> None:
    piece = piece_of(columns(samples))
    assert rows(columns_of([piece])) == samples
    # Series with the same time stamps share a column of them.
    shapes = {series: tuple(sorted(t for s, t in samples if s == series)) for series, _ in samples}
    assert piece.timestamps.shape[1] == len(set(shapes.values()))


@given(SAMPLES, SAMPLES, st.lists(st.integers(0, 30), max_size=3))
def test_late_samples_in_layers(
    stored: dict[tuple[int, int], float], late: dict[tuple[int, int], float], cuts: list[int]
) -> None:
    layers = overlay(layers_of(stored, cuts), columns(late))
    assert check_order(layers) == {**late, **stored}


@given(SAMPLES, st.lists(st.integers(0, 30), max_size=3))
def test_layers_joined_along_time(stored: dict[tuple[int, int], float], cuts: list[int]) -> None:
    piece = stack(layers_of(stored, cuts))
    assert rows(columns_of([piece])) == stored


@given(st.lists(SAMPLES, max_size=4))
def test_merging_counts_what_it_leaves_out(sources: list[dict[tuple[int, int], float]]) -> None:
    expected: dict[tuple[int, int], float] = {}
    same = conflicting = 0
    for source in sources:
        for key, value in source.items():
            same += expected.get(key) == value
            conflicting += expected.get(key, value) != value
            expected.setdefault(key, value)
    merged = merge([columns(source) for source in sources])
    assert rows(merged.columns) == expected
    assert (merged.same, merged.conflicting) == (same, conflicting)


@given(st.lists(SAMPLES, max_size=5), st.integers(0, 30))
def test_the_buffer_keeps_the_first(blocks: list[dict[tuple[int, int], float]], boundary: int) -> None:
    buffer = LateBuffer()
    expected: dict[tuple[int, int], float] = {}
    for block in blocks:
        verdict = buffer.judge(columns(block))
        assert rows(verdict.fresh) == {key: value for key, value in block.items() if key not in expected}
        assert verdict.same == sum(expected.get(key) == value for key, value in block.items())
        assert len(verdict.fresh.series) + verdict.same + verdict.conflicting == len(block)
        buffer.add(verdict.fresh)
        expected = {**block, **expected}
    wanted = np.array([True, False, True, True])
    assert rows(buffer.within(wanted, 3, 20)) == {
        key: value for key, value in expected.items() if key[0] in {0, 2, 3} and 3 < key[1] <= 20
    }
    assert rows(buffer.take_before(boundary)) == {k: v for k, v in expected.items() if k[1] < boundary}
    assert rows(buffer.columns()) == {k: v for k, v in expected.items() if k[1] >= boundary}
    assert len(buffer) == len(buffer.columns().series)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> LocalStore:
    return LocalStore(tmp_path, clock)


def test_an_old_sample_is_accepted_and_counted(store: LocalStore, clock: ManualClock) -> None:
    now = clock.now_ms()
    store.append(block_of([(UP, now, 1.0)]))
    result = store.append(block_of([(UP, now - 5, 2.0), (UP, now - 40 * DAY_MS, 3.0), (UP, now, 9.0)]))
    assert (result.accepted, result.rejected) == (1, 2)
    assert result.reasons == {"too_old": 1, "conflicting": 1}
    assert store.append(block_of([(UP, now - 5, 2.0)])).duplicate == 1
    assert store.append(block_of([(UP, now - 5, 4.0)])).reasons == {"conflicting": 1}
    assert contents(store.window([], 0, now)) == {UP: [(now - 5, bits_of(2.0)), (now, bits_of(1.0))]}
    assert store.stats()["samples_late"] == 1
    assert store.series([], now - 5 - MINUTE, now - 5) == [UP]
    store.close()


def test_whole_days_can_be_filled_in(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    now = clock.now_ms()
    store.append(block_of([(UP, now, 1.0), (DOWN, now, 1.0)]))
    start = now - 9 * DAY_MS
    times = [start + minute * MINUTE for minute in range(0, 3 * 1440, 10)]
    for at in reversed(times):
        assert store.append(block_of([(UP, at, 0.5), (DOWN, at, 0.25)])).accepted == 2
        if at % (DAY_MS // 3) == 0:
            clock.advance(601)
            store.maintain()
    expected = {
        labels: [*((at, bits_of(value)) for at in times), (now, bits_of(1.0))]
        for labels, value in ((UP, 0.5), (DOWN, 0.25))
    }
    assert contents(store.window([], 0, now)) == expected
    clock.advance(2 * 3600)
    store.maintain()
    assert store.stats()["late_samples_waiting"] == 0
    assert contents(store.window([], 0, now)) == expected
    assert len(list((tmp_path / "chunks" / "raw").iterdir())) >= 3
    for _ in range(4):
        clock.advance(3700)
        store.maintain()
    days = {path.parent.name: path.name for path in (tmp_path / "chunks" / "raw").glob("*/*-1.chunks")}
    assert len(days) >= 3
    assert contents(store.window([], 0, now)) == expected
    store.close()
    again = LocalStore(tmp_path, clock)
    assert contents(again.window([], 0, now)) == expected
    again.close()


def test_what_is_sealed_wins_over_what_comes_later(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    now = clock.now_ms()
    store.append(block_of([(UP, now - MINUTE, 1.0), (UP, now, 1.0)]))
    clock.advance(2 * SLOT_MS / 1000)
    store.maintain()
    assert store.append(block_of([(UP, clock.now_ms(), 1.0)])).accepted == 1
    late = [(UP, now - MINUTE, 7.0), (UP, now - 2 * MINUTE, 2.0), (UP, now, 1.0)]
    assert store.append(block_of(late)).accepted == 3
    expected = [(now - 2 * MINUTE, bits_of(2.0)), (now - MINUTE, bits_of(1.0)), (now, bits_of(1.0))]
    assert contents(store.window([], 0, now)) == {UP: expected}
    clock.advance(601)
    store.maintain()
    stats = store.stats()
    assert (stats["samples_late_duplicate"], stats["samples_late_conflicting"]) == (1, 1)
    assert contents(store.window([], 0, now)) == {UP: expected}
    store.close()


def test_late_samples_are_logged_and_replayed_once(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    now = clock.now_ms()
    store.append(block_of([(UP, now, 1.0)]))
    store.append(block_of([(UP, now - DAY_MS, 2.0), (UP, now - 5, 3.0)]), durable=True)
    expected = contents(store.window([], 0, now))
    for _ in range(3):
        store.close()
        store = LocalStore(tmp_path, clock)
        assert contents(store.window([], 0, now)) == expected
        assert store.append(block_of([(UP, now - 5, 3.0)])).duplicate == 1
    assert store.stats()["late_samples_waiting"] == 2
    clock.advance(4 * 3600)
    store.maintain()
    store.close()
    store = LocalStore(tmp_path, clock)
    assert store.stats()["late_samples_waiting"] == 0
    assert contents(store.window([], 0, now)) == expected
    store.close()


def test_a_crowd_of_late_samples_is_sealed_at_once(
    store: LocalStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.metrics.store._MOST_LATE", 100)
    now = clock.now_ms()
    store.append(block_of([(UP, now, 1.0)]))
    for block in range(10):
        first = now - DAY_MS + block * 50 * MINUTE
        store.append(block_of((UP, first + at * MINUTE, 1.0) for at in range(50)))
        assert store.stats()["late_samples_waiting"] <= 150
    assert len(contents(store.window([], 0, now))[UP]) == 501
    store.close()


def test_samples_of_hours_that_are_being_sealed(store: LocalStore, clock: ManualClock) -> None:
    """Senders that catch up write into the hours that are sealed at the same moment; readers see every sample."""
    labels = tuple(make_labels({"job": "j", "device": f"d{i}"}, "m") for i in range(40))
    start = clock.now_ms() - 7 * 3_600_000  # before the present, however slowly the clock is put forward
    codes = np.arange(40, dtype=np.int32)
    problems: list[str] = []

    def write() -> None:
        for row in range(400):
            for part in (0, 1):
                block = SampleBlock(
                    labels, codes[part::2], np.full(20, start + row * MINUTE), np.full(20, float(row))
                )
                if store.append(block).accepted != 20:
                    problems.append(f"row {row}")

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        clock.advance(601)
        store.maintain()
        found = contents(store.window([], 0, clock.now_ms()))
        for samples in found.values():
            if samples != [(start + row * MINUTE, bits_of(float(row))) for row in range(len(samples))]:
                problems.append(f"a hole or a double: {len(samples)}")
    writer.join()
    assert problems == []
    assert {len(samples) for samples in contents(store.window([], 0, clock.now_ms())).values()} == {400}
    store.close()


def test_the_buffer_stays_in_few_runs_however_small_the_portions() -> None:
    buffer = LateBuffer()
    for at in range(1000):
        buffer.add(columns({(at % 7, at): 1.0}))
        assert len(buffer.runs) <= 7
    assert buffer.judge(columns({(3, 3): 1.0, (3, 4): 1.0})).same == 1
    assert len(buffer) == 1000
    assert buffer.oldest_ms() == 0
