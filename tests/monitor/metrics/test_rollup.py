"""Compaction and rollups: what is kept of a day, and what queries see of it years later."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.metrics.chunk_file import RAW
from monitor.metrics.chunks import DAY_MS
from monitor.metrics.errors import StorageError
from monitor.metrics.interface import STALE, Labels, Matcher, MatchOp, block_of, make_labels
from monitor.metrics.layers import columns_of, piece_of
from monitor.metrics.piece import Columns
from monitor.metrics.rollup import HIGHEST, LOWEST, NOT_ONE, rollups
from monitor.metrics.store import LocalStore
from tests.monitor.metrics.oracle import bits_of, contents
from tests.monitor.metrics.test_chunks import FullDisk

MINUTE, FIVE, HOUR = 60_000, 300_000, 3_600_000
NAN = float("nan")


def roll(
    metric: str, values: list[float], step: int = FIVE, every: int = MINUTE
) -> dict[int, list[tuple[int, float]]]:
    """The rollups of one series: aspect -> [(ms, value)]."""
    count = len(values)
    piece = piece_of(
        Columns(
            np.zeros(count, np.int32), np.arange(count, dtype=np.int64) * every, np.array(values, np.float64)
        )
    )
    found: dict[int, list[tuple[int, float]]] = {}
    for at, rolled in rollups(piece, [metric], [step]):
        assert at == step
        back = columns_of([rolled.piece])
        found[rolled.aspect] = list(zip(back.timestamps.tolist(), back.values.tolist(), strict=True))
    return found


def increase(samples: list[float]) -> float:
    """As Prometheus adds it up, without extrapolation."""
    return sum(b - a if b >= a else b for a, b in itertools.pairwise(samples))


COUNTS = st.lists(st.one_of(st.integers(0, 50), st.just(-1)), min_size=2, max_size=120)


@given(COUNTS, st.sampled_from([FIVE, HOUR]))
def test_the_increase_of_a_counter_is_what_it_was(steps: list[int], step: int) -> None:
    values: list[float] = []
    for change in steps:
        values.append(float(change + (values[-1] if values else 1000)) if change >= 0 else 3.0)
    kept = roll("requests_total", values, step)[RAW]
    assert dict(kept).items() <= {i * MINUTE: v for i, v in enumerate(values)}.items()
    assert increase([value for _, value in kept]) == increase(values)
    lasts = {i * MINUTE // step: i * MINUTE for i in range(len(values))}
    assert set(lasts.values()) <= {at for at, _ in kept}


def test_a_counter_takes_a_fifth_of_the_samples() -> None:
    kept = roll("ifHCInOctets", [1e6 + 17.0 * i for i in range(1440)])
    assert set(kept) == {RAW}
    assert len(kept[RAW]) == 288 + 1


def test_a_gauge_keeps_average_and_extremes() -> None:
    values = [20.5, 21.0, 19.0, 22.0, 18.5] * 2 + [30.25]
    found = roll("device_sensor_celsius", values)
    assert found[RAW] == [(4 * MINUTE, 20.2), (9 * MINUTE, 20.2), (10 * MINUTE, 30.25)]
    assert found[LOWEST] == [(4 * MINUTE, 18.5), (9 * MINUTE, 18.5), (10 * MINUTE, 30.25)]
    assert found[HIGHEST] == [(4 * MINUTE, 22.0), (9 * MINUTE, 22.0), (10 * MINUTE, 30.25)]


def test_numbers_that_go_up_and_down_are_a_gauge_though_they_are_whole() -> None:
    assert set(roll("device_sessions", [100.0, 90.0, 120.0, 80.0] * 30)) == {RAW, LOWEST, HIGHEST}


def test_a_state_keeps_its_last_value_its_changes_and_the_seconds_it_was_not_one() -> None:
    values = [1.0] * 7 + [2.0, 1.0, 1.0] + [2.0] * 5
    found = roll("ifOperStatus", values)
    assert found[RAW] == [
        (0, 1.0),
        (4 * MINUTE, 1.0),
        (7 * MINUTE, 2.0),
        (8 * MINUTE, 1.0),
        (9 * MINUTE, 1.0),
        (14 * MINUTE, 2.0),
    ]
    # The last sample is not followed by another: it counts for five minutes.
    assert found[NOT_ONE] == [(4 * MINUTE, 0.0), (9 * MINUTE, 60.0), (14 * MINUTE, 4 * 60.0 + 300.0)]


def test_a_state_that_flaps_all_day_does_not_keep_every_change() -> None:
    found = roll("ifOperStatus", [1.0, 2.0] * 720)
    assert len(found[RAW]) == 289
    assert found[NOT_ONE][3][1] in {120.0, 180.0}


def test_a_series_that_ends_is_seen_to_end() -> None:
    found = roll("device_sensor_celsius", [21.5, 20.5, STALE])
    assert found[RAW] == [(2 * MINUTE, 21.0)]
    (first, second, third) = roll("requests_total", [5.0, 7.0, STALE, STALE])[RAW][:3]
    assert (first, second) == ((0, 5.0), (MINUTE, 7.0))
    assert np.isnan(third[1])


def test_a_value_that_is_no_number_is_in_no_aggregate() -> None:
    assert roll("device_sensor_celsius", [21.5, NAN, 20.5])[RAW] == [(2 * MINUTE, 21.0)]


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 50)),
        st.sampled_from([0.0, 1.0, 2.0, 0.5, 99.0, 100.0, NAN, STALE]),
        min_size=1,
        max_size=80,
    ),
    st.lists(st.sampled_from(["a_total", "b", "ifOperStatus"]), min_size=4, max_size=4),
)
def test_rollups_of_any_samples_stay_within_them(
    samples: dict[tuple[int, int], float], metric: list[str]
) -> None:
    rows = sorted(samples.items(), key=lambda row: row[0])
    piece = piece_of(
        Columns(
            np.array([s for (s, _), _ in rows], np.int32),
            np.array([t * MINUTE for (_, t), _ in rows], np.int64),
            np.array([v for _, v in rows], np.float64),
        )
    )
    by_aspect: dict[int, dict[tuple[int, int], float]] = {}
    for _, rolled in rollups(piece, [metric[number] for number in piece.series.tolist()], [FIVE]):
        back = columns_of([rolled.piece])
        assert len(set(zip(back.series.tolist(), back.timestamps.tolist(), strict=True))) == len(back.series)
        keys = [(s, t // FIVE) for s, t in zip(back.series.tolist(), back.timestamps.tolist(), strict=True)]
        by_aspect.setdefault(rolled.aspect, {}).update(zip(keys, back.values.tolist(), strict=True))
    buckets: dict[tuple[int, int], list[float]] = {}
    for (series, at), value in samples.items():
        if not np.isnan(value):
            buckets.setdefault((series, at // 5), []).append(value)
    assert set(buckets) <= set(by_aspect.get(RAW, {}))
    for key, lowest in by_aspect.get(LOWEST, {}).items():
        assert lowest == min(buckets[key])
        assert by_aspect[HIGHEST][key] == max(buckets[key])
        assert by_aspect[RAW][key] == pytest.approx(np.mean(buckets[key]))
    for key, seconds in by_aspect.get(NOT_ONE, {}).items():
        assert 0 <= seconds <= 300 * len(buckets[key])
        assert (seconds == 0) == all(value == 1 for value in buckets[key])


COUNTER = make_labels({"job": "snmp", "device": "a"}, "ifHCInOctets")
GAUGE = make_labels({"job": "snmp", "device": "a"}, "device_sensor_celsius")
STATE = make_labels({"job": "snmp", "device": "a"}, "ifOperStatus")
BRIEF = make_labels({"job": "snmp", "device": "b"}, "ifOperStatus")


def live(store: LocalStore, clock: ManualClock, days: int) -> list[int]:
    """A store that is written to and looked after for some days; the times of the samples."""
    times = []
    for step in range(days * 144):
        now = clock.now_ms()
        times.append(now)
        rows: list[tuple[Labels, int, float]] = [
            (COUNTER, now, 1e9 + step * 600.0 if step % 200 else 5.0),
            (GAUGE, now, 20.0 + step % 7 / 2),
            (STATE, now, 1.0 + (step % 50 == 0)),
        ]
        if step < 100:
            rows.append((BRIEF, now, 1.0))
        store.append(block_of(rows))
        clock.advance(600)
        store.maintain()
    return times


def test_a_day_is_compacted_when_it_is_two_days_old(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    start = clock.now_ms()
    live(store, clock, 4)
    expected = contents(store.window([], 0, clock.now_ms()))
    levels = {
        folder.name: sorted(path.name[-8] for path in folder.iterdir())
        for folder in (tmp_path / "chunks" / "raw").iterdir()
    }
    whole = [day for day, found in sorted(levels.items()) if found == ["1"]]
    assert whole == ["2026-11-21", "2026-11-22", "2026-11-23"][: len(whole)]
    assert len(whole) >= 2
    assert len(expected[COUNTER]) == 4 * 144
    assert expected[COUNTER][0][0] == start
    size = store.stats()["chunk_bytes"]
    store.close()
    again = LocalStore(tmp_path, clock)
    assert contents(again.window([], 0, clock.now_ms())) == expected
    assert again.stats()["chunk_bytes"] == size
    again.close()


def test_old_days_are_served_from_their_rollups(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock, retention_days=3, five_minute_days=6, hour_days=40)
    start = clock.now_ms()
    times = live(store, clock, 9)
    folders = {
        name: sorted(path.name for path in (tmp_path / "chunks" / name).iterdir())
        for name in ("raw", "5m", "1h")
    }
    assert folders["1h"][0] == "2026-11-21"
    assert "2026-11-21" not in folders["5m"]
    assert folders["5m"][0] not in folders["raw"]
    found = contents(store.window([], start - 1, clock.now_ms()))
    assert set(found) == {COUNTER, GAUGE, STATE}
    for labels, samples in found.items():
        assert samples[0][0] < start + HOUR, labels
        assert {at for at, _ in samples} <= set(times)
        assert len(samples) < len(times)
    values = np.array([value for _, value in found[COUNTER]], np.uint64).view(np.float64).tolist()
    raw = [1e9 + step * 600.0 if step % 200 else 5.0 for step in range(len(times))]
    assert increase(values) == increase(raw)
    gauges = [Matcher("__name__", MatchOp.EQ, "device_sensor_celsius")]
    lowest = contents(store.rollup(LOWEST, gauges, start, start + 2 * DAY_MS))[GAUGE]
    highest = contents(store.rollup(HIGHEST, gauges, start, start + 2 * DAY_MS))[GAUGE]
    assert {value for _, value in lowest} <= {bits_of(20.0 + half / 2) for half in range(3)}
    assert {value for _, value in highest} <= {bits_of(22.0 + half / 2) for half in range(3)}
    store.close()
    again = LocalStore(tmp_path, clock, retention_days=3, five_minute_days=6, hour_days=40)
    assert contents(again.window([], start - 1, clock.now_ms())) == found
    again.close()


def test_late_samples_of_a_compacted_day_are_compacted_and_rolled_up_too(
    tmp_path: Path, clock: ManualClock
) -> None:
    store = LocalStore(tmp_path, clock)
    times = live(store, clock, 4)
    late = [(GAUGE, at + MINUTE, 500.0) for at in times[:30]]
    assert store.append(block_of(late)).accepted == 30
    for _ in range(3):
        clock.advance(3700)
        store.maintain()
    gauges = [Matcher("__name__", MatchOp.EQ, "device_sensor_celsius")]
    highest = contents(store.rollup(HIGHEST, gauges, 0, times[29]))[GAUGE]
    assert {value for _, value in highest} == {bits_of(500.0)}
    assert all(
        path.name.endswith("-1.chunks") for path in (tmp_path / "chunks" / "raw" / "2026-11-21").iterdir()
    )
    assert len(contents(store.window(gauges, 0, clock.now_ms()))[GAUGE]) == len(times) + 30
    store.close()


def test_a_crash_between_new_file_and_old_ones_doubles_nothing(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    live(store, clock, 1)
    folder = tmp_path / "chunks" / "raw" / "2026-11-21"
    old = {path: path.read_bytes() for path in folder.iterdir()}
    assert len(old) > 1
    expected = contents(store.window([], 0, clock.now_ms()))
    store.compact(clock.now_ms() - DAY_MS)
    assert len(list(folder.iterdir())) == 1
    store.compact(clock.now_ms() - DAY_MS)
    store.close()
    for path, data in old.items():
        path.write_bytes(data)
    again = LocalStore(tmp_path, clock)
    assert contents(again.window([], 0, clock.now_ms())) == expected
    assert len(list(folder.iterdir())) == 1
    again.close()


def test_a_full_disk_leaves_a_day_as_it_was(tmp_path: Path, clock: ManualClock) -> None:
    disk = FullDisk()
    store = LocalStore(tmp_path, clock, disk=disk)
    live(store, clock, 1)
    expected = contents(store.window([], 0, clock.now_ms()))
    before = sorted((tmp_path / "chunks").rglob("*.chunks"))
    disk.room = 500
    with pytest.raises(StorageError):
        store.compact(clock.now_ms() - DAY_MS)
    assert sorted((tmp_path / "chunks").rglob("*.chunks*")) == before
    assert contents(store.window([], 0, clock.now_ms())) == expected
    disk.room = 1 << 40
    store.compact(clock.now_ms() - DAY_MS)
    assert contents(store.window([], 0, clock.now_ms())) == expected
    store.close()


def test_a_reader_is_not_disturbed_by_compaction(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    live(store, clock, 1)
    files = store._history.files()  # what a reader takes along
    assert len(list((tmp_path / "chunks" / "raw" / "2026-11-21").iterdir())) > 1
    wanted = np.ones(8, np.bool_)
    before = store._history.read(files, wanted, 0, clock.now_ms())
    store.compact(clock.now_ms() - DAY_MS)
    during = store._history.read(files, wanted, 0, clock.now_ms())
    assert [len(columns_of(layer).series) for layer in during] == [
        len(columns_of(layer).series) for layer in before
    ]
    assert store.stats()["quarantined"] == 0
    del files
    assert len(list((tmp_path / "chunks" / "raw" / "2026-11-21").iterdir())) == 1
    store.close()


def test_what_is_damaged_is_kept_when_a_day_is_compacted(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    live(store, clock, 1)
    path = min((tmp_path / "chunks" / "raw" / "2026-11-21").iterdir())
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    store.compact(clock.now_ms() - DAY_MS)
    (aside,) = (tmp_path / "chunks" / "quarantine").iterdir()
    assert aside.read_bytes() == data
    assert store.stats()["quarantined"] >= 1
    store.close()
