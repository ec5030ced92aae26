"""Debian's prometheus-snmp-exporter on the loopback, for tests.

with LoopbackExporter(tmp_path, modules) as exporter:
    text = exporter.scrape("127.0.0.1:16161", "if_mib")
"""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from tests.real.sshd import free_port


class LoopbackExporter:
    """A running exporter over modules in the shape of 0.21."""

    def __init__(self, tmp_path: Path, modules: Mapping[str, object]) -> None:
        self.config = tmp_path / "exporter.yml"
        self.config.write_text(yaml.safe_dump(dict(modules), sort_keys=False), "utf-8")
        self.listen = f"127.0.0.1:{free_port()}"
        self.log = tmp_path / "exporter.log"
        self._process: subprocess.Popen[bytes] | None = None

    def scrape(self, target: str, module: str) -> tuple[int, str]:
        """Status and body."""
        query = urllib.parse.urlencode({"target": target, "module": module})
        try:
            with urllib.request.urlopen(f"http://{self.listen}/snmp?{query}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.listen}/config", timeout=5):
                return True
        except OSError:
            return False

    def __enter__(self) -> Self:
        argv = [f"--config.file={self.config}", f"--web.listen-address={self.listen}"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/bin/prometheus-snmp-exporter", *argv], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the exporter did not start: {self.log.read_text('utf-8', 'replace')}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
