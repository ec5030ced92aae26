"""Debian's Prometheus as a counterpart for queries: started empty, filled by remote_write."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monitor.metrics import remote_write
from monitor.metrics.client import PrometheusClient
from monitor.metrics.interface import SampleBlock

END = int(time.time()) // 60 * 60_000
START = END - 2 * 3_600_000
_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """A running Prometheus."""

    url: str
    client: PrometheusClient

    def write(self, block: SampleBlock) -> None:
        """Store samples."""
        request = urllib.request.Request(f"{self.url}/api/v1/write", remote_write.encode(block), _HEADERS)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 204


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Peer]:
    """A Prometheus with an empty store in a folder. It takes samples of the last day in any order of series."""
    (folder / "empty.yml").write_text("global: {}\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [
        "prometheus",
        f"--config.file={folder}/empty.yml",
        f"--storage.tsdb.path={folder}/data",
        "--storage.tsdb.min-block-duration=24h",
        "--storage.tsdb.max-block-duration=24h",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--log.level=error",
    ]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/-/ready")
        yield Peer(url, PrometheusClient(url))
    finally:
        process.terminate()
        process.wait(10)


def _wait(url: str) -> None:
    for _ in range(200):
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError),
            urllib.request.urlopen(url, timeout=2),
        ):
            return
        time.sleep(0.1)
    raise AssertionError("Prometheus did not start")
