"""Remote write with Debian's Prometheus: it takes what we encode, and our store takes what it scrapes and sends on."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from flask import Flask, Response, request
from werkzeug.serving import make_server

from monitor.clock import SystemClock
from monitor.metrics.http import prometheus_api
from monitor.metrics.interface import STALE, SampleBlock, block_of, make_labels
from monitor.metrics.metadata import MetricMetadata
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.remote_write import CONTENT_TYPE, decode, encode
from monitor.metrics.store import LocalStore
from tests.monitor.metrics.oracle import bits_of
from tests.real.sshd import free_port

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="Debian's prometheus is not installed")
PATIENCE = 20.0


class Receiver:
    """A remote write endpoint that keeps what it reads."""

    def __init__(self) -> None:
        self.blocks: list[SampleBlock] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                block = decode(
                    body,
                    content_type=self.headers["Content-Type"],
                    content_encoding=self.headers["Content-Encoding"],
                )
                receiver.blocks.append(block)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing on the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/write"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def samples_of(self, name: str) -> dict[tuple[str, int], int]:
        """(device, ms) -> bits of all samples of a metric."""
        return {
            (dict(block.labels[code])["device"], at): bits_of(value)
            for block in list(self.blocks)
            for code, at, value in zip(
                block.series.tolist(), block.timestamps.tolist(), block.values.tolist(), strict=True
            )
            if ("__name__", name) in block.labels[code]
        }

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@contextmanager
def prometheus_writing_to(url: str, folder: Path, **scrape: object) -> Iterator[str]:
    """The address of a Prometheus that takes remote write, scrapes itself if told to, and sends everything on."""
    address = f"127.0.0.1:{free_port()}"
    jobs = [{"job_name": "self", "static_configs": [{"targets": [address]}], **scrape}] if scrape else []
    queue = {"batch_send_deadline": "100ms", "max_shards": 1, "max_samples_per_send": 300}
    metadata = {"send": True, "send_interval": "1s"}
    config = {
        "scrape_configs": jobs,
        "remote_write": [{"url": url, "queue_config": queue, "metadata_config": metadata}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--web.enable-remote-write-receiver",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: ready(f"http://{address}/-/ready"))
            yield f"http://{address}"
        finally:
            process.kill()


@pytest.fixture
def prometheus(tmp_path: Path, receiver: Receiver) -> Iterator[str]:
    with prometheus_writing_to(receiver.url, tmp_path) as address:
        yield address


def ready(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


def wait_until(condition: object) -> None:
    assert callable(condition)
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def send(address: str, block: SampleBlock) -> int:
    headers = {
        "Content-Type": CONTENT_TYPE,
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    with urlopen(Request(f"{address}/api/v1/write", encode(block), headers), timeout=10) as answer:
        return int(answer.status)


def test_prometheus_takes_what_we_encode_and_we_read_what_it_sends(
    prometheus: str, receiver: Receiver
) -> None:
    now = time.time_ns() // 1_000_000
    values = {"交换机一": 1.5, "b": -2.5, "c": 2.0**60, "d": STALE, "e": float("nan"), "f": 0.0}
    series = {device: make_labels({"device": device}, "probe") for device in values}
    plain = block_of((series[device], now, value) for device, value in values.items())
    several = block_of((series[device], now + i, float(i)) for device in "bc" for i in range(1, 5))
    assert [send(prometheus, plain), send(prometheus, several)] == [204, 204]

    question = quote('last_over_time(probe{device="交换机一"}[1h])')
    with urlopen(f"{prometheus}/api/v1/query?query={question}&time={now / 1000 + 1}", timeout=10) as answer:
        (found,) = json.load(answer)["data"]["result"]
    assert found["value"][1] == "1.5"

    expected = {(device, now): bits_of(value) for device, value in values.items()}
    expected |= {(device, now + i): bits_of(float(i)) for device in "bc" for i in range(1, 5)}
    wait_until(lambda: len(receiver.samples_of("probe")) >= len(expected))
    assert receiver.samples_of("probe") == expected


class OurSide:
    """Our Prometheus API over a store, on a port of its own. `slow_ms` is how far its clock is behind."""

    def __init__(self, folder: Path) -> None:
        self.slow_ms = 0
        self._clock = SystemClock()
        self.metadata = MetricMetadata()
        self.store = LocalStore(folder, self)
        app = Flask("ours")
        api = prometheus_api(self.store, PromqlEngine(self.store), self, targets=list, metadata=self.metadata)
        app.register_blueprint(api)
        self.statuses: Counter[int] = Counter()
        app.after_request(self._count)
        self.server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.port}/prometheus"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def now_ms(self) -> int:
        return self._clock.now_ms() - self.slow_ms

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def _count(self, answer: Response) -> Response:
        if request.path.endswith("/write"):
            self.statuses[answer.status_code] += 1
        return answer

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        self.store.close()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[OurSide]:
    made = OurSide(tmp_path / "ours")
    yield made
    made.close()


def samples_at(address: str, query: str, at: float) -> dict[str, list[tuple[float, str]]]:
    """labels -> samples of a range vector."""
    url = f"{address}/api/v1/query?query={quote(query)}&time={at:.3f}"
    with urlopen(url, timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    return {json.dumps(one["metric"], sort_keys=True): one["values"] for one in found}


def newest_of(address: str, metric: str) -> float:
    """The time of the newest sample of a metric, in seconds."""
    found = samples_at(address, f"timestamp({metric})[1m:1s]", time.time())
    return max((float(value) for values in found.values() for _, value in values), default=0.0)


@pytest.mark.slow
def test_our_store_holds_what_prometheus_scraped(ours: OurSide, tmp_path: Path) -> None:
    target = f"{ours.url}/api/v1/write"
    with prometheus_writing_to(target, tmp_path, scrape_interval="1s", scrape_timeout="900ms") as address:
        wait_until(lambda: newest_of(ours.url, "up") > 0)
        wait_until(lambda: ours.metadata.about("prometheus_http_requests_total") is not None)
        at = time.time()
        wait_until(lambda: newest_of(ours.url, "up") > at)
        scraped = samples_at(address, '{__name__=~".+"}[4s]', at)
        assert len(scraped) > 300
        assert samples_at(ours.url, '{__name__=~".+"}[4s]', at) == scraped
    info = ours.metadata.about("prometheus_http_requests_total")
    assert info is not None
    assert (info.type, info.help) == ("counter", "Counter of HTTP requests.")
    assert set(ours.statuses) == {200}


@pytest.mark.slow
def test_prometheus_does_not_repeat_what_is_refused_for_good(ours: OurSide, tmp_path: Path) -> None:
    ours.slow_ms = 3_600_000
    target = f"{ours.url}/api/v1/write"
    with prometheus_writing_to(target, tmp_path, scrape_interval="1s", scrape_timeout="900ms") as address:
        wait_until(lambda: ours.statuses[400] >= 3)
        ours.slow_ms = 0
        wait_until(lambda: newest_of(ours.url, "up") > 0)
        with urlopen(f"{address}/metrics", timeout=10) as answer:
            lines = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[:1] != "#"]
    counts = {name.partition("{")[0]: float(value) for name, value in lines}
    assert counts["prometheus_remote_storage_samples_failed_total"] > 300
    assert counts["prometheus_remote_storage_samples_retried_total"] == 0
