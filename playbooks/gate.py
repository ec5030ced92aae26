"""The one place that opens sockets. Every connection asks the warrant, the buckets, the budget and the stop first.

A connection is charged for what the kernel may send for it (first SYN, one retransmission, acknowledgements,
close), so that the packets on the wire stay below what is counted.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from monitor.clock import Clock
from playbooks.formats import Limits
from playbooks.guard import Target, Warrant, normalise, window_reason
from playbooks.pacing import Budget, TokenBucket
from playbooks.steps.interface import ClosedError, RefusedError, SilentError, TlsFacts

CONNECT_PACKETS = (
    6  # SYN, its one retransmission within the timeout, ACK, FIN, its retransmission, ACK of theirs
)
HANDSHAKE_PACKETS = 10
READ_PACKETS = 1
SEGMENT = 1200
MAX_CONNECT_SECONDS = 2.5  # Linux sends SYN at 0, 1 and 3 s: at most two within this
T = TypeVar("T")
Attempt = Callable[[str], Awaitable[str]]
Resolver = Callable[[str], Awaitable[list[str]]]


class StopSignal:
    """Set once, never cleared: everything of one run ends. `path` is the kill switch, a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._event = asyncio.Event()
        self.reason = ""

    def set(self, reason: str) -> None:
        """Stop; the first reason stays."""
        if not self._event.is_set():
            self.reason = reason
            self._event.set()

    def check(self) -> bool:
        """Whether to stop; looks at the kill switch itself."""
        if not self._event.is_set() and kill_switch_set(self._path):
            self.set("kill switch")
        return self._event.is_set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a stop, at most so long; True when stopped."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
        return self._event.is_set()


def kill_switch_set(path: Path) -> bool:
    """Whether the kill switch is there; one that cannot be looked at counts as set."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


async def system_resolver(name: str) -> list[str]:
    """Addresses of a name by the system's resolver; empty when there are none."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return sorted({str(entry[4][0]) for entry in found})


def resolve_names(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Addresses of registered host names, outside any event loop; a name that does not resolve is left out."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    with ThreadPoolExecutor(min(16, len(wanted)), "resolve") as pool:
        return {name: found for name, found in zip(wanted, pool.map(_look_up, wanted), strict=True) if found}


def _look_up(name: str) -> tuple[str, ...]:
    try:
        return tuple(sorted({str(entry[4][0]) for entry in socket.getaddrinfo(name, None)}))
    except (OSError, UnicodeError):
        return ()


class Gate:
    """Opens connections of one run."""

    def __init__(
        self,
        warrant: Warrant,
        limits: Limits,
        clock: Clock,
        stop: StopSignal,
        resolver: Resolver = system_resolver,
        *,
        spent: int = 0,
    ) -> None:
        self._warrant = warrant
        self._limits = limits
        self._clock = clock
        self.stop = stop
        self._resolver = resolver
        self.budget = Budget(limits.max_packets, spent)
        self._total = TokenBucket(limits.pps, max(1.0, limits.pps / 10))
        self._hosts: dict[str, TokenBucket] = {}
        self._alive: set[tuple[str, int]] = set()
        self.repeats = 0  # exchanges with a service that had answered before
        self.lost = 0  # of these, how many were not answered

    def door(self, target: Target, attempt: Attempt) -> HostDoor:
        """The gate for one host."""
        return HostDoor(self, target, attempt, self._clock)

    async def admit(self, target: Target, transport: str, port: int, packets: int) -> str:
        """Pace and check; returns the address to use. Raises RefusedError, and then nothing may be sent."""
        self._permit(target, target.address, transport, port)
        if not self.budget.spend(packets):
            self.stop.set("packet budget used up")
            raise RefusedError("packet budget used up")
        now = asyncio.get_running_loop().time()
        rate = self._limits.per_host_pps
        bucket = self._hosts.setdefault(target.address, TokenBucket(rate, max(1.0, rate / 10)))
        delay = max(bucket.take(packets, now), self._total.take(packets, now))
        if delay > 0 and await self.stop.wait(delay):
            raise RefusedError(self.stop.reason)
        address = await self._resolve(target)
        # Asked again after waiting and resolving: time has passed, and the name may answer differently now.
        self._permit(target, address, transport, port)
        return address

    async def _resolve(self, target: Target) -> str:
        if normalise(target.host) is not None:
            return target.address
        found = [str(a) for a in map(normalise, await self._resolver(target.host)) if a]
        if target.address not in found:
            raise RefusedError(f"{target.host} no longer resolves to {target.address}")
        return target.address

    def _permit(self, target: Target, address: str, transport: str, port: int) -> None:
        if self.stop.check():
            raise RefusedError(self.stop.reason)
        now = self._clock.now_ms()
        if closed := window_reason(self._warrant.window, now):
            self.stop.set(closed)
        reason = self._warrant.refusal(target.device, address, transport, port, now)
        if reason:
            raise RefusedError(reason)

    def heard(self, address: str, port: int, *, answered: bool) -> None:
        """Count loss among services that had answered before."""
        if (address, port) in self._alive:
            self.repeats += 1
            self.lost += not answered
        elif answered:
            self._alive.add((address, port))


class HostDoor:
    """The gate as one step sees it (`playbooks.steps.interface.Door`)."""

    def __init__(self, gate: Gate, target: Target, attempt: Attempt, clock: Clock) -> None:
        self._gate = gate
        self._target = target
        self._attempt = attempt
        self._clock = clock
        self._open: list[asyncio.StreamWriter] = []

    def now_ms(self) -> int:
        """Wall clock."""
        return self._clock.now_ms()

    async def attempt(self, account: str) -> str:
        """Ask to try a credential once."""
        if self._gate.stop.check():
            return self._gate.stop.reason
        return await self._attempt(account)

    async def connect(self, port: int, seconds: float) -> HostStream:
        """A TCP connection."""
        address = await self._gate.admit(self._target, "tcp", port, CONNECT_PACKETS)
        opening = asyncio.open_connection(address, port, limit=1 << 16)
        reader, writer = await self._opened(opening, address, port, min(seconds, MAX_CONNECT_SECONDS))
        self._open.append(writer)
        return HostStream(self._gate, self._target, port, reader, writer)

    async def handshake(self, port: int, seconds: float) -> TlsFacts | None:
        """A TLS handshake, closed at once."""
        address = await self._gate.admit(self._target, "tcp", port, CONNECT_PACKETS + HANDSHAKE_PACKETS)
        raw = asyncio.open_connection(address, port)
        _reader, writer = await self._opened(raw, address, port, min(seconds, MAX_CONNECT_SECONDS))
        self._open.append(writer)
        try:
            async with asyncio.timeout(seconds):
                await writer.start_tls(_any_tls(), server_hostname=None)
        except TimeoutError:
            raise SilentError("no TLS handshake in time") from None
        except (ssl.SSLError, ConnectionError, OSError):
            return None
        session = writer.get_extra_info("ssl_object")
        return TlsFacts(str(session.version()), session.getpeercert(binary_form=True) or b"")

    async def _opened(self, opening: Awaitable[T], address: str, port: int, seconds: float) -> T:
        try:
            async with asyncio.timeout(seconds):
                opened = await opening
        except ConnectionRefusedError:
            self._gate.heard(address, port, answered=False)
            raise ClosedError("port closed") from None
        except TimeoutError:
            self._gate.heard(address, port, answered=False)
            raise SilentError("no answer in time") from None
        except OSError as error:
            self._gate.heard(address, port, answered=False)
            raise SilentError(f"unreachable: {error.strerror or error}") from error
        self._gate.heard(address, port, answered=True)
        return opened

    async def datagram(self, port: int, data: bytes, seconds: float) -> bytes:
        """Send one datagram; the first answer from that address and port."""
        address = await self._gate.admit(self._target, "udp", port, math.ceil(len(data) / SEGMENT))
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Answer(answer), remote_addr=(address, port)
        )
        try:
            transport.sendto(data)
            async with asyncio.timeout(seconds):
                received = await answer
        except TimeoutError:
            self._gate.heard(address, port, answered=False)
            raise SilentError("no answer in time") from None
        except ConnectionRefusedError:
            raise ClosedError("port closed") from None
        except OSError as error:
            raise SilentError(f"unreachable: {error.strerror or error}") from error
        finally:
            transport.close()
        self._gate.heard(address, port, answered=True)
        return received

    def close(self) -> None:
        """Close everything this door opened, without lingering."""
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()


class HostStream:
    """One connection (`playbooks.steps.interface.Stream`)."""

    def __init__(
        self,
        gate: Gate,
        target: Target,
        port: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._gate = gate
        self._target = target
        self._port = port
        self._reader = reader
        self._writer = writer

    def close(self) -> None:
        """Close now, without lingering."""
        self._writer.transport.abort()

    async def send(self, data: bytes) -> None:
        """Send; asks the gate again."""
        await self._gate.admit(self._target, "tcp", self._port, math.ceil(len(data) / SEGMENT) + READ_PACKETS)
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise SilentError(f"connection lost: {error.strerror or error}") from error

    async def receive(self, size: int, seconds: float) -> bytes:
        """Up to `size` bytes; empty when the far side closed or time passed."""
        try:
            async with asyncio.timeout(seconds):
                return await self._reader.read(size)
        except (TimeoutError, OSError):
            return b""


class _Answer(asyncio.DatagramProtocol):
    def __init__(self, answer: asyncio.Future[bytes]) -> None:
        self._answer = answer

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


def _any_tls() -> ssl.SSLContext:
    """A client that accepts whatever it is shown: the point is to look, nothing secret is ever sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@asynccontextmanager
async def opened(gate: Gate, target: Target, attempt: Attempt) -> AsyncIterator[HostDoor]:
    """A door that is closed again, whatever happens."""
    door = gate.door(target, attempt)
    try:
        yield door
    finally:
        door.close()
