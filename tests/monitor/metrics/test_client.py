"""PrometheusClient over HTTP and over a Unix socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, request
from werkzeug.serving import BaseWSGIServer, make_server

from monitor.errors import DeniedError, UnreachableError
from monitor.metrics.client import PrometheusClient
from monitor.metrics.errors import QueryError
from monitor.metrics.interface import block_of, make_labels
from monitor.metrics.service import build
from monitor.service import Runtime


def application(runtime: Runtime) -> Flask:
    now = runtime.clock.now_ms()
    runtime.store.append(
        block_of((make_labels({"device": "d1"}, "up"), now - age, 1.0) for age in (60_000, 0))
    )
    app = Flask("test")
    for blueprint in build(runtime).blueprints():
        app.register_blueprint(blueprint)

    @app.before_request
    def check_token() -> tuple[str, int] | None:
        wrong = request.headers.get("Authorization", "Bearer good") != "Bearer good"
        return ("no", 401) if wrong else None

    return app


def serve(server: BaseWSGIServer) -> Iterator[BaseWSGIServer]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def over_http(runtime: Runtime) -> Iterator[str]:
    for server in serve(make_server("127.0.0.1", 0, application(runtime), threaded=True)):
        yield f"http://127.0.0.1:{server.server_port}/prometheus"


@pytest.fixture
def over_socket(runtime: Runtime, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "core.sock"
    for _ in serve(make_server(f"unix://{path}", 0, application(runtime))):
        yield path


def test_http(over_http: str, runtime: Runtime) -> None:
    client = PrometheusClient(over_http, "good")
    now = runtime.clock.now_ms()
    assert client.instant("up", now) == [({"__name__": "up", "device": "d1"}, 1.0)]
    assert client.instant("1 + 1") == [({}, 2.0)]
    assert client.range("sum(up)", now - 60_000, now, 30_000) == [
        ({}, [(now - 60_000, 1.0), (now - 30_000, 1.0), (now, 1.0)])
    ]


def test_socket(over_socket: Path, runtime: Runtime) -> None:
    client = PrometheusClient(over_socket)
    assert client.instant("up") == [({"__name__": "up", "device": "d1"}, 1.0)]
    assert client.data("labels", {}) == ["__name__", "device"]


def test_what_is_stored(over_http: str, runtime: Runtime) -> None:
    client = PrometheusClient(over_http, "good")
    now = runtime.clock.now_ms()
    labels = {"__name__": "up", "device": "d1"}
    assert client.series(["up", 'up{device="d1"}'], now - 60_000, now) == [labels]
    assert client.label_names(now - 60_000, now, ["up"]) == ["__name__", "device"]
    assert client.label_values("device", now - 60_000, now) == ["d1"]
    assert client.label_values("device", 0, 1000, ["up"]) == []


def test_remarks_and_long_answers(over_http: str, over_socket: Path, runtime: Runtime) -> None:
    now = runtime.clock.now_ms()
    for base in (over_http, over_socket):
        client = PrometheusClient(base)
        answer = client.ask("query", {"query": "rate(up[5m])"})
        assert len(answer.data["result"]) == 1
        assert answer.infos[0].startswith("PromQL info: metric might not be a counter")
        assert answer.warnings == ()
        assert "quantile" in client.ask("query", {"query": "quantile(2, up)"}).warnings[0]
        ((_, points),) = client.range("up", now - 60_000, now, 100)
        assert len(points) == 601


def test_refusals(over_http: str) -> None:
    with pytest.raises(QueryError, match="parse error") as caught:
        PrometheusClient(over_http).instant("sum(")
    assert caught.value.kind == "bad_data"
    with pytest.raises(QueryError, match="matrix"):
        PrometheusClient(over_http).instant("up[5m]")
    with pytest.raises(DeniedError, match="token"):
        PrometheusClient(over_http, "bad").instant("up")


@pytest.mark.parametrize("suffix", ["", "/elsewhere"])
def test_not_a_prometheus(over_http: str, suffix: str) -> None:
    with pytest.raises(UnreachableError, match="not a Prometheus answer"):
        PrometheusClient(over_http + "/nothing" + suffix).instant("up")


@pytest.mark.parametrize("base", [Path("/nonexistent/core.sock"), "http://127.0.0.1:1/prometheus", "ftp://x"])
def test_unreachable(base: str | Path) -> None:
    with pytest.raises(UnreachableError) as caught:
        PrometheusClient(base).instant("up")
    assert caught.value.exit_code == 3
    assert "没有应答" in caught.value.zh
