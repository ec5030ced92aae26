"""Asks one network device for its neighbours: a collectors.interface.Poller of module `topology`.

Groups of tables are read one by one, the most telling first, within a budget of time; what could not be read is named
in `incomplete` and leaves the rest alone.
"""

from __future__ import annotations

from typing import Final

import structlog

from collectors.interface import Credential, PollError, PollResult
from collectors.snmp.ber import Oid, Typed
from collectors.snmp.client import Session, open_session
from collectors.snmp.errors import AgentError, BudgetError, NoAnswerError, SnmpError
from collectors.topology import tables
from collectors.topology.decode import facts_of, ports_down
from collectors.topology.memory import with_lost
from monitor.clock import Clock
from monitor.model import Device, DeviceId, SnmpAccess
from monitor.topology.facts import MODULE, Facts, to_detail

BUDGET_SECONDS: Final = 30.0
_log = structlog.get_logger(__name__)


class TopologyPoller:
    """Implements Poller. Remembers who was heard on a port that is down now; safe to call from several threads."""

    def __init__(self, clock: Clock, *, budget: float = BUDGET_SECONDS) -> None:
        self._clock = clock
        self._budget = budget
        self._before: dict[DeviceId, Facts] = {}

    def poll(self, device: Device, credential: Credential | None) -> PollResult:
        """One poll; never raises for anything the device or the network does."""
        at_ms, started = self._clock.now_ms(), self._clock.monotonic()
        access = device.snmp or SnmpAccess(credential="")
        detail: dict[str, object] = {}
        errors: list[PollError] = []
        if credential is None:
            errors.append(_no_credential(access))
        else:
            try:
                with open_session(
                    device.address,
                    access.port,
                    credential,
                    timeout=access.timeout,
                    retries=access.retries,
                    clock=self._clock,
                    budget=self._budget,
                ) as session:
                    facts = self._read(session, at_ms, self._before.get(device.id))
                    self._before[device.id] = facts
                    detail = to_detail(facts)
            except SnmpError as error:
                errors.append(error.poll_error())
        return PollResult(
            module=MODULE,
            up=not errors,
            at_ms=at_ms,
            duration_seconds=self._clock.monotonic() - started,
            errors=errors,
            detail=detail,
        )

    def _read(self, session: Session, at_ms: int, before: Facts | None) -> Facts:
        scalars = _scalars(session)
        columns: dict[Oid, dict[bytes, Typed]] = {}
        filled: set[str] = set()
        incomplete: list[str] = []
        silence: SnmpError | None = None
        for group, wanted in tables.GROUPS:
            if tables.UNLESS.get(group) in filled or tables.ONLY_WITH.get(group, group) not in {
                *filled,
                group,
            }:
                continue
            walked = session.walk(wanted)
            columns.update(walked.columns)
            if any(walked.columns.values()):
                filled.add(group)
            problem = next((p for p in walked.problems if isinstance(p, NoAnswerError | BudgetError)), None)
            if walked.problems:
                incomplete.append(group)
            if isinstance(problem, NoAnswerError):
                silence = silence or problem
        if silence is not None and not filled and not scalars:
            raise silence
        if incomplete:
            _log.info("tables of neighbours cut short", where=session.where, groups=incomplete)
        facts = facts_of(scalars, columns, at_ms, incomplete)
        return with_lost(facts, before, ports_down(columns))


def _scalars(session: Session) -> dict[Oid, Typed]:
    try:
        return session.get(list(tables.SCALARS))
    except AgentError:
        return {}  # it answered; the tables may still be readable


def _no_credential(access: SnmpAccess) -> PollError:
    return PollError(
        "no-credential",
        f"credential {access.credential!r} is not in the assignment; create it or correct the inventory",
        f"凭据 {access.credential} 未下发，请创建该凭据或更正资产台账",
    )
