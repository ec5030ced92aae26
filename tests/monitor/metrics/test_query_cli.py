"""`zhishou query` and `zhishou query-range` against a server that runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask, request
from werkzeug.serving import make_server

from monitor.errors import UnreachableError
from monitor.metrics.cli import query, query_range
from monitor.metrics.errors import QueryError
from monitor.metrics.interface import block_of, make_labels
from monitor.metrics.service import build
from monitor.service import Runtime


@pytest.fixture
def tokens() -> list[str]:
    """What requests carried as Authorization."""
    return []


@pytest.fixture
def url(runtime: Runtime, tokens: list[str]) -> Iterator[str]:
    now = runtime.clock.now_ms()
    runtime.store.append(
        block_of(
            (make_labels({"device": 'a"b', "site": "人民医院"}, "up"), now - age, 1.0) for age in (60_000, 0)
        )
    )
    app = Flask("test")
    for blueprint in build(runtime).blueprints():
        app.register_blueprint(blueprint)
    app.before_request(lambda: tokens.append(request.headers.get("Authorization", "")))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/prometheus"
    server.shutdown()
    thread.join()
    server.server_close()


def run(command: object, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)  # type: ignore[arg-type]


def test_text(url: str, runtime: Runtime) -> None:
    at = runtime.clock.now_ms() // 1000
    assert run(query, "up", "--url", url).output == f'up{{device="a\\"b", site="人民医院"}} => 1 @[{at}]\n'
    assert (
        run(query, "sum(up)", "--url", url, "--at", "2026-11-21T12:00:00Z").output == f"{{}} => 1 @[{at}]\n"
    )
    assert run(query, "1/2", "--url", url).output == f"scalar: 0.5 @[{at}]\n"
    assert run(query, '"x"', "--url", url).output == "x\n"
    assert run(query, "nothing", "--url", url).output == ""


def test_range_is_what_promtool_prints(url: str, runtime: Runtime) -> None:
    at = runtime.clock.now_ms() // 1000
    window = ["--start", str(at - 60), "--end", str(at), "--step", "1m"]
    shown = run(query_range, "sum by (device) (up)", *window, "--url", url)
    assert shown.exit_code == 0
    assert shown.output == f'{{device="a\\"b"}} =>\n1 @[{at - 60}]\n1 @[{at}]\n'
    if shutil.which("promtool"):
        options = [f"--start={at - 60}", f"--end={at}", "--step=1m", url, "sum by (device) (up)"]
        peer = subprocess.run(
            ["promtool", "query", "range", *options], capture_output=True, text=True, check=True
        )
        assert peer.stdout == shown.output


def test_json(url: str, runtime: Runtime) -> None:
    at = runtime.clock.now_ms() // 1000
    data = json.loads(run(query, "sum(up)", "--json", "--url", url).output)
    assert data == {"resultType": "vector", "result": [{"metric": {}, "value": [at, "1"]}]}


def test_errors(url: str, tmp_path: Path) -> None:
    assert isinstance(run(query, "sum(", "--url", url).exception, QueryError)
    assert isinstance(run(query, "up", "--url", url, "--at", "soon").exception, QueryError)
    assert isinstance(run(query, "up", "--data", str(tmp_path)).exception, UnreachableError)
    assert run(query_range, "up", "--url", url).exit_code == 2


def test_remarks_go_to_the_other_stream(url: str) -> None:
    shown = run(query, "rate(up[2m])", "--json", "--url", url)
    assert json.loads(shown.stdout)["resultType"] == "vector"
    assert shown.stderr.startswith("info: PromQL info: metric might not be a counter")


def test_the_token_comes_from_the_environment(
    url: str, tokens: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_TOKEN", "abc")
    assert run(query, "up", "--url", url).exit_code == 0
    assert tokens == ["Bearer abc"]
