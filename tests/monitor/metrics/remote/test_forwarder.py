"""Forwarding: everything arrives once or more, in order, whatever the back end, the disk or a crash does."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.metrics.interface import Labels, SampleBlock, block_of, make_labels
from monitor.metrics.remote.backend import Answer
from monitor.metrics.remote.batches import Order
from monitor.metrics.remote.cursor import CURSOR_FILE, load_cursor
from monitor.metrics.remote.forwarder import BATCH_SAMPLES, MAX_DELAY, SETTLE_SECONDS, Forwarder
from monitor.metrics.remote.interface import Keep
from monitor.metrics.store import LocalStore
from monitor.metrics.wal import frame
from monitor.metrics.wal_reader import WalReader
from tests.monitor.metrics.oracle import bits_of
from tests.monitor.metrics.remote.doors import FakeBackend, Samples, StrictBackend

START = 1_800_000_000_000
HOUR = 3_600_000
FOREVER = 20 * 365 * 24 * HOUR


class Room:
    """A store, a back end, and a forwarder that can be killed and started again."""

    def __init__(self, folder: Path, door: FakeBackend, keep: Keep | None = None) -> None:
        self.folder = folder
        self.clock = ManualClock(START)
        self.door = door
        door.clock = self.clock
        self.keep = keep or Keep(ms=FOREVER)
        self.stored: Samples = {}
        self.store = self.open_store()
        self.forwarder = self.begin()

    def open_store(self) -> LocalStore:
        store = LocalStore(self.folder, self.clock)
        self.reader = WalReader(self.folder / "wal")
        store.keep_log(self.reader.retire)
        return store

    def begin(self) -> Forwarder:
        """A new process: nothing of the old one but what is on disk."""
        self.reader = WalReader(self.folder / "wal")
        return Forwarder(
            self.reader, self.store.labels_of, self.door, self.folder / "remote", self.clock, self.keep
        )

    def append(self, block: SampleBlock) -> None:
        result = self.store.append(block)
        assert result.rejected == 0
        for code, at, value in zip(block.series, block.timestamps, block.values, strict=True):
            self.stored[block.labels[code], int(at)] = bits_of(float(value))

    def poll(self, rows: int = 1, width: int = 5) -> None:
        """So many samples of so many series, one a second."""
        for _ in range(rows):
            self.clock.advance(1)
            now = self.clock.now_ms()
            self.append(block_of((series(i), now, float(now % 1000 + i)) for i in range(width)))

    def forward(self, steps: int = 50) -> None:
        """Steps with the waiting they ask for, until nothing is left to send."""
        for _ in range(steps):
            self.clock.advance(self.forwarder.step())
            if not self.forwarder.state().pending_bytes:
                return

    def settle(self) -> None:
        """Forward, and go on for long enough to know that the back end has written it."""
        self.forward()
        self.clock.advance(SETTLE_SECONDS)
        self.poll()
        self.forward()


def series(i: int) -> Labels:
    return make_labels({"device": f"d{i}", "site": "医院"}, "m")


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path, FakeBackend())


def test_everything_arrives(room: Room) -> None:
    room.poll(20)
    room.forward()
    assert room.door.samples == room.stored
    assert room.forwarder.state().cursor.sent == 100
    assert room.forwarder.state().pending_bytes == 0


def test_at_most_one_small_request_a_second(room: Room) -> None:
    for _ in range(10):
        room.poll(1)
        room.clock.advance(-0.8)
        room.forwarder.step()
    assert len(room.door.requests) == 2


def test_big_frames_become_several_requests_in_order(room: Room) -> None:
    labels = tuple(series(i) for i in range(4000))
    for row in range(1, 4):
        codes = np.arange(4000, dtype=np.int32)
        room.append(SampleBlock(labels, codes, np.full(4000, START + row), np.full(4000, float(row))))
    wide = block_of((series(0), START + 10 + i, float(i)) for i in range(25_000))
    room.append(wide)
    room.forward()
    assert max(len(request) for request in room.door.requests) == BATCH_SAMPLES
    assert room.door.samples == room.stored
    times = [at for request in room.door.requests for labels_, at, _ in request if labels_ == series(0)]
    assert times == sorted(times)


def test_a_silent_back_end_is_tried_again_ever_more_rarely(room: Room) -> None:
    room.poll()
    room.door.script.extend([None] * 10)
    waits = [room.forwarder.step() for _ in range(10)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, MAX_DELAY]
    state = room.forwarder.state()
    assert (state.cursor.retries, state.cursor.failure) == (10, "no answer")
    room.clock.advance(120)
    assert room.forwarder.state().lag_seconds == 120
    room.forward()
    assert room.door.samples == room.stored
    assert room.forwarder.state().lag_seconds == 0
    assert room.forwarder.state().cursor.failure == ""


@pytest.mark.parametrize("status", [302, 401, 403, 404, 429, 500, 503])
def test_a_closed_door_loses_nothing(room: Room, status: int) -> None:
    room.poll()
    room.door.script.append(Answer(status, {}, b"not now"))
    room.forward()
    assert room.door.samples == room.stored
    assert room.forwarder.state().cursor.retries == 1
    assert not room.forwarder.state().cursor.dropped


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", 7),
        ("Fri, 15 Jan 2027 08:00:21 GMT", 20),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.5),
        ("soon", 0.5),
        ("100000", 300),
    ],
)
def test_retry_after_is_respected(room: Room, header: str, wait: float) -> None:
    room.poll()
    room.door.script.append(Answer(429, {"retry-after": header}, b""))
    assert room.forwarder.step() == wait


def test_a_refused_sample_takes_few_others_with_it(room: Room) -> None:
    room.door.judge = lambda labels, at, value: labels != series(3)
    room.poll(1, width=64)
    room.forward()
    bad = {key for key in room.stored if key[0] == series(3)}
    missing = room.stored.keys() - room.door.samples.keys()
    assert bad <= missing
    assert len(missing) == 2  # 64 samples halved five times
    cursor = room.forwarder.state().cursor
    assert (cursor.dropped, cursor.refused_batches, cursor.sent) == ({"refused": 2}, 1, 62)


@pytest.mark.parametrize("strict", [False, True])
def test_late_samples_travel_apart(tmp_path: Path, strict: bool) -> None:
    room = Room(tmp_path, StrictBackend() if strict else FakeBackend())
    room.poll(3)
    room.forward()
    late = block_of([(series(0), START - HOUR, 1.0), (series(1), START - HOUR, 2.0)])
    room.append(late)
    room.poll(2)
    room.forward()
    missing = room.stored.keys() - room.door.samples.keys()
    assert missing == ({(series(0), START - HOUR), (series(1), START - HOUR)} if strict else set())
    assert room.forwarder.state().cursor.dropped == ({"refused": 2} if strict else {})
    assert {labels for labels, at, _ in room.door.requests[-1] if at < START} == (
        {series(1)} if strict else {series(0), series(1)}
    )


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), max_size=12), max_size=5))
def test_late_is_what_is_not_newer_than_what_went_before(blocks: list[list[tuple[int, int]]]) -> None:
    order = Order()
    newest: dict[int, int] = {}
    for block in blocks:
        expected = []
        for number, at in block:
            expected.append(at <= newest.get(number, -1))
            newest[number] = max(at, newest.get(number, -1))
        codes = np.array([number for number, _ in block], np.int32)
        times = np.array([at for _, at in block], np.int64)
        assert order.late(codes, times).tolist() == expected


def test_a_crash_repeats_the_same_batch_so_that_nothing_new_is_refused_with_it(tmp_path: Path) -> None:
    room = Room(tmp_path, StrictBackend())
    room.poll(3)
    room.forward()
    room.poll(3)
    room.door.script.append("lost")
    room.forwarder.step()  # taken, but unanswered; then the process dies
    room.poll(3)
    room.forwarder = room.begin()
    room.forward()
    assert room.door.samples == room.stored
    assert set(room.forwarder.state().cursor.dropped) == {"refused_again"}


def test_what_an_amnesiac_back_end_forgot_is_sent_again(room: Room) -> None:
    room.poll(2)
    settled = dict(room.stored)
    room.settle()
    room.poll(3)
    room.forward()
    before = len(room.door.requests)
    room.door.crash()
    assert room.door.samples == settled
    room.poll(1)
    room.forward()
    assert room.door.samples == room.stored
    assert room.forwarder.state().cursor.sent == len(room.stored)
    repeated = {(labels, at) for request in room.door.requests[before:] for labels, at, _ in request}
    assert not repeated & settled.keys()


def test_a_crash_together_with_the_back_end_loses_nothing_either(room: Room) -> None:
    room.poll(2)
    room.settle()
    room.poll(3)
    room.forward()
    room.door.crash()
    room.forwarder = room.begin()
    room.poll(1)
    room.forward(5)
    assert room.door.samples == room.stored


def test_a_strict_back_end_that_forgot_nothing_costs_nothing(tmp_path: Path) -> None:
    room = Room(tmp_path, StrictBackend())
    for _ in range(3):
        room.poll(3)
        room.forward()
    room.door.script.append(None)
    room.poll(1)
    room.forward()
    room.forwarder = room.begin()
    room.poll(1)
    room.forward()
    assert room.door.samples == room.stored
    assert not room.forwarder.state().cursor.dropped


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.sampled_from(["poll", "forward", "kill", "lost", "down", "seal", "restart", "amnesia"]),
        max_size=25,
    )
)
def test_whatever_happens_everything_arrives(
    tmp_path_factory: pytest.TempPathFactory, events: list[str]
) -> None:
    room = Room(tmp_path_factory.mktemp("room"), FakeBackend())
    for what in events:
        if what == "poll":
            room.poll(2, width=3)
        elif what == "forward":
            room.clock.advance(room.forwarder.step())
        elif what == "kill":
            room.forwarder = room.begin()
        elif what == "amnesia":
            room.door.crash()
        elif what in ("lost", "down"):
            room.door.script.append("lost" if what == "lost" else None)
        elif what == "seal":
            room.clock.advance(4 * HOUR / 1000)
            room.store.maintain()
        else:
            room.store.close()
            room.store = room.open_store()
            room.forwarder = room.begin()
    room.poll(1, width=3)  # only a request finds out that the back end was killed
    room.forward(200)
    assert room.door.samples == room.stored
    assert not room.forwarder.state().cursor.dropped
    room.store.close()


def seal(room: Room) -> None:
    room.clock.advance(4 * HOUR / 1000)
    room.store.maintain()


def test_sealed_samples_wait_for_the_back_end(room: Room) -> None:
    room.door.script.extend([None] * 3)
    for _ in range(3):
        room.poll(2)
        room.forwarder.step()
        seal(room)
    assert len(room.reader.kept()) == 3
    room.forward()
    room.poll()
    room.forward()
    assert room.door.samples == room.stored
    room.settle()
    assert room.reader.kept() == []


def test_more_than_may_be_kept_is_dropped_and_counted(tmp_path: Path) -> None:
    room = Room(tmp_path, FakeBackend(), Keep(size=1, ms=FOREVER))
    room.door.script.extend([None] * 2)
    room.poll(4)
    room.forwarder.step()
    seal(room)
    lost = dict(room.stored)
    room.poll(2)
    room.forward()
    assert room.forwarder.state().cursor.dropped == {"expired": len(lost)}
    assert room.door.samples == {key: bits for key, bits in room.stored.items() if key not in lost}
    assert room.reader.kept() == []
    room.forwarder = room.begin()
    assert room.forwarder.state().cursor.dropped == {"expired": len(lost)}


def test_older_than_may_be_kept_is_dropped_and_counted(tmp_path: Path) -> None:
    room = Room(tmp_path, FakeBackend(), Keep(ms=HOUR))
    room.poll(4)
    seal(room)
    room.clock.advance(10 * 365 * 86_400)  # the files are of today, the clock is not
    room.forwarder.step()
    assert room.forwarder.state().cursor.dropped == {"expired": 20}


def test_another_target_gets_what_the_log_still_has(room: Room) -> None:
    room.poll(3)
    room.forward()
    room.forwarder.save()
    second = FakeBackend()
    second.name = "http://second.test/write"
    room.door = second
    room.forwarder = room.begin()
    room.forward()
    assert second.samples == room.stored


def test_a_damaged_cursor_means_sending_again(room: Room) -> None:
    room.poll(3)
    room.forward()
    room.forwarder.save()
    (room.folder / "remote" / CURSOR_FILE).write_bytes(b'{"target": "x"')
    room.forwarder = room.begin()
    room.door.samples.clear()
    room.forward()
    assert room.door.samples == room.stored


def test_the_thread_stops_soon_and_saves_where_it_is(room: Room) -> None:
    thread = threading.Thread(target=room.forwarder.run)
    room.poll(2)
    thread.start()
    try:
        for _ in range(200):
            if room.forwarder.state().cursor.sent:
                break
            thread.join(0.02)
    finally:
        room.forwarder.stop()
        thread.join(5)
    assert not thread.is_alive()
    assert room.door.stopped
    cursor = load_cursor(room.folder / "remote", room.door.name)
    assert (cursor.sent, cursor.until) == (10, None)
    assert room.begin().state().pending_bytes == 0


def test_samples_of_forgotten_series_are_counted(room: Room) -> None:
    room.poll(2)
    names = room.store.labels_of
    room.store.labels_of = lambda numbers: [  # type: ignore[method-assign]
        () if number == 1 else labels for number, labels in zip(numbers, names(numbers), strict=True)
    ]
    room.forwarder = room.begin()
    room.forward()
    assert room.door.samples == room.stored  # the frame itself names them
    room.settle()
    room.poll(2)
    room.forwarder = room.begin()
    room.forward()
    assert room.forwarder.state().cursor.dropped == {"unnamed": 2}


def test_an_entry_of_another_version_is_passed_over(room: Room) -> None:
    room.poll(2)
    folder = room.folder / "wal"
    newest = sorted(folder.glob("*.seg"))[-1]
    with newest.open("ab") as file:
        file.write(frame(b"\xff" * 40))
    room.forward()
    assert room.door.samples == room.stored
    assert room.forwarder.state().pending_bytes == 0
    assert room.forwarder.state().damaged == 1
