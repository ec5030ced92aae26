"""The core's own application on the Unix socket where the console looks for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler, make_server

from monitor.core import build_app
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.service import MetricsService
from monitor.metrics.store import LocalStore
from monitor.service import Runtime
from monitor.telemetry import process_registry


class _Quiet(WSGIRequestHandler):
    def log(self, kind: str, message: str, *args: object) -> None:
        """Nothing: tests read what the console logs."""

    def address_string(self) -> str:
        return "unix"


@contextmanager
def core_at(runtime: Runtime, folder: Path) -> Iterator[LocalStore]:
    """Serve the metrics service over the store of a data folder; gives the store."""
    store = LocalStore(folder / "metrics", runtime.clock)
    mine = replace(runtime, store=store, queries=PromqlEngine(store), registry=process_registry("core"))
    services: Sequence[MetricsService] = [MetricsService(mine)]
    app = build_app(mine, services)
    path = runtime.settings.socket_path
    path.parent.mkdir(parents=True, exist_ok=True)
    server = make_server(f"unix://{path}", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    services[0].start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        path.unlink(missing_ok=True)
        services[0].stop()
        store.close()
