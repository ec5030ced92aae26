"""The metric part of our core as a process of its own: `python -m tests.bench.core FOLDER PORT`.

The Prometheus API over a LocalStore, served by waitress as the core does, but on a loopback port.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flask import Flask
from waitress import serve

from monitor.clock import SystemClock
from monitor.metrics.http import prometheus_api
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.store import LocalStore


def main() -> None:
    """Serve until terminated."""
    clock = SystemClock()
    store = LocalStore(Path(sys.argv[1]), clock)
    app = Flask("bench")
    app.register_blueprint(prometheus_api(store, PromqlEngine(store), clock, targets=list))
    serve(app, host="127.0.0.1", port=int(sys.argv[2]), threads=4)


if __name__ == "__main__":
    main()
