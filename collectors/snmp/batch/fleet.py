"""All SNMP devices of a collector: read plainly once, then polled in a batch, read again when anything changed.

A device is read by its profile (collectors.snmp.poller) when it is new, when a reply was not as expected, when a
condition of its recipe does not hold any more, after a restart or a silence, and every few hours. In between its polls
are a few prepared requests, and its readings columns of numbers. What cannot be batched (a profile that cannot be
traced, an agent that never says the same twice) is read plainly each time.

A reading holds a thread until the device has answered or not. While few do, one that is new or was silent is read like
any other, which tells best what is wrong with it; else it is knocked at: its polls are one small request, until it
answers. So a thousand dead devices keep none waiting that are alive.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Final, Protocol

import numpy as np
import structlog

from collectors.interface import Credential, PollError, PollResult
from collectors.profiles.recipe import Recipe, SeriesKey, trace
from collectors.snmp.batch.columns import Columns, Kitchen
from collectors.snmp.batch.engine import Engine
from collectors.snmp.batch.plan import Plan, Room, make_plan
from collectors.snmp.batch.request import CELLS, Envelope, Expected, make_request
from collectors.snmp.batch.targets import Outcome, Target
from collectors.snmp.ber import TIME_TICKS, Oid, Typed
from collectors.snmp.errors import NoAnswerError, SnmpError
from collectors.snmp.message import GET, V1, V2C
from collectors.snmp.poller import SYS_UP_TIME, Snapshot, SnmpPoller
from collectors.timetable import Task, Timetable
from monitor.clock import Clock
from monitor.metrics.arrays import Bools, Floats, Ints
from monitor.model import Device, DeviceId, SnmpAccess

MODULE: Final = "snmp"
REREAD_SECONDS: Final = 4 * 3600.0  # until a device is read again at the latest; each has its own time
DOUBT_SECONDS: Final = 3600.0  # until an agent that never said the same twice is given another chance
REPAIR_SECONDS: Final = 300.0  # until a device that did not answer, or did in part, is read again
_SLICE: Final = 0.05  # seconds of work between looks at what is due
_IDLE: Final = 0.5
# What is due within so many seconds begins together: a batch of one costs as much as of fifty.
_TOGETHER: Final = 0.25
_UNSETTLED: Final = 64  # readings that wait to become plans
_ODD_AT_ONCE: Final = 2  # polls in a row whose replies were not as planned, before it plans smaller ones
_VERSIONS: Final[Mapping[str, int]] = {"snmp-v1": V1, "snmp-v2c": V2C}
log = structlog.get_logger(__name__)


class Outlet(Protocol):
    """Where polls go."""

    def result(self, device: DeviceId, result: PollResult, series: Sequence[SeriesKey] | None) -> None:
        """A device was read plainly; its columns will be these series from now on (empty: there will be no columns;
        None: what was said before holds).
        """
        ...

    def columns(
        self, at_ms: int, devices: Sequence[DeviceId], counts: Ints, values: Floats, seconds: Floats
    ) -> None:
        """Devices were polled in a batch: device [i] has the next `counts` [i] of `values`, in the order of its
        series; its poll took `seconds` [i].
        """
        ...

    def lateness(self, seconds: Floats, missed: int) -> None:
        """How late polls began, and how many could not begin because the one before was not over."""
        ...


@dataclass(slots=True)
class _Entry:
    """What is known about one device. `number` is the engine's for its plan, or for what knocks at it; None while it is
    read plainly. `heard`: it answered the last time; `why` it did not, as far as a reading told.
    """

    device: Device
    credential: Credential | None
    number: int | None = None
    busy: bool = False
    heard: bool = False
    why: Sequence[PollError] = ()
    room: Room = field(default_factory=Room)
    odd: int = 0
    proven: bool = False  # the plan was answered, if only in part
    plan_at: float = 0.0
    unplanned: str = ""  # why it could not be batched the last time
    reread_at: float = 0.0
    uptime: int = 0
    uptime_cell: int = 0


class Fleet:
    """See the module. `assign`, `poll_soon` and `stop` may be called from any thread, the rest from one."""

    def __init__(
        self, clock: Clock, poller: SnmpPoller, engine: Engine, outlet: Outlet, readers: int = 16
    ) -> None:
        self._clock = clock
        self._poller = poller
        self._engine = engine
        self._outlet = outlet
        self._kitchen = Kitchen()
        self._entries: dict[DeviceId, _Entry] = {}
        self._by_number: dict[int, _Entry] = {}
        self._knocked: dict[int, _Entry] = {}
        self._reading = 0
        self._spare = max(1, readers // 2)
        self._timetable = Timetable()
        self._sites: dict[str, int] = {}
        self._readers = ThreadPoolExecutor(readers, "snmp-read")
        self._orders: queue.SimpleQueue[Sequence[tuple[Device, Credential | None]] | DeviceId] = (
            queue.SimpleQueue()
        )
        self._read: queue.Queue[tuple[_Entry, PollResult, Snapshot | None]] = queue.Queue(_UNSETTLED)
        self._woken = threading.Event()
        self._stopping = threading.Event()

    def assign(self, devices: Sequence[tuple[Device, Credential | None]]) -> None:
        """Poll these devices from now on."""
        self._orders.put(list(devices))
        self._woken.set()

    def poll_soon(self, device: DeviceId) -> None:
        """Read a device now, unless it is being polled."""
        self._orders.put(device)
        self._woken.set()

    def stop(self) -> None:
        """Say that it is over."""
        self._stopping.set()
        self._woken.set()

    def state(self) -> Mapping[str, float]:
        """How many devices there are and how many of them are batched, and what the engine says."""
        return {
            "devices": float(len(self._entries)),
            "batched": float(len(self._by_number)),
            **self._engine.state(),
        }

    @property
    def going(self) -> bool:
        """Whether nobody has said stop."""
        return not self._stopping.is_set()

    def close(self) -> None:
        """Release threads and sockets."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._engine.close()

    def step(self) -> None:
        """Begin what is due, work for a moment, hand on what ended."""
        self._follow_orders()
        self._begin_due()
        ended = self._engine.work(self._clock.monotonic() + _SLICE)
        self._take(ended.devices, ended.outcomes, ended.seconds)
        while not self._read.empty():
            self._settle(*self._read.get())
        if not self._engine.busy:
            now, at = self._clock.monotonic(), self._timetable.next_at()
            pause = _IDLE if at is None or at > now + _IDLE else ceil(at / _TOGETHER) * _TOGETHER - now
            if pause > 0 and self._read.empty():
                self._woken.wait(pause)
            self._woken.clear()

    # -- what to poll -----------------------------------------------------------------------------------------

    def _follow_orders(self) -> None:
        while not self._orders.empty():
            order = self._orders.get()
            if isinstance(order, str):
                entry = self._entries.get(order)
                if entry is not None and not entry.busy:
                    self._read_plainly(entry)
            else:
                self._assign(order)

    def _assign(self, devices: Sequence[tuple[Device, Credential | None]]) -> None:
        wanted = {device.id: (device, credential) for device, credential in devices}
        for known in list(self._entries):
            entry = self._entries[known]
            if wanted.get(known) != (entry.device, entry.credential):
                self._unplan(entry)
                del self._entries[known]
        for name, (device, credential) in wanted.items():
            if name not in self._entries:
                self._entries[name] = _Entry(device, credential)
        access = [(d.id, d.snmp.interval) for d, _ in devices if d.snmp is not None]
        tasks = [Task(name, MODULE, interval) for name, interval in access if interval > 0]
        self._timetable.replace(tasks, self._clock.monotonic())

    def _begin_due(self) -> None:
        now = self._clock.monotonic()
        due = self._timetable.due(now)
        if not due:
            return
        numbers, missed = [], 0
        for item in due:
            entry = self._entries[item.task.device]
            missed += item.missed + entry.busy
            if entry.busy:
                continue
            plainly = now >= entry.reread_at and (entry.heard or self._reading < self._spare)
            if not plainly and not entry.heard:
                self._knock(entry)
            if plainly or entry.number is None:
                self._read_plainly(entry)
            else:
                entry.busy = True
                numbers.append(entry.number)
        self._engine.begin(np.array(numbers, np.int64))
        self._outlet.lateness(np.array([item.late for item in due]), missed)

    # -- batched polls ----------------------------------------------------------------------------------------

    def _take(self, numbers: Ints, outcomes: Ints, seconds: Floats) -> None:
        if self._knocked:
            planned = np.array([number not in self._knocked for number in numbers.tolist()], np.bool_)
            self._knocked_at(numbers[~planned], outcomes[~planned])
            numbers, outcomes, seconds = numbers[planned], outcomes[planned], seconds[planned]
        done = outcomes == Outcome.DONE
        if done.any():
            self._serve(numbers[done], seconds[done])
        for number, outcome in zip(numbers[~done].tolist(), outcomes[~done].tolist(), strict=True):
            entry = self._by_number[number]
            if outcome == Outcome.CHANGED:
                entry.odd += 1
                entry.proven = True
                short = self._engine.fell_short(number)
                if short:
                    entry.room = replace(entry.room, varbinds=min(short, entry.room.varbinds))
                    entry.odd = 0
                self._read_plainly(entry)
            else:
                self._silent(entry, number)

    def _serve(self, numbers: Ints, seconds: Floats) -> None:
        at_ms = self._clock.now_ms()
        columns, holds = self._kitchen.serve(numbers, self._engine.numbers)
        entries = [self._by_number[number] for number in numbers.tolist()]
        holds &= self._went_on(entries)
        if not holds.all():
            for entry, held in zip(entries, holds.tolist(), strict=True):
                if not held:
                    self._read_plainly(entry)
            columns, seconds = _only(columns, holds), seconds[holds]
            entries = [entry for entry, held in zip(entries, holds.tolist(), strict=True) if held]
        for entry in entries:
            entry.busy, entry.odd, entry.proven = False, 0, True
        if entries:
            names = [entry.device.id for entry in entries]
            self._outlet.columns(at_ms, names, columns.counts, columns.values, seconds)

    def _went_on(self, entries: Sequence[_Entry]) -> Bools:
        """Which devices did not restart since their last poll."""
        cells = np.array([entry.uptime_cell for entry in entries])
        now = self._engine.numbers.reshape(-1)[cells].tolist()
        found = np.ones(len(entries), np.bool_)
        for at, (entry, uptime) in enumerate(zip(entries, now, strict=True)):
            found[at] = uptime >= entry.uptime
            entry.uptime = uptime
        return found

    def _silent(self, entry: _Entry, number: int) -> None:
        """No answer to a plan. One that never got any may ask for replies that are too large for the way, and why an
        answer was not believed only a plain reading can tell.
        """
        if not entry.proven:
            entry.odd = _ODD_AT_ONCE
        if not entry.proven or self._engine.was_refused(number):
            self._read_plainly(entry)
        else:
            self._tell_silent(entry)

    def _tell_silent(self, entry: _Entry) -> None:
        if entry.heard:
            entry.reread_at, entry.why = 0.0, ()
        entry.busy = entry.heard = False
        access, credential = entry.device.snmp, entry.credential
        where = f"{entry.device.address}:{access.port if access else 161}"
        v3 = credential is not None and credential.kind == "snmp-v3"
        errors = entry.why or [NoAnswerError(where, v3=v3).poll_error()]
        self._outlet.result(entry.device.id, _down(self._clock.now_ms(), *errors), None)

    # -- knocking ---------------------------------------------------------------------------------------------

    def _knock(self, entry: _Entry) -> None:
        """Ask a device for one thing from its next poll on. What cannot be asked is left to a plain reading."""
        access, credential = entry.device.snmp, entry.credential
        if entry.number in self._knocked or access is None or credential is None:
            return
        self._unplan(entry)
        try:
            peer = self._poller.peer(entry.device, credential)
            if peer is not None:
                peer.rediscover()  # perhaps it is another engine by now, one that does not report
            request = make_request(
                _envelope(credential), GET, [SYS_UP_TIME], [Expected(SYS_UP_TIME, TIME_TICKS)]
            )
            entry.number = self._engine.add(self._target(entry.device, access), [request], peer)
        except (OSError, ValueError, SnmpError):
            return
        self._knocked[entry.number] = entry

    def _knocked_at(self, numbers: Ints, outcomes: Ints) -> None:
        """Whatever a device answered, it is there."""
        for number, outcome in zip(numbers.tolist(), outcomes.tolist(), strict=True):
            entry = self._knocked[number]
            if outcome != Outcome.SILENT or self._engine.was_refused(number):
                self._read_plainly(entry)
            else:
                self._tell_silent(entry)

    # -- plain readings ---------------------------------------------------------------------------------------

    def _read_plainly(self, entry: _Entry) -> None:
        entry.busy = True
        self._reading += 1
        self._readers.submit(self._read_one, entry)

    def _read_one(self, entry: _Entry) -> None:
        """In a reader's thread."""
        try:
            result, snapshot = self._poller.read(entry.device, entry.credential)
        except Exception as failure:
            # A fault of the reading is that device's result, never the end of the others.
            log.exception("a reading failed", device=entry.device.id)
            code = f"the poller failed: {type(failure).__name__}"
            error = PollError("internal", code, "采集程序内部错误,详见采集器日志")
            result, snapshot = _down(self._clock.now_ms(), error), None
        while self.going:
            try:
                self._read.put((entry, result, snapshot), timeout=1.0)
                break
            except queue.Full:  # readers are faster than what follows: they wait, for a snapshot is large
                continue
        self._woken.set()

    def _settle(self, entry: _Entry, result: PollResult, snapshot: Snapshot | None) -> None:
        self._reading -= 1
        if self._entries.get(entry.device.id) is not entry:
            return  # it was taken away, or its access changed, meanwhile
        entry.busy, entry.heard = False, result.up
        if not result.up:
            entry.odd, entry.why = 0, result.errors  # it is not the plan
            entry.reread_at = self._clock.monotonic() + REPAIR_SECONDS
        series: Sequence[SeriesKey] | None = None
        if snapshot is not None:
            self._unplan(entry)
            series = ()
        if snapshot is not None and self._clock.monotonic() >= entry.plan_at:
            try:
                series = self._plan(entry, snapshot)
            except (ValueError, OSError) as error:
                if str(error) != entry.unplanned:
                    log.warning("a device cannot be batched", device=entry.device.id, reason=str(error))
                entry.unplanned = str(error)
            except Exception:
                # A fault met with one device's data leaves that device to plain readings, not the city without any.
                log.exception("a device cannot be batched", device=entry.device.id)
                self._unplan(entry)
        self._outlet.result(entry.device.id, result, series)

    def _plan(self, entry: _Entry, snapshot: Snapshot) -> Sequence[SeriesKey]:
        """Batch a device from what it said; the series of its columns. Raises ValueError or OSError when it cannot
        be.
        """
        if entry.odd >= _ODD_AT_ONCE:
            entry.room = replace(entry.room, octets=entry.room.octets // 2)
            entry.odd = 0
        now = self._clock.monotonic()
        if entry.room.tight:
            entry.room, entry.plan_at = Room(), now + DOUBT_SECONDS
            raise ValueError("it does not answer the same twice")
        recipe = trace(snapshot.profile, snapshot.scalars, snapshot.columns, snapshot.failed)
        access, credential = entry.device.snmp, entry.credential
        uptime = snapshot.scalars.get(SYS_UP_TIME)
        if recipe is None or access is None or credential is None or uptime is None:
            raise ValueError(
                "its profile cannot be traced" if recipe is None else "it does not say how long it is up"
            )
        peer = self._poller.peer(entry.device, credential)
        room = entry.room if peer is None else replace(entry.room, octets=entry.room.octets - peer.around)
        plan = _plan_of(recipe, snapshot, credential, room)
        lacking = recipe.cells - plan.cells.keys()
        if lacking:
            raise ValueError(f"{len(lacking)} values do not fit a request")
        number = self._engine.add(self._target(entry.device, access), plan.requests, peer)
        first = self._engine.first_slot(number) * CELLS
        places = {oid: request * CELLS + cell for oid, (request, cell) in plan.cells.items()}
        self._kitchen.add(number, recipe, first, places)
        entry.number, entry.proven = number, False
        entry.uptime_cell = first + places[SYS_UP_TIME]
        entry.uptime = uptime[1] if isinstance(uptime[1], int) else 0
        # Its own share of the time, so that a city is not read again all at once.
        share = Task(entry.device.id, MODULE, access.interval).share
        entry.reread_at = now + (REPAIR_SECONDS if snapshot.failed else REREAD_SECONDS * (1 + share) / 2)
        self._by_number[number] = entry
        return recipe.series

    def _target(self, device: Device, access: SnmpAccess) -> Target:
        site = self._sites.setdefault(device.site, len(self._sites))
        return Target(device.address, access.port, access.timeout, access.retries, site=site)

    def _unplan(self, entry: _Entry) -> None:
        """Take out of the engine what polls a device."""
        if entry.number is not None:
            if self._knocked.pop(entry.number, None) is None:
                del self._by_number[entry.number]
                self._kitchen.remove(entry.number)
            self._engine.remove(entry.number)
            entry.number = None


def _envelope(credential: Credential) -> Envelope | None:
    version = _VERSIONS.get(credential.kind)
    return None if version is None else Envelope(version, credential.community.encode())


def _plan_of(recipe: Recipe, snapshot: Snapshot, credential: Credential, room: Room) -> Plan:
    """The plan for the columns of the profile's modules, and for those of looked-up columns whose numbers count."""
    own = {oid for module in snapshot.profile.modules for oid in module.columns.values()}
    needed = {
        column
        for column in snapshot.columns
        if column in own or any(cell.startswith(column) for cell in recipe.cells)
    }
    columns: dict[Oid, dict[bytes, Typed]] = {
        column: rows for column, rows in snapshot.columns.items() if column in needed
    }
    return make_plan(_envelope(credential), snapshot.scalars, columns, recipe.measured, room)


def _only(columns: Columns, kept: Bools) -> Columns:
    return Columns(
        columns.devices[kept], columns.counts[kept], columns.values[np.repeat(kept, columns.counts)]
    )


def _down(at_ms: int, *errors: PollError) -> PollResult:
    return PollResult(MODULE, up=False, at_ms=at_ms, duration_seconds=0.0, errors=list(errors))
