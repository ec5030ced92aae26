"""Debian's VictoriaMetrics and Prometheus as back ends that can be killed and come back with their data."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.real.sshd import free_port

PATIENCE = 20.0
Found = dict[tuple[tuple[tuple[str, str], ...], int], float]


class Server:
    """One server process on one port and data folder."""

    name = ""
    write_path = "/api/v1/write"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def installed(cls) -> bool:
        """Whether Debian's package is there."""
        return shutil.which(cls.name) is not None

    def command(self) -> Sequence[str]:
        """The command line."""
        raise RuntimeError("only real servers have one")

    def start(self) -> None:
        """Start and wait until it answers."""
        self.process = subprocess.Popen(
            self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder
        )
        end = time.monotonic() + PATIENCE
        while not self._ready():
            assert time.monotonic() < end, f"{self.name} does not start"
            time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/api/v1/query?query=1", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def flush(self) -> None:
        """Make everything that was taken searchable."""

    def samples(self, selector: str, end_ms: int, seconds: int) -> Found:
        """Every raw sample of a selector in (end - seconds, end]; none may be there twice."""
        query = urlencode({"query": f"{selector}[{seconds}s]", "time": end_ms / 1000})
        with urlopen(f"{self.url}/api/v1/query?{query}", timeout=20) as answer:
            data = json.load(answer)["data"]
        assert data["resultType"] == "matrix"
        found = [
            ((tuple(sorted(series["metric"].items())), round(at * 1000)), float(value))
            for series in data["result"]
            for at, value in series["values"]
        ]
        assert len(dict(found)) == len(found)
        return dict(found)


class VictoriaMetrics(Server):
    """Single-node VictoriaMetrics; what it took is searchable at once."""

    name = "victoria-metrics"

    def command(self) -> Sequence[str]:
        return (
            self.name,
            f"-storageDataPath={self.folder / 'data'}",
            f"-httpListenAddr={self.address}",
            "-search.latencyOffset=0s",
            "-retentionPeriod=10y",
            "-search.disableCache",
            "-dedup.minScrapeInterval=1ms",
        )

    def flush(self) -> None:
        """VictoriaMetrics shows new samples after a while, or when asked to."""
        with urlopen(f"{self.url}/internal/force_flush", timeout=10) as answer:
            assert answer.status == 200


class Prometheus(Server):
    """Prometheus as a remote write receiver; samples must come in order."""

    name = "prometheus"

    def command(self) -> Sequence[str]:
        config = self.folder / "prometheus.yml"
        config.write_text("global: {scrape_interval: 1h}\n")
        return (
            self.name,
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={self.address}",
            "--web.enable-remote-write-receiver",
        )
