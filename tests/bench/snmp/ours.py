"""Our poller in a process of its own, so that its CPU time and memory are its own.

    with Poller(Spec(folder, addresses(500), port, V2C)) as poller:
        poller.learn()
        polls = poller.rounds(20)

The process runs the product's fleet, which reads every device plainly once and plans its requests from what it said.
`rounds` polls all devices with the engine alone, `fleet_rounds` with everything (timetable, engine, readings as
columns) by making all devices due at once, `hold` lets the timetable go its way.
"""

from __future__ import annotations

import cProfile
import io
import logging
import pstats
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import numpy as np
import structlog

from collectors.interface import Credential, PollResult
from collectors.profiles.loader import load_profiles
from collectors.profiles.recipe import SeriesKey
from collectors.snmp.batch.engine import Engine
from collectors.snmp.batch.exchange import Peer
from collectors.snmp.batch.fleet import Fleet
from collectors.snmp.batch.request import Request
from collectors.snmp.batch.targets import Limits, Target
from collectors.snmp.poller import SnmpPoller
from monitor.clock import SystemClock
from monitor.metrics.arrays import Floats, Ints
from monitor.model import DeviceId
from tests.bench.snmp.workload import devices, write_profiles

LEARN_SECONDS: Final = 1200.0
INTERVAL: Final = 60.0
_STUCK: Final = 30.0
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Spec:
    """What to poll. `polled_port` is another agent's, for the polls behind the first plain reading; `timeout` and
    `interval` are seconds.
    """

    folder: Path
    addresses: Sequence[str]
    port: int
    credential: Credential
    polled_port: int = 0
    timeout: float = 5.0
    interval: float = INTERVAL
    flying: int = Limits().flying


@dataclass(frozen=True, slots=True)
class Learned:
    """The plain readings: how many requests a poll takes, seconds, CPU seconds, and memory each device costs."""

    requests: float
    seconds: float
    cpu_seconds: float
    octets_each: float


@dataclass(frozen=True, slots=True)
class Polls:
    """What rounds gave. `counts` are the engine's."""

    polls: int
    cpu_seconds: float
    seconds: float
    outcomes: tuple[int, int, int]
    counts: dict[str, float]

    @property
    def per_cpu_second(self) -> float:
        """Polls per CPU second."""
        return self.polls / self.cpu_seconds


@dataclass(frozen=True, slots=True)
class Held:
    """A stretch of the timetable: lateness in seconds at p50, p99 and worst."""

    seconds: float
    cpu_seconds: float
    polls: int
    values: int
    reread: int
    missed: int
    late: tuple[float, float, float]
    resident_mb: float


class Poller:
    """The process. Raises RuntimeError for whatever goes wrong in it."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def learn(self) -> Learned:
        """Read every device once."""
        return self._ask(Learned, "learn")

    def rounds(self, count: int) -> Polls:
        """All devices so many times, by the engine alone."""
        return self._ask(Polls, "rounds", count)

    def fleet_rounds(self, count: int) -> Polls:
        """All devices so many times, by the whole fleet."""
        return self._ask(Polls, "fleet_rounds", count)

    def hold(self, seconds: float) -> Held:
        """Poll by the timetable for so long."""
        return self._ask(Held, "hold", seconds)

    def profile(self, count: int) -> str:
        """Where the time of engine rounds goes."""
        return self._ask(str, "profile", count)

    def _ask(self, kind: type[_Answer], *order: object) -> _Answer:
        self._connection.send(order)
        try:
            good, answer = self._connection.recv()
        except EOFError as error:
            raise RuntimeError("the poller's process ended") from error
        if not good:
            raise RuntimeError(answer)
        assert isinstance(answer, kind)
        return answer

    def __enter__(self) -> Self:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(theirs, self._spec), daemon=True)
        self._process.start()
        theirs.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


class _HurriedClock(SystemClock):
    """The machine's clock and what it was put forward by."""

    __slots__ = ("ahead",)

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


class _WatchedEngine(Engine):
    """Knows the numbers of its devices, and may poll another port than the one they were read at."""

    def __init__(self, clock: SystemClock, limits: Limits, port: int) -> None:
        super().__init__(clock, limits)
        self._port = port
        self.mine: list[int] = []
        self.requests = 0

    def add(self, target: Target, requests: Sequence[Request], peer: Peer | None = None) -> int:
        number = super().add(replace(target, port=self._port or target.port), requests, peer)
        self.mine.append(number)
        self.requests += len(requests)
        return number

    def remove(self, device: int) -> None:
        super().remove(device)
        self.mine.remove(device)


@dataclass
class _Counting:
    """An outlet that only counts."""

    reads: int = 0
    polls: int = 0
    values: int = 0
    missed: int = 0
    wrong: list[str] = field(default_factory=list)
    late: list[Floats] = field(default_factory=list)

    def result(self, device: DeviceId, result: PollResult, series: Sequence[SeriesKey] | None) -> None:
        self.reads += 1
        if not result.up or result.errors:
            self.wrong.append(f"{device}: {result.errors}")

    def columns(
        self, at_ms: int, devices: Sequence[DeviceId], counts: Ints, values: Floats, seconds: Floats
    ) -> None:
        self.polls += len(devices)
        self.values += len(values)

    def lateness(self, seconds: Floats, missed: int) -> None:
        self.late.append(seconds)
        self.missed += missed


class _Work:
    """What the process does."""

    def __init__(self, spec: Spec) -> None:
        self._clock = _HurriedClock()
        self._engine = _WatchedEngine(self._clock, Limits(flying=spec.flying), spec.polled_port)
        self._outlet = _Counting()
        poller = SnmpPoller(self._clock, load_profiles(write_profiles(spec.folder)))
        self._fleet = Fleet(self._clock, poller, self._engine, self._outlet, readers=4)
        self._spec = spec
        self._numbers: Ints = np.empty(0, np.int64)

    def learn(self) -> Learned:
        spec, before = self._spec, _resident()
        began, cpu = time.monotonic(), time.process_time()
        city = devices(spec.addresses, spec.port, spec.interval, spec.timeout)
        self._fleet.assign([(device, spec.credential) for device in city])
        for device in city:
            self._fleet.poll_soon(device.id)
        while self._fleet.state()["batched"] < len(city) or self._engine.busy:
            self._fleet.step()
            if self._outlet.wrong or time.monotonic() - began > LEARN_SECONDS:
                raise RuntimeError(f"not learned: {self._fleet.state()} {self._outlet.wrong[:3]}")
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        self._numbers = np.array(self._engine.mine)
        self.rounds(2)  # layouts are learned from the first replies
        each = (_resident() - before) / len(city)
        return Learned(self._engine.requests / len(city), seconds, cpu, each)

    def rounds(self, count: int) -> Polls:
        before = self._engine.state()
        outcomes = np.zeros(3, np.int64)
        began, cpu = time.monotonic(), time.process_time()
        for _ in range(count):
            self._engine.begin(self._numbers)
            left, asked = len(self._numbers), time.monotonic()
            while left:
                ended = self._engine.work(self._clock.monotonic() + 1.0)
                left -= len(ended.devices)
                outcomes += np.bincount(ended.outcomes, minlength=3)
                if time.monotonic() - asked > _STUCK:
                    raise RuntimeError(f"{left} polls do not end: {self._engine.state()}")
        cpu, seconds = time.process_time() - cpu, time.monotonic() - began
        done, changed, silent = outcomes.tolist()
        polls = count * len(self._numbers)
        return Polls(polls, cpu, seconds, (done, changed, silent), self._since(before))

    def fleet_rounds(self, count: int) -> Polls:
        for _ in range(2):  # until then not every device has its place in the interval
            self._everybody()
        before, polls, reads = self._engine.state(), self._outlet.polls, self._outlet.reads
        began, cpu = time.monotonic(), time.process_time()
        for _ in range(count):
            self._everybody()
        cpu, seconds = time.process_time() - cpu, time.monotonic() - began
        done, read = self._outlet.polls - polls, self._outlet.reads - reads
        return Polls(done + read, cpu, seconds, (done, read, 0), self._since(before))

    def _everybody(self) -> None:
        """One interval passes at once: every device is due."""
        outlet, asked = self._outlet, time.monotonic()
        self._clock.ahead += self._spec.interval
        wanted = outlet.polls + outlet.reads + len(self._numbers) // 2
        while outlet.polls + outlet.reads < wanted or self._engine.busy:
            self._fleet.step()
            if time.monotonic() - asked > _STUCK:
                raise RuntimeError(f"polls do not end: {self._fleet.state()}")

    def hold(self, seconds: float) -> Held:
        outlet, began, cpu = self._outlet, time.monotonic(), time.process_time()
        polls, values, reads, outlet.missed = outlet.polls, outlet.values, outlet.reads, 0
        outlet.late.clear()
        while time.monotonic() - began < seconds:
            self._fleet.step()
        cpu, seconds = time.process_time() - cpu, time.monotonic() - began
        late = np.concatenate([np.zeros(1), *outlet.late])
        p50, p99, worst = np.quantile(late, (0.5, 0.99, 1.0)).tolist()
        return Held(
            seconds, cpu, outlet.polls - polls, outlet.values - values, outlet.reads - reads, outlet.missed,
            (p50, p99, worst), _resident() / 1e6,
        )  # fmt: skip

    def profile(self, count: int) -> str:
        profiler, text = cProfile.Profile(time.process_time), io.StringIO()
        profiler.runcall(self.rounds, count)
        pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(30)
        return text.getvalue()

    def _since(self, before: Mapping[str, float]) -> dict[str, float]:
        return {name: count - before.get(name, 0.0) for name, count in self._engine.state().items()}


def _main(connection: Connection, spec: Spec) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    work = _Work(spec)
    while True:
        try:
            name, *arguments = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            connection.send((True, getattr(work, name)(*arguments)))
        except Exception:
            connection.send((False, traceback.format_exc()))


def _resident() -> int:
    """Octets of resident memory of this process."""
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")
