"""SNMPv3 over one UDP socket, behind client.Transport: discovery, time and retries around a UsmPeer."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from typing import Final, NoReturn

import structlog

from collectors.interface import Credential
from collectors.snmp.connection import connect_udp
from collectors.snmp.errors import (
    BerError,
    MalformedReplyError,
    NetworkError,
    NoAnswerError,
    RefusedError,
    SnmpError,
)
from collectors.snmp.message import encode_pdu, parse_pdu, request_name
from collectors.snmp.usm.errors import (
    NO_ID,
    AgainError,
    EngineChangedError,
    UntrustedError,
    UsmError,
)
from collectors.snmp.usm.keys import KeyChain
from collectors.snmp.usm.peer import UsmPeer
from collectors.snmp.usm.user import usm_user
from collectors.snmp.walk import Ask, Reply
from monitor.clock import Clock

_STRAYS_PER_ATTEMPT: Final = 64
_AGAINS: Final = 4  # a discovery, a time, and both once more after the engine changed

_log = structlog.get_logger(__name__)


class UsmTransport:
    """One agent. `timeout` in seconds for each of `retries` + 1 attempts. Use from one thread at a time.

    After `close` the next exchange opens a socket again; engine, keys and time are kept. Raises SnmpError when the
    address or the credential cannot be used.
    """

    bulk = True

    def __init__(
        self,
        address: str,
        port: int,
        credential: Credential,
        timeout: float,
        retries: int,
        clock: Clock,
        *,
        keys: KeyChain | None = None,
    ) -> None:
        self.where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        self._target = (address, port)
        self._timeout = timeout
        self._attempts = retries + 1
        self._clock = clock
        self._counts: dict[str, int] = {}
        user = usm_user(credential, self.where)
        self._peer = UsmPeer(self.where, user, keys or KeyChain(), clock, counts=self._counts)
        self._socket: socket.socket | None = connect_udp(address, port, self.where)

    @property
    def counts(self) -> Mapping[str, int]:
        """How often what was refused, reported or learned anew, by reason; see usm.errors."""
        return self._counts

    @property
    def peer(self) -> UsmPeer:
        """What is known about the agent."""
        return self._peer

    def exchange(self, ask: Ask) -> Reply:
        """Raises NoAnswerError, RefusedError, AuthError, MalformedReplyError or NetworkError."""
        if self._socket is None:
            self._socket = connect_udp(*self._target, self.where)
        request_id = secrets.randbits(31)
        names = b"".join([request_name(oid) for oid in ask.oids])
        pdu = encode_pdu(ask.kind, request_id, 0, ask.max_repetitions, names)
        try:
            return self._exchange(self._socket, pdu, request_id)
        except ConnectionRefusedError as error:
            raise RefusedError(self.where) from error
        except OSError as error:
            raise NetworkError(self.where, error.strerror or str(error)) from error

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, link: socket.socket, pdu: bytes, request_id: int) -> Reply:
        sent: set[int] = set()
        attempts, agains = self._attempts, _AGAINS
        failure: SnmpError | None = None
        while attempts:
            msg_id = secrets.randbits(31)
            sent.add(msg_id)
            link.send(self._peer.seal(pdu, msg_id))
            try:
                reply, bad = self._receive(link, sent, request_id)
            except AgainError as told:
                if not agains:
                    raise
                agains -= 1
                _log.debug("SNMPv3 synchronised", where=self.where, reason=told.reason)
                continue
            if reply is not None:
                return reply
            failure = bad or failure
            attempts -= 1
        self._peer.rediscover()  # perhaps it is another engine by now, one that does not report
        raise failure or NoAnswerError(self.where, v3=True)

    def _receive(
        self, link: socket.socket, sent: set[int], request_id: int
    ) -> tuple[Reply | None, SnmpError | None]:
        """The answer to one of `sent` within one timeout; what cannot be believed is skipped, up to a cap.

        Raises AgainError when the request must be sent again, ReportedError when the agent refuses it.
        """
        deadline = self._clock.monotonic() + self._timeout
        failure: SnmpError | None = None
        for _ in range(_STRAYS_PER_ATTEMPT):
            left = deadline - self._clock.monotonic()
            if left <= 0:
                break
            link.settimeout(left)
            try:
                data = link.recv(65535)
            except TimeoutError:
                break
            try:
                reply = self._read(data, sent, request_id)
            except (UntrustedError, MalformedReplyError) as error:
                failure = error
                continue
            if reply is not None:
                return reply, None
        return None, failure

    def _read(self, data: bytes, sent: set[int], request_id: int) -> Reply | None:
        """The answer in a datagram; None when it answers something else."""
        try:
            msg_id, pdu = self._peer.open(data)
            message = parse_pdu(pdu)
        except BerError as error:
            raise MalformedReplyError(self.where, error) from error
        except UsmError as error:
            if error.msg_id in sent:
                self._told(error)
            elif isinstance(error, UntrustedError):
                raise
            msg_id, message = NO_ID, None
        if message is None or msg_id not in sent:
            self._count("wrong-message-id")
        elif message.request_id != request_id:
            self._count("wrong-request-id")
        else:
            return Reply(message.error_status, message.error_index, message.varbinds)
        return None

    def _told(self, error: UsmError) -> NoReturn:
        """What an error about one of our messages means for the peer; raises it or what it comes to."""
        if isinstance(error, EngineChangedError):
            _log.info("SNMPv3 engine changed", where=self.where)
        elif error.reason == "replayed":
            # Nobody can have recorded an answer to a random id used a moment ago: the agent's clock was set back.
            _log.warning("SNMPv3 engine time went back", where=self.where)
            self._peer.forget()
            self._count("time-set-back")
            raise AgainError(self.where, "time-set-back", msg_id=error.msg_id) from error
        raise error

    def _count(self, reason: str) -> None:
        self._counts[reason] = self._counts.get(reason, 0) + 1
