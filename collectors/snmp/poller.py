"""Reads one device through its profile: the SNMP side of collectors.interface.Poller.

The profile and identity of a device are found once, and again whenever sysObjectID, sysDescr or the wanted profile
changes or sysUpTime falls. Every module gives what it can; one that fails leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from collectors.interface import Credential, PollError, PollResult
from collectors.profiles.identify import columns_needed, read_identity, scalars_needed
from collectors.profiles.match import best_match
from collectors.profiles.profile import Module, Profile
from collectors.profiles.read import Report, read_module, summarise
from collectors.profiles.recipe import module_reading
from collectors.profiles.revision import revision
from collectors.profiles.values import text_of
from collectors.snmp.ber import OBJECT_ID, Oid, Typed, dotted, encode_oid
from collectors.snmp.client import Session, Transport, open_transport
from collectors.snmp.errors import AgentError, NoAnswerError, SnmpError
from collectors.snmp.usm.keys import KeyChain
from collectors.snmp.usm.peer import UsmPeer
from collectors.snmp.usm.transport import UsmTransport
from monitor.clock import Clock
from monitor.errors import InputError
from monitor.model import Device, DeviceId, SnmpAccess

SYS_DESCR: Final = encode_oid("1.3.6.1.2.1.1.1.0")
SYS_OBJECT_ID: Final = encode_oid("1.3.6.1.2.1.1.2.0")
SYS_UP_TIME: Final = encode_oid("1.3.6.1.2.1.1.3.0")
SYS_NAME: Final = encode_oid("1.3.6.1.2.1.1.5.0")
_SYSTEM: Final = (SYS_DESCR, SYS_OBJECT_ID, SYS_UP_TIME, SYS_NAME)
_MODULE: Final = "snmp"
_ASK_AGAIN: Final = 1 << 62  # no uptime reaches it: the next poll identifies anew

_Reach = tuple[str, int, float, int, Credential]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found out about a device, and what it was found out from."""

    wanted: str
    sys_object_id: Oid
    sys_descr: str
    uptime: int
    profile: Profile
    identity: Mapping[str, str]


@dataclass(slots=True)
class Snapshot:
    """What a device said in one poll, as its profile asks: enough to ask for the same again (see batch)."""

    profile: Profile
    scalars: dict[Oid, Typed]
    columns: dict[Oid, dict[bytes, Typed]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)


class SnmpPoller:
    """Implements Poller over SNMP v1, v2c and v3. Safe to call from several threads, one device at a time each."""

    def __init__(self, clock: Clock, profiles: Mapping[str, Profile]) -> None:
        self._clock = clock
        self._profiles = profiles
        self._revisions = {name: revision(profile) for name, profile in profiles.items()}
        self._known: dict[DeviceId, _Known] = {}
        self._keys = KeyChain()
        self._engines: dict[DeviceId, tuple[_Reach, Transport]] = {}

    def poll(self, device: Device, credential: Credential | None) -> PollResult:
        """One poll; never raises for anything the device or the network does."""
        return self.read(device, credential)[0]

    def read(self, device: Device, credential: Credential | None) -> tuple[PollResult, Snapshot | None]:
        """One poll, and what the device said; None when it did not answer. Never raises."""
        at_ms, started = self._clock.now_ms(), self._clock.monotonic()
        access = device.snmp or SnmpAccess(credential="")
        snapshot = None
        if credential is None:
            result = _failed(at_ms, _no_credential(access))
        else:
            try:
                with self._session(device, access, credential) as session:
                    result, snapshot = self._read(device, access, session, at_ms)
            except SnmpError as error:
                result = _failed(at_ms, error.poll_error())
            except InputError as error:  # the inventory names a profile that does not exist
                result = _failed(at_ms, PollError("profile", str(error), error.zh))
        return replace(result, duration_seconds=self._clock.monotonic() - started), snapshot

    def peer(self, device: Device, credential: Credential) -> UsmPeer | None:
        """What is known about a device's SNMPv3 agent, if only its user so far; None for other versions. Raises
        SnmpError when its address or the credential cannot be used.
        """
        if credential.kind != "snmp-v3":
            return None
        with self._session(device, device.snmp or SnmpAccess(credential=""), credential):
            pass  # it leaves its transport behind
        _, transport = self._engines[device.id]
        return transport.peer if isinstance(transport, UsmTransport) else None

    @contextmanager
    def _session(self, device: Device, access: SnmpAccess, credential: Credential) -> Iterator[Session]:
        """A session. What a v3 transport knows about its agent is kept for the next poll, its socket is not."""
        reach = (device.address, access.port, access.timeout, access.retries, credential)
        known, transport = self._engines.pop(device.id, (None, None))
        if transport is None or known != reach:
            transport = open_transport(
                device.address,
                access.port,
                credential,
                timeout=access.timeout,
                retries=access.retries,
                clock=self._clock,
                keys=self._keys,
            )
        try:
            yield Session(transport, self._clock, budget=max(10.0, access.interval))
        finally:
            transport.close()
            if credential.kind == "snmp-v3":
                self._engines[device.id] = (reach, transport)

    def close(self) -> None:
        """Release what is kept between polls."""
        self._engines.clear()

    def _read(
        self, device: Device, access: SnmpAccess, session: Session, at_ms: int
    ) -> tuple[PollResult, Snapshot]:
        errors: list[PollError] = []
        try:
            system = session.get(_SYSTEM)
        except AgentError as refusal:  # it answered, so it is up
            system = {}
            errors.append(refusal.poll_error())
        known = self._identify(device, access, session, system)
        report = Report()
        snapshot = Snapshot(known.profile, dict(system))
        for module, problem in _modules(known.profile, session, report, snapshot):
            report.readings.append(module_reading(module, ok=problem is None))
            if problem is not None:
                snapshot.failed.add(module)
                error = problem.poll_error()
                errors.append(PollError(error.code, f"{module}: {error.message}", f"{module}：{error.zh}"))
        summarise(report)
        identity = {
            **known.identity,
            "sys_name": text_of(system[SYS_NAME]) if SYS_NAME in system else "",
            "sys_object_id": dotted(known.sys_object_id) if known.sys_object_id else "",
            "sys_descr": known.sys_descr,
            "profile": known.profile.name,
            "profile_revision": self._revisions.get(known.profile.name, ""),
        }
        result = PollResult(
            module=_MODULE,
            up=True,
            at_ms=at_ms,
            duration_seconds=0.0,
            readings=report.readings,
            errors=errors,
            identity={key: value for key, value in identity.items() if value},
            detail=report.detail(),
        )
        return result, snapshot

    def _identify(
        self, device: Device, access: SnmpAccess, session: Session, system: Mapping[Oid, Typed]
    ) -> _Known:
        tag, raw = system.get(SYS_OBJECT_ID, (OBJECT_ID, b""))
        object_id = raw if tag == OBJECT_ID and isinstance(raw, bytes) else b""
        descr = text_of(system[SYS_DESCR]) if SYS_DESCR in system else ""
        ticks = system.get(SYS_UP_TIME, (0, 0))[1]
        uptime = ticks if isinstance(ticks, int) else 0
        known = self._known.get(device.id)
        same = (access.profile, object_id, descr)
        if (
            known is None
            or (known.wanted, known.sys_object_id, known.sys_descr) != same
            or uptime < known.uptime
        ):
            profile = self._choose(access.profile, session, object_id, descr)
            identity, complete = _identity(profile, session)
            known = _Known(*same, uptime if complete else _ASK_AGAIN, profile, identity)
            _log.info("device identified", device=device.id, profile=profile.name, **identity)
        else:
            known = replace(known, uptime=uptime)
        self._known[device.id] = known
        return known

    def _choose(self, wanted: str, session: Session, object_id: Oid, descr: str) -> Profile:
        if wanted != "auto":
            if wanted not in self._profiles:
                raise InputError(
                    f"profile {wanted} does not exist",
                    hint="see `zhishou poll --help` for the names, or use auto",
                    zh=f"设备画像 {wanted} 不存在，请改用 auto 或已有名称",
                )
            return self._profiles[wanted]

        def exists(oid: Oid) -> bool:
            try:
                return bool(session.get([oid]))
            except AgentError:
                return False

        name = best_match(self._profiles.values(), object_id, descr, exists)
        return self._profiles[name]


def _modules(
    profile: Profile, session: Session, report: Report, snapshot: Snapshot
) -> list[tuple[str, SnmpError | None]]:
    """Read every module into `report` and `snapshot`; per module what went wrong, if anything."""
    outcomes: list[tuple[str, SnmpError | None]] = []
    scalars = _all_scalars(profile, session)
    columns = snapshot.columns
    for module in profile.modules:
        problem: SnmpError | None = None
        try:
            found = scalars if scalars is not None else session.get(list(module.scalars.values()))
        except SnmpError as error:
            problem, found = error, {}
        missing = [oid for oid in _columns(module) if oid not in columns]
        if missing:
            walked = session.walk(missing)
            columns.update(walked.columns)
            problem = problem or next(iter(walked.problems), None)
        snapshot.scalars.update(found)
        read_module(module, found, columns, report)
        outcomes.append((module.name, problem))
    return outcomes


def _all_scalars(profile: Profile, session: Session) -> dict[Oid, Typed] | None:
    """The scalars of all modules in as few requests as possible; None when one of them spoils it."""
    oids = dict.fromkeys(oid for module in profile.modules for oid in module.scalars.values())
    try:
        return session.get(list(oids))
    except SnmpError:
        return None  # asked again module by module, so that each fails or succeeds by itself


def _columns(module: Module) -> list[Oid]:
    return [*module.columns.values(), *(lookup.column for lookup in module.lookups.values())]


def _identity(profile: Profile, session: Session) -> tuple[dict[str, str], bool]:
    """The identity, and whether everything it rests on could be read."""
    try:
        scalars = session.get(scalars_needed(profile))
    except SnmpError as error:
        _log.warning("identity not read", where=session.where, error=str(error))
        return {}, False
    walked = session.walk(columns_needed(profile))
    silent = any(isinstance(problem, NoAnswerError) for problem in walked.problems)
    return read_identity(profile, scalars, walked.columns), not silent


def _failed(at_ms: int, error: PollError) -> PollResult:
    return PollResult(_MODULE, up=False, at_ms=at_ms, duration_seconds=0.0, errors=[error])


def _no_credential(access: SnmpAccess) -> PollError:
    return PollError(
        "no-credential",
        f"credential {access.credential!r} is not in the assignment; create it or correct the inventory",
        f"凭据 {access.credential} 未下发，请创建该凭据或更正资产台账",
    )
