"""One scan from its first datagram to its last find: the sweep, and a few threads that read what answered."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog

from collectors.discovery.inspect import Inspector
from collectors.discovery.pace import Pace
from collectors.discovery.planner import Kind, Limits, Planner, Step
from collectors.discovery.sweep import Answer, Sweep
from collectors.interface import Credential
from collectors.profiles.profile import Profile
from monitor.clock import Clock
from monitor.discovery.interface import Find, ScanOrder
from monitor.discovery.ranges import Ranges, parse_ranges

PROGRESS_SECONDS: Final = 1.0
_READERS: Final = 6
_STOP_SECONDS: Final = 2.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is. `speed` in addresses a second, `eta` in seconds, None when it cannot be told yet.
    `mark`: every address before this place is done, where the scan may be taken up again; `kept` of what was found
    lies before it.
    """

    done: int
    total: int
    found: int
    packets: int
    speed: float
    eta: int | None
    mark: int
    kept: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How a scan ended: done, cancelled or failed, with the reason in both languages."""

    state: str
    code: str = ""
    message: str = ""
    zh: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a scan is taken up: the mark of its last progress, what it had found before that, its packets and its age
    in seconds.
    """

    mark: int = 0
    found: int = 0
    packets: int = 0
    age: float = 0.0


def ladder(credentials: Mapping[str, Credential]) -> tuple[Step, ...]:
    """The steps of every address: v3 first, then v2c, then v1, each credential once, in the order given."""
    kinds = {name: credential.kind for name, credential in credentials.items()}
    steps = [Step(Kind.ENGINE)] if "snmp-v3" in kinds.values() else []
    steps += [Step(Kind.V2C, name) for name, kind in kinds.items() if kind == "snmp-v2c"]
    steps += [Step(Kind.V1, name) for name, kind in kinds.items() if kind == "snmp-v1"]
    return tuple(steps)


class Scan:
    """Runs an order once. `stop` ends it within two seconds; what was found until then has been told."""

    def __init__(
        self,
        order: ScanOrder,
        credentials: Mapping[str, Credential],
        profiles: Mapping[str, Profile],
        clock: Clock,
        *,
        skip: frozenset[str] = frozenset(),
        start: Start = Start(),
        stop: threading.Event,
    ) -> None:
        self._order = order
        self._credentials = {name: credentials[name] for name in order.credentials if name in credentials}
        self._clock = clock
        self._start = start
        self._stop = stop
        self._began = clock.monotonic()
        self._ranges: Ranges = parse_ranges(order.ranges)
        self._limits = Limits(order.rate, order.in_flight, order.timeout, order.retries, order.max_seconds)
        self._pace = Pace(order.rate, self._began)
        self._planner = Planner(
            self._ranges,
            ladder(self._credentials),
            self._limits,
            self._pace,
            lambda: secrets.randbits(31),
            skip=lambda address: address in skip,
            start=start.mark,
        )
        self._inspector = Inspector(
            profiles, order.port, order.timeout, order.retries, self._pace, clock, stop
        )
        self._read: queue.SimpleQueue[tuple[Answer, Future[Find | None]]] = queue.SimpleQueue()
        self._found: list[int] = []  # places of the addresses

    def progress(self) -> Progress:
        """How far it is now."""
        done, total = self._planner.done, self._ranges.count
        spent = self._clock.monotonic() - self._began
        speed = (done - self._start.mark) / spent if spent > 0 else 0.0
        eta = round((total - done) / speed) if speed > 0 else None
        packets = self._start.packets + self._pace.taken
        mark = self._planner.mark
        return Progress(
            done=done,
            total=total,
            found=self._start.found + len(self._found),
            packets=packets,
            speed=round(speed, 1),
            eta=eta,
            mark=mark,
            kept=self._start.found + sum(number < mark for number in self._found),
        )

    def run(self, on_find: Callable[[Find], None], on_progress: Callable[[Progress], None]) -> Ending:
        """Scan until done, stopped or out of time. Both callbacks are called in the calling thread."""
        if not self._planner.steps:
            return Ending(
                "failed",
                "no-credential",
                "none of the scan's SNMP credentials reached the collector",
                "采集器没有收到任何可用的 SNMP 凭据",
            )
        families = frozenset(block.family for block in self._ranges.blocks)
        try:
            sweep = Sweep(self._planner, self._credentials, self._order.port, families=families)
        except OSError as error:
            return Ending("failed", "socket", f"no socket: {error}", f"无法打开网络套接字：{error}")
        readers = ThreadPoolExecutor(_READERS, "discovery")
        try:
            return self._loop(sweep, readers, on_find, on_progress)
        finally:
            sweep.close()
            readers.shutdown(wait=False, cancel_futures=True)

    def _loop(
        self,
        sweep: Sweep,
        readers: ThreadPoolExecutor,
        on_find: Callable[[Find], None],
        on_progress: Callable[[Progress], None],
    ) -> Ending:
        told = self._clock.monotonic()
        while not self._planner.finished:
            now = self._clock.monotonic()
            if self._stop.is_set():
                return Ending("cancelled")
            if self._start.age + now - self._began > self._limits.seconds:
                return Ending(
                    "failed",
                    "time",
                    f"not through within {self._limits.seconds:g} s",
                    f"未能在 {self._limits.seconds:g} 秒内扫完，请缩小网段或提高速率",
                )
            sweep.send(now)
            for answer in sweep.receive(self._planner.wait(self._clock.monotonic())):
                self._hand_over(answer, readers)
            self._collect(on_find)
            if now - told >= PROGRESS_SECONDS:
                told = now
                on_progress(self.progress())
        if sweep.sent and sweep.unsent == sweep.sent:
            return Ending(
                "failed",
                "network",
                f"no datagram could be sent: {sweep.problem}",
                f"探测包一个也发不出去：{sweep.problem}，请检查采集器的网络和路由",
            )
        return Ending("done")

    def _hand_over(self, answer: Answer, readers: ThreadPoolExecutor) -> None:
        future = readers.submit(self._identify, answer)
        future.add_done_callback(lambda done: self._read.put((answer, done)))

    def _identify(self, answer: Answer) -> Find | None:
        """In a thread of its own: read the address; after an engine's answer with every v3 credential in turn."""
        address = answer.asked.address
        if answer.kind is not Kind.ENGINE:
            credential = self._credentials[answer.credential]
            return self._inspector.inspect(address, answer.credential, credential)
        for name, credential in self._credentials.items():
            if credential.kind == "snmp-v3" and not self._stop.is_set():
                find = self._inspector.inspect(address, name, credential, answer.engine)
                if find is not None:
                    return find
        return None

    def _collect(self, on_find: Callable[[Find], None]) -> None:
        while not self._read.empty():
            answer, future = self._read.get()
            address = answer.asked.address
            if future.cancelled():
                continue
            problem = future.exception()
            if problem is not None:
                # One device's oddity must not end the scan of the others.
                _log.error("an address could not be read", address=address, reason=repr(problem))
            find = None if problem is not None else future.result()
            if self._stop.is_set() and (find is None or find.problems):
                continue  # cut off while it was read: not done, and read again when the scan is taken up
            if find is not None:
                self._found.append(answer.asked.number)
                on_find(find)
            if find is None and answer.kind is Kind.ENGINE:
                self._planner.resume(address)
            else:
                self._planner.settle(address)
