"""What is known about one agent for one user, and messages to and from it (RFC 3414 section 3). No I/O.

`seal` and `open` are on the path of every poll of a city: what does not change between messages is built once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, MutableMapping
from hmac import compare_digest
from types import MappingProxyType
from typing import Final, NoReturn

from collectors.snmp.ber import (
    OCTET_STRING,
    Oid,
    encode_oid,
    tlv,
)
from collectors.snmp.errors import BerError, MalformedReplyError
from collectors.snmp.message import GET, REPORT, RESPONSE, encode_pdu, parse_pdu
from collectors.snmp.usm.alike import LONG_AGO, Answers, Requests
from collectors.snmp.usm.ciphers import Digester, Privacy, privacy
from collectors.snmp.usm.errors import (
    NO_ID,
    AgainError,
    EngineChangedError,
    ReportedError,
    UntrustedError,
)
from collectors.snmp.usm.keys import KeyChain
from collectors.snmp.usm.message import (
    AUTH_FLAG,
    MAX_INT,
    MIN_ENGINE,
    PRIV_FLAG,
    REPORTABLE,
    UsmMessage,
    decode_message,
    decode_scoped,
    encode_header,
    encode_message,
    encode_scoped,
    encode_security,
)
from collectors.snmp.usm.user import UsmUser
from monitor.clock import Clock

WINDOW: Final = 150  # seconds, RFC 3414 section 2.2.3

_SOME_PDU: Final = 1000  # octets
_KEPT_IDS: Final = 16  # more than are on their way to one agent
_USM_STATS: Final = "1.3.6.1.6.3.15.1.1."
_REPORTS: Final[Mapping[Oid, str]] = MappingProxyType(
    {
        encode_oid(_USM_STATS + "1.0"): "reported-unsupported-level",
        encode_oid(_USM_STATS + "2.0"): "reported-not-in-time-window",
        encode_oid(_USM_STATS + "3.0"): "reported-unknown-user",
        encode_oid(_USM_STATS + "4.0"): "reported-unknown-engine",
        encode_oid(_USM_STATS + "5.0"): "reported-wrong-digest",
        encode_oid(_USM_STATS + "6.0"): "reported-decryption",
        encode_oid("1.3.6.1.6.3.12.1.5.0"): "reported-unknown-context",
    }
)


class UsmPeer:
    """One agent. Not for use by several threads at once. About 5 KB.

    While the engine is not known, `seal` gives a discovery in place of the request; its answer makes `open` raise
    AgainError. What `open` raises: UntrustedError and MalformedReplyError mean drop and wait on; AgainError seal and
    send again; ReportedError give up. They, too, carry a `msg_id`. `counts` gets one per refusal, by reason.
    """

    __slots__ = (
        "_answers", "_boots", "_clock", "_context", "_counts", "_digester", "_engine_id", "_keys", "_newest", "_offset",
        "_privacy", "_requests", "_sent", "_synchronised", "_user", "_where",
    )  # fmt: skip

    def __init__(
        self,
        where: str,
        user: UsmUser,
        keys: KeyChain,
        clock: Clock,
        *,
        context: bytes = b"",
        counts: MutableMapping[str, int] | None = None,
    ) -> None:
        self._where = where
        self._user = user
        self._keys = keys
        self._clock = clock
        self._context = context
        self._counts = {} if counts is None else counts
        self._requests: Requests | None = None
        self._answers: Answers | None = None
        self._digester: Digester | None = None
        self._privacy: Privacy | None = None
        self._sent: deque[int] = deque(maxlen=_KEPT_IDS)
        self.forget()

    @property
    def ready(self) -> bool:
        """Whether the engine is known, so that `seal` gives requests."""
        return bool(self._engine_id)

    @property
    def engine_id(self) -> bytes:
        """snmpEngineID of the agent; empty until it is discovered."""
        return self._engine_id

    @property
    def boots(self) -> int:
        """snmpEngineBoots of the agent, as far as known."""
        return self._boots

    @property
    def around(self) -> int:
        """Octets that a message takes around its PDU, at most."""
        octets = 0 if self._digester is None else self._digester.octets
        security = encode_security(
            self._engine_id, MAX_INT, MAX_INT, self._user.name, bytes(octets), bytes(8)
        )
        body = tlv(OCTET_STRING, encode_scoped(self._engine_id, self._context, bytes(_SOME_PDU)))
        filling = 0 if self._privacy is None else self._privacy.size(1) - 1
        return len(encode_message(encode_header(MAX_INT, 0), security, body)) - _SOME_PDU + filling

    @property
    def counts(self) -> Mapping[str, int]:
        """How often what was refused, reported or learned anew, by reason."""
        return self._counts

    def forget(self) -> None:
        """Back to where nothing is known, not even which answers of this engine are old. See `rediscover`."""
        self._synchronised = b""  # the engine whose time we have from an authentic message
        self._boots = 0
        self._newest = 0  # greatest engine time received in an authentic message
        self._offset = 0.0  # engine time minus our monotonic clock
        self.rediscover()

    def rediscover(self) -> None:
        """Ask for the engine id anew. Should it be the same, recordings of it are refused as before."""
        self._engine_id = b""
        self._requests = self._answers = None

    def engine_time(self) -> int:
        """snmpEngineTime of the agent now, by our clock, in seconds."""
        now = int(self._clock.monotonic() + self._offset)
        return now if 0 <= now <= MAX_INT else max(0, min(now, MAX_INT))

    def discovery(self, msg_id: int) -> bytes:
        """A message whose Report tells the agent's engine id (RFC 3414 section 4)."""
        self._sent.append(msg_id)
        scoped = encode_scoped(b"", b"", encode_pdu(GET, msg_id, 0, 0, b""))
        return encode_message(encode_header(msg_id, REPORTABLE), encode_security(b"", 0, 0, b""), scoped)

    def seal(self, pdu: bytes, msg_id: int, request_id_at: int = 0) -> bytes:
        """A message around an encoded request PDU, or a discovery; `msg_id` is 0 to 2**31-1. It takes the place of the
        request id at `request_id_at`, which has four octets, as it then must itself; 0 leaves the PDU as it is.
        """
        requests = self._requests
        if requests is None:
            return self.discovery(msg_id)
        self._sent.append(msg_id)
        now = self._clock.monotonic()
        if now >= requests.until:
            requests.stamp(self._boots, self.engine_time())
            requests.until = now + 1 - (now + self._offset) % 1
        return requests.seal(pdu, msg_id, request_id_at)

    def open_alike(self, octets: memoryview, at: int, size: int, number: int) -> int:
        """Put the PDU of the answer at octets [at : at + size] in its place, when that is authentic, has this message
        id and request id, and is laid out like an earlier one: octets of the PDU. 0 when it is to be `open`ed.
        """
        if self._answers is None:
            return 0
        return self._answers.open(octets, at, size, number, self._clock.monotonic())

    def open(self, datagram: bytes) -> tuple[int, bytes]:
        """Message id and Response PDU of a verified answer. Raises UsmError or MalformedReplyError."""
        try:
            return self._open(datagram)
        except BerError as error:
            self._count("malformed")
            raise MalformedReplyError(self._where, error) from error

    def _open(self, data: bytes) -> tuple[int, bytes]:
        """By the book: RFC 3414 section 3.2, RFC 3412 section 7.2."""
        message = decode_message(data)
        msg_id, level = message.msg_id, message.flags & (AUTH_FLAG | PRIV_FLAG)
        if level == PRIV_FLAG or level > self._user.level:
            self._refuse("bad-flags", msg_id)
        if not level:
            return self._open_unproved(message)
        if self._digester is None or message.engine_id != self._engine_id:
            self._refuse("wrong-engine", msg_id)
        if message.user != self._user.name:
            self._refuse("wrong-user", msg_id)
        digest_end = message.digest_at + len(message.digest)
        self._verify(self._digester, data, message.digest_at, digest_end, msg_id)
        plain = message.body
        if level & PRIV_FLAG and self._privacy is not None:
            plain = self._privacy.decrypt(plain, message.boots, message.time, message.salt)
            pdu = self._deciphered(plain, msg_id)
        else:
            pdu = decode_scoped(plain, padded=False).pdu
        self._check_window(message.boots, message.time, msg_id, resetting=_is_time_report(pdu))
        if pdu[0] != RESPONSE:
            self._report(pdu, msg_id, proved=True)
        if level != self._user.level:
            self._refuse("downgraded", msg_id)
        if self._answers is not None:
            self._answers.remember(data, message, plain, pdu, message.time + WINDOW - self._offset)
        return msg_id, pdu

    def _open_unproved(self, message: UsmMessage) -> tuple[int, bytes]:
        """A message without a digest: Reports, and answers to a user without a password."""
        pdu = decode_scoped(message.body, padded=False).pdu
        if pdu[0] == REPORT:
            if message.msg_id not in self._sent:
                self._refuse("unasked-report", message.msg_id)
            if not self._engine_id:
                self._learn(message)
            if message.engine_id != self._engine_id and _reason(pdu) == "reported-unknown-engine":
                self._count("engine-changed")
                self.rediscover()
                raise EngineChangedError(self._where, "engine-changed", msg_id=message.msg_id)
        if message.engine_id != self._engine_id:
            self._refuse("wrong-engine", message.msg_id)
        if pdu[0] == REPORT:
            self._report(pdu, message.msg_id, proved=False)
        if self._user.level:
            self._refuse("downgraded", message.msg_id)
        if message.user != self._user.name:
            self._refuse("wrong-user", message.msg_id)
        if pdu[0] != RESPONSE:
            self._refuse("unexpected-kind", message.msg_id)
        return message.msg_id, pdu

    def _verify(self, digester: Digester, data: bytes, at: int, end: int, msg_id: int) -> None:
        right = digester.digest(b"".join((data[:at], digester.zeros, data[end:])))
        if not compare_digest(right, data[at:end]):
            self._refuse("wrong-digest", msg_id)

    def _check_window(self, boots: int, time: int, msg_id: int, *, resetting: bool = False) -> None:
        """RFC 3414 section 3.2.7 b. What an authentic message tells of the agent's time is taken over.

        A Report about the time window (`resetting`) is measured by the newest message received, not by our own
        notion of time: it is what corrects our notion after our clock has jumped.
        """
        now = self._clock.monotonic()
        if boots == MAX_INT:
            self._refuse("replayed", msg_id)
        synchronised = self._synchronised == self._engine_id
        if not synchronised or boots > self._boots or (boots == self._boots and time > self._newest):
            if synchronised and boots > self._boots:
                self._count("restarted")
            self._synchronised = self._engine_id
            self._boots, self._newest = boots, time
        elif boots < self._boots or time < max(self._newest, 0 if resetting else now + self._offset) - WINDOW:
            self._refuse("replayed", msg_id)
        elif not resetting:
            return
        self._offset = time - now
        if self._requests is not None:
            self._requests.until = LONG_AGO
        if self._answers is not None:
            self._answers.forget_time()

    def _deciphered(self, plain: bytes, msg_id: int) -> bytes:
        """The PDU in a decrypted ScopedPDU; what a wrong key leaves is refused as garbled."""
        try:
            return decode_scoped(plain, padded=True).pdu
        except BerError:
            self._refuse("garbled", msg_id)

    def _report(self, pdu: bytes, msg_id: int, *, proved: bool) -> NoReturn:
        if pdu[0] != REPORT:
            self._refuse("unexpected-kind", msg_id)
        reason = _reason(pdu)
        if reason == "reported-not-in-time-window":
            if not proved:
                self._refuse("unproved-report", msg_id)
            self._count("time-synchronised")
            raise AgainError(self._where, "time-synchronised", msg_id=msg_id)
        if reason == "reported-unknown-engine" or msg_id not in self._sent:
            self._refuse("unasked-report", msg_id)
        self._count(reason)
        raise ReportedError(self._where, reason, msg_id=msg_id)

    def _learn(self, message: UsmMessage) -> NoReturn:
        """Take the engine of a discovery's Report. Its time is a hint for sending; only authentic ones are believed."""
        if len(message.engine_id) < MIN_ENGINE:
            self._refuse("wrong-engine", message.msg_id)
        user, engine_id = self._user, message.engine_id
        if user.auth is not None:
            auth_key = self._keys.auth_key(user.auth, user.auth_password, engine_id)
            self._digester = Digester(user.auth, auth_key)
            if user.priv is not None:
                key = self._keys.priv_key(user.auth, user.priv, user.priv_password, engine_id)
                self._privacy = privacy(user.priv, key)
        self._engine_id = engine_id
        if engine_id != self._synchronised:
            self._boots = message.boots
            self._offset = message.time - self._clock.monotonic()
        self._requests = Requests(engine_id, self._context, user, self._digester, self._privacy)
        self._answers = None if self._digester is None else Answers(self._digester, self._privacy)
        self._count("engine-discovered")
        raise AgainError(self._where, "engine-discovered", msg_id=message.msg_id)

    def _count(self, reason: str) -> None:
        self._counts[reason] = self._counts.get(reason, 0) + 1

    def _refuse(self, reason: str, msg_id: int = NO_ID) -> NoReturn:
        self._count(reason)
        raise UntrustedError(self._where, reason, msg_id=msg_id)


def _reason(pdu: bytes) -> str:
    """What a Report is about. Raises BerError."""
    for oid, _, _ in parse_pdu(pdu).varbinds:
        if oid in _REPORTS:
            return _REPORTS[oid]
    return "reported-other"


def _is_time_report(pdu: bytes) -> bool:
    return pdu[0] == REPORT and _reason(pdu) == "reported-not-in-time-window"
