"""The collector's work: keeps the timetable, polls, spools, and tells the core how it is.

Threads: one dispatcher, the poll workers, one pusher a lane, one for the assignment, one housekeeper (fsync every
second, heartbeat every 15 s). A result counts as polled when its frame is in the outbox. When the outbox is full,
polling pauses (back-pressure) and what had to be dropped is counted and logged.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from collectors.assignment import AssignmentSource
from collectors.enrich import (
    PROBE,
    SNMP,
    SSH,
    TOPOLOGY,
    ReadingKey,
    Sample,
    heartbeat,
    module_kind,
)
from collectors.intake import Intake
from collectors.interface import Assignment, Companion, Credential, Poller, PollError, PollResult
from collectors.outbox import Outbox, Position
from collectors.push import EVENTS, METRICS, Pusher
from collectors.telemetry import CollectorMetrics
from collectors.timetable import Due, Task, Timetable
from collectors.uplink import CoreClient
from collectors.workers import DeviceWorkers
from monitor.clock import Clock
from monitor.errors import UnreachableError
from monitor.events.interface import Event
from monitor.metrics.arrays import Floats, Ints
from monitor.model import Device, DeviceId, Kind

PAUSE_SECONDS = 5.0
ASK_AGAIN_SECONDS = 10.0  # a storm of traps must not become a storm of polls
STOP_SECONDS = 2.0
TOPOLOGY_SECONDS = 900.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """How one collector works; times in seconds."""

    collector: str
    folder: Path
    workers: int = 32
    refresh: float = 5.0
    retry: float = 5.0
    heartbeat: float = 15.0
    sync: float = 1.0


def _only_probe(device: Device, module: str) -> Device:
    """The device as the poller of one probe sees it: with that probe alone."""
    kind, _, name = module.partition(":")
    if kind != PROBE:
        return device
    return replace(device, probes=tuple(probe for probe in device.probes if probe.name == name))


def tasks_of(assignment: Assignment) -> list[Task]:
    """What is polled how often. A device that must not be probed keeps its registered SNMP and SSH access, which are
    read-only, but nothing else is sent to it.
    """
    tasks = []
    for device in assignment.devices:
        if device.snmp is not None:
            tasks.append(Task(device.id, SNMP, device.snmp.interval))
            if device.snmp.interval > 0 and device.kind in {Kind.NETWORK, Kind.SECURITY}:
                tasks.append(Task(device.id, TOPOLOGY, TOPOLOGY_SECONDS))
        if device.ssh is not None:
            tasks.append(Task(device.id, SSH, device.ssh.interval))
        if not device.do_not_probe:
            tasks += [Task(device.id, f"{PROBE}:{probe.name}", probe.interval) for probe in device.probes]
    return [task for task in tasks if task.interval > 0]


def _by_device(tasks: Sequence[Task]) -> Mapping[DeviceId, Sequence[Task]]:
    found: dict[DeviceId, list[Task]] = {}
    for task in tasks:
        found.setdefault(task.device, []).append(task)
    return found


class FleetHold(Protocol):
    """The SNMP devices polled in a batch (collectors.snmp.batch.process)."""

    def start(self) -> None:
        """Begin; returns at once."""

    def assign(self, devices: Sequence[tuple[Device, Credential | None]]) -> None:
        """Poll these from now on."""

    def poll_soon(self, device: DeviceId) -> None:
        """Poll one now."""

    def stop(self) -> None:
        """End within two seconds."""


class Agent:
    """One collector. `pollers` by kind of module: snmp, ssh, probe."""

    def __init__(
        self,
        options: AgentOptions,
        client: CoreClient,
        source: AssignmentSource,
        pollers: Mapping[str, Poller],
        outbox: Outbox,
        clock: Clock,
        metrics: CollectorMetrics,
    ) -> None:
        self._options = options
        self._source = source
        self._pollers = pollers
        self._outbox = outbox
        self._clock = clock
        self._metrics = metrics
        metrics.watch(outbox)
        self._intake = Intake(options.collector, outbox, metrics, clock)
        self._fleet: FleetHold | None = None
        self._timetable = Timetable()
        self._changed = threading.Condition()
        self._devices: dict[DeviceId, Device] = {}
        self._tasks: frozenset[Task] = frozenset()
        self._tasks_by_device: Mapping[DeviceId, Sequence[Task]] = {}
        self._regions: Mapping[str, str] = {}
        self._credentials: Mapping[str, Credential] = {}
        self._stopping = threading.Event()
        self._failed = threading.Event()
        self._beat: Position | None = None
        self._workers = DeviceWorkers(options.workers, self._poll)
        dead = options.folder / "dead-letter"
        self._pushers = [
            Pusher(outbox.metrics, METRICS, client, dead / "metrics", metrics.refused.labels("metrics")),
            Pusher(outbox.events, EVENTS, client, dead / "events", metrics.refused.labels("events")),
        ]
        self._threads: list[threading.Thread] = []
        self._companions: Sequence[Companion] = ()
        self._asked_at: dict[DeviceId, float] = {}

    @property
    def clock(self) -> Clock:
        """See Host."""
        return self._clock

    @property
    def collector(self) -> str:
        """See Host."""
        return self._options.collector

    @property
    def folder(self) -> Path:
        """See Host."""
        return self._options.folder

    def accompany(self, companions: Sequence[Companion]) -> None:
        """What runs beside the polls; before `start`."""
        self._companions = companions

    def batch(self, fleet: FleetHold) -> None:
        """Leave SNMP to a fleet of its own, whose outlet this agent is; before `start`."""
        self._fleet = fleet

    def start(self) -> None:
        """Start everything; returns at once. The remembered assignment is used until the core gives one."""
        if self._fleet is not None:
            self._fleet.start()
        for companion in self._companions:
            companion.start()
        remembered = self._source.remembered()
        if remembered is not None:
            self.assign(remembered)
        self._workers.start()
        loops = [self._dispatch, self._refresh, self._housekeep, *(pusher.run for pusher in self._pushers)]
        self._threads = [
            threading.Thread(target=self._guarded, args=(loop,), name=loop.__qualname__, daemon=True)
            for loop in loops
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop within five seconds: no new polls, those under way get two seconds, the outbox is flushed."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        for companion in self._companions:
            companion.stop()
        if self._fleet is not None:
            self._fleet.stop()
        for pusher in self._pushers:
            pusher.stop()
        busy = self._workers.stop(STOP_SECONDS)
        if busy:
            log.warning("polls under way are abandoned", polls=busy)
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._outbox.close()

    def assign(self, assignment: Assignment) -> None:
        """Poll this from now on; series of what is gone are ended."""
        tasks = tasks_of(assignment)
        with self._changed:
            self._devices = {device.id: device for device in assignment.devices}
            self._regions = {str(site): region for site, region in assignment.regions.items()}
            self._credentials = assignment.credentials
            before, self._tasks = self._tasks, frozenset(tasks)
            self._tasks_by_device = _by_device(tasks)
            ours = [task for task in tasks if self._fleet is None or task.module != SNMP]
            self._timetable.replace(ours, self._clock.monotonic())
            left = {(task.device, task.module) for task in tasks}
            gone = [task for task in before if (task.device, task.module) not in left]
            self._changed.notify_all()
        self._metrics.devices.set(len(assignment.devices))
        self._intake.end(gone)
        if self._fleet is not None:
            batched = [device for device in assignment.devices if device.snmp is not None]
            self._fleet.assign([(device, self._credential(device, SNMP)) for device in batched])
        for companion in self._companions:
            companion.assign(assignment)
        log.info("assignment", version=assignment.version, devices=len(assignment.devices), tasks=len(tasks))

    @property
    def failed(self) -> bool:
        """Whether a part of the collector ended in a fault of its own: the process should end and be restarted."""
        return self._failed.is_set()

    # -- loops ------------------------------------------------------------------------------------------------

    def _guarded(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except Exception:
            # Half a collector is worse than none: it looks alive and does not poll or push.
            log.exception("a part of the collector failed", part=loop.__qualname__)
            self._failed.set()

    def _dispatch(self) -> None:
        while not self._stopping.is_set():
            with self._changed:
                due = self._timetable.due(self._clock.monotonic())
                if not due:
                    at = self._timetable.next_at()
                    self._changed.wait(
                        1.0 if at is None else min(1.0, max(0.001, at - self._clock.monotonic()))
                    )
            for item in due:
                self._begin(item)

    def _begin(self, due: Due) -> None:
        self._metrics.late.observe(due.late)
        self._metrics.missed.inc(due.missed)
        if self._intake.paused or not self._workers.submit(due.task):
            self._metrics.missed.inc()

    def _refresh(self) -> None:
        complained = False
        while not self._stopping.is_set():
            try:
                assignment = self._source.fetch()
                complained = False
            except (UnreachableError, OSError) as error:
                if not complained:
                    log.warning("the core gives no assignment, the last one stays", reason=str(error))
                complained = True
            else:
                if assignment is not None:
                    self.assign(assignment)
            self._stopping.wait(self._options.retry if complained else self._options.refresh)
        self._source.close()

    def _housekeep(self) -> None:
        next_beat = self._clock.monotonic()
        while not self._stopping.is_set():
            try:
                self._outbox.sync()
            except OSError as error:
                log.error("the spool cannot be flushed", reason=str(error))
            if self._clock.monotonic() >= next_beat:
                next_beat += self._options.heartbeat
                self._heartbeat()
            self._stopping.wait(self._options.sync)

    def _heartbeat(self) -> None:
        """Say that we live; not again while the last time is still unsent, for an old heartbeat tells nothing."""
        now = self._clock.now_ms()
        self._intake.record(self._metrics.samples(self._options.collector, now))
        if self._beat is not None and not self._outbox.events.acknowledged(self._beat):
            return
        spooled = self._outbox.metrics.state().pending_entries
        key, event = heartbeat(self._options.collector, now, spooled, len(self._devices))
        self._beat = self._intake.spool_event(key, event)

    # -- one poll ---------------------------------------------------------------------------------------------

    def _poll(self, task: Task) -> None:
        with self._changed:
            device = self._devices.get(task.device)
            if device is None or task not in self._tasks:
                return
            credential = self._credential(device, task.module)
            region = self._regions.get(device.site, "")
        result = self._ask(device, task.module, credential)
        if task not in self._tasks or self._stopping.is_set():
            return  # taken away meanwhile: its series have been ended already
        self._intake.take(device, region, result)

    def _credential(self, device: Device, module: str) -> Credential | None:
        access = {SNMP: device.snmp, SSH: device.ssh, TOPOLOGY: device.snmp}.get(module)
        return self._credentials.get(access.credential) if access is not None else None

    def _ask(self, device: Device, module: str, credential: Credential | None) -> PollResult:
        started, at_ms = self._clock.monotonic(), self._clock.now_ms()
        poller = self._pollers.get(module_kind(module))
        if poller is None:
            error = PollError(
                "unsupported", f"this collector cannot poll {module}", f"本采集器不支持 {module}"
            )
            return PollResult(module, up=False, at_ms=at_ms, duration_seconds=0.0, errors=[error])
        wanted = _only_probe(device, module)
        try:
            return poller.poll(wanted, credential)
        except Exception as failure:
            # A poller's own fault is that device's result, never the end of the others.
            log.exception("a poller failed", device=device.id, module=module)
            error = PollError(
                "internal", f"the poller failed: {type(failure).__name__}", "采集程序内部错误,详见采集器日志"
            )
            spent = self._clock.monotonic() - started
            return PollResult(module, up=False, at_ms=at_ms, duration_seconds=spent, errors=[error])

    # -- the fleet's outlet -----------------------------------------------------------------------------------

    def result(self, device: DeviceId, result: PollResult, series: Sequence[ReadingKey] | None) -> None:
        """See collectors.snmp.batch.fleet.Outlet."""
        with self._changed:
            known = self._devices.get(device)
            region = self._regions.get(known.site, "") if known is not None else ""
        if known is not None and known.snmp is not None:
            self._intake.take(known, region, result, series)

    def columns(
        self, at_ms: int, devices: Sequence[DeviceId], counts: Ints, values: Floats, seconds: Floats
    ) -> None:
        """See collectors.snmp.batch.fleet.Outlet."""
        self._intake.take_columns(self._devices, SNMP, at_ms, devices, counts, values, seconds)

    def lateness(self, seconds: Floats, missed: int) -> None:
        """See collectors.snmp.batch.fleet.Outlet."""
        for late in seconds.tolist():
            self._metrics.late.observe(late)
        self._metrics.missed.inc(missed)

    # -- for companions ---------------------------------------------------------------------------------------

    def tell(self, key: str, event: Event) -> bool:
        """See Host."""
        return self._intake.tell(key, event)

    def record(self, samples: Sequence[Sample]) -> bool:
        """See Host."""
        return self._intake.record(samples)

    def poll_soon(self, device: DeviceId) -> bool:
        """See Host. Its SNMP and SSH polls begin at once, at most every ASK_AGAIN_SECONDS."""
        now = self._clock.monotonic()
        with self._changed:
            if device not in self._devices or now - self._asked_at.get(device, -math.inf) < ASK_AGAIN_SECONDS:
                return False
            self._asked_at[device] = now
            tasks = self._tasks_by_device.get(device, [])
        begun = False
        for task in tasks:
            if task.module not in {SNMP, SSH}:
                continue
            if task.module == SNMP and self._fleet is not None:
                self._fleet.poll_soon(device)
                begun = True
            else:
                begun |= self._workers.submit(task)
        return begun
