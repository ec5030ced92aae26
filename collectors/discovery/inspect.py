"""Reads what answered: identity through its profile, serial, engine, own addresses and MACs. Within the scan's pace."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from collectors.discovery.kinds import suggest
from collectors.discovery.pace import Pace
from collectors.interface import Credential
from collectors.profiles.identify import columns_needed, read_identity, scalars_needed
from collectors.profiles.match import DEFAULT, best_match
from collectors.profiles.profile import Profile
from collectors.profiles.values import text_of
from collectors.snmp.ber import OBJECT_ID, Oid, Typed, decode_index, dotted, encode_oid
from collectors.snmp.client import Session, Transport, open_transport
from collectors.snmp.errors import AgentError, BudgetError, NoAnswerError, SnmpError
from collectors.snmp.walk import Ask, Column, Reply
from monitor.clock import Clock
from monitor.discovery.interface import Find

SYS_DESCR: Final = encode_oid("1.3.6.1.2.1.1.1.0")
SYS_OBJECT_ID: Final = encode_oid("1.3.6.1.2.1.1.2.0")
_SYS_NAME: Final = encode_oid("1.3.6.1.2.1.1.5.0")
_SYS_SERVICES: Final = encode_oid("1.3.6.1.2.1.1.7.0")
_ENGINE_ID: Final = encode_oid("1.3.6.1.6.3.10.2.1.1.0")
_PHYS_ADDRESS: Final = encode_oid("1.3.6.1.2.1.2.2.1.6")
_AD_ENT_ADDR: Final = encode_oid("1.3.6.1.2.1.4.20.1.1")
_IP_ADDRESS_TYPE: Final = encode_oid("1.3.6.1.2.1.4.34.1.4")
_UNICAST: Final = 1
_SYSTEM: Final = (SYS_DESCR, SYS_OBJECT_ID, _SYS_NAME, _SYS_SERVICES)
_V3_HANDSHAKE: Final = 3  # discovery, time synchronisation, request
_BUDGET: Final = 30.0  # seconds for one device
_MAX_OWN: Final = 512  # addresses and MACs kept of one device
_VERSIONS: Final[Mapping[str, str]] = {"snmp-v1": "1", "snmp-v2c": "2c", "snmp-v3": "3"}

_log = structlog.get_logger(__name__)


class PacedTransport:
    """Any Transport, each request of it drawn from the scan's pace. One attempt a request; it repeats by itself."""

    def __init__(
        self, inner: Transport, pace: Pace, clock: Clock, stop: threading.Event, retries: int, first: int
    ) -> None:
        self.where = inner.where
        self.bulk = inner.bulk
        self._inner = inner
        self._pace = pace
        self._clock = clock
        self._stop = stop
        self._attempts = retries + 1
        self._weight = first

    def exchange(self, ask: Ask) -> Reply:
        """Raises SnmpError; BudgetError once the scan is stopped."""
        for attempt in range(1, self._attempts + 1):
            self._draw(self._weight)
            try:
                reply = self._inner.exchange(ask)
            except NoAnswerError:
                if attempt == self._attempts:
                    raise
            else:
                self._weight = 1
                return reply
        raise NoAnswerError(self.where)

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()

    def _draw(self, packets: int) -> None:
        while packets:
            wait = self._pace.take(self._clock.monotonic())
            if not wait:
                packets -= 1
            elif self._stop.wait(wait):
                raise BudgetError(self.where, "the scan was stopped")


@dataclass(frozen=True, slots=True)
class Inspector:
    """Reads one address with one credential. Safe to use from several threads."""

    profiles: Mapping[str, Profile]
    port: int
    timeout: float
    retries: int
    pace: Pace
    clock: Clock
    stop: threading.Event

    def inspect(self, address: str, name: str, credential: Credential, engine: bytes = b"") -> Find | None:
        """What stands at the address; None when a v3 credential does not open it, or the scan was stopped. What
        answered v1 or v2c once is a find even when it then says nothing more.
        """
        try:
            inner = open_transport(
                address, self.port, credential, timeout=self.timeout, retries=0, clock=self.clock
            )
        except SnmpError as error:
            return self._unread(address, name, credential, error)
        first = _V3_HANDSHAKE if credential.kind == "snmp-v3" else 1
        transport = PacedTransport(inner, self.pace, self.clock, self.stop, self.retries, first)
        with Session(transport, self.clock, budget=_BUDGET) as session:
            try:
                system = session.get(_SYSTEM)
            except AgentError:
                system = {}  # it answered, so it is there
            except SnmpError as error:
                return self._unread(address, name, credential, error)
            return self._read(session, system, address, name, credential, engine)

    def _unread(self, address: str, name: str, credential: Credential, error: SnmpError) -> Find | None:
        _log.info("an address was not read", address=address, credential=name, reason=str(error))
        if credential.kind == "snmp-v3" or self.stop.is_set():
            return None
        version = _VERSIONS.get(credential.kind, "")
        return Find(address, self.port, name, version, problems=(error.message,))

    def _read(
        self,
        session: Session,
        system: Mapping[Oid, Typed],
        address: str,
        name: str,
        credential: Credential,
        engine: bytes,
    ) -> Find:
        problems: list[str] = []
        tag, raw = system.get(SYS_OBJECT_ID, (OBJECT_ID, b""))
        object_id = raw if tag == OBJECT_ID and isinstance(raw, bytes) else b""
        descr = text_of(system[SYS_DESCR]) if SYS_DESCR in system else ""
        profile = self._match(session, object_id, descr)
        identity = _identity(session, profile, problems)
        walked = session.walk([_PHYS_ADDRESS, _AD_ENT_ADDR, _IP_ADDRESS_TYPE])
        problems += [problem.message for problem in walked.problems]
        services = system.get(_SYS_SERVICES, (0, None))[1]
        return Find(
            address=address,
            port=self.port,
            credential=name,
            snmp=_VERSIONS.get(credential.kind, ""),
            sys_object_id=dotted(object_id) if object_id else "",
            sys_descr=descr[:512],
            sys_name=(text_of(system[_SYS_NAME]) if _SYS_NAME in system else "")[:255],
            engine_id=(engine or _engine(session)).hex(),
            profile=profile.name,
            kind=suggest(
                profile.name,
                identity.get("vendor", ""),
                identity.get("hardware", ""),
                descr,
                services if isinstance(services, int) else None,
                generic=profile.name == DEFAULT,
            ),
            **{key: identity.get(key, "")[:255] for key in ("vendor", "os", "hardware", "version", "serial")},
            addresses=_addresses(walked.columns[_AD_ENT_ADDR], walked.columns[_IP_ADDRESS_TYPE]),
            macs=_macs(walked.columns[_PHYS_ADDRESS]),
            problems=tuple(dict.fromkeys(problems))[:8],
        )

    def _match(self, session: Session, object_id: Oid, descr: str) -> Profile:
        def exists(oid: Oid) -> bool:
            try:
                return bool(session.get([oid]))
            except SnmpError:
                return False

        return self.profiles[best_match(self.profiles.values(), object_id, descr, exists)]


def _identity(session: Session, profile: Profile, problems: list[str]) -> dict[str, str]:
    try:
        scalars = session.get(scalars_needed(profile))
    except SnmpError as error:
        problems.append(error.message)
        scalars = {}
    walked = session.walk(columns_needed(profile))
    problems += [problem.message for problem in walked.problems]
    return read_identity(profile, scalars, walked.columns)


def _engine(session: Session) -> bytes:
    try:
        value = session.get([_ENGINE_ID]).get(_ENGINE_ID, (0, None))[1]
    except SnmpError:
        return b""  # an agent without v3 has none
    return value if isinstance(value, bytes) else b""


def _macs(rows: Column) -> tuple[str, ...]:
    found = {
        value.hex(":")
        for _, value in rows.values()
        if isinstance(value, bytes) and len(value) == 6 and any(value)
    }
    return tuple(sorted(found)[:_MAX_OWN])


def _addresses(classic: Column, modern: Column) -> tuple[str, ...]:
    """Own addresses out of ipAddrTable's values and ipAddressTable's indexes (RFC 4293: type, length, octets)."""
    raw = [value for _, value in classic.values() if isinstance(value, bytes)]
    for index, (_, kind) in modern.items():
        numbers = decode_index(index) if kind == _UNICAST else ()
        if (
            len(numbers) > 2
            and numbers[0] in {1, 2}
            and len(numbers) == 2 + numbers[1]
            and max(numbers) < 256
        ):
            raw.append(bytes(numbers[2:]))
    return tuple(_texts(raw)[:_MAX_OWN])


def _texts(raw: Iterable[bytes]) -> list[str]:
    found = {ipaddress.ip_address(octets) for octets in raw if len(octets) in {4, 16}}
    return [str(address) for address in sorted(found, key=lambda a: (a.version, int(a)))]
