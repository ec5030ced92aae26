"""A run on disk: results, findings, credential attempts, progress. Every method is one committed transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from monitor.audit import Detail
from monitor.clock import Clock, to_datetime
from monitor.database import Database
from playbooks.findings import Seen, after_recheck, current, fingerprint, seen_from
from playbooks.formats import CredentialPolicy
from playbooks.guard import Target, credential_reason
from playbooks.interface import FindingState
from playbooks.runner import CheckResult, PortResult
from playbooks.tables import AttemptRow, FindingRow, ResultRow, RunRow

Record = Callable[[str, str, Detail], None]


class RunJournal:
    """A `playbooks.runner.Journal`. `stop_reason` is asked at every beat; `audit` gets action, target, detail."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        run: int,
        policy: CredentialPolicy,
        stop_reason: Callable[[int, int], str],
        audit: Record,
    ) -> None:
        self._database = database
        self._clock = clock
        self._run = run
        self._policy = policy
        self._stop_reason = stop_reason
        self._audit = audit

    def finished(self) -> frozenset[tuple[str, str]]:
        """Hosts with results; a host's results are written all at once."""
        wanted = select(ResultRow.device, ResultRow.address).where(ResultRow.run == self._run).distinct()
        with self._database.session() as session:
            return frozenset((device, address) for device, address in session.execute(wanted))

    def record(self, target: Target, results: Sequence[CheckResult]) -> None:
        """A host is complete: its results, and what they say about findings."""
        moved: list[tuple[str, FindingRow]] = []
        with self._database.session() as session:
            for result in results:
                session.add(
                    ResultRow(
                        run=self._run,
                        site=target.site,
                        device=target.device,
                        address=target.address,
                        check=result.check.id,
                        outcome=result.outcome,
                        reason=result.reason,
                    )
                )
                for port in result.ports:
                    row, before = self._finding(session, target, result, port)
                    if row is not None and row.state != before:
                        moved.append((before, row))
        for before, row in moved:
            detail: Detail = {"finding": row.id, "from": before, "to": row.state, "run": self._run}
            self._audit(f"finding.{row.state}", f"{row.device}:{row.port} {row.check}", detail)

    def _finding(
        self, session: Session, target: Target, result: CheckResult, port: PortResult
    ) -> tuple[FindingRow | None, str]:
        """Create or move the finding of one port; returns it and its state before ("" when it is new)."""
        seen = seen_from(port.outcome, recognised=port.recognised)
        if seen is Seen.UNKNOWN:
            return None, ""
        mark = fingerprint(target.site, target.device, result.check.id, port.port)
        row = session.scalars(select(FindingRow).where(FindingRow.fingerprint == mark)).one_or_none()
        now = self._clock.now_ms()
        if row is None:
            if seen is not Seen.FOUND:
                return None, ""
            row = self._new(target, result, port, mark)
            session.add(row)
            session.flush()
            return row, ""
        if seen is not Seen.FOUND and row.address != target.address:
            return None, ""  # another address is another service: it cannot show that this one is mended
        before = row.state
        row.state = after_recheck(current(FindingState(row.state), row.until, now), seen)
        if seen is Seen.FOUND:
            row.last_seen, row.evidence, row.address, row.run = now, port.evidence, target.address, self._run
            row.name, row.severity, row.remediation = (
                result.check.name,
                result.check.severity,
                result.check.remediation,
            )
        return row, before

    def _new(self, target: Target, result: CheckResult, port: PortResult, mark: str) -> FindingRow:
        now, check = self._clock.now_ms(), result.check
        return FindingRow(
            fingerprint=mark,
            site=target.site,
            device=target.device,
            address=target.address,
            port=port.port,
            check=check.id,
            name=check.name,
            severity=check.severity,
            remediation=check.remediation,
            state=FindingState.OPEN,
            owner="",
            first_seen=now,
            last_seen=now,
            evidence=port.evidence,
            until=None,
            note="",
            run=self._run,
        )

    def attempt(self, target: Target, account: str) -> str:
        """Count one credential attempt on disk; empty when it may be made now."""
        reason = credential_reason(self._policy)
        if reason:
            return reason
        now = self._clock.now_ms()
        day = to_datetime(now).date().isoformat()
        for _ in range(self._policy.per_device_per_day):
            try:
                with self._database.session() as session:
                    reason = self._claim(session, target, account, day, now)
            except IntegrityError:
                continue  # another process took this slot; count again
            if not reason:
                detail: Detail = {"run": self._run, "account": account}
                self._audit("credential.attempt", f"{target.device} {target.address}", detail)
            return reason
        return "too many attempts at once"

    def _claim(self, session: Session, target: Target, account: str, day: str, now: int) -> str:
        mine = select(func.count()).where(AttemptRow.device == target.device, AttemptRow.day == day)
        slot = session.scalar(mine) or 0
        if slot >= self._policy.per_device_per_day:
            return f"{slot} credential attempts today already, no more allowed"
        if (
            session.scalar(mine.where(AttemptRow.account == account)) or 0
        ) >= self._policy.attempts_per_account:
            return "this account was tried today already"
        session.add(
            AttemptRow(device=target.device, day=day, slot=slot, account=account, run=self._run, at=now)
        )
        session.flush()
        return ""

    def beat(self, packets: int, done: int, total: int) -> str:
        """Progress; returns why to stop, or nothing."""
        with self._database.session() as session:
            row = session.get_one(RunRow, self._run)
            row.packets, row.done, row.total = packets, done, total
            row.beat_at = beat_now_ms()
            ended = row.status != "running"
        return "stopped by another process" if ended else self._stop_reason(done, total)


def beat_now_ms() -> int:
    """The machine's own time: whether a process lives is about real seconds, not about the clock handed in."""
    return time.time_ns() // 1_000_000
