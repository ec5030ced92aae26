"""Peers and agents as child processes on the loopback that are always stopped."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 20.0


class Child:
    """A process that logs into a file and is stopped on leaving, killed when it does not go within ten seconds."""

    def __init__(self, argv: Sequence[str], log: Path, environ: Mapping[str, str] | None = None) -> None:
        self.argv = list(argv)
        self.log = log
        self._environ = {**os.environ, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def wait_for(self, url: str) -> None:
        """Return when the address answers with 200; RuntimeError with the log when it does not in time."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                self.check(deadline)
                time.sleep(0.05)

    def wait_for_line(self, path: Path) -> str:
        """The first line of a file the child writes when it is ready."""
        deadline = time.monotonic() + START_SECONDS
        while not (path.exists() and path.read_text("utf-8").endswith("\n")):
            self.check(deadline)
            time.sleep(0.02)
        return path.read_text("utf-8").splitlines()[0]

    def check(self, deadline: float) -> None:
        """RuntimeError when the child has ended or the deadline (time.monotonic) has passed."""
        assert self._process is not None
        if self._process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(
                f"{self.argv[0]} did not start: {self.log.read_text('utf-8', 'replace')[-2000:]}"
            )

    def kill_and_start(self) -> None:
        """Kill it without warning (SIGKILL) and start the same again at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._start()

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environ
            )

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} has no memory any more")
