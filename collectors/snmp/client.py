"""A session with one agent: get and walk over a Transport, within a budget of time and rows.

`open_session` picks the transport by credential: UdpTransport for v1 and v2c, usm.transport for v3.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Protocol, Self

from collectors.interface import Credential
from collectors.snmp.ber import EMPTY, Oid, Typed
from collectors.snmp.connection import connect_udp
from collectors.snmp.errors import (
    AgentError,
    BerError,
    BudgetError,
    MalformedReplyError,
    NetworkError,
    NoAnswerError,
    RefusedError,
    SnmpError,
)
from collectors.snmp.message import GET, RESPONSE, V1, V2C, encode_request, parse_message
from collectors.snmp.usm.keys import KeyChain
from collectors.snmp.usm.transport import UsmTransport
from collectors.snmp.walk import NO_SUCH_NAME, TOO_BIG, Ask, Reply, TableWalk, WalkResult
from monitor.clock import Clock

_OIDS_PER_GET: Final = 20
_STRAYS_PER_ATTEMPT: Final = 64
_SILENCES: Final = 2  # unanswered requests in a row after which the device counts as gone for this session


class Transport(Protocol):
    """Carries one request to one agent and its verified answer back."""

    where: str
    bulk: bool

    def exchange(self, ask: Ask) -> Reply:
        """Raises SnmpError when no valid answer comes."""
        ...

    def close(self) -> None:
        """Release sockets."""
        ...


class Session:
    """One agent. Not for use by several threads at once. `budget` in seconds for the whole session."""

    def __init__(self, transport: Transport, clock: Clock, *, budget: float = 60.0) -> None:
        self._transport = transport
        self._clock = clock
        self._deadline = clock.monotonic() + budget
        self._budget = budget
        self._silences = 0

    @property
    def where(self) -> str:
        """Address and port, for messages."""
        return self._transport.where

    def get(self, oids: Sequence[Oid]) -> dict[Oid, Typed]:
        """The scalars that exist among `oids`. Raises SnmpError when the agent cannot be asked."""
        found: dict[Oid, Typed] = {}
        for start in range(0, len(oids), _OIDS_PER_GET):
            self._get(list(oids[start : start + _OIDS_PER_GET]), found)
        return found

    def walk(self, columns: Iterable[Oid]) -> WalkResult:
        """All rows of `columns`. Never raises: what stopped it early is among the result's problems."""
        walk = TableWalk(list(dict.fromkeys(columns)), where=self.where, bulk=self._transport.bulk)
        while (ask := walk.next_ask()) is not None:
            try:
                walk.feed(self._exchange(ask))
            except NoAnswerError as silence:
                if self._silences >= _SILENCES or not walk.unanswered():
                    walk.stop(silence)
            except SnmpError as problem:
                walk.stop(problem)
        return walk.result

    def close(self) -> None:
        """Release sockets."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _get(self, oids: list[Oid], found: dict[Oid, Typed]) -> None:
        while oids:
            reply = self._exchange(Ask(GET, oids))
            if not reply.error_status:
                wanted = set(oids)
                for oid, tag, value in reply.varbinds:
                    if oid in wanted and tag not in EMPTY:
                        found[oid] = (tag, value)
                return
            if reply.error_status == TOO_BIG and len(oids) > 1:
                half = len(oids) // 2
                self._get(oids[:half], found)
                oids = oids[half:]
            elif reply.error_status == TOO_BIG:
                raise AgentError(self.where, TOO_BIG)
            elif 1 <= reply.error_index <= len(oids):
                del oids[reply.error_index - 1]
            elif len(oids) > 1:
                for oid in oids:
                    with suppress(AgentError):  # no index: one of them is the culprit, the others count
                        self._get([oid], found)
                return
            elif reply.error_status == NO_SUCH_NAME:
                return
            else:
                raise AgentError(self.where, reply.error_status)

    def _exchange(self, ask: Ask) -> Reply:
        if self._silences >= _SILENCES:
            raise NoAnswerError(self.where)
        if self._clock.monotonic() > self._deadline:
            raise BudgetError(self.where, f"{self._budget:g} s")
        try:
            reply = self._transport.exchange(ask)
        except NoAnswerError:
            self._silences += 1
            raise
        self._silences = 0
        return reply


class UdpTransport:
    """SNMP v1 or v2c over one connected UDP socket: the kernel drops datagrams of any other source.

    `timeout` in seconds for each of `retries` + 1 attempts. Raises SnmpError when the address cannot be used.
    """

    def __init__(
        self,
        address: str,
        port: int,
        version: int,
        community: bytes,
        timeout: float,
        retries: int,
        clock: Clock,
    ) -> None:
        self.where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        self.bulk = version != V1
        self._version = version
        self._community = community
        self._timeout = timeout
        self._attempts = retries + 1
        self._clock = clock
        self._ids = itertools.count(secrets.randbits(30))
        self._socket = connect_udp(address, port, self.where)

    def exchange(self, ask: Ask) -> Reply:
        """Send until answered. Raises NoAnswerError, RefusedError, MalformedReplyError or NetworkError."""
        request_id = next(self._ids) & 0x7FFFFFFF
        data = encode_request(
            self._version, self._community, ask.kind, request_id, ask.oids, 0, ask.max_repetitions
        )
        malformed: BerError | None = None
        try:
            for _ in range(self._attempts):
                self._socket.send(data)
                reply, bad = self._receive(request_id)
                if reply is not None:
                    return reply
                malformed = bad or malformed
        except ConnectionRefusedError as error:
            raise RefusedError(self.where) from error
        except OSError as error:
            raise NetworkError(self.where, error.strerror or str(error)) from error
        if malformed is not None:
            raise MalformedReplyError(self.where, malformed)
        raise NoAnswerError(self.where)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _receive(self, request_id: int) -> tuple[Reply | None, BerError | None]:
        """The answer to `request_id` within one timeout; anything else that arrives is skipped, up to a cap."""
        deadline = self._clock.monotonic() + self._timeout
        malformed: BerError | None = None
        for _ in range(_STRAYS_PER_ATTEMPT):
            left = deadline - self._clock.monotonic()
            if left <= 0:
                break
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65535)
            except TimeoutError:
                break
            try:
                message = parse_message(data)
            except BerError as error:
                malformed = error
                continue
            if (message.request_id, message.kind, message.version) == (request_id, RESPONSE, self._version):
                return Reply(message.error_status, message.error_index, message.varbinds), None
        return None, malformed


def open_transport(
    address: str,
    port: int,
    credential: Credential,
    *,
    timeout: float,
    retries: int,
    clock: Clock,
    keys: KeyChain | None = None,
) -> Transport:
    """A transport by the credential's kind (snmp-v1, snmp-v2c, snmp-v3). Raises SnmpError.

    `keys` remembers what v3 passwords hash to, which takes milliseconds each; hand the same in for many devices.
    """
    if credential.kind == "snmp-v3":
        return UsmTransport(address, port, credential, timeout, retries, clock, keys=keys)
    version = V1 if credential.kind == "snmp-v1" else V2C
    community = credential.community.encode()
    return UdpTransport(address, port, version, community, timeout, retries, clock)


def open_session(
    address: str,
    port: int,
    credential: Credential,
    *,
    timeout: float,
    retries: int,
    clock: Clock,
    budget: float,
) -> Session:
    """A session over `open_transport`. Raises SnmpError."""
    transport = open_transport(address, port, credential, timeout=timeout, retries=retries, clock=clock)
    return Session(transport, clock, budget=budget)
