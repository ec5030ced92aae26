"""Places for queries: how many run, who waits, and what happens when a client goes away."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote

import pytest
from flask import Flask
from waitress import wasyncore
from waitress.server import create_server

from monitor.clock import ManualClock
from monitor.metrics.api.gate import QueryGate
from monitor.metrics.errors import QueryError
from monitor.metrics.http import prometheus_api
from monitor.metrics.interface import Limits, Matcher, QueryControl, Window
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.engine import PromqlEngine


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def never() -> bool:
    return False


class Holder(threading.Thread):
    """Holds a place until told to let it go."""

    def __init__(self, gate: QueryGate, order: list[str], name: str) -> None:
        super().__init__(daemon=True)
        self.release = threading.Event()
        self._gate, self._order, self._label = gate, order, name

    def run(self) -> None:
        with self._gate.place(never):
            self._order.append(self._label)
            self.release.wait(5)


def test_places_are_handed_on_in_the_order_of_asking() -> None:
    gate = QueryGate(1, queue=2, wait_seconds=5)
    order: list[str] = []
    holders = []
    for number, name in enumerate("abc"):
        holders.append(Holder(gate, order, name))
        holders[-1].start()
        until(lambda n=number: gate.stats()["waiting"] == n and gate.stats()["running"] == 1)  # type: ignore[misc]
    with pytest.raises(QueryError, match="1 run and 2 wait") as refused, gate.place(never):
        pass
    assert refused.value.kind == "unavailable"
    for number, holder in enumerate(holders):
        until(lambda n=number: len(order) == n + 1)  # type: ignore[misc]
        holder.release.set()
        holder.join(5)
    assert order == ["a", "b", "c"]
    told = dict(gate.stats())
    assert told.pop("seconds") > 0
    assert told == {"running": 0, "waiting": 0, "refused": 1, "cancelled": 0, "finished": 3}


def test_waiting_ends_by_time_or_because_nobody_listens() -> None:
    gate = QueryGate(1, queue=2, wait_seconds=0.15)
    with gate.place(never):
        with pytest.raises(QueryError, match=r"none ended within 0\.15 s"), gate.place(never):
            pass
        with pytest.raises(QueryError) as gone, gate.place(lambda: True):
            pass
    assert gone.value.kind == "canceled"
    told = gate.stats()
    assert [told[name] for name in ("running", "waiting", "refused", "cancelled")] == [0, 0, 1, 1]


def test_a_place_is_given_back_after_an_error() -> None:
    gate = QueryGate(1, queue=0, wait_seconds=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), gate.place(never):
            _ = 1 / 0
    assert gate.stats()["running"] == 0


def test_the_evaluation_asks_whether_it_is_still_wanted() -> None:
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 5

    control = QueryControl(cancelled=cancelled)
    with pytest.raises(QueryError) as stopped:
        PromqlEngine(MemoryStore()).instant("+".join(["vector(1)"] * 20), 0, Limits(), control)
    assert stopped.value.kind == "canceled"
    assert len(asked) == 6


class SlowStore(MemoryStore):
    """Every look takes a twentieth of a second."""

    def window(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Window:
        time.sleep(0.05)
        return super().window(matchers, start_ms, end_ms)


@pytest.fixture
def gate() -> QueryGate:
    return QueryGate(2, queue=1, wait_seconds=0.3)


@pytest.fixture
def port(gate: QueryGate) -> Iterator[int]:
    """The API as the core serves it."""
    store, clock = SlowStore(), ManualClock(1_795_262_400_000)
    app = Flask("slow")
    app.register_blueprint(prometheus_api(store, PromqlEngine(store), clock, targets=list, gate=gate))
    sockets: dict[int, object] = {}
    stop = threading.Event()
    server = create_server(app, map=sockets, host="127.0.0.1", port=0, threads=8, channel_request_lookahead=1)

    def serve() -> None:
        while not stop.is_set():
            wasyncore.loop(timeout=0.02, map=sockets, count=1)
        server.task_dispatcher.shutdown()
        wasyncore.close_all(map=sockets)

    thread = threading.Thread(target=serve)
    thread.start()
    yield int(server.effective_port)
    stop.set()
    thread.join(5)


def ask(port: int, query: str, more: str = "") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(
        f"GET /prometheus/api/v1/query?query={quote(query)}{more} HTTP/1.0\r\n\r\n".encode("ascii")
    )
    return client


def answer(client: socket.socket) -> str:
    with client:
        pieces = []
        while piece := client.recv(65536):
            pieces.append(piece)
    return b"".join(pieces).decode()


LONG = "+".join(["sum(up)"] * 100)  # five seconds


def test_a_client_that_goes_away_stops_its_query(port: int, gate: QueryGate) -> None:
    client = ask(port, LONG)
    until(lambda: gate.stats()["running"] == 1)
    client.close()
    until(lambda: gate.stats()["running"] == 0, 1.0)
    assert gate.stats()["cancelled"] == 1


def test_a_timeout_stops_a_query(port: int, gate: QueryGate) -> None:
    start = time.monotonic()
    text = answer(ask(port, LONG, "&timeout=200ms"))
    assert time.monotonic() - start < 2
    assert text.startswith("HTTP/1.0 503")
    assert '"errorType":"timeout"' in text
    assert gate.stats()["running"] == 0


def test_too_many_queries_are_refused_with_a_reason(port: int, gate: QueryGate) -> None:
    clients = [ask(port, LONG) for _ in range(2)]
    until(lambda: gate.stats()["running"] == 2)
    text = answer(ask(port, "sum(up)"))
    assert text.startswith("HTTP/1.0 503")
    assert '"errorType":"unavailable"' in text
    assert "Retry-After: 2" in text
    for client in clients:
        client.close()
    until(lambda: gate.stats()["running"] == 0)
