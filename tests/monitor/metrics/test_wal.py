"""Frames, torn tails, damage, and a disk that fails."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.errors import IntegrityError
from monitor.metrics.errors import StorageError
from monitor.metrics.interface import block_of, make_labels
from monitor.metrics.journal import Entry, pack, unpack
from monitor.metrics.store import LocalStore
from monitor.metrics.wal import WriteAheadLog, frame, read_frames
from tests.monitor.metrics.oracle import bits_of, contents

PAYLOADS = st.lists(st.binary(max_size=60), min_size=1, max_size=6)
UP = make_labels({"job": "snmp"}, "up")


class FailingDisk:
    """A disk whose next writes or syncs fail; a full one takes `room` more bytes first."""

    def __init__(self) -> None:
        self.room: int | None = None
        self.sync_error: OSError | None = None
        self.syncs = 0

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room is None:
            return os.write(descriptor, data[: max(1, len(data) // 2)])  # short writes are allowed
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = os.write(descriptor, data[: self.room])
        self.room -= written
        return written

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.sync_error is not None:
            raise self.sync_error
        os.fdatasync(descriptor)


@given(PAYLOADS)
def test_frames_round_trip(payloads: list[bytes]) -> None:
    reading = read_frames(b"".join(map(frame, payloads)))
    assert (reading.payloads, reading.torn_bytes, reading.damaged) == (payloads, 0, 0)


@given(PAYLOADS, st.integers(0, 10_000))
def test_a_tail_cut_anywhere_costs_only_the_last_frame(payloads: list[bytes], cut: int) -> None:
    whole = b"".join(map(frame, payloads))
    last = len(frame(payloads[-1]))
    cut = 1 + cut % (last - 1)
    reading = read_frames(whole[:-cut])
    assert reading.payloads == payloads[:-1]
    assert reading.damaged == 0
    assert reading.torn_bytes == last - cut


@given(PAYLOADS, st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_costs_only_its_frame_and_is_noticed(payloads: list[bytes], at: int, bit: int) -> None:
    frames = [bytearray(frame(payload)) for payload in payloads]
    whole = bytearray(b"".join(frames))
    at %= len(whole)
    whole[at] ^= 1 << bit
    ends = np.cumsum([len(f) for f in frames])
    hurt = int(np.searchsorted(ends, at, side="right"))
    reading = read_frames(bytes(whole))
    assert reading.payloads == payloads[:hurt] + payloads[hurt + 1 :]
    assert reading.damaged == 1


def test_blocks_the_file_system_never_wrote_are_a_torn_tail() -> None:
    reading = read_frames(frame(b"one") + bytes(4096))
    assert (reading.payloads, reading.torn_bytes, reading.damaged) == ([b"one"], 4096, 0)


@given(
    st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**45), st.floats()), max_size=9),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_entries_round_trip(
    samples: list[tuple[int, int, float]], one_time: bool, in_a_row: bool, late: bool
) -> None:
    labels = make_labels({"device": "交换机"}, "up")
    series = np.array([s for s, _, _ in samples], np.int32)
    times = np.array([t for _, t, _ in samples], np.int64)
    values = np.array([v for _, _, v in samples], np.float64)
    if one_time:
        times[:] = times[:1]
    if in_a_row:
        series = np.arange(5, 5 + len(series), dtype=np.int32)
    back = unpack(pack(Entry([(7, labels)], series, times, values, late)))
    assert back.new == [(7, labels)]
    assert back.series.tolist() == series.tolist()
    assert back.timestamps.tolist() == times.tolist()
    assert back.values.view(np.uint64).tolist() == values.view(np.uint64).tolist()
    assert back.late is late


def test_an_entry_of_another_version_is_refused() -> None:
    with pytest.raises(IntegrityError, match="version 1"):
        unpack(b"\x01" + bytes(20))


def test_who_waits_meanwhile_shares_one_sync(tmp_path: Path) -> None:
    disk = FailingDisk()
    log = WriteAheadLog(tmp_path, disk=disk, sync_seconds=60)
    log.start()
    for i in range(50):
        log.append(b"%d" % i, i)
    before = disk.syncs
    waiters = [threading.Thread(target=log.wait, args=(log.position(),)) for _ in range(20)]
    for waiter in waiters:
        waiter.start()
    for waiter in waiters:
        waiter.join(10)
    assert not any(waiter.is_alive() for waiter in waiters)
    assert disk.syncs - before == 1
    log.close()
    payloads = [p for _, reading in WriteAheadLog(tmp_path).recover() for p in reading.payloads]
    assert payloads == [b"%d" % i for i in range(50)]


def test_nobody_has_to_wait_for_a_sync_to_come(tmp_path: Path) -> None:
    disk = FailingDisk()
    synced = threading.Event()
    disk.sync = lambda descriptor: synced.set()  # type: ignore[method-assign]
    log = WriteAheadLog(tmp_path, disk=disk, sync_seconds=0.01)
    log.start()
    synced.clear()
    log.append(b"x", 0)
    assert synced.wait(10)
    log.close()


@pytest.mark.parametrize("room", [0, 1, 17, 40])
def test_a_full_disk_refuses_the_block_and_keeps_everything_consistent(
    tmp_path: Path, clock: ManualClock, room: int
) -> None:
    disk = FailingDisk()
    store = LocalStore(tmp_path, clock, disk=disk)
    now = clock.now_ms()
    store.append(block_of([(UP, now, 1.0)]), durable=True)
    disk.room = room
    new = make_labels({"job": "node"}, "up")
    with pytest.raises(StorageError, match="No space left") as caught:
        store.append(block_of([(UP, now + 1, 2.0), (new, now + 1, 3.0)]), durable=True)
    assert "磁盘" in caught.value.zh
    assert contents(store.window([], 0, now * 2)) == {UP: [(now, bits_of(1.0))]}
    disk.room = None
    assert store.append(block_of([(UP, now + 1, 2.0), (new, now + 1, 3.0)]), durable=True).accepted == 2
    expected = contents(store.window([], 0, now * 2))
    store.close()
    again = LocalStore(tmp_path, clock)
    assert contents(again.window([], 0, now * 2)) == expected
    assert again.stats()["quarantined"] == 0
    again.close()


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_after_a_failed_sync_everything_not_promised_is_written_to_a_new_segment(
    tmp_path: Path, clock: ManualClock
) -> None:
    disk = FailingDisk()
    store = LocalStore(tmp_path, clock, disk=disk)
    now = clock.now_ms()
    store.append(block_of([(UP, now, 1.0)]), durable=True)
    disk.sync_error = OSError(errno.EIO, "Input/output error")
    with pytest.raises(StorageError, match="Input/output"):
        store.append(block_of([(UP, now + 1, 2.0)]), durable=True)
    with pytest.raises(StorageError, match="Input/output"):
        store.append(block_of([(UP, now + 2, 3.0)]))
    (before,) = (p for p in (tmp_path / "wal").glob("*.seg") if p.stat().st_size)
    promised = len(before.read_bytes())
    disk.sync_error = None

    def taken() -> bool:
        with contextlib.suppress(StorageError):
            # Sent again: it is in memory already, and the answer must wait until it is on disk.
            return store.append(block_of([(UP, now + 1, 2.0)]), durable=True).duplicate == 1
        return False

    wait_until(taken)
    # The old segment ends where it was last synced: what it had after that is in the new one.
    assert 0 < before.stat().st_size < promised
    assert store.append(block_of([(UP, now + 2, 3.0)]), durable=True).accepted == 1
    expected = {UP: [(now + at, bits_of(at + 1.0)) for at in range(3)]}
    assert contents(store.window([], 0, now * 2)) == expected
    store.close()
    again = LocalStore(tmp_path, clock)
    assert contents(again.window([], 0, now * 2)) == expected
    assert again.stats()["quarantined"] == 0
    again.close()


def test_a_disk_that_fails_again_is_tried_again_and_leaves_no_litter(tmp_path: Path) -> None:
    disk = FailingDisk()
    log = WriteAheadLog(tmp_path, disk=disk, sync_seconds=0.01)
    log.start()
    log.append(b"x", 0)
    disk.sync_error = OSError(errno.EIO, "Input/output error")
    with pytest.raises(StorageError):
        log.wait(log.position())
    tried = disk.syncs
    wait_until(lambda: disk.syncs >= tried + 2)
    assert len(list(tmp_path.glob("*.seg"))) == 1
    disk.sync_error = None

    def promised() -> bool:
        with contextlib.suppress(StorageError):
            log.wait(log.position())
            return True
        return False

    wait_until(promised)
    log.close()
    payloads = [p for _, reading in WriteAheadLog(tmp_path).recover() for p in reading.payloads]
    assert payloads == [b"x"]


def test_a_sync_that_fails_over_two_segments_loses_nothing_of_either(tmp_path: Path) -> None:
    disk = FailingDisk()
    log = WriteAheadLog(tmp_path, disk=disk, sync_seconds=60)
    log.start()
    log.append(b"promised", 0)
    log.wait(log.position())
    log.append(b"x", 0)
    disk.sync_error = OSError(errno.EIO, "Input/output error")
    log.rotate()
    log.append(b"y", 1)
    with pytest.raises(StorageError):
        log.wait(log.position())
    with pytest.raises(StorageError):
        log.rotate()
    disk.sync_error = None

    def promised() -> bool:
        with contextlib.suppress(StorageError):
            log.wait(log.position())
            return True
        return False

    wait_until(promised)
    log.close()
    contents = [read_frames(path.read_bytes()).payloads for path in sorted(tmp_path.glob("*.seg"))]
    assert contents == [[b"promised"], [], [b"x", b"y"]]


def test_several_frames_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    disk = FailingDisk()
    log = WriteAheadLog(tmp_path, disk=disk)
    log.start()
    disk.room = len(frame(b"one")) + 3
    with pytest.raises(StorageError):
        log.append(b"one", 1, b"two")
    disk.room = None
    log.append(b"three", 3, b"four")
    log.close()
    payloads = [p for _, reading in WriteAheadLog(tmp_path).recover() for p in reading.payloads]
    assert payloads == [b"three", b"four"]


def test_segments_after_the_one_named_stay_however_old_their_samples(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    log.start()
    log.append(b"sealed", 5)
    number = log.rotate()
    log.append(b"came late", 3)
    log.rotate()
    log.remove_before(100, number)
    log.close()
    payloads = [p for _, reading in WriteAheadLog(tmp_path).recover() for p in reading.payloads]
    assert payloads == [b"came late"]


def test_a_damaged_segment_is_kept_aside_and_the_rest_is_served(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock)
    now = clock.now_ms()
    for i in range(10):
        store.append(block_of([(UP, now + i, float(i))]))
    store.close()
    (path,) = [p for p in (tmp_path / "wal").glob("*.seg") if p.stat().st_size]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)

    again = LocalStore(tmp_path, clock)
    left = contents(again.window([], 0, now * 2))[UP]
    assert len(left) == 9
    assert set(left) < {(now + i, bits_of(float(i))) for i in range(10)}
    assert again.stats()["quarantined"] == 1
    (aside,) = (tmp_path / "wal" / "quarantine").iterdir()
    assert aside.read_bytes() == bytes(data)
    again.close()

    third = LocalStore(tmp_path, clock)
    assert contents(third.window([], 0, now * 2))[UP] == left
    assert third.stats()["quarantined"] == 0
    third.close()


def test_samples_whose_series_names_were_lost_are_counted_not_guessed(
    tmp_path: Path, clock: ManualClock
) -> None:
    store = LocalStore(tmp_path, clock)
    now = clock.now_ms()
    other = make_labels({"job": "node"}, "up")
    store.append(block_of([(UP, now, 1.0)]))
    store.append(block_of([(other, now, 5.0)]))
    store.append(block_of([(UP, now + 1, 2.0), (other, now + 1, 6.0)]))
    store.close()
    (path,) = [p for p in (tmp_path / "wal").glob("*.seg") if p.stat().st_size]
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    again = LocalStore(tmp_path, clock)
    assert contents(again.window([], 0, now * 2)) == {other: [(now, bits_of(5.0)), (now + 1, bits_of(6.0))]}
    assert again.stats()["orphaned_samples"] == 1
    assert again.append(block_of([(UP, now + 2, 3.0)]), durable=True).accepted == 1
    expected = contents(again.window([], 0, now * 2))
    again.close()
    third = LocalStore(tmp_path, clock)
    assert contents(third.window([], 0, now * 2)) == expected
    third.close()
