"""The sockets of a sweep: one unconnected UDP socket a family for thousands of addresses, never blocking.

An answer counts only from the address that was asked, from its port, with its request id and version.
"""

from __future__ import annotations

import ipaddress
import select
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from collectors.discovery.engine import encode_discovery, parse_report
from collectors.discovery.planner import Kind, Planner, Try
from collectors.interface import Credential
from collectors.snmp.ber import encode_oid
from collectors.snmp.errors import BerError
from collectors.snmp.message import GET, RESPONSE, V1, V2C, encode_request, parse_message

_SYS_OBJECT_ID: Final = (encode_oid("1.3.6.1.2.1.1.2.0"),)
_LARGEST: Final = 65_535
_AT_ONCE: Final = 512
_VERSIONS: Final[Mapping[Kind, int]] = {Kind.V2C: V2C, Kind.V1: V1}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What answered which request; `engine` is set after an engine discovery."""

    asked: Try
    kind: Kind
    credential: str
    engine: bytes = b""


class Sweep:
    """Sends what a planner says and matches what comes back. `credentials` are those of its v1 and v2c steps. Of all
    datagrams `sent`, `unsent` never left this machine, the last for `problem`.
    """

    def __init__(
        self, planner: Planner, credentials: Mapping[str, Credential], port: int, *, families: frozenset[int]
    ) -> None:
        self._planner = planner
        self._communities = {name: credential.community.encode() for name, credential in credentials.items()}
        self._port = port
        self._sockets: dict[int, socket.socket] = {}
        self._poll = select.poll()
        self.sent = 0
        self.unsent = 0
        self.problem = ""
        try:
            for family in families:
                opened = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
                self._sockets[family] = opened
                opened.setblocking(False)
                opened.bind(("", 0))
                self._poll.register(opened, select.POLLIN)
        except OSError:
            self.close()
            raise

    def send(self, now: float) -> int:
        """Send everything that is due; returns how many."""
        sent = 0
        while sent < _AT_ONCE and (made := self._planner.next_try(now)) is not None:
            family = 6 if ":" in made.address else 4
            try:
                self._sockets[family].sendto(self._request(made), (made.address, self._port))
            except OSError as error:
                # No route, a full buffer: as good as lost on the way; it is tried again like any lost datagram.
                self.unsent += 1
                self.problem = str(error)
                _log.debug("a datagram was not sent", address=made.address, reason=str(error))
            sent += 1
        self.sent += sent
        return sent

    def receive(self, seconds: float) -> Iterator[Answer]:
        """What answered, waiting at most so long for the first."""
        for descriptor, _ in self._poll.poll(seconds * 1000):
            source = next(s for s in self._sockets.values() if s.fileno() == descriptor)
            for _ in range(_AT_ONCE):
                try:
                    data, sender = source.recvfrom(_LARGEST)
                except BlockingIOError:
                    break
                except OSError as error:  # an ICMP error of an earlier datagram
                    _log.debug("no datagram", reason=str(error))
                    continue
                answer = self._match(data, sender[0], sender[1])
                if answer is not None:
                    yield answer

    def close(self) -> None:
        """Close the sockets."""
        for opened in self._sockets.values():
            opened.close()

    def _request(self, made: Try) -> bytes:
        step = self._planner.steps[made.rung]
        if step.kind is Kind.ENGINE:
            return encode_discovery(made.request_id)
        community = self._communities[step.credential]
        return encode_request(_VERSIONS[step.kind], community, GET, made.request_id, _SYS_OBJECT_ID)

    def _match(self, data: bytes, sender: str, port: int) -> Answer | None:
        if port != self._port:
            return None
        try:
            request_id, version, engine = _read(data)
        except BerError:
            return None
        made = self._planner.asked(request_id, str(ipaddress.ip_address(sender.partition("%")[0])))
        if made is None:
            return None
        step = self._planner.steps[made.rung]
        if _VERSIONS.get(step.kind) != version:
            return None
        self._planner.answered(request_id, made.address)
        return Answer(made, step.kind, step.credential, engine)


def _read(data: bytes) -> tuple[int, int | None, bytes]:
    """Request id, version (None: v3) and engine id of an answer. Raises BerError."""
    try:
        message = parse_message(data)
    except BerError:
        message_id, engine = parse_report(data)
        return message_id, None, engine
    if message.kind != RESPONSE:
        raise BerError("not a response")
    return message.request_id, message.version, b""
