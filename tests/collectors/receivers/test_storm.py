"""Storms: everything that was sent is received or counted as dropped, exactly, and the spool is not flooded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.receivers.coalesce import BURST, EVENTS_PER_SECOND
from collectors.receivers.datagrams import Listener, TrapSocket
from tests.collectors.receivers.flood import flood, start_flood
from tests.collectors.receivers.station import Station


def test_the_kernel_drops_are_counted_exactly() -> None:
    with TrapSocket(Listener("127.0.0.1", 0), 1 << 16) as trap_socket:
        flood(trap_socket.port, 3000, 0, 1)
        received = 0
        while batch := trap_socket.receive():
            received += len(batch)
        assert 0 < received < 3000
        assert received + trap_socket.kernel_drops() == 3000
        flood(trap_socket.port, 10, 0, 1)
        assert len(trap_socket.receive()) == 10
        assert received + 10 + trap_socket.kernel_drops() == 3010


def test_the_kernels_counter_may_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    readings: Iterator[int] = iter([2**32 - 10, 2**32 - 1, 5, 5, 2**31, 1])
    monkeypatch.setattr(TrapSocket, "_raw_drops", lambda _self: next(readings))
    with TrapSocket(Listener("127.0.0.1", 0), 1 << 16) as trap_socket:
        assert [trap_socket.kernel_drops() for _ in range(5)] == [9, 15, 15, 15 + 2**31 - 5, 15 + 2**32 - 4]


@pytest.mark.parametrize(("count", "different"), [(30_000, 1), (20_000, 20_000)])
def test_a_short_storm_adds_up(tmp_path: Path, count: int, different: int) -> None:
    storm(tmp_path, count, 0, different)


@pytest.mark.slow
@pytest.mark.parametrize("different", [1, 48, 100_000])
def test_ten_thousand_traps_a_second_for_a_minute_add_up(tmp_path: Path, different: int) -> None:
    storm(tmp_path, 600_000 if different == 48 else 100_000, 10_000, different)


def storm(folder: Path, count: int, rate: int, different: int) -> None:
    with Station(folder) as station:
        started = time.monotonic()
        child = start_flood(station.port, count, rate, different)
        out, _ = child.communicate(timeout=300)
        sent = int(out)

        def seen() -> int:
            return station.count("zhishou_traps_received") + station.count("zhishou_traps_dropped", "kernel")

        assert station.wait(lambda: seen() == sent and station.settled(), 30)
        lasted = time.monotonic() - started
    assert seen() == sent == count
    accepted = station.count("zhishou_traps_accepted", "2c")
    assert accepted + station.count("zhishou_traps_dropped", "queue") == station.count(
        "zhishou_traps_received"
    )
    told = [event for event in station.host.events if event["zhishou.trap.count"] == 1]
    assert sum(int(event["zhishou.trap.count"] or 0) for event in station.host.events) == accepted
    assert len(told) + station.count("zhishou_traps_repeated") == accepted
    assert len(station.host.events) <= BURST + EVENTS_PER_SECOND * (lasted + 2)
    assert len(station.host.events) < 200 or different > 1000
