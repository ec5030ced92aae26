"""Debian's promtool and prometheus against our server, and kill -9 in the middle of ingest."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.metrics.interface import block_of, make_labels
from monitor.metrics.remote_write import encode
from tests.real.product import Product
from tests.real.sshd import free_port

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Debian's prometheus is not installed"
)
HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("peers")) as running:
        yield running


def write(product: Product, body: bytes) -> int:
    request = urllib.request.Request(product.url + "/prometheus/api/v1/write", body, HEADERS)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def promtool(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *argv], capture_output=True, text=True, timeout=60, check=False)


def test_promtool_queries_us(product: Product) -> None:
    now = int(time.time() * 1000)
    assert write(product, encode(block_of([(make_labels({"device": "d1"}, "up"), now, 1.0)]))) == 200
    result = promtool("query", "instant", f"{product.url}/prometheus", 'up{device="d1"}')
    assert result.returncode == 0, result.stderr
    assert 'up{device="d1"} => 1' in result.stdout


def test_text_goes_in_and_out(product: Product) -> None:
    """Through the web process and the core, as curl and a federating Prometheus do it."""
    base = f"{product.url}/prometheus"
    text = b'# HELP room_celsius Heat\n# TYPE room_celsius gauge\nroom_celsius{room="a"} 21.5\n'
    url = f"{base}/api/v1/import/prometheus?extra_label=site=H1"
    with urllib.request.urlopen(urllib.request.Request(url, text), timeout=10) as answer:
        assert answer.status == 204
    with urllib.request.urlopen(f"{base}/federate?match[]=room_celsius", timeout=10) as answer:
        assert b'room_celsius{room="a",site="H1"} 21.5 ' in answer.read()
    with urllib.request.urlopen(f"{base}/api/v1/metadata?metric=room_celsius", timeout=10) as answer:
        known = json.loads(answer.read())["data"]
    assert known == {"room_celsius": [{"type": "gauge", "help": "Heat", "unit": ""}]}


def test_a_query_ends_with_its_client(product: Product) -> None:
    """The client hangs up at the web process; the core stops evaluating."""
    query = "+".join(["sum(quantile_over_time(0.9, vector(1)[6h:1s]))"] * 250)
    form = urllib.parse.urlencode({"query": query}).encode()
    head = f"POST /prometheus/api/v1/query HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(form)}\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\n\r\n"

    def told(name: str) -> float:
        core = http.client.HTTPConnection("core")
        core.sock = socket.socket(socket.AF_UNIX)
        core.sock.connect(str(product.data / "run" / "core.sock"))
        core.request("GET", "/metrics")
        lines = core.getresponse().read().decode().splitlines()
        core.close()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"zhishou_queries_{name} "))

    with socket.create_connection(("127.0.0.1", product.port)) as client:
        client.sendall(head.encode() + form)
        product.wait(lambda: told("running") == 1, 10, "the query runs")
    product.wait(lambda: told("cancelled") == 1 and told("running") == 0, 10, "the query is cancelled")


def test_a_prometheus_server_writes_into_us_and_the_values_match(product: Product, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(
        f"""
global: {{scrape_interval: 1s, external_labels: {{peer: debian}}}}
scrape_configs: [{{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]
remote_write: [{{url: '{product.url}/prometheus/api/v1/write', queue_config: {{batch_send_deadline: 1s}}}}]
"""
    )
    argv = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"]
    argv += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        product.wait(
            lambda: len(product.query('count_over_time(up{peer="debian"}[1m]) >= 8')) == 1, 60, "8 scrapes"
        )
        at = time.time() - 3
        selector = '{job="self"}'
        ours = {
            tuple(sorted(m.items())): str(v) for m, v in product.query(selector[:-1] + ',peer="debian"}', at)
        }
        peer_url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode(
            {"query": selector, "time": at}
        )

        with urllib.request.urlopen(peer_url, timeout=10) as answer:
            result = json.loads(answer.read())["data"]["result"]
        theirs = {
            tuple(sorted({**item["metric"], "peer": "debian"}.items())): str(float(item["value"][1]))
            for item in result
        }
        assert len(theirs) > 300
        assert ours == theirs
    finally:
        process.terminate()
        process.wait(20)


def test_kill_9_in_the_middle_of_ingest_loses_no_acknowledged_sample(product: Product) -> None:
    acknowledged: list[int] = []
    stop = threading.Event()
    labels = [make_labels({"device": f"k{number}"}, "kill_test") for number in range(200)]

    def ingest() -> None:
        at = int(time.time() * 1000) - 60_000
        while not stop.is_set():
            at += 10
            if write(product, encode(block_of([(label, at, float(at)) for label in labels]))) == 200:
                acknowledged.append(at)

    thread = threading.Thread(target=ingest)
    thread.start()
    for _ in range(3):
        before = len(acknowledged)
        product.wait(lambda n=before: len(acknowledged) > n + 3, 40, "batches are acknowledged")  # type: ignore[misc]
        product.kill("core")
    count = len(acknowledged)
    product.wait(lambda: len(acknowledged) > count + 3, 40, "ingest goes on after the last kill")
    stop.set()
    thread.join()
    span = (acknowledged[-1] - acknowledged[0]) / 1000 + 1
    found = product.query(f"count_over_time(kill_test[{int(span) + 1}s])", acknowledged[-1] / 1000)
    assert len(found) == 200
    # A batch whose answer was cut off may be stored too; one that was acknowledged must be.
    assert all(value >= len(acknowledged) for _, value in found), (
        min(v for _, v in found),
        len(acknowledged),
    )
    last = product.query("kill_test", acknowledged[-1] / 1000)
    assert {value for _, value in last} == {float(acknowledged[-1])}
