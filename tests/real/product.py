"""The whole product on loopback: `zhishou up` with its core, web, collector (and demo) processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.real.sshd import free_port


class Product:
    """Starts in `folder`; `url` is the console. `wait` polls a condition instead of sleeping."""

    def __init__(
        self,
        folder: Path,
        *,
        inventory: Path | None = None,
        demo: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "product.log"
        self._inventory = inventory
        self._demo = demo
        self._environ = {"ZHISHOU_EVALUATION_INTERVAL": "1", **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until the console and the core answer."""
        argv = [sys.executable, "-m", "monitor.cli", "up", "--data", str(self.data), "--insecure-local-api"]
        argv += ["--listen", f"127.0.0.1:{self.port}"]
        argv += ["--inventory", str(self._inventory)] if self._inventory else []
        argv += ["--demo"] if self._demo else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdout=log, stderr=log, env={**os.environ, **self._environ}, start_new_session=True
            )
        self.wait(
            lambda: self.get("/prometheus/api/v1/status/buildinfo") is not None, 60, "the console answers"
        )

    def stop(self) -> None:
        """Stop everything and wait."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                raise
            self._process = None

    def password(self, account: str) -> str:
        """The one-time or demo password that was printed for an account."""
        found = re.search(
            rf"(?:administrator|account): {account}\s+(?:one-time )?password: (\S+)", self.log.read_text()
        )
        assert found, self.log.read_text()
        return found[1]

    def logs(self) -> str:
        """Everything the product printed or logged."""
        paths = [self.log, *sorted((self.data / "logs").glob("*.log"))]
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in paths if path.exists())

    def process(self, name: str) -> int:
        """The process id of a running part: core, web or collector."""
        marks = {"core": b"--part\0core", "web": b"gunicorn", "collector": b"collect\0--core"}
        assert self._process is not None
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, ValueError):
                continue
            if parent == self._process.pid and marks[name] in command:
                return int(entry.name)
        raise AssertionError(f"{name} does not run; log:\n{self.logs()[-6000:]}")

    def kill(self, name: str) -> None:
        """kill -9 a part, as a crash would."""
        os.kill(self.process(name), signal.SIGKILL)

    def get(self, path: str) -> Any:
        """JSON of a machine endpoint, None while it does not answer with 200."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return json.loads(answer.read())
        except (OSError, urllib.error.URLError, ValueError):
            return None

    def query(self, expression: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """An instant query; an empty list while there is no answer."""
        given = {"query": expression} | ({"time": repr(at)} if at is not None else {})
        answer = self.get("/prometheus/api/v1/query?" + urllib.parse.urlencode(given))
        if answer is None:
            return []
        return [(item["metric"], float(item["value"][1])) for item in answer["data"]["result"]]

    def firing(self, name: str) -> list[dict[str, str]]:
        """Labels of firing alerts of a rule."""
        answer = self.get("/prometheus/api/v1/alerts")
        alerts = answer["data"]["alerts"] if answer else []
        return [a["labels"] for a in alerts if a["labels"]["alertname"] == name and a["state"] == "firing"]

    def wait(self, condition: Callable[[], object], seconds: float, what: str) -> float:
        """Wait until the condition holds; returns how long it took, fails with the log when it never does."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if condition():
                return time.monotonic() - began
            time.sleep(0.1)
        raise AssertionError(f"not within {seconds} s: {what}\n{self.logs()[-6000:]}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
