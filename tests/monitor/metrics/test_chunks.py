"""The codec, and damage in sealed samples."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from monitor.clock import ManualClock
from monitor.metrics.chunks import SLOT_MS
from monitor.metrics.codec import pack_times, pack_values, unpack_times, unpack_values
from monitor.metrics.errors import StorageError
from monitor.metrics.interface import Floats, block_of, make_labels
from monitor.metrics.piece import HOLE_BITS
from monitor.metrics.store import LocalStore
from tests.monitor.metrics.oracle import Samples, contents

CELLS = st.one_of(
    st.integers(-(2**53), 2**53).map(float),
    st.integers(0, 2**64 - 1).map(lambda bits: float(np.array([bits], np.uint64).view(np.float64)[0])),
    st.sampled_from([0.0, -0.0, 2.0**53, 2.0**53 + 2, -(2.0**60), float("inf"), float("nan")]),
)
SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9)


@given(arrays(np.float64, SHAPES, elements=CELLS))
def test_any_matrix_comes_back_bit_by_bit(values: Floats) -> None:
    back = unpack_values(pack_values(values))
    assert back.shape == values.shape
    assert (back.view(np.uint64) == values.view(np.uint64)).all()


@given(arrays(np.int64, SHAPES, elements=st.integers(0, 2**45)), st.data())
def test_time_stamps_come_back(times: np.ndarray, data: st.DataObject) -> None:
    times = np.sort(times, axis=0)
    rows = data.draw(arrays(np.int64, times.shape[1], elements=st.integers(0, len(times))))
    back, back_rows = unpack_times(pack_times(times, rows))
    assert (back_rows == rows).all()
    for group, depth in enumerate(rows.tolist()):
        assert (back[:depth, group] == times[:depth, group]).all()


def test_counters_polled_every_minute_take_little_room() -> None:
    random = np.random.default_rng(7)
    counters = np.cumsum(random.integers(0, 1_000_000, (120, 96)), axis=0).astype(float)
    assert len(pack_values(counters)) / counters.size < 3.0
    assert len(pack_values(np.ones((120, 96)))) / counters.size < 0.1
    holes = counters.copy()
    holes.view(np.uint64)[::7, ::5] = HOLE_BITS
    assert len(pack_values(holes)) / counters.size < 3.0


@pytest.fixture
def sealed(tmp_path: Path, clock: ManualClock) -> Samples:
    """A store of two metrics over four hours, three of them sealed, closed again."""
    store = LocalStore(tmp_path, clock)
    start = clock.now_ms() // SLOT_MS * SLOT_MS
    clock.advance((start - clock.now_ms()) / 1000 + 4.5 * 3600)
    for minute in range(0, 240, 5):
        samples = [
            (
                make_labels({"job": "snmp", "device": f"d{d}"}, f"m{m}"),
                start + minute * 60_000,
                minute * d + m / 4,
            )
            for d in range(3)
            for m in range(2)
        ]
        store.append(block_of(samples))
    store.maintain()
    expected = contents(store.window([], 0, clock.now_ms()))
    store.close()
    return expected


def day_file(folder: Path) -> Path:
    (path,) = (folder / "chunks").glob("*.db")
    return path


def test_a_flipped_byte_in_a_chunk_is_noticed_and_the_rest_served(
    tmp_path: Path, clock: ManualClock, sealed: Samples
) -> None:
    with closing(sqlite3.connect(day_file(tmp_path))) as connection:
        number, data = connection.execute(
            "select id, data from chunks where metric = 'm1' limit 1"
        ).fetchone()
        hurt = bytearray(data)
        hurt[len(hurt) // 2] ^= 4
        connection.execute("update chunks set data = ? where id = ?", (bytes(hurt), number))
        connection.commit()
    store = LocalStore(tmp_path, clock)
    found = contents(store.window([], 0, clock.now_ms()))
    assert store.stats()["quarantined"] == 1
    store.window([], 0, clock.now_ms())
    assert store.stats()["quarantined"] == 1
    store.close()
    for labels, samples in sealed.items():
        if dict(labels)["__name__"] == "m0":
            assert found[labels] == samples
        else:
            assert len(found[labels]) == len(samples) // 2
            assert set(found[labels]) < set(samples)


def test_damaged_time_stamps_hide_their_chunks_only(
    tmp_path: Path, clock: ManualClock, sealed: Samples
) -> None:
    with closing(sqlite3.connect(day_file(tmp_path))) as connection:
        connection.execute(
            "update times set data = zeroblob(length(data)) where id = (select min(id) from times)"
        )
        connection.commit()
    store = LocalStore(tmp_path, clock)
    found = contents(store.window([], 0, clock.now_ms()))
    assert store.stats()["quarantined"] == 1
    assert {labels: len(samples) for labels, samples in found.items()} == {
        labels: len(samples) // 2 for labels, samples in sealed.items()
    }
    store.close()


def test_a_day_file_that_is_no_database_does_not_hide_the_head(
    tmp_path: Path, clock: ManualClock, sealed: Samples
) -> None:
    day_file(tmp_path).write_bytes(b"not a database" * 1000)
    store = LocalStore(tmp_path, clock)
    assert store.stats()["quarantined"] == 1
    found = contents(store.window([], 0, clock.now_ms()))
    assert set(found) == set(sealed)
    assert all(set(samples) < set(sealed[labels]) for labels, samples in found.items())
    store.close()


def test_an_unfinished_sealing_is_undone(tmp_path: Path, clock: ManualClock, sealed: Samples) -> None:
    with closing(sqlite3.connect(day_file(tmp_path))) as connection:
        connection.execute(
            "insert into chunks (seal, slot_ms, metric, low, high, times, series, groups, data, crc)"
            " select seal + 1, slot_ms, metric, low, high, times, series, groups, data, crc from chunks"
        )
        connection.commit()
    store = LocalStore(tmp_path, clock)
    assert contents(store.window([], 0, clock.now_ms())) == sealed
    store.close()
    with closing(sqlite3.connect(day_file(tmp_path))) as connection:
        assert connection.execute("select count(distinct seal) from chunks").fetchone() == (1,)


def test_a_sealing_the_disk_refuses_leaves_everything_readable(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    labels = make_labels({}, "up")
    now = clock.now_ms()
    store.append(block_of([(labels, now, 1.0)]))
    clock.advance(4 * 3600)
    blocker = tmp_path / "chunks" / "2026-11-21.db"
    blocker.write_bytes(b"not a database" * 1000)
    with pytest.raises(StorageError, match="cannot seal"):
        store.maintain()
    assert list(contents(store.window([], 0, now * 2))) == [labels]
    blocker.unlink()
    store.maintain()
    assert store.stats()["chunk_bytes"] > 0
    assert list(contents(store.window([], 0, now * 2))) == [labels]
    store.close()
