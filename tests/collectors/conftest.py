"""A core that collectors can talk to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask
from werkzeug.serving import make_server

from monitor import ingest
from monitor.clock import SystemClock
from monitor.metrics import service
from monitor.service import Runtime


@pytest.fixture
def core(runtime: Runtime) -> Iterator[str]:
    """The address of one that takes samples, events and assignments, by the machine's clock."""
    app = Flask("core")
    live = replace(runtime, clock=SystemClock())
    for part in (ingest.build(live), service.build(live)):
        for blueprint in part.blueprints():
            app.register_blueprint(blueprint)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
