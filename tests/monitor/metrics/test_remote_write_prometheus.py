"""Our requests against Debian's Prometheus: it takes what we encode, and we read what it sends on."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from monitor.metrics.interface import STALE, SampleBlock, block_of, make_labels
from monitor.metrics.remote_write import CONTENT_TYPE, decode, encode
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


@pytest.fixture
def prometheus(tmp_path: Path, receiver: Receiver) -> Iterator[str]:
    """The address of a Prometheus that takes remote write and sends everything on to the receiver."""
    config = {
        "remote_write": [
            {"url": receiver.url, "queue_config": {"batch_send_deadline": "100ms", "max_shards": 1}}
        ]
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
        "--web.enable-remote-write-receiver",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: ready(f"http://{address}/-/ready"))
            yield f"http://{address}"
        finally:
            process.kill()


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
