"""The same requests to Debian's Prometheus and to us, and clients of Prometheus against us."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from monitor.clock import ManualClock, SystemClock
from monitor.metrics import remote_write
from monitor.metrics.http import prometheus_api
from monitor.metrics.interface import block_of, make_labels
from monitor.metrics.memory import MemoryStore
from monitor.metrics.notation import number
from monitor.metrics.promql.engine import PromqlEngine

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")

NOW = int(time.time()) // 60 * 60_000
AT = NOW // 1000
BAD = """
query
query?query=
query?query=sum(
query?query=%ff
query?query=up&time=yesterday
query?query=up&time=2020-01-01
query?query=up&time=2020-01-01T00:00:00
query?query=up&time=2020-01-01T25:00:00Z
query?query=up&timeout=1x
query?query=up&timeout=0
query?query=up&timeout=-1
query?query=topk(NaN,up)
query?query=up[5m:0s]
query?query=up[0s]
query?query=up offset
query?query=label_replace(up,"a","b","c","(")
query?query=up{a=~"("}
query?query={}
query?query={a=""}
query?query=rate(up)
query?query=unknown(up)
query?query=up and 1
query?query="a"%2B"b"
query?query=1 %2B "a"
query?query=bool
query?query=sum by (a
query?query=up@
query?query=(((((1
query?query=%zz
query_range
query_range?query=up&start=0&end=12000&step=1
query_range?query=up&start=0&end=1&step=0
query_range?query=up&start=0&end=1&step=-1
query_range?query=up&start=0&end=1&step=x
query_range?query=up&start=0&end=1&step=NaN
query_range?query=up&start=0&end=1&step=
query_range?query=up&start=0&end=1&step=1e300
query_range?query=up&start=5&end=1&step=1
query_range?query=up&end=1&step=1
query_range?query=up&start=0&step=1
query_range?query=up&start=0&end=x&step=1
query_range?query=up[5m]&start=0&end=1&step=1
query_range?query="a"&start=0&end=1&step=1
query_range?query=&start=0&end=1&step=1
series
series?match[]=
series?match[]=rate(up[5m])
series?match[]=up&start=x
series?match[]={}
series?match[]=up offset 5m
series?match[]={a=~".*"}
series?match[]=1
series?match[]=(up)
series?match[]=up[5m]
labels?start=x
labels?match[]=(
labels?match[]={}
label/__name__/values?match[]=(
label//values
label/a/values?start=x
format_query
format_query?query=sum(
metadata?limit=x
targets/metadata?match_target=(
targets/metadata?limit=x
rules?type=bogus
query_exemplars
query_exemplars?query=sum(
query_exemplars?query=up&start=9&end=1
query_exemplars?query=up&start=x
status/nothing
nothing
write
""".strip().splitlines()
GOOD = f"""
query?query=m&time={AT}
query?query=m&time={AT}.25
query?query=m[2m]&time={AT - 1}
query?query=1e-6&time={AT}
query?query=vector(1e21)&time={AT}
query?query=1/0&time=1.5
query?query="text"&time={AT}
query?query=m&time=9223372036854775807&timeout=1m
query?query=odd&time={AT}
query_range?query=m&start={AT - 300}&end={AT}&step=37s
query_range?query=m * 1e-9&start={AT - 300}.125&end={AT}&step=0.5
query_range?query=m * 1e17&start={AT - 300}&end={AT}&step=1m
query_range?query=m&start=1970-01-01T00:00:00Z&end=1970-01-01T08:00:05%2B08:00&step=1
query_range?query=-time()&start=-3&end=3.5&step=1.5
series?match[]=m&match[]=odd&start={AT - 600}&end={AT + 600}
series?match[]=m&start=9&end=1
series?match[]={{n=~"1|2",n!="2"}}&start={AT - 600}
labels?start={AT - 600}
labels?match[]=odd&start={AT - 600}
labels?start=9&end=1
label/n/values?start={AT - 600}
label/__name__/values?match[]=m&match[]=odd&start={AT - 600}
label/none/values
targets/metadata
query_exemplars?query=m
metadata?metric=m
rules
alerts
rules?type=record
alertmanagers
""".strip().splitlines()


def samples() -> list[tuple[tuple[tuple[str, str], ...], int, float]]:
    found = [
        (make_labels({"n": str(n)}, "m"), NOW - age * 1000, (n + age) / 7)
        for n in range(3)
        for age in range(600, -1, -15)
    ]
    odd = make_labels({"q": '<a href="&">\\\n\u2028', "u": "值"}, "odd")
    return [*found, (odd, NOW, 5e-324)]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text("{}")
    with running(folder) as url:
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        body = remote_write.encode(block_of(samples()))
        urllib.request.urlopen(
            urllib.request.Request(f"{url}/api/v1/write", body, headers), timeout=5
        ).close()
        yield url


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Debian's Prometheus with the prometheus.yml in a folder."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    argv += [f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/-/ready")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def wait_for(url: str) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(url)


@pytest.fixture(scope="module")
def ours() -> FlaskClient:
    store, clock = MemoryStore(), ManualClock(NOW)
    store.append(block_of(samples()))
    app = Flask("peers")
    app.register_blueprint(prometheus_api(store, PromqlEngine(store), clock, targets=list))
    return app.test_client()


def escaped(path: str) -> str:
    return quote(path, safe="/?&=%")


def ask(url: str, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{escaped(path)}", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def kind(body: bytes) -> object:
    return json.loads(body).get("errorType") if body.startswith(b"{") else None


@pytest.mark.parametrize("path", BAD)
def test_bad_requests_are_refused_alike(prometheus: str, ours: FlaskClient, path: str) -> None:
    status, body = ask(prometheus, path)
    answer = ours.get(f"/prometheus/api/v1/{escaped(path)}")
    assert (answer.status_code, kind(answer.data)) == (status, kind(body)), (answer.text, body)
    assert status >= 400
    if answer.is_json:
        assert answer.get_json()["error"]


@pytest.mark.parametrize("path", GOOD)
def test_good_answers_are_the_same(prometheus: str, ours: FlaskClient, path: str) -> None:
    """Numbers are compared as they are written."""
    status, body = ask(prometheus, path)
    answer = ours.get(f"/prometheus/api/v1/{escaped(path)}")
    assert answer.status_code == status == 200, (answer.text, body)
    shown, expected = (json.loads(text, parse_float=str, parse_int=str) for text in (answer.data, body))
    for found in (shown["data"], expected["data"]):
        if isinstance(found, dict) and found.get("resultType") in ("vector", "matrix"):
            found["result"].sort(key=str)
    assert shown == expected


def test_a_prometheus_federates_from_us(tmp_path: Path) -> None:
    """It scrapes our `/federate` and has our samples, at our times."""
    store, clock = MemoryStore(), SystemClock()
    at = clock.now_ms() - 20_000
    store.append(block_of([(make_labels({"n": str(n), "q": 'a"\\\n'}, "m"), at, n / 7) for n in range(50)]))
    app = Flask("federation")
    app.register_blueprint(prometheus_api(store, PromqlEngine(store), clock, targets=list))
    with served(app) as port:
        config = {
            "scrape_configs": [
                {
                    "job_name": "city",
                    "honor_labels": True,
                    "scrape_interval": "1s",
                    "metrics_path": "/prometheus/federate",
                    "params": {"match[]": ["m"]},
                    "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
                }
            ]
        }
        (tmp_path / "prometheus.yml").write_text(json.dumps(config))
        with running(tmp_path) as url:
            end = time.monotonic() + 20
            while not (found := json.loads(ask(url, "query?query=m[5m]")[1])["data"]["result"]):
                assert time.monotonic() < end, ask(url, "targets")
                time.sleep(0.1)
    values = {item["metric"]["n"]: item["values"] for item in found}
    assert values == {str(n): [[at / 1000, number(n / 7)]] for n in range(50)}
    assert {(item["metric"]["q"], item["metric"]["job"]) for item in found} == {('a"\\\n', "city")}


@contextmanager
def served(app: Flask) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
