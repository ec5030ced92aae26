"""Keeps a handful of child processes running: restarted when they die, with back-off, stopped together.

The core, the web workers and the collector are separate processes so that each restarts alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import structlog

log = structlog.get_logger(__name__)
STOP_SECONDS = 15.0
MAX_BACKOFF = 30.0
HEALTHY_AFTER = 60.0
MAX_LOG_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Child:
    """A program to keep running.

    `after` waits for a file to exist before the first start; `log` is where its output goes (empty: inherited).
    """

    name: str
    argv: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    after: str = ""
    log: str = ""


@dataclass(slots=True)
class _Running:
    child: Child
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    next_start: float = 0.0


class Supervisor:
    """Runs children until told to stop."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._running = [_Running(child) for child in children]
        self._stopping = False

    def run(self) -> None:
        """Blocks until SIGTERM or SIGINT, then stops every child: last started first."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            while not self._stopping:
                for entry in self._running:
                    self._tend(entry)
                time.sleep(0.25)
        finally:
            self._stop_all()

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _tend(self, entry: _Running) -> None:
        now = time.monotonic()
        if entry.process is not None:
            code = entry.process.poll()
            if code is None:
                return
            entry.failures = 1 if now - entry.started > HEALTHY_AFTER else entry.failures + 1
            delay = min(MAX_BACKOFF, 0.5 * 2 ** (entry.failures - 1))
            log.warning(
                "a process ended and is started again", process=entry.child.name, code=code, seconds=delay
            )
            entry.process, entry.next_start = None, now + delay
        if now < entry.next_start or (entry.child.after and not os.path.exists(entry.child.after)):  # noqa: PTH110
            return
        entry.process = _start(entry.child)
        entry.started = now

    def _stop_all(self) -> None:
        for entry in reversed(self._running):
            if entry.process is None or entry.process.poll() is not None:
                continue
            entry.process.terminate()
            try:
                entry.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                log.exception("a process did not stop in time and is killed", process=entry.child.name)
                os.killpg(entry.process.pid, signal.SIGKILL)
                entry.process.wait()


def _start(child: Child) -> subprocess.Popen[bytes]:
    environ = {**os.environ, **child.environ}
    if not child.log:
        return subprocess.Popen(child.argv, env=environ, start_new_session=True)
    path = Path(child.log)
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    with path.open("ab") as log:
        return subprocess.Popen(child.argv, env=environ, start_new_session=True, stdout=log, stderr=log)
