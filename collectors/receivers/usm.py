"""SNMPv3 traps and informs through pysnmp, fed in process: no second socket, no event loop.

The trap port is one socket for all versions. Its reader hands v3 datagrams of registered addresses here; each goes,
with its sender, to a pysnmp engine through `_Handed`, a transport that is a method call, and what pysnmp answers
(reports, acknowledgements of informs) comes back the same way and leaves by the socket the datagram came in. There
is one pysnmp engine a credential, so that two hospitals may use one user name with different passwords; all share
our engine id, boots and time.

Before pysnmp sees a signed message its user, level and digest are checked with the keys that also verify polls, so a
forger cannot fill pysnmp's tables; after it, Freshness refuses replays, which pysnmp does not. An inform is
acknowledged when its event is stored, not before.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from pysnmp.carrier.base import AbstractTransport, AbstractTransportDispatcher
from pysnmp.entity import config
from pysnmp.entity.engine import SnmpEngine
from pysnmp.entity.rfc3413.ntfrcv import NotificationReceiver
from pysnmp.proto.rfc1902 import OctetString

from collectors.interface import Credential
from collectors.receivers.datagrams import Peer
from collectors.receivers.freshness import Freshness
from collectors.receivers.sources import Source
from collectors.receivers.tally import Tally
from collectors.snmp import ber
from collectors.snmp.ber import VarBind, encode_oid
from collectors.snmp.errors import BerError
from collectors.snmp.message import SNMP_TRAP_OID, SYS_UP_TIME, TRAP_V2, V3, Trap
from collectors.snmp.usm.ciphers import Digester
from collectors.snmp.usm.errors import PolicyError
from collectors.snmp.usm.keys import KeyChain
from collectors.snmp.usm.message import AUTH_FLAG, MIN_ENGINE, PRIV_FLAG, UsmMessage, decode_message
from collectors.snmp.usm.user import UsmUser, usm_user
from monitor.clock import Clock

Answer = Callable[[bytes, Peer], None]
Take = Callable[[Source, Trap, Peer, bytes], bool]
Refuse = Callable[[str, Source | None, Peer], None]

QUEUE_LIMIT: Final = 2048
DOORS: Final = 64
KNOWN_ENGINES: Final = 512
SAVE_SECONDS: Final = 30.0
_DOMAIN: Final = (1, 3, 6, 1, 6, 1, 1)
_AUTH: Final = {
    "SHA": config.USM_AUTH_HMAC96_SHA,
    "SHA224": config.USM_AUTH_HMAC128_SHA224,
    "SHA256": config.USM_AUTH_HMAC192_SHA256,
    "SHA384": config.USM_AUTH_HMAC256_SHA384,
    "SHA512": config.USM_AUTH_HMAC384_SHA512,
    "MD5": config.USM_AUTH_HMAC96_MD5,
}
_PRIV: Final = {
    "AES": config.USM_PRIV_CFB128_AES,
    "AES192": config.USM_PRIV_CFB192_AES_BLUMENTHAL,
    "AES256": config.USM_PRIV_CFB256_AES_BLUMENTHAL,
    "AES192C": config.USM_PRIV_CFB192_AES,
    "AES256C": config.USM_PRIV_CFB256_AES,
    "DES": config.USM_PRIV_CBC56_DES,
}
_STATS: Final = {
    "usmStatsUnknownEngineIDs": "handshake",
    "usmStatsNotInTimeWindows": "handshake",
    "usmStatsWrongDigests": "digest",
    "usmStatsUnknownUserNames": "user",
    "usmStatsUnsupportedSecLevels": "level",
    "usmStatsDecryptionErrors": "decryption",
}
log = structlog.get_logger(__name__)


class _Handed(AbstractTransport):  # type: ignore[misc]  # pysnmp has no types
    """A pysnmp transport that is a method call."""

    PROTO_TRANSPORT_DISPATCHER = AbstractTransportDispatcher

    def __init__(self) -> None:
        self.answers: list[bytes] = []

    def hand(self, data: bytes, peer: str) -> None:
        self._callback_function(self, (peer, 0), data)

    def send_message(self, outgoing: bytes, address: object) -> None:
        self.answers.append(bytes(outgoing))


@dataclass(frozen=True, slots=True)
class OwnEngine:
    """Who we are to those who send informs: engine id, boots, and when this boot began (seconds since the epoch)."""

    engine_id: bytes
    boots: int
    began: int


class Door:
    """A pysnmp engine with one user."""

    def __init__(self, own: OwnEngine, user: UsmUser) -> None:
        self.user = user
        self._own = own
        self._keys = KeyChain()
        self._engine = SnmpEngine()
        builder = self._engine.get_mib_builder()
        for name, value in (("ID", own.engine_id), ("Boots", own.boots), ("Time", own.began)):
            (instance,) = builder.import_symbols("__SNMP-FRAMEWORK-MIB", f"snmpEngine{name}")
            instance.syntax = instance.syntax.clone(value)
            if name == "ID":
                self._engine.snmpEngineID = instance.syntax
        self._stats = {name: builder.import_symbols("__SNMP-USER-BASED-SM-MIB", name)[0] for name in _STATS}
        self._transport = _Handed()
        self._dispatcher = AbstractTransportDispatcher()
        self._engine.register_transport_dispatcher(self._dispatcher)
        self._dispatcher.register_transport(_DOMAIN, self._transport)
        self._received: list[Trap] = []
        NotificationReceiver(self._engine, self._notified)
        self._digesters: OrderedDict[bytes, Digester] = OrderedDict()
        self._add(own.engine_id)

    @property
    def engines(self) -> int:
        """How many engines pysnmp knows, our own among them."""
        return len(self._digesters)

    def hand(self, data: bytes, peer: str) -> tuple[list[Trap], list[bytes], str]:
        """What pysnmp makes of a datagram: notifications, answers, and when there are none the reason."""
        before = {name: int(row.syntax) for name, row in self._stats.items()}
        self._received, self._transport.answers = [], []
        self._dispatcher.handle_timer_tick(time.time())
        self._transport.hand(data, peer)
        reason = next(
            (_STATS[name] for name, row in self._stats.items() if int(row.syntax) != before[name]), ""
        )
        return self._received, self._transport.answers, reason

    def signed(self, message: UsmMessage, data: bytes) -> bool:
        """Whether the digest is right; only then the sender's engine is made known to pysnmp."""
        digester = self._digesters.get(message.engine_id) or self._digester(message.engine_id)
        if len(message.digest) != digester.octets:
            return False
        end = message.digest_at + digester.octets
        blank = data[: message.digest_at] + digester.zeros + data[end:]
        if not secrets.compare_digest(digester.digest(blank), message.digest):
            return False
        if message.engine_id not in self._digesters:
            self._add(message.engine_id)
        return True

    def _digester(self, engine_id: bytes) -> Digester:
        auth = self.user.auth
        if auth is None:
            raise ValueError("a door needs a user that signs")
        return Digester(auth, self._keys.auth_key(auth, self.user.auth_password, engine_id))

    def _add(self, engine_id: bytes) -> None:
        user = self.user
        if user.auth is None:
            raise ValueError("a door needs a user that signs")
        self._digesters[engine_id] = self._digester(engine_id)
        private: dict[str, object] = {}
        if user.priv is not None:
            key = self._keys.priv_key(user.auth, user.priv, user.priv_password, engine_id)
            private = {"privProtocol": _PRIV[user.priv.name], "privKey": OctetString(key)}
        config.add_v3_user(
            self._engine,
            user.name.decode(),
            authProtocol=_AUTH[user.auth.name],
            authKey=OctetString(self._keys.auth_key(user.auth, user.auth_password, engine_id)),
            securityEngineId=OctetString(engine_id),
            authKeyType=config.USM_KEY_TYPE_LOCALIZED,
            privKeyType=config.USM_KEY_TYPE_LOCALIZED,
            **private,
        )
        if len(self._digesters) > KNOWN_ENGINES:
            oldest = next(known for known in self._digesters if known != self._own.engine_id)
            del self._digesters[oldest]
            config.delete_v3_user(self._engine, user.name.decode(), OctetString(oldest))

    def _notified(
        self,
        _engine: object,
        _reference: object,
        _context_engine: object,
        _context: object,
        rows: Any,
        _ctx: object,
    ) -> None:
        self._received.append(_trap([_varbind(name, value) for name, value in rows]))


def _trap(varbinds: list[VarBind]) -> Trap:
    trap_oid, uptime, rest = b"", 0, []
    for oid, tag, value in varbinds:
        if oid == SNMP_TRAP_OID and isinstance(value, bytes):
            trap_oid = value
        elif oid == SYS_UP_TIME and isinstance(value, int):
            uptime = value
        else:
            rest.append((oid, tag, value))
    if not trap_oid:
        raise BerError("a trap without snmpTrapOID")
    return Trap(V3, b"", TRAP_V2, 0, trap_oid, uptime, b"", rest)


_TAGS: Final = {
    "Integer": ber.INTEGER,
    "Integer32": ber.INTEGER,
    "Counter32": ber.COUNTER32,
    "Gauge32": ber.GAUGE32,
    "Unsigned32": ber.GAUGE32,
    "TimeTicks": ber.TIME_TICKS,
    "Counter64": ber.COUNTER64,
    "OctetString": ber.OCTET_STRING,
    "IpAddress": ber.IP_ADDRESS,
    "Opaque": ber.OPAQUE,
    "Bits": ber.OCTET_STRING,
    "ObjectIdentifier": ber.OBJECT_ID,
}


def _varbind(name: Any, value: Any) -> VarBind:
    oid = encode_oid(tuple(name))
    tag = _TAGS.get(type(value).__name__, ber.NULL)
    if tag == ber.NULL:
        return oid, tag, None
    if tag == ber.OBJECT_ID:
        return oid, tag, encode_oid(tuple(value))
    return oid, tag, int(value) if tag in ber.NUMERIC else bytes(value.asOctets())


class SignedTraps:
    """The v3 side of the receiver; `run` is its thread."""

    def __init__(self, clock: Clock, folder: Path, tally: Tally) -> None:
        self._clock = clock
        self._folder = folder
        self._tally = tally
        self._waiting: deque[tuple[Peer, bytes, tuple[Source, ...], Answer]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._own: OwnEngine | None = None
        self._freshness = Freshness()
        self._doors: OrderedDict[Credential, Door] = OrderedDict()
        self._take: Take = lambda _source, _trap, _peer, _raw: False
        self._refuse: Refuse = lambda _reason, _source, _peer: None

    def deliver_to(self, take: Take, refuse: Refuse) -> None:
        """Where verified notifications and refusals go; before `run`."""
        self._take = take
        self._refuse = refuse

    def offer(self, peer: Peer, data: bytes, sources: tuple[Source, ...], answer: Answer) -> None:
        """A v3 datagram from an address where `sources` are registered. The oldest goes when too many wait."""
        with self._changed:
            self._waiting.append((peer, data, sources, answer))
            if len(self._waiting) > QUEUE_LIMIT:
                self._waiting.popleft()
                self._tally.add("zhishou_traps_dropped", "usm_queue")
            self._changed.notify()

    def run(self) -> None:
        """Until `stop`."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._own is None:
            self._own = _own_engine(self._folder / "engine.json", self._clock)
            self._freshness.load(self._folder / "engines.json")
        next_save = self._clock.monotonic() + SAVE_SECONDS
        while not self._stopping:
            with self._changed:
                if not self._waiting:
                    self._changed.wait(0.2)
                found = self._waiting.popleft() if self._waiting else None
            if found is not None:
                self._process(*found)
            if self._clock.monotonic() >= next_save:
                next_save = self._clock.monotonic() + SAVE_SECONDS
                self._save()
        self._save()

    def stop(self) -> None:
        """Let `run` end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def _save(self) -> None:
        try:
            self._freshness.save(self._folder / "engines.json")
        except OSError as error:
            log.error("the times of SNMPv3 engines cannot be kept", reason=str(error))

    def _process(self, peer: Peer, data: bytes, sources: tuple[Source, ...], answer: Answer) -> None:
        try:
            message = decode_message(data)
        except BerError:
            self._tally.add("zhishou_traps_malformed")
            return
        candidates = [source for source in sources if source.usm]
        if not candidates:
            self._refuse("not-v3", sources[0], peer)
            return
        discovery = len(message.engine_id) < MIN_ENGINE and not message.flags & AUTH_FLAG
        fitting = [s for s in candidates if s.credential and s.credential.user.encode() == message.user]
        source = (fitting or candidates)[0]
        if not fitting and not discovery:
            self._refuse("user", source, peer)
            return
        try:
            door = self._door(source)
        except PolicyError as error:
            log.warning("a v3 credential cannot verify traps", device=source.device.id, reason=str(error))
            self._refuse("protocol", source, peer)
            return
        if discovery:
            made = self._handed(door, source, data)
            if made is not None:
                self._tally.add("zhishou_traps_handshakes")
                self._reply(made[1], peer, answer)
            return
        self._signed(door, source, message, peer, data, answer)

    def _signed(
        self, door: Door, source: Source, message: UsmMessage, peer: Peer, data: bytes, answer: Answer
    ) -> None:
        """A message that claims to be signed by the user this device has."""
        inform = self._own is not None and message.engine_id == self._own.engine_id
        syncing = inform and not message.boots and not message.time
        wanted = AUTH_FLAG | (PRIV_FLAG if door.user.priv is not None else 0)
        level = message.flags & (AUTH_FLAG | PRIV_FLAG)
        if level != wanted and not (syncing and level == AUTH_FLAG):
            self._refuse("level", source, peer)
            return
        if not door.signed(message, data):
            self._refuse("digest", source, peer)
            return
        made = self._handed(door, source, data)
        if made is None:
            return
        traps, answers, reason = made
        if not traps:
            self._unread(source, peer, answers, answer, reason, inform=inform)
            return
        stale = self._freshness.judge(
            message.engine_id, message.boots, message.time, data, self._clock.now_ms()
        )
        if stale == "replay" and inform:
            # The acknowledgement got lost and the sender asks again: answer, do not tell twice.
            self._tally.add("zhishou_traps_handshakes")
            self._reply(answers, peer, answer)
        elif stale:
            self._refuse(stale, source, peer)
        elif self._take(source, traps[0], peer, data) and answers:
            self._reply(answers, peer, answer)
            self._tally.add("zhishou_trap_informs_answered")

    def _handed(self, door: Door, source: Source, data: bytes) -> tuple[list[Trap], list[bytes], str] | None:
        """What pysnmp makes of it; None, counted, when it fails at it."""
        try:
            return door.hand(data, source.device.address)
        except Exception as error:  # noqa: BLE001 - pysnmp lets pyasn1's errors of all kinds through
            # The message is refused, the next one is not harmed.
            log.warning("pysnmp cannot read a v3 message", device=source.device.id, reason=repr(error)[:200])
            self._tally.add("zhishou_traps_malformed")
            return None

    def _unread(
        self, source: Source, peer: Peer, answers: list[bytes], answer: Answer, reason: str, *, inform: bool
    ) -> None:
        if reason == "handshake" and inform:
            self._tally.add("zhishou_traps_handshakes")
            self._reply(answers, peer, answer)
        elif reason:
            self._refuse("window" if reason == "handshake" else reason, source, peer)
        else:
            self._tally.add("zhishou_traps_malformed")

    def _reply(self, answers: Sequence[bytes], peer: Peer, answer: Answer) -> None:
        for data in answers:
            try:
                answer(data, peer)
            except OSError as error:
                log.warning("a v3 sender cannot be answered", reason=str(error))

    def _door(self, source: Source) -> Door:
        """The engine of a credential, made (in a third of a second) when its first message comes; DOORS are kept."""
        credential = source.credential
        if credential is None or self._own is None:
            raise ValueError("no credential")
        door = self._doors.get(credential)
        if door is None:
            user = usm_user(credential, source.device.id)
            if user.auth is None:
                raise PolicyError(
                    source.device.id, "no-auth", "an unsigned v3 trap proves nothing", hint="", zh=""
                )
            door = self._doors[credential] = Door(self._own, user)
            if len(self._doors) > DOORS:
                self._doors.popitem(last=False)
        self._doors.move_to_end(credential)
        return door


def _own_engine(path: Path, clock: Clock) -> OwnEngine:
    """Our engine id, made once, and boots, one more each time. OSError when the disk does not take it."""
    engine_id, boots = b"\x80\x00\x4f\xb8\x05" + secrets.token_bytes(10), 0
    try:
        document = json.loads(path.read_text("ascii"))
        engine_id, boots = bytes.fromhex(document["engine_id"]), int(document["boots"])
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning(
            "our SNMPv3 engine id is not readable, senders of informs learn a new one", reason=str(error)
        )
    boots = boots % 0x7FFFFFFE + 1
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"engine_id": engine_id.hex(), "boots": boots}), "ascii")
    temporary.replace(path)
    return OwnEngine(engine_id, boots, clock.now_ms() // 1000)
