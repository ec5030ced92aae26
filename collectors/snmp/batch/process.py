"""The SNMP fleet in a process of its own, and the collector's hold on it.

Orders go in and polls come out through one pipe as pickled messages between two halves of one program; nothing else
ever writes to it. Credentials cross it in memory. When the process ends by itself it is started again with the last
assignment.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import structlog

from collectors.interface import Credential, PollResult
from collectors.profiles.library import load_library
from collectors.profiles.recipe import SeriesKey
from collectors.snmp.batch.engine import Engine
from collectors.snmp.batch.fleet import Fleet, Outlet
from collectors.snmp.batch.targets import Limits
from collectors.snmp.poller import SnmpPoller
from monitor.clock import SystemClock
from monitor.metrics.arrays import Floats, Ints
from monitor.model import Device, DeviceId
from monitor.telemetry import configure_logging

RESTART_SECONDS: Final = 2.0
STATE_SECONDS: Final = 15.0
STOP_SECONDS: Final = 2.0
Polled = Sequence[tuple[Device, Credential | None]]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """How the process works; `profiles` is the folder of the operator's own profiles, empty for none."""

    profiles: str = ""
    log_level: str = "info"
    readers: int = 16
    limits: Limits = field(default_factory=Limits)


class SnmpProcess:
    """Runs the fleet; what it polled goes to `outlet`, its figures to `state`."""

    def __init__(
        self, options: FleetOptions, outlet: Outlet, state: Callable[[Mapping[str, float]], None]
    ) -> None:
        self._options = options
        self._outlet = outlet
        self._state = state
        self._lock = threading.Lock()
        self._assigned: Polled = ()
        self._connection: Connection | None = None
        self._process: BaseProcess | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="snmp-process", daemon=True)

    def start(self) -> None:
        """Start the process; returns at once."""
        self._thread.start()

    def assign(self, devices: Polled) -> None:
        """Poll these devices from now on."""
        with self._lock:
            self._assigned = list(devices)
            self._send(("assign", self._assigned))

    def poll_soon(self, device: DeviceId) -> None:
        """Read a device now."""
        with self._lock:
            self._send(("poll", device))

    def stop(self) -> None:
        """End the process within two seconds."""
        self._stopping.set()
        with self._lock:
            self._send(("stop",))
            process = self._process
        if process is not None:
            process.join(STOP_SECONDS)
            if process.is_alive():
                process.kill()

    def _send(self, order: tuple[object, ...]) -> None:
        if self._connection is not None:
            try:
                self._connection.send(order)
            except OSError:  # it has just ended; it is started again with the assignment
                self._connection = None

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            mine, theirs = get_context("spawn").Pipe()
            process = get_context("spawn").Process(
                target=_main, args=(theirs, self._options), name="snmp", daemon=True
            )
            process.start()
            theirs.close()
            with self._lock:
                self._connection, self._process = mine, process
                self._send(("assign", self._assigned))
                if self._stopping.is_set():  # it was told before there was anybody to tell
                    self._send(("stop",))
            self._listen(mine)
            process.join()
            if not self._stopping.is_set():
                log.error("the SNMP process ended, it is started again", exit_code=process.exitcode)
                self._stopping.wait(RESTART_SECONDS)

    def _listen(self, connection: Connection) -> None:
        while True:
            try:
                kind, *rest = connection.recv()
            except (EOFError, OSError):
                return
            if kind == "state":
                self._state(*rest)
            else:
                getattr(self._outlet, kind)(*rest)


class _PipeOutlet:
    """The fleet's side of the pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def result(self, device: DeviceId, result: PollResult, series: Sequence[SeriesKey] | None) -> None:
        """See Outlet."""
        self._connection.send(("result", device, result, series))

    def columns(
        self, at_ms: int, devices: Sequence[DeviceId], counts: Ints, values: Floats, seconds: Floats
    ) -> None:
        """See Outlet."""
        self._connection.send(("columns", at_ms, list(devices), counts, values, seconds))

    def lateness(self, seconds: Floats, missed: int) -> None:
        """See Outlet."""
        self._connection.send(("lateness", seconds, missed))


def _main(connection: Connection, options: FleetOptions) -> None:
    """The process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the collector tells us when to stop
    configure_logging(options.log_level, "collector-snmp")
    clock = SystemClock()
    library = load_library(Path(options.profiles) if options.profiles else None)
    for problem in library.problems:
        log.error("a file of the profiles folder is left out", reason=str(problem))
    poller = SnmpPoller(clock, library.profiles)
    fleet = Fleet(clock, poller, Engine(clock, options.limits), _PipeOutlet(connection), options.readers)
    threading.Thread(target=_follow, args=(connection, fleet), name="orders", daemon=True).start()
    told_at = clock.monotonic()
    while fleet.going:
        try:
            fleet.step()
            if clock.monotonic() - told_at >= STATE_SECONDS:
                told_at = clock.monotonic()
                connection.send(("state", dict(fleet.state())))
        except (BrokenPipeError, ConnectionResetError):
            break  # the collector is gone
    fleet.close()


def _follow(connection: Connection, fleet: Fleet) -> None:
    while True:
        try:
            kind, *rest = connection.recv()
        except (EOFError, OSError):
            kind = "stop"
        if kind == "assign":
            fleet.assign(*rest)
        elif kind == "poll":
            fleet.poll_soon(*rest)
        else:
            fleet.stop()
            return
