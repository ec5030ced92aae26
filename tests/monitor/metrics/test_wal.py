"""Frames, torn tails, damage, and a disk that fails."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import ManualClock
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


def test_entries_round_trip() -> None:
    labels = make_labels({"device": "交换机"}, "up")
    entry = Entry([(7, labels)], np.array([7, 7], np.int32), np.array([1, 2]), np.array([-0.0, 1.5]))
    back = unpack(pack(entry))
    assert back.new == [(7, labels)]
    assert back.series.tolist() == [7, 7]
    assert back.timestamps.tolist() == [1, 2]
    assert [bits_of(value) for value in back.values.tolist()] == [bits_of(-0.0), bits_of(1.5)]


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
    disk.sync = lambda _descriptor: synced.set()  # type: ignore[method-assign]
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


def test_a_failed_sync_acknowledges_nothing_from_then_on(tmp_path: Path, clock: ManualClock) -> None:
    disk = FailingDisk()
    store = LocalStore(tmp_path, clock, disk=disk)
    disk.sync_error = OSError(errno.EIO, "Input/output error")
    with pytest.raises(StorageError, match="Input/output"):
        store.append(block_of([(UP, clock.now_ms(), 1.0)]), durable=True)
    disk.sync_error = None
    tried = disk.syncs
    with pytest.raises(StorageError):
        store.append(block_of([(UP, clock.now_ms(), 1.0)]), durable=True)
    with pytest.raises(StorageError):
        store.append(block_of([(UP, clock.now_ms() + 1, 1.0)]))
    with pytest.raises(StorageError):
        store.close()
    assert disk.syncs == tried


def test_a_sync_that_fails_while_a_segment_is_closed_counts_too(tmp_path: Path) -> None:
    disk = FailingDisk()
    log = WriteAheadLog(tmp_path, disk=disk, sync_seconds=60)
    log.start()
    log.append(b"x", 0)
    disk.sync_error = OSError(errno.EIO, "Input/output error")
    with pytest.raises(StorageError):
        log.rotate()
    disk.sync_error = None
    with pytest.raises(StorageError):
        log.wait(log.position())
    with pytest.raises(StorageError):
        log.close()


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
