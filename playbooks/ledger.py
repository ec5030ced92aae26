"""Rows of runs and findings, and the kill switch. Scopes of engagements are the office's business."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import func, select, update

from monitor.audit import AuditLog, Detail
from monitor.clock import Clock
from monitor.database import Database
from monitor.errors import DeniedError, NotFoundError
from monitor.model import Scope, Severity, SiteId
from playbooks import findings
from playbooks.gate import kill_switch_set
from playbooks.interface import FindingState, FindingView, Outcome, RunView, StopView
from playbooks.journal import beat_now_ms
from playbooks.runner import RunEnd
from playbooks.tables import FindingRow, ResultRow, RunRow

STALE_MS = 10_000  # a run whose process has not moved it for so long has no process any more


def pull_kill_switch(stop_file: Path, text: str) -> None:
    """Make the file that every probe looks at; needs neither the database nor the library."""
    stop_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    stop_file.write_text(text + "\n", "utf-8")


def stop_file_of(data_folder: Path) -> Path:
    """The kill switch of a data folder."""
    return data_folder / "run" / "playbooks.stop"


class RunLedger:
    """Begins, ends and stops runs."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock, stop_file: Path) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self.stop_file = stop_file

    def live(self, engagement: str) -> bool:
        """Whether a process works on a run of this engagement."""
        wanted = select(func.count()).where(
            RunRow.engagement == engagement,
            RunRow.status == "running",
            RunRow.beat_at > beat_now_ms() - STALE_MS,
        )
        with self._database.session() as session:
            return bool(session.scalar(wanted))

    def last_status(self, engagement: str, after_run: int) -> str:
        """Status of the newest run of this submission; empty when there is none."""
        wanted = (
            select(RunRow.status)
            .where(RunRow.engagement == engagement, RunRow.id > after_run)
            .order_by(RunRow.id.desc())
        )
        with self._database.session() as session:
            return session.scalars(wanted.limit(1)).first() or ""

    def standing_reason(self, engagement: str, after_run: int) -> str:
        """Why no run may begin now; empty when one may."""
        if self.stop_standing():
            return "the kill switch is set"
        if self.last_status(engagement, after_run) == "stopped":
            return "its run was stopped; submit it again and have it approved again"
        return "it is running already" if self.live(engagement) else ""

    def begin(self, engagement: str, after_run: int, digest: str, actor: str, slack: int) -> tuple[int, int]:
        """A new run, or the one a dead process left behind: (run id, packets spent already).

        `slack` packets are added on resuming for what was sent but not written down any more.
        """
        now, beat = self._clock.now_ms(), beat_now_ms()
        orphan = select(RunRow).where(
            RunRow.engagement == engagement, RunRow.status == "running", RunRow.id > after_run
        )
        with self._database.session() as session:
            left = session.scalars(orphan).first()
            seen = left.beat_at if left else 0
            if left is not None and left.digest == digest:
                mine = (RunRow.id == left.id, RunRow.beat_at == seen)
                taken = session.execute(update(RunRow).where(*mine).values(beat_at=beat, actor=actor))
                if getattr(taken, "rowcount", 0) != 1:
                    raise DeniedError("it is running already", zh="授权单正在执行", where=engagement)
                run_id, spent = left.id, left.packets + slack
            else:
                if left is not None:
                    left.status, left.reason = "stopped", "its process died and the plan has changed since"
                row = RunRow(
                    engagement=engagement,
                    digest=digest,
                    actor=actor,
                    started_at=now,
                    beat_at=beat,
                    finished_at=None,
                    status="running",
                    reason="",
                    packets=0,
                    done=0,
                    total=0,
                )
                session.add(row)
                session.flush()
                run_id, spent = row.id, 0
        self._only_one(engagement, run_id)
        self._audit.record(actor, "run.begin", engagement, {"run": run_id, "digest": digest, "spent": spent})
        return run_id, spent

    def _only_one(self, engagement: str, run_id: int) -> None:
        """Of two processes that began at once, the later row gives way."""
        earlier = select(func.count()).where(
            RunRow.engagement == engagement, RunRow.status == "running", RunRow.id < run_id
        )
        with self._database.session() as session:
            if session.scalar(earlier):
                row = session.get_one(RunRow, run_id)
                row.status, row.reason, row.finished_at = "refused", "running already", self._clock.now_ms()
                refused = True
            else:
                refused = False
        if refused:
            raise DeniedError("it is running already", zh="授权单正在执行", where=engagement)

    def finish(self, run_id: int, end: RunEnd, actor: str) -> None:
        """Write the end; a stop that another process wrote stays."""
        with self._database.session() as session:
            row = session.get_one(RunRow, run_id)
            row.finished_at, row.packets = self._clock.now_ms(), max(row.packets, end.packets)
            if row.status == "running":
                row.status = "stopped" if end.reason else "done"
                row.reason = end.reason
            engagement, status, reason = row.engagement, row.status, row.reason
        detail: Detail = {"run": run_id, "status": status, "reason": reason, "packets": end.packets}
        self._audit.record(actor, "run.end", engagement, {**detail, "done": end.done, "total": end.total})

    def stop(self, engagement: str, actor: str, reason: str) -> None:
        """Stop the runs of one engagement, also one without a process."""
        self._mark(reason, engagement)
        self._audit.record(actor, "run.stop", engagement, {"reason": reason})

    def stop_all(self, actor: str, reason: str) -> None:
        """Set the kill switch, then write it down: the file comes first because every probe looks at it."""
        pull_kill_switch(self.stop_file, f"{actor}: {reason}")
        self._mark(f"kill switch: {reason}")
        self._audit.record(actor, "run.stop_all", "*", {"reason": reason})

    def _mark(self, reason: str, engagement: str = "") -> None:
        running = update(RunRow).where(RunRow.status == "running")
        if engagement:
            running = running.where(RunRow.engagement == engagement)
        with self._database.session() as session:
            session.execute(running.values(status="stopped", reason=reason))

    def stop_standing(self) -> bool:
        """Whether the kill switch is set."""
        return kill_switch_set(self.stop_file)

    def standing_stop(self) -> StopView | None:
        """Who set the kill switch, when and why; a file that cannot be read stands without a reason."""
        if not self.stop_standing():
            return None
        try:
            at = round(self.stop_file.lstat().st_mtime * 1000)
            text = self.stop_file.read_text("utf-8", "replace").strip()
        except OSError as error:
            return StopView("", 0, str(error))
        actor, parted, reason = text.partition(": ")
        return StopView(actor, at, reason) if parted else StopView("", at, text)

    def release_stop(self, actor: str, reason: str) -> None:
        """Take the kill switch back."""
        self._mark("kill switch")  # whatever was running when the file was made by hand does not resume
        self._audit.record(actor, "run.release_stop", "*", {"reason": reason})
        self.stop_file.unlink(missing_ok=True)

    def views(self, engagements: Sequence[str], limit: int) -> list[RunView]:
        """Newest first."""
        wanted = (
            select(RunRow).where(RunRow.engagement.in_(engagements)).order_by(RunRow.id.desc()).limit(limit)
        )
        with self._database.session() as session:
            rows = list(session.scalars(wanted))
            counted = (
                select(ResultRow.run, ResultRow.outcome, func.count())
                .where(ResultRow.run.in_([row.id for row in rows]))
                .group_by(ResultRow.run, ResultRow.outcome)
            )
            counts = Counter({(run, outcome): number for run, outcome, number in session.execute(counted)})
        return [
            RunView(
                id=row.id,
                engagement=row.engagement,
                started_at=row.started_at,
                finished_at=row.finished_at,
                status=row.status,
                reason=row.reason,
                packets=row.packets,
                done=row.done,
                total=row.total,
                coverage={outcome: counts[row.id, outcome.value] for outcome in Outcome},
            )
            for row in rows
        ]


class FindingLedger:
    """Shows findings and moves them by hand."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def views(
        self, scope: Scope, states: Sequence[FindingState], site: str, device: str
    ) -> list[FindingView]:
        """Worst first, then newest."""
        wanted = select(FindingRow)
        if scope.sites is not None:
            wanted = wanted.where(FindingRow.site.in_(scope.sites))
        if site:
            wanted = wanted.where(FindingRow.site == site)
        if device:
            wanted = wanted.where(FindingRow.device == device)
        with self._database.session() as session:
            found = [self._view(row) for row in session.scalars(wanted)]
        kept = [view for view in found if not states or view.state in states]
        return sorted(kept, key=lambda view: (view.severity.rank, -view.last_seen, view.id))

    def move(
        self,
        scope: Scope,
        finding_id: int,
        to: FindingState,
        actor: str,
        *,
        owner: str,
        until: int | None,
        note: str,
    ) -> None:
        """One step of the life cycle; DeniedError when a person may not take it."""
        with self._database.session() as session:
            row = session.get(FindingRow, finding_id)
            if row is None or not scope.allows(SiteId(row.site)):
                raise NotFoundError(f"no finding {finding_id}", zh=f"没有隐患 {finding_id}")
            now = self._clock.now_ms()
            state = findings.current(FindingState(row.state), row.until, now)
            reason = findings.move_reason(
                state, to, actor=actor, owner=owner, held_by=row.owner, until=until, note=note, now=now
            )
            if reason:
                raise DeniedError(reason, zh=f"不能这样处理：{reason}", where=f"finding {finding_id}")
            limited = to in (FindingState.RISK_ACCEPTED, FindingState.FALSE_POSITIVE)
            row.state, row.until = to, until if limited else None
            row.owner, row.note = owner or row.owner, note[:4096] or row.note
            place = f"{row.device}:{row.port} {row.check}"
        detail: Detail = {
            "finding": finding_id,
            "from": state,
            "to": to,
            "owner": owner,
            "until": until,
            "note": note,
        }
        self._audit.record(actor, f"finding.{to}", place, detail)

    def _view(self, row: FindingRow) -> FindingView:
        state = findings.current(FindingState(row.state), row.until, self._clock.now_ms())
        return FindingView(
            id=row.id,
            fingerprint=row.fingerprint,
            site=row.site,
            device=row.device,
            port=row.port,
            check=row.check,
            name=row.name,
            severity=Severity(row.severity),
            state=state,
            owner=row.owner,
            first_seen=row.first_seen,
            last_seen=row.last_seen,
            evidence=row.evidence,
            remediation=row.remediation,
            until=row.until,
            note=row.note,
        )
