"""The API over a small store, in process and on a loopback port."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from monitor.metrics.http import Server, prometheus_api, query_gate
from monitor.metrics.interface import STALE, Limits, block_of, make_labels
from monitor.metrics.metadata import MetricInfo, MetricMetadata, MetricType
from monitor.metrics.targets import PolledTargets
from monitor.service import Runtime

API = "/prometheus/api/v1"


@pytest.fixture
def metadata() -> MetricMetadata:
    known = MetricMetadata()
    known.note(
        [
            ("up", MetricInfo(MetricType.GAUGE, "Whether the device answered")),
            ("reads_total", MetricInfo(MetricType.COUNTER, "Reads", "")),
            ("wait_seconds", MetricInfo(MetricType.HISTOGRAM, "Waiting", "seconds")),
        ]
    )
    return known


@pytest.fixture
def app(runtime: Runtime, metadata: MetricMetadata) -> Flask:
    """Two devices over ten minutes, one of them down; a third that ended."""
    now = runtime.clock.now_ms()
    samples = []
    for device, value in (("d0", 0.0), ("d1", 1.0)):
        own = {"device": device, "job": "snmp", "instance": f"10.0.0.{device[1]}"}
        for age in range(600_000, -1, -60_000):
            at = now - age
            samples += [
                (make_labels(own, "up"), at, value),
                (make_labels({**own, "module": "snmp"}, "device_poll_duration_seconds"), at, 0.25),
                (make_labels(own, "reads_total"), at, at / 1000),
                (make_labels({**own, "le": "+Inf"}, "wait_seconds_bucket"), at, 1.0),
            ]
    ended = make_labels({"device": "d2", "job": "ssh", "instance": "10.0.0.2"}, "up")
    samples += [(ended, now - 120_000, 1.0), (ended, now - 60_000, STALE)]
    runtime.store.append(block_of(samples))
    made = Flask("test")
    made.register_blueprint(
        prometheus_api(
            runtime.store,
            runtime.queries,
            runtime.clock,
            targets=PolledTargets(runtime.store, runtime.clock),
            sites=lambda collectors: frozenset({"H1"} if "c1" in collectors else ()),
            metadata=metadata,
            gate=query_gate(4),
            limits=Limits(),
            server=Server(now, retention_days=30, evaluation_seconds=15),
        )
    )
    return made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/prometheus"
    server.shutdown()
    thread.join()
    server.server_close()
