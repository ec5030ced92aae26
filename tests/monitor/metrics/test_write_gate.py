"""Who may write now, who waits and who is sent away."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from monitor.metrics.errors import IngestError
from monitor.metrics.write_gate import WriteGate


def refused(gate: WriteGate, size: int = 1) -> bool:
    try:
        with gate.place(size):
            return False
    except IngestError as error:
        return error.status == 429


def test_so_many_writers_and_no_more() -> None:
    gate = WriteGate(writers=2, waiting=0)
    with ExitStack() as places:
        for _ in range(2):
            places.enter_context(gate.place(1))
        assert refused(gate)
    assert not refused(gate)


def test_so_many_bytes_and_no_more_but_any_message_alone() -> None:
    gate = WriteGate(writers=9, waiting=0, max_bytes=100)
    with gate.place(60):
        assert refused(gate, 41)
        assert not refused(gate, 40)
    assert not refused(gate, 1000)
    with gate.place(1000):
        assert refused(gate, 1)


def test_a_place_is_free_again_after_a_failure() -> None:
    gate = WriteGate(writers=1, waiting=0)
    with pytest.raises(ValueError, match="broken"), gate.place(1):
        raise ValueError("broken")
    assert not refused(gate)


def test_some_wait_for_their_turn() -> None:
    gate = WriteGate(writers=1, waiting=1, wait_seconds=10)
    outcome: list[bool] = []
    waiter = threading.Thread(target=lambda: outcome.append(refused(gate)))
    with gate.place(1):
        waiter.start()
        while not refused(gate):  # Until the only place to wait at is taken.
            pass
    waiter.join(10)
    assert outcome == [False]


def test_nobody_waits_for_ever() -> None:
    gate = WriteGate(writers=1, waiting=1, wait_seconds=0.05)
    with gate.place(1):
        assert refused(gate)
        assert refused(gate)
    assert not refused(gate)
