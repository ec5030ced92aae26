"""Pushing: what leaves the lane, what is kept, what goes to the dead-letter file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.outbox import Lane
from collectors.push import EVENTS, METRICS, Pusher, join_remote_write
from collectors.uplink import CoreClient, UplinkError
from monitor.errors import InputError
from monitor.metrics.interface import STALE, STALE_BITS, block_of, make_labels
from monitor.metrics.remote_write import decode, encode
from tests.collectors.fake_core import TOKEN, FakeCore
from tests.real.sshd import free_port


class Count:
    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        self.value += amount


class Line:
    """A lane, its pusher, and the counter of refused entries."""

    def __init__(self, folder: Path, core: FakeCore, token: str = TOKEN) -> None:
        self.lane = Lane(folder / "events", max_bytes=1 << 20)
        self.client = CoreClient(core.url, token, timeout=2)
        self.refused = Count()
        self.dead = folder / "dead" / "events"
        self.pusher = Pusher(self.lane, EVENTS, self.client, self.dead, self.refused)

    def event(self, key: str) -> None:
        self.lane.append(b'{"id": "%s", "event": {"n": 1}}\n' % key.encode(), 1)


@pytest.fixture
def core() -> Iterator[FakeCore]:
    made = FakeCore()
    made.start()
    yield made
    made.cut()


@pytest.fixture
def line(core: FakeCore, tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path, core)
    yield made
    made.client.close()
    made.lane.close()


def test_frames_go_out_together_oldest_first(core: FakeCore, line: Line) -> None:
    for key in "abc":
        line.event(key)
    assert line.pusher.step()
    assert core.event_ids == ["a", "b", "c"]
    assert len(core.requests) == 1
    assert line.lane.state().pending_entries == 0
    assert line.pusher.step(), "nothing to do is no failure"


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 503])
def test_a_closed_door_keeps_everything(core: FakeCore, line: Line, status: int) -> None:
    core.answer = lambda _path, _body: (status, {"Retry-After": "1"})
    line.event("a")
    for _ in range(3):
        assert not line.pusher.step()
    assert line.lane.state().pending_entries == 1
    assert line.refused.value == 0
    core.answer = lambda _path, _body: (204, {})
    assert line.pusher.step()
    assert core.event_ids == ["a"]


def test_only_the_frame_that_is_refused_is_taken_out(core: FakeCore, line: Line) -> None:
    core.answer = lambda _path, body: (400 if b'"b"' in body else 204, {})
    for key in "abc":
        line.event(key)
    assert line.pusher.step()
    assert core.event_ids == ["a", "c"]
    assert line.refused.value == 1
    kept = line.dead.read_bytes()
    assert b'"id": "b"' in kept
    assert b'"a"' not in kept
    assert line.lane.state().pending_entries == 0


def test_one_by_one_stops_at_a_closed_door(core: FakeCore, line: Line) -> None:
    statuses = iter([400, 204, 503])
    core.answer = lambda _path, _body: (next(statuses), {})
    for key in "abc":
        line.event(key)
    assert not line.pusher.step()
    assert core.event_ids == ["a"]
    assert line.lane.state().pending_entries == 2


def test_a_core_that_is_away_is_found_again(core: FakeCore, line: Line) -> None:
    thread = threading.Thread(target=line.pusher.run)
    line.event("a")
    thread.start()
    assert core.wait(lambda: core.event_ids == ["a"])
    core.cut()
    line.event("b")
    core.start()
    assert core.wait(lambda: core.event_ids == ["a", "b"])
    line.pusher.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_the_token_goes_with_every_request(core: FakeCore, tmp_path: Path) -> None:
    stranger = Line(tmp_path / "other", core, token="wrong")
    stranger.event("a")
    assert not stranger.pusher.step()
    assert core.requests[-1][2] == 401
    assert stranger.lane.state().pending_entries == 1
    stranger.client.close()
    stranger.lane.close()


def test_metrics_are_a_remote_write_request(core: FakeCore, tmp_path: Path) -> None:
    lane = Lane(tmp_path / "metrics", max_bytes=1 << 20)
    client = CoreClient(core.url + "/", TOKEN)
    pusher = Pusher(lane, METRICS, client, tmp_path / "dead", Count())
    for at in (1000, 2000):
        lane.append(encode(block_of([(make_labels({"device": "d"}, "up"), at, 1.0)])), 1)
    assert pusher.step()
    assert core.samples == [((("__name__", "up"), ("device", "d")), at, 1.0) for at in (1000, 2000)]
    client.close()
    lane.close()


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**40), st.floats()), max_size=5),
        min_size=1,
        max_size=5,
    )
)
def test_joined_bodies_hold_the_samples_of_each(batches: list[list[tuple[int, int, float]]]) -> None:
    def name(series: int) -> str:
        return f"metric_{series}"

    blocks = [
        block_of([(make_labels({}, name(s)), at, value) for s, at, value in batch]) for batch in batches
    ]
    joined = decode(
        join_remote_write([encode(block) for block in blocks]),
        content_type="application/x-protobuf",
        content_encoding="snappy",
    )
    found: dict[str, list[tuple[int, int]]] = {}
    for code, at, bits in zip(joined.series, joined.timestamps, joined.values.view(np.uint64), strict=True):
        found.setdefault(dict(joined.labels[code])["__name__"], []).append((int(at), int(bits)))
    wanted: dict[str, list[tuple[int, int]]] = {}
    for batch in batches:
        for series, at, value in batch:
            wanted.setdefault(name(series), []).append((at, int(np.array([value]).view(np.uint64)[0])))
    assert found == wanted


def test_the_stale_marker_keeps_its_bits_on_the_way() -> None:
    body = encode(block_of([(make_labels({}, "up"), 1, STALE)]))
    block = decode(
        join_remote_write([body, body]), content_type="application/x-protobuf", content_encoding="snappy"
    )
    assert {int(bits) for bits in block.values.view(np.uint64)} == {STALE_BITS}


def test_no_answer_says_what_to_check() -> None:
    client = CoreClient(f"http://127.0.0.1:{free_port()}", timeout=1)
    with pytest.raises(UplinkError, match="check the core") as caught:
        client.request("GET", "/")
    assert "请检查" in caught.value.zh


@pytest.mark.parametrize("url", ["", "core:8080", "ftp://core", "http://"])
def test_what_is_no_address_of_a_core_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        CoreClient(url)
