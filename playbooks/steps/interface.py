"""The seam of a protocol: a Step looks at one service once, through a Door that the gate holds.

Implementations register under `zhishou.steps` by protocol name as a factory `build() -> Step`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import entry_points
from typing import Protocol

from monitor.errors import InputError, ZhishouError
from playbooks.formats import Exchange


class Reach(StrEnum):
    """How far an exchange got.

    ANSWERED the service said something; QUIET connected but nothing was said; CLOSED the host itself refused;
    SILENT no answer at all; BLOCKED nothing was sent because guard, budget or stop forbade it; ERROR our own failure.
    """

    ANSWERED = "answered"
    QUIET = "quiet"
    CLOSED = "closed"
    SILENT = "silent"
    BLOCKED = "blocked"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen. Parts are text; raw bytes are decoded as Latin-1."""

    reach: Reach
    parts: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


class RefusedError(ZhishouError):
    """The gate forbade it; nothing was sent."""


class ClosedError(ZhishouError):
    """The host answered that nothing listens on the port."""


class SilentError(ZhishouError):
    """Nothing answered in time, or the network says it is unreachable."""


class Stream(Protocol):
    """One connection of the gate; closed by the gate when the exchange ends, or before."""

    def close(self) -> None:
        """Close now, without lingering."""
        ...

    async def send(self, data: bytes) -> None:
        """Send; counted and paced. Raises RefusedError once the run must stop."""
        ...

    async def receive(self, size: int, seconds: float) -> bytes:
        """Up to `size` bytes; empty when the far side closed or `seconds` passed."""
        ...


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """A finished TLS handshake: protocol name (TLSv1.3) and the leaf certificate (DER), not verified."""

    version: str
    certificate: bytes


class Door(Protocol):
    """The gate as one step sees it: one host. Errors are those of this module."""

    def now_ms(self) -> int:
        """Wall clock."""
        ...

    async def connect(self, port: int, seconds: float) -> Stream:
        """A TCP connection."""
        ...

    async def handshake(self, port: int, seconds: float) -> TlsFacts | None:
        """A TLS handshake, closed at once; None when the service does not complete one."""
        ...

    async def datagram(self, port: int, data: bytes, seconds: float) -> bytes:
        """Send one datagram and return the first answer from that port; SilentError when none comes."""
        ...

    async def attempt(self, account: str) -> str:
        """Ask to try a credential once. Empty when it was counted on disk and may be made; else why not."""
        ...


class Step(Protocol):
    """One protocol."""

    protocol: str
    transport: str  # tcp | udp
    keys: frozenset[str]  # keys of an exchange only this protocol knows; each a list of texts

    def packets(self, exchange: Exchange) -> int:
        """Ceiling of the packets one exchange sends."""
        ...

    async def observe(self, exchange: Exchange, door: Door) -> Observation:
        """Look once. Errors of the door become observations; nothing else is raised."""
        ...


def installed_steps() -> dict[str, Step]:
    """Every installed step by protocol."""
    found: dict[str, Step] = {}
    for entry in entry_points(group="zhishou.steps"):
        step: Step = entry.load()()
        if step.protocol != entry.name:
            raise InputError(f"step {entry.name!r} says it is {step.protocol!r}", where=entry.value)
        found[step.protocol] = step
    return found


def from_refusal(error: ZhishouError) -> Observation:
    """An error of the door as an observation."""
    if isinstance(error, ClosedError):
        return Observation(Reach.CLOSED, reason=error.message)
    if isinstance(error, SilentError):
        return Observation(Reach.SILENT, reason=error.message)
    if isinstance(error, RefusedError):
        return Observation(Reach.BLOCKED, reason=error.message)
    return Observation(Reach.ERROR, reason=error.message)
