"""The metric part of our core as a process of its own: `python -m tests.bench.core FOLDER PORT NOW`.

The Prometheus API over a LocalStore, served by waitress as the core does, but on a loopback port and by a clock that
begins at NOW, in ms: the data of a bench ends at an even hour, which may be some time ago. `POST /bench/maintain?now=NOW`
sets the clock and does what the core does every minute.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flask import Flask, request
from waitress import serve

from monitor.clock import SystemClock
from monitor.core import MAX_BODY, THREADS
from monitor.metrics.http import prometheus_api
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.store import LocalStore


class ShiftedClock:
    """The machine's clock, set to another time."""

    def __init__(self, now_ms: int) -> None:
        self._clock = SystemClock()
        self.set(now_ms)

    def set(self, now_ms: int) -> None:
        """Make it another time."""
        self._shift = now_ms - self._clock.now_ms()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, by this clock."""
        return self._clock.now_ms() + self._shift

    def monotonic(self) -> float:
        """Seconds that never jump back."""
        return self._clock.monotonic()


def main() -> None:
    """Serve until terminated."""
    clock = ShiftedClock(int(sys.argv[3]))
    store = LocalStore(Path(sys.argv[1]), clock)
    app = Flask("bench")
    app.register_blueprint(prometheus_api(store, PromqlEngine(store), clock, targets=list))

    def maintain() -> str:
        clock.set(int(request.args["now"]))
        store.maintain()
        return "done\n"

    app.add_url_rule("/bench/maintain", "maintain", maintain, methods=["POST"])
    serve(app, host="127.0.0.1", port=int(sys.argv[2]), threads=THREADS, max_request_body_size=MAX_BODY)


if __name__ == "__main__":
    main()
