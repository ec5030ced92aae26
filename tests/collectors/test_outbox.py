"""The spool: order, crash, damage, caps; with a child process that is killed while it writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.outbox import HEADER, Lane, Outbox, OutboxFull, Position

ROOM = 1 << 20


def read_all(lane: Lane) -> list[bytes]:
    found = []
    while frames := lane.read(max_bytes=1000, max_entries=100):
        found += [frame.payload for frame in frames]
        lane.acknowledge(frames)
    return found


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


@settings(max_examples=60, deadline=None)
@given(
    payloads=st.lists(st.binary(min_size=1, max_size=300), max_size=30),
    restart_after=st.integers(0, 30),
    segment_bytes=st.integers(50, 2000),
)
def test_everything_comes_out_once_and_in_order_across_a_restart(
    payloads: list[bytes], restart_after: int, segment_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lane = Lane(Path(folder), max_bytes=ROOM, segment_bytes=segment_bytes)
        for number, payload in enumerate(payloads):
            if number == restart_after:
                lane.close()
                lane = Lane(Path(folder), max_bytes=ROOM, segment_bytes=segment_bytes)
            lane.append(payload, number + 1)
        assert lane.state().pending_entries == sum(range(1, len(payloads) + 1))
        assert read_all(lane) == payloads
        assert lane.state().pending_entries == lane.state().pending_bytes == lane.state().corrupt_frames == 0
        lane.close()
        again = Lane(Path(folder), max_bytes=ROOM, segment_bytes=segment_bytes)
        assert read_all(again) == []
        again.close()


@settings(max_examples=60, deadline=None)
@given(
    payloads=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=12),
    cut=st.integers(0, 2000),
    flip=st.none() | st.integers(0, 2000),
)
def test_damage_costs_only_the_frames_it_touches(payloads: list[bytes], cut: int, flip: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lane = Lane(Path(folder), max_bytes=ROOM)
        ends = [lane.append(payload, 1).offset for payload in payloads]
        lane.close()
        path = segments(Path(folder))[0]
        data = bytearray(path.read_bytes())
        del data[min(cut, len(data)) :]
        if flip is not None and flip < len(data):
            data[flip] ^= 0xFF
        path.write_bytes(data)
        starts = [0, *ends[:-1]]
        whole = [
            payload
            for payload, start, end in zip(payloads, starts, ends, strict=True)
            if end <= len(data) and not (flip is not None and start <= flip < end)
        ]
        lane = Lane(Path(folder), max_bytes=ROOM)
        lane.append(b"after", 1)
        assert read_all(lane) == [*whole, b"after"]
        assert lane.state().corrupt_frames <= 1
        lane.close()


def test_a_damaged_frame_counts_once(tmp_path: Path) -> None:
    lane = Lane(tmp_path, max_bytes=ROOM)
    lane.append(b"first", 1)
    lane.append(b"second", 1)
    data = bytearray(segments(tmp_path)[0].read_bytes())
    data[HEADER.size] ^= 1
    segments(tmp_path)[0].write_bytes(data)
    for _ in range(3):
        assert [frame.payload for frame in lane.read(max_bytes=100, max_entries=10)] == [b"second"]
    assert lane.state().corrupt_frames == 1
    lane.close()


def test_a_lane_of_nothing_but_damage_does_not_stand_still(tmp_path: Path) -> None:
    lane = Lane(tmp_path, max_bytes=ROOM)
    lane.append(b"x" * 100, 1)
    path = segments(tmp_path)[0]
    path.write_bytes(bytes(path.stat().st_size))
    assert lane.read(max_bytes=100, max_entries=10) == []
    assert lane.state().pending_bytes == 0
    lane.append(b"new", 1)
    assert read_all(lane) == [b"new"]
    lane.close()


def test_reading_without_acknowledging_gives_the_same_again(tmp_path: Path) -> None:
    lane = Lane(tmp_path, max_bytes=ROOM)
    ends = [lane.append(bytes([number]) * 10, 5) for number in range(4)]
    first = lane.read(max_bytes=25, max_entries=1000)
    assert len(first) == 2
    assert lane.read(max_bytes=25, max_entries=1000) == first
    assert len(lane.read(max_bytes=1000, max_entries=5)) == 1
    assert len(lane.read(max_bytes=1, max_entries=1)) == 1, "at least one"
    lane.acknowledge(first)
    assert lane.acknowledged(ends[1])
    assert not lane.acknowledged(ends[2])
    lane.close()


def test_a_full_lane_refuses_and_takes_again_when_emptied(tmp_path: Path) -> None:
    lane = Lane(tmp_path, max_bytes=400)
    stored = [bytes([number]) * 50 for number in range(400 // (50 + HEADER.size))]
    for payload in stored:
        lane.append(payload, 1)
    with pytest.raises(OutboxFull, match="cap"):
        lane.append(b"x" * 50, 1)
    assert read_all(lane) == stored
    for _ in range(20):
        lane.append(b"y" * 50, 1)
        assert read_all(lane) == [b"y" * 50]
    assert sum(path.stat().st_size for path in segments(tmp_path)) < 800, "sent segments are deleted"
    lane.close()
    with pytest.raises(OutboxFull, match="closed"):
        lane.append(b"z", 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_full_lane_not_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = Lane(tmp_path, max_bytes=ROOM)
    lane.append(b"before", 1)
    real = os.write

    def no_space(descriptor: int, data: bytes) -> int:
        real(descriptor, data[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", no_space)
    with pytest.raises(OutboxFull, match="No space"):
        lane.append(b"lost", 1)
    monkeypatch.undo()
    lane.append(b"after", 1)
    assert read_all(lane) == [b"before", b"after"]
    assert lane.state().corrupt_frames == 0
    lane.close()


@pytest.mark.parametrize("cursor", ["", "{}", '{"segment": "x", "offset": 1}', '{"segment": 1', "[1]"])
def test_a_lost_cursor_sends_again(tmp_path: Path, cursor: str) -> None:
    lane = Lane(tmp_path, max_bytes=ROOM)
    lane.append(b"one", 1)
    lane.append(b"two", 1)
    lane.acknowledge(lane.read(max_bytes=1, max_entries=1))
    lane.close()
    (tmp_path / "cursor").write_text(cursor)
    again = Lane(tmp_path, max_bytes=ROOM)
    assert read_all(again) == [b"one", b"two"]
    again.close()


def test_a_cursor_beyond_the_end_goes_on_with_new_frames(tmp_path: Path) -> None:
    lane = Lane(tmp_path, max_bytes=ROOM)
    lane.append(b"sent, and lost by a power cut", 1)
    lane.acknowledge(lane.read(max_bytes=100, max_entries=1))
    lane.close()
    os.truncate(segments(tmp_path)[0], 0)
    again = Lane(tmp_path, max_bytes=ROOM)
    again.append(b"new", 1)
    assert read_all(again) == [b"new"]
    again.close()


def test_a_reader_waits_for_a_writer(tmp_path: Path) -> None:
    lane = Lane(tmp_path, max_bytes=ROOM)
    assert not lane.wait(0.01)
    threading.Timer(0.05, lane.append, (b"x", 1)).start()
    assert lane.wait(5)
    lane.close()


WRITER = """
import sys
from pathlib import Path
from collectors.outbox import Lane
lane = Lane(Path(sys.argv[1]), max_bytes=1 << 30, segment_bytes=4096)
number = int(sys.argv[2])
while True:
    lane.append(b"%08d" % number + b"." * (number % 700), 1)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


def test_kill_nine_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged = 0
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(acknowledged)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        for _line in range(300):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().splitlines()
        child.wait()
        child.stdout.close()
        acknowledged += 300 + sum(len(line) > 0 for line in rest)
    lane = Lane(tmp_path, max_bytes=1 << 30)
    numbers = [int(payload[:8]) for payload in read_all(lane)]
    assert set(range(acknowledged)) <= set(numbers)
    assert numbers == sorted(numbers)
    assert len(numbers) - len(set(numbers)) <= 5, (
        "at most the frame each kill cut off from its acknowledgement"
    )
    assert lane.state().corrupt_frames == 0
    lane.close()


def test_the_two_lanes_are_apart(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, metric_bytes=200, event_bytes=200)
    outbox.metrics.append(b"m" * 150, 1)
    with pytest.raises(OutboxFull):
        outbox.metrics.append(b"m" * 50, 1)
    outbox.events.append(b"e", 1)
    outbox.sync()
    assert outbox.events.acknowledged(Position(1, 0))
    assert outbox.events.state().pending_entries == 1
    outbox.close()
