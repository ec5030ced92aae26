"""Live pages: one thread per process asks the desk for its change token each second and tells every open stream.

A stream sends `change` when something changed and `beat` every five seconds otherwise, both with the server's
time, so that a page knows how old it is. When all streams are taken the page polls `/live/token` instead.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog
from flask import Flask, Response, current_app, jsonify
from flask.typing import ResponseReturnValue

from dashboards.backend import Backend
from dashboards.scope import backend, signed_in
from dashboards.security import problem

log = structlog.get_logger(__name__)

INTERVAL = 1.0  # seconds between two looks at the change token
BEAT = 5.0  # seconds of silence after which a stream says it is alive
MAX_STREAMS = 300  # each holds a worker thread; the web process has 384
MAX_AGE_BEATS = (
    120  # a stream ends after this many messages and the browser connects anew, with its session checked
)


@dataclass(slots=True)
class Broadcaster:
    """Tells waiting streams that something changed."""

    backend: Backend
    condition: threading.Condition = field(default_factory=threading.Condition)
    token: str = ""
    serial: int = 0
    healthy: bool = True
    streams: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def ensure_running(self) -> None:
        """Start the thread on first use: after gunicorn's fork, never before."""
        with self.condition:
            if self.thread is None or not self.thread.is_alive():
                self.thread = threading.Thread(target=self._run, name="live", daemon=True)
                self.thread.start()

    def look(self) -> None:
        """Read the token once and wake the streams when it changed."""
        token = self.backend.desk.change_token()
        with self.condition:
            self.healthy = True
            if token != self.token:
                self.token, self.serial = token, self.serial + 1
                self.condition.notify_all()

    def wait(self, serial: int, timeout: float) -> int:
        """The current serial, at once when it differs from the given one, else after a change or the timeout."""
        with self.condition:
            self.condition.wait_for(lambda: self.serial != serial or self.stopped.is_set(), timeout)
            return self.serial

    def take(self) -> bool:
        """Take one of the streams, when one is left."""
        with self.condition:
            if self.streams >= MAX_STREAMS:
                return False
            self.streams += 1
            return True

    def give_back(self) -> None:
        """Return a stream."""
        with self.condition:
            self.streams -= 1

    def stop(self) -> None:
        """End the thread and every stream."""
        self.stopped.set()
        with self.condition:
            self.condition.notify_all()

    def _run(self) -> None:
        while not self.stopped.wait(INTERVAL):
            try:
                self.look()
            except Exception:
                # Pages must learn that they are stale: streams fall silent until the database answers again.
                self.healthy = False
                log.exception("live-token-failed")


def install(app: Flask, stands_on: Backend) -> None:
    """Mount the stream."""
    app.extensions["zhishou-live"] = Broadcaster(stands_on)
    app.add_url_rule("/live", "live.stream", stream)
    app.add_url_rule("/live/token", "live.token", token)


def open_streams() -> int:
    """How many streams this process holds."""
    return _broadcaster().streams


def _broadcaster() -> Broadcaster:
    found: Broadcaster = current_app.extensions["zhishou-live"]
    return found


@signed_in
def stream() -> ResponseReturnValue:
    """Server-sent events: `change` and `beat`."""
    broadcaster = _broadcaster()
    broadcaster.ensure_running()
    if not broadcaster.take():
        response = problem(503, "all live streams are taken")
        response.headers["Retry-After"] = "30"
        return response
    body = _messages(broadcaster)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response = Response(body, mimetype="text/event-stream", headers=headers)
    response.call_on_close(broadcaster.give_back)
    return response


@signed_in
def token() -> ResponseReturnValue:
    """The change token for pages that poll."""
    return jsonify(token=backend().desk.change_token(), now=backend().clock.now_ms())


def _messages(broadcaster: Broadcaster) -> Iterator[str]:
    serial = broadcaster.serial
    clock = broadcaster.backend.clock
    yield f"retry: 3000\nevent: beat\ndata: {clock.now_ms()}\n\n"
    for _ in itertools.repeat(None, MAX_AGE_BEATS):
        latest = broadcaster.wait(serial, BEAT)
        if broadcaster.stopped.is_set():
            return
        if not broadcaster.healthy:
            continue
        yield f"event: {'change' if latest != serial else 'beat'}\ndata: {clock.now_ms()}\n\n"
        serial = latest
