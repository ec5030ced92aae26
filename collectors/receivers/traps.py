"""The trap receiver: a Companion that listens, decodes and tells.

Threads: the reader empties the sockets into a bounded queue (the oldest datagrams go when it is full, counted), the
worker turns them into events, the USM thread (see usm.py) verifies v3. A port that is taken is tried again every
half minute; meanwhile the collector does everything else.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from collectors.interface import Assignment, Companion, Host
from collectors.receivers.datagrams import Datagram, Listener, TrapSocket, parse_listeners
from collectors.receivers.facts import load_facts
from collectors.receivers.intake import Intake
from collectors.receivers.library import load_library
from collectors.receivers.sources import SourceBook, literal, resolved
from collectors.receivers.tally import Tally
from collectors.receivers.translate import Translator
from collectors.receivers.usm import SignedTraps
from monitor.errors import UnreachableError
from monitor.settings import Settings

QUEUE_LIMIT: Final = 100_000  # datagrams
QUEUE_BYTES: Final = 64 << 20
RETRY_SECONDS: Final = 30.0
RECORD_SECONDS: Final = 15.0
STOP_SECONDS: Final = 1.5
DRAIN_SECONDS: Final = 0.8
_POLL_SECONDS: Final = 0.2
log = structlog.get_logger(__name__)


class Backlog:
    """Batches between reader and worker; bounded, the oldest go first. Safe from several threads."""

    def __init__(self, limit: int = QUEUE_LIMIT, limit_bytes: int = QUEUE_BYTES) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._batches: deque[tuple[TrapSocket, Sequence[Datagram], int]] = deque()
        self._changed = threading.Condition()
        self._count = 0
        self._bytes = 0

    def put(self, origin: TrapSocket, batch: Sequence[Datagram]) -> int:
        """Add a batch; returns how many older datagrams had to go."""
        size = sum([len(data) for _, data in batch])
        lost = 0
        with self._changed:
            self._batches.append((origin, batch, size))
            self._count += len(batch)
            self._bytes += size
            while (self._count > self._limit or self._bytes > self._limit_bytes) and len(self._batches) > 1:
                _, old, old_size = self._batches.popleft()
                self._count -= len(old)
                self._bytes -= old_size
                lost += len(old)
            self._changed.notify()
        return lost

    def take(self, seconds: float) -> tuple[TrapSocket, Sequence[Datagram]] | None:
        """The oldest batch, or None when nothing came in this time."""
        with self._changed:
            if not self._batches:
                self._changed.wait(seconds)
            if not self._batches:
                return None
            origin, batch, size = self._batches.popleft()
            self._count -= len(batch)
            self._bytes -= size
            return origin, batch


class TrapReceiver:
    """See Companion."""

    def __init__(
        self,
        host: Host,
        listeners: Sequence[Listener],
        buffer_bytes: int,
        translator: Translator,
        tally: Tally,
    ) -> None:
        self._host = host
        self._listeners = list(listeners)
        self._buffer_bytes = buffer_bytes
        self.tally = tally
        self._signed = SignedTraps(host.clock, host.folder / "traps", tally)
        self._intake = Intake(host, translator, tally, self._signed.offer)
        self._signed.deliver_to(self._intake.take_signed, self._intake.refuse)
        self._backlog = Backlog()
        self._sockets: dict[Listener, TrapSocket] = {}
        self._drops: dict[TrapSocket, int] = {}
        self._complained: set[Listener] = set()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._assigned = 0

    @property
    def ports(self) -> list[int]:
        """Where it listens, in the order of the settings; for tests that let the kernel choose."""
        return [socket.port for socket in self._sockets.values()]

    def start(self) -> None:
        """See Companion."""
        if not self._listeners:
            return
        self._open()
        self._threads = [
            threading.Thread(target=self._guarded, args=(name, loop), name=f"traps-{name}", daemon=True)
            for name, loop in (("reader", self._read), ("worker", self._work), ("usm", self._signed.run))
        ]
        for thread in self._threads:
            thread.start()

    def assign(self, assignment: Assignment) -> None:
        """See Companion. Host names are looked up afterwards, beside, for DNS may be slow."""
        self._assigned += 1
        self._intake.assign(SourceBook(assignment, literal))
        if self._listeners and not all(literal(device.address) for device in assignment.devices):
            threading.Thread(
                target=self._learn, args=(assignment, self._assigned), name="traps-assign", daemon=True
            ).start()

    def stop(self) -> None:
        """See Companion."""
        self._stopping.set()
        self._signed.stop()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._intake.flush(everything=True)
        for opened in self._sockets.values():
            opened.close()

    def _learn(self, assignment: Assignment, number: int) -> None:
        book = SourceBook(assignment, resolved)
        if number == self._assigned:
            self._intake.assign(book)

    def _guarded(self, name: str, loop: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                loop()
            except Exception:
                # A fault of the receiver must neither end the collector nor its polls; it starts anew.
                log.exception("a part of the trap receiver failed and starts again", part=name)
                self._stopping.wait(1.0)

    # -- reader -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        for listener in self._listeners:
            if listener in self._sockets:
                continue
            try:
                opened = TrapSocket(listener, self._buffer_bytes)
            except UnreachableError as error:
                self.tally.gauge("zhishou_trap_listener_up", str(listener), 0.0)
                if listener not in self._complained:
                    self._complained.add(listener)
                    log.warning(
                        "traps are not received here", listener=str(listener), reason=str(error), zh=error.zh
                    )
                continue
            self._sockets[listener] = opened
            self._drops[opened] = 0
            self.tally.gauge("zhishou_trap_listener_up", str(listener), 1.0)
            self.tally.gauge("zhishou_trap_buffer_bytes", str(listener), opened.buffer_bytes)
            log.info("traps are received", listener=str(listener), buffer_bytes=opened.buffer_bytes)
            if opened.buffer_bytes < self._buffer_bytes:
                log.warning(
                    "the receive buffer is smaller than asked, storms may lose traps; raise net.core.rmem_max",
                    listener=str(listener),
                    bytes=opened.buffer_bytes,
                    asked=self._buffer_bytes,
                )

    def _read(self) -> None:
        poller = select.poll()
        watched: dict[int, TrapSocket] = {}
        next_try = next_record = time.monotonic()
        while not self._stopping.is_set():
            now = time.monotonic()
            if now >= next_try:
                next_try = now + RETRY_SECONDS
                self._open()
                for opened in self._sockets.values():
                    watched[opened.fileno()] = opened
                    poller.register(opened.fileno(), select.POLLIN)
            for descriptor, _ in poller.poll(int(_POLL_SECONDS * 1000)):
                self._drain(watched[descriptor])
            if now >= next_record:
                next_record = now + RECORD_SECONDS
                self._count_drops()
                self._host.record(self.tally.samples(self._host.collector, self._host.clock.now_ms()))

    def _drain(self, opened: TrapSocket) -> None:
        received = lost = 0
        for _ in range(64):
            batch = opened.receive()
            if not batch:
                break
            received += len(batch)
            lost += self._backlog.put(opened, batch)
        self.tally.add("zhishou_traps_received", str(opened.listener), received)
        if lost:
            self.tally.add("zhishou_traps_dropped", "queue", lost)
        self._count_drops()

    def _count_drops(self) -> None:
        for opened, before in self._drops.items():
            now = opened.kernel_drops()
            if now != before:
                self.tally.add("zhishou_traps_dropped", "kernel", now - before)
                self._drops[opened] = now

    # -- worker -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        next_flush = time.monotonic() + 1.0
        while not self._stopping.is_set():
            found = self._backlog.take(_POLL_SECONDS)
            if found is not None:
                origin, batch = found
                self._intake.take(batch, origin.send)
            if time.monotonic() >= next_flush:
                next_flush = time.monotonic() + 1.0
                self._intake.flush()
        until = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < until and (found := self._backlog.take(0.0)) is not None:
            origin, batch = found
            self._intake.take(batch, origin.send)


def build(host: Host, settings: Settings, registry: CollectorRegistry) -> Companion:
    """Entry point of `zhishou.companions`. `trap_listen` empty: a receiver that does nothing."""
    tally = Tally()
    tally.register(registry)
    translator = Translator(load_facts(), load_library())
    listeners = parse_listeners(settings.trap_listen)
    return TrapReceiver(host, listeners, settings.trap_buffer_mib << 20, translator, tally)
