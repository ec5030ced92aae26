"""The codec, the files of sealed samples, and damage in them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from monitor.clock import ManualClock
from monitor.errors import IntegrityError
from monitor.metrics.chunk_file import About, ChunkFile, file_name, pack_names, unpack_names
from monitor.metrics.chunk_writer import ChunkWriter
from monitor.metrics.chunks import DAY_MS, SLOT_MS, ChunkStore
from monitor.metrics.codec import (
    pack_numbers,
    pack_times,
    pack_values,
    unpack_numbers,
    unpack_times,
    unpack_values,
)
from monitor.metrics.errors import StorageError
from monitor.metrics.frames import SystemDisk
from monitor.metrics.interface import Floats, Labels, block_of, make_labels
from monitor.metrics.layers import columns_of, piece_of
from monitor.metrics.piece import HOLE_BITS, Columns
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


@given(arrays(np.float64, (7, 5), elements=st.sampled_from([1.0, 2.0, 2.5, -0.0])), st.data())
def test_columns_that_hardly_change_come_back_with_their_holes(values: Floats, data: st.DataObject) -> None:
    values[:, 0], values[:, 1] = 3.0, 0.1
    values.view(np.uint64)[data.draw(arrays(np.bool_, values.shape))] = HOLE_BITS
    assert (unpack_values(pack_values(values)).view(np.uint64) == values.view(np.uint64)).all()


@given(arrays(np.int64, SHAPES, elements=st.integers(0, 2**45)), st.data())
def test_time_stamps_come_back(times: np.ndarray, data: st.DataObject) -> None:
    times = np.sort(times, axis=0)
    rows = data.draw(arrays(np.int64, times.shape[1], elements=st.integers(0, len(times))))
    back, back_rows = unpack_times(pack_times(times, rows))
    assert (back_rows == rows).all()
    for group, depth in enumerate(rows.tolist()):
        assert (back[:depth, group] == times[:depth, group]).all()


@given(st.lists(st.integers(-(2**62), 2**62)))
def test_numbers_come_back(numbers: list[int]) -> None:
    assert unpack_numbers(pack_numbers(np.array(numbers, np.int64))).tolist() == numbers


@given(st.dictionaries(st.integers(0, 2**31 - 1), st.dictionaries(st.text(min_size=1), st.text(min_size=1))))
def test_names_come_back(series: dict[int, dict[str, str]]) -> None:
    names = [(number, make_labels(labels)) for number, labels in series.items()]
    assert unpack_names(pack_names(names)) == names


def test_another_version_is_refused() -> None:
    with pytest.raises(IntegrityError, match="version 9"):
        unpack_values(b"\x09\0\0\0" + pack_values(np.ones((2, 2)))[4:])


def test_counters_polled_every_minute_take_little_room() -> None:
    random = np.random.default_rng(7)
    counters = np.cumsum(random.integers(0, 1_000_000, (120, 96)), axis=0).astype(float)
    assert len(pack_values(counters)) / counters.size < 3.0
    assert len(pack_values(np.ones((120, 96)))) / counters.size < 0.02
    assert len(pack_values(np.full((120, 96), 0.1))) / counters.size < 0.02
    holes = counters.copy()
    holes.view(np.uint64)[::7, ::5] = HOLE_BITS
    assert len(pack_values(holes)) / counters.size < 3.0


def columns(samples: list[tuple[int, int, float]]) -> Columns:
    ordered = sorted(samples)
    return Columns(
        np.array([s for s, _, _ in ordered], np.int32),
        np.array([t for _, t, _ in ordered], np.int64),
        np.array([v for _, _, v in ordered], np.float64),
    )


def written(path: Path, samples: list[tuple[int, int, float]], names: list[tuple[int, Labels]]) -> ChunkFile:
    with ChunkWriter(path, About(3, 0, 77, ["a"]), SystemDisk()) as writer:
        piece = piece_of(columns(samples))
        writer.add(0, piece, [f"m{number % 3}" for number in piece.series.tolist()])
        writer.name(names)
        writer.finish()
    return ChunkFile(path)


SAMPLES = st.dictionaries(
    st.tuples(st.integers(0, 30), st.integers(0, 40)),
    st.sampled_from([0.0, 1.0, 1.5, 7e9]),
    min_size=1,
    max_size=60,
)


@settings(max_examples=50, deadline=None)
@given(
    samples=SAMPLES,
    wanted=st.sets(st.integers(0, 30)),
    interval=st.tuples(st.integers(-1, 40), st.integers(0, 41)),
)
def test_a_file_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    samples: dict[tuple[int, int], float],
    wanted: set[int],
    interval: tuple[int, int],
) -> None:
    path = tmp_path_factory.mktemp("day") / "1970-01-01" / file_name(3, 0)
    rows = [(series, at, value) for (series, at), value in samples.items()]
    file = written(path, rows, [(5, make_labels({"a": "b"}))])
    index = file.index()
    mask = np.isin(np.arange(31), list(wanted))
    found, damaged = file.read(index, index.chunks(mask, 0, *interval), mask, interval)
    assert not damaged
    back = columns_of([part.piece for part in found])
    after, until = interval
    assert list(
        zip(back.series.tolist(), back.timestamps.tolist(), back.values.tolist(), strict=True)
    ) == sorted(row for row in rows if row[0] in wanted and after < row[1] <= until)
    assert file.about() == About(3, 0, 77, ["a"])
    assert file.names() == ([(5, (("a", "b"),))], 0)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 100_000), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_in_a_file_is_noticed_and_hides_little(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("raw")
    path = folder / "1970-01-01" / file_name(3, 0)
    random = np.random.default_rng(1)
    rows = [
        (series, 100 * time + series % 40, float(random.integers(0, 99)))
        for series in range(600)
        for time in range(10)
    ]
    written(path, rows, [(number, make_labels({"n": str(number)})) for number in range(600)])
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    store = ChunkStore(folder)
    layers = store.read(store.files, np.ones(600, np.bool_), -1, DAY_MS)
    names = store.names()
    assert store.damaged.total() >= 1
    found = set()
    for layer in layers:
        back = columns_of(layer)
        found |= set(zip(back.series.tolist(), back.timestamps.tolist(), back.values.tolist(), strict=True))
    assert found <= set(rows)
    # At worst a row of time stamps, which hides a batch (some 270 series here), or the names.
    assert len(found) >= len(rows) / 2
    assert len(names) in {0, 600}
    assert all(labels == (("n", str(number)),) for number, labels in names.items())


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
        if minute == 120:
            store.maintain()
    expected = contents(store.window([], 0, clock.now_ms()))
    clock.advance(1)
    store.close()
    assert all(len(found) == 48 for found in expected.values())
    return expected


def day_file(folder: Path) -> Path:
    (path,) = (folder / "chunks" / "raw").glob("*/*.chunks")
    return path


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_a_damaged_chunk_is_left_out_and_the_rest_is_served(
    tmp_path: Path, clock: ManualClock, sealed: Samples
) -> None:
    path = day_file(tmp_path)
    index = ChunkFile(path).index()
    flip(path, int(index.at[-1]) + 40)
    store = LocalStore(tmp_path, clock)
    for _ in range(2):
        found = contents(store.window([], 0, clock.now_ms()))
        assert store.stats()["quarantined"] == store.stats()["quarantined_chunk"] == 1
    whole = {labels for labels, samples in sealed.items() if found.get(labels) == samples}
    assert {dict(labels)["__name__"] for labels in whole} == {"m0"}
    assert all(set(samples) <= set(sealed[labels]) for labels, samples in found.items())
    store.close()


def test_damaged_time_stamps_hide_their_chunks_only(
    tmp_path: Path, clock: ManualClock, sealed: Samples
) -> None:
    path = day_file(tmp_path)
    flip(path, int(ChunkFile(path).index().offset[0]) + 45)
    store = LocalStore(tmp_path, clock)
    found = contents(store.window([], 0, clock.now_ms()))
    assert store.stats()["quarantined_chunk"] == 1
    assert set(found) == set(sealed)
    assert all(set(samples) < set(sealed[labels]) for labels, samples in found.items())
    store.close()


@pytest.mark.parametrize("from_the_end", [3, 30, 60])
def test_a_damaged_index_is_rebuilt(
    tmp_path: Path, clock: ManualClock, sealed: Samples, from_the_end: int
) -> None:
    path = day_file(tmp_path)
    flip(path, path.stat().st_size - from_the_end)
    store = LocalStore(tmp_path, clock)
    assert contents(store.window([], 0, clock.now_ms())) == sealed
    assert store.stats()["quarantined_index"] == 1
    store.close()


def test_a_file_that_is_garbage_does_not_hide_the_head(
    tmp_path: Path, clock: ManualClock, sealed: Samples
) -> None:
    day_file(tmp_path).write_bytes(b"not a file of chunks" * 1000)
    store = LocalStore(tmp_path, clock)
    found = contents(store.window([], 0, clock.now_ms()))
    assert store.stats()["quarantined"] == 1
    assert set(found) == set(sealed)
    assert all(set(samples) < set(sealed[labels]) for labels, samples in found.items())
    store.close()


def test_an_unfinished_sealing_is_undone(tmp_path: Path, clock: ManualClock, sealed: Samples) -> None:
    path = day_file(tmp_path)
    (path.parent / file_name(2, 0)).write_bytes(path.read_bytes())
    (path.parent / "00000003-0.chunks.tmp").write_bytes(b"cut sho")
    store = LocalStore(tmp_path, clock)
    assert contents(store.window([], 0, clock.now_ms())) == sealed
    store.close()
    assert list(path.parent.iterdir()) == [path]


class FullDisk:
    """Takes `room` more bytes."""

    def __init__(self) -> None:
        self.room = 1 << 40

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = os.write(descriptor, data[: self.room])
        self.room -= written
        return written

    def sync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)


@pytest.mark.parametrize("room", [0, 10, 300, 700])
def test_a_full_disk_leaves_everything_readable_and_is_tried_again(
    tmp_path: Path, clock: ManualClock, room: int
) -> None:
    disk = FullDisk()
    store = LocalStore(tmp_path, clock, disk=disk)
    up, late = make_labels({}, "up"), make_labels({}, "late")
    now = clock.now_ms()
    store.append(block_of([(up, now, 1.0), (late, now, 2.0)]))
    store.append(block_of([(late, now - DAY_MS, 3.0)]), durable=True)
    expected = contents(store.window([], 0, now * 2))
    clock.advance(4 * 3600)
    disk.room = room
    for _ in range(2):
        with pytest.raises(StorageError, match="cannot seal samples: No space") as caught:
            store.maintain()
        assert "磁盘" in caught.value.zh
        assert contents(store.window([], 0, now * 2)) == expected
    disk.room = 1 << 40
    store.maintain()
    assert store.stats()["chunk_bytes"] > 0
    assert contents(store.window([], 0, now * 2)) == expected
    store.close()
    again = LocalStore(tmp_path, clock)
    assert contents(again.window([], 0, now * 2)) == expected
    assert again.stats()["quarantined"] == 0
    again.close()
