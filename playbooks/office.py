"""The office: engagements, approvals, runs and findings on the state database. Every act is in the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog
from sqlalchemy import delete, func, select

from monitor.audit import AuditLog
from monitor.clock import Clock
from monitor.database import Database
from monitor.errors import DeniedError, NotFoundError, ZhishouError
from monitor.model import Scope, SiteId
from playbooks import guard
from playbooks.execution import Order, Progress, Surroundings, execute
from playbooks.formats import Check, Engagement
from playbooks.gate import resolve_names
from playbooks.guard import Approval, Decision
from playbooks.interface import (
    CheckView,
    EngagementView,
    FindingState,
    FindingView,
    Plan,
    RunView,
    StopView,
)
from playbooks.ledger import FindingLedger, RunLedger, stop_file_of
from playbooks.loader import Library, load_engagement
from playbooks.planning import check_view, plan_of
from playbooks.runner import RunEnd
from playbooks.steps.interface import installed_steps
from playbooks.tables import ApprovalRow, EngagementRow, RunRow
from playbooks.watch import AlertCounts, Registry, alert_counts

log = structlog.get_logger(__name__)
CITY = "city"


class SqlOffice:
    """Implements `playbooks.interface.Office`.

    `data_folder` holds the kill switch (run/playbooks.stop), further checks and suites (playbooks/checks,
    playbooks/suites) and packet captures. `alerts` counts firing alerts of a scope; by default the alerting room's.
    """

    def __init__(
        self,
        database: Database,
        directory: Registry,
        audit: AuditLog,
        clock: Clock,
        data_folder: Path,
        alerts: AlertCounts | None = None,
    ) -> None:
        self._database = database
        self._directory = directory
        self._audit = audit
        self._clock = clock
        self._alerts = alerts
        self._steps = installed_steps()
        self._library = Library(self._steps, [data_folder / "playbooks"])
        self._captures = data_folder / "captures"
        self._runs = RunLedger(database, audit, clock, stop_file_of(data_folder))
        self._findings = FindingLedger(database, audit, clock)
        self._decided: dict[tuple[str, int, str], Decision] = {}

    def checks(self) -> Sequence[CheckView]:
        """The library."""
        return [check_view(check) for check in self._library.checks.values()]

    def engagements(self, scope: Scope) -> list[EngagementView]:
        """Newest window first."""
        with self._database.session() as session:
            rows = list(session.scalars(select(EngagementRow).order_by(EngagementRow.window_from.desc())))
        views = []
        for row in rows:
            try:
                views.append(self._view(row))
            except ZhishouError as error:  # its suite is gone; the other engagements stay visible
                log.error("an engagement cannot be shown", engagement=row.id, reason=str(error))
        return [view for view in views if _visible(scope, view)]

    def engagement(self, scope: Scope, engagement_id: str) -> EngagementView:
        """One engagement; NotFoundError outside the scope."""
        return self._open(scope, engagement_id)[1]

    def submit(self, scope: Scope, text: str, actor: str) -> str:
        """Register an engagement; the actor must be its requester and act for the requester's site."""
        engagement = load_engagement(text, "engagement")
        self._library.selected(engagement)
        asker = engagement.requester
        if asker.user != actor:
            raise DeniedError(
                f"{actor} cannot ask in the name of {asker.user}", zh="申请人必须是当前登录用户"
            )
        if not _acts_for(scope, asker.site):
            raise DeniedError(f"{actor} does not act for {asker.site}", zh=f"您不能代表 {asker.site} 申请")
        with self._database.session() as session:
            row = session.get(EngagementRow, engagement.id)
            if row is not None and row.requester != actor:
                raise DeniedError(f"{engagement.id} is {row.requester}'s", zh="该授权单属于他人，不能改动")
            if self._runs.live(engagement.id):
                raise DeniedError(
                    f"{engagement.id} is running", zh="授权单正在执行，不能改动", hint="stop it first"
                )
            session.execute(delete(ApprovalRow).where(ApprovalRow.engagement == engagement.id))
            session.merge(
                EngagementRow(
                    id=engagement.id,
                    text=text,
                    requester=actor,
                    requester_site=asker.site,
                    window_from=engagement.window.begin,
                    window_to=engagement.window.end,
                    submitted_at=self._clock.now_ms(),
                    after_run=session.scalar(select(func.max(RunRow.id))) or 0,
                )
            )
        self._audit.record(actor, "engagement.submit", engagement.id, {"site": asker.site})
        return engagement.id

    def plan(self, scope: Scope, engagement_id: str) -> Plan:
        """Exact targets x checks x packets x duration, resolved now."""
        row, _ = self._open(scope, engagement_id)
        engagement, checks, decision, _digest = self._resolved(row)
        return plan_of(engagement, checks, decision, self._steps)

    def approve(self, scope: Scope, engagement_id: str, actor: str, site: str, digest: str) -> None:
        """Sign the plan with this digest in the name of a site the actor acts for."""
        row, _ = self._open(scope, engagement_id)
        engagement, _checks, _decision, current = self._resolved(row)
        if not _acts_for(scope, site):
            raise DeniedError(f"{actor} does not act for {site}", zh=f"您不能代表 {site} 审批")
        with self._database.session() as session:
            approvals = self._approvals(row.id)
            reason = guard.signing_reason(engagement, approvals, actor, site, digest, current)
            if reason:
                raise DeniedError(reason, zh=f"不能审批：{reason}", where=engagement.id)
            stale = (ApprovalRow.engagement == row.id, ApprovalRow.user == actor)
            session.execute(delete(ApprovalRow).where(*stale))
            now = self._clock.now_ms()
            session.add(ApprovalRow(engagement=row.id, user=actor, site=site, digest=digest, at=now))
        self._audit.record(actor, "engagement.approve", row.id, {"site": site, "digest": digest})

    def run(self, scope: Scope, engagement_id: str, actor: str, progress: Progress | None = None) -> int:
        """Run now; returns the run id. DeniedError, and no packet, unless everything is in order."""
        row, _ = self._open(scope, engagement_id)
        engagement, checks, decision, digest = self._resolved(row)
        alerts = self._alerts or alert_counts(self._database, self._audit, self._clock)
        warrant, reason = guard.issue(
            engagement,
            checks,
            decision,
            self._approvals(row.id),
            self._clock.now_ms(),
            lambda protocol: self._steps[protocol].transport,
        )
        if alerts is None and any(c.kind == "alert_severity" for c in engagement.stop_if):
            reason = reason or "alert_severity cannot be watched: no alerting is installed"
        reason = reason or self._runs.standing_reason(row.id, row.after_run)
        if warrant is None or reason:
            self._audit.record(actor, "run.refused", row.id, {"reason": reason})
            raise DeniedError(reason, zh=f"不予执行：{reason}", where=row.id)
        house = Surroundings(
            self._database,
            self._directory,
            self._audit,
            self._clock,
            alerts,
            self._steps,
            self._runs.stop_file,
            self._captures,
        )
        run_id, spent = self._runs.begin(row.id, row.after_run, digest, actor, engagement.limits.pps)
        end = RunEnd("internal error", spent, 0, 0)
        try:
            order = Order(run_id, engagement, checks, decision, warrant, spent, actor)
            end = asyncio.run(execute(order, house, progress))
        finally:
            self._runs.finish(run_id, end, actor)
        return run_id

    def stop_all(self, actor: str, reason: str) -> None:
        """The kill switch: stays set until `release_stop`."""
        self._runs.stop_all(actor, reason)

    def stop(self, scope: Scope, engagement_id: str, actor: str, reason: str) -> None:
        """Stop the runs of one engagement; they do not resume."""
        row, _ = self._open(scope, engagement_id)
        self._runs.stop(row.id, actor, reason)

    def stop_standing(self) -> bool:
        """Whether the kill switch is set: then nothing runs."""
        return self._runs.stop_standing()

    def standing_stop(self) -> StopView | None:
        """Who set the kill switch, when and why; None when it is not set."""
        return self._runs.standing_stop()

    def release_stop(self, actor: str, reason: str) -> None:
        """Take the kill switch back; stopped runs stay stopped."""
        self._runs.release_stop(actor, reason)

    def runs(self, scope: Scope, engagement_id: str = "", limit: int = 50) -> list[RunView]:
        """Newest first."""
        if engagement_id:
            visible = [self._open(scope, engagement_id)[0].id]
        else:
            visible = [view.id for view in self.engagements(scope)]
        return self._runs.views(visible, limit)

    def findings(
        self, scope: Scope, states: Sequence[FindingState] = (), site: str = "", device: str = ""
    ) -> list[FindingView]:
        """Worst first."""
        return self._findings.views(scope, states, site, device)

    def move_finding(
        self,
        scope: Scope,
        finding_id: int,
        to: FindingState,
        actor: str,
        *,
        owner: str = "",
        until: int | None = None,
        note: str = "",
    ) -> None:
        """A life-cycle step a person may take."""
        self._findings.move(scope, finding_id, to, actor, owner=owner, until=until, note=note)

    def _open(self, scope: Scope, engagement_id: str) -> tuple[EngagementRow, EngagementView]:
        with self._database.session() as session:
            row = session.get(EngagementRow, engagement_id)
        view = self._view(row) if row is not None else None
        if row is None or view is None or not _visible(scope, view):
            raise NotFoundError(f"no engagement {engagement_id!r}", zh=f"没有授权单 {engagement_id}")
        return row, view

    def _resolved(self, row: EngagementRow) -> tuple[Engagement, tuple[Check, ...], Decision, str]:
        """The engagement, its checks, its targets resolved now, and their digest."""
        engagement = load_engagement(row.text, row.id)
        checks = self._library.selected(engagement)
        inventory = self._directory.inventory()
        hosts = {device.address for device in inventory.devices.values() if device.address}
        names = resolve_names(host for host in hosts if guard.normalise(host) is None)
        decision = guard.resolve(engagement, inventory, names)
        key = (row.id, row.submitted_at, self._directory.version())
        self._decided = {k: v for k, v in self._decided.items() if k[0] != row.id} | {key: decision}
        return engagement, checks, decision, guard.digest_of(engagement, checks, decision)

    def _view(self, row: EngagementRow) -> EngagementView:
        engagement = load_engagement(row.text, row.id)
        decision = self._decided.get((row.id, row.submitted_at, self._directory.version()))
        if (
            decision is None
        ):  # names are resolved afresh for every plan, signature and run; a list may be older
            decision = self._resolved(row)[2]
        digest = guard.digest_of(engagement, self._library.selected(engagement), decision)
        valid = guard.valid_approvals(engagement, self._approvals(row.id), digest)
        limits = engagement.limits
        return EngagementView(
            id=row.id,
            title=engagement.title,
            kind=engagement.kind,
            state=self._state(row, engagement, decision, valid, digest),
            requester=row.requester,
            requester_site=row.requester_site,
            target_sites=decision.sites,
            window_from=row.window_from,
            window_to=row.window_to,
            approvals=tuple((a.user, a.site, a.at) for a in valid),
            needed_approvals=guard.needed_approvals(engagement, decision.sites),
            limits={
                "pps": limits.pps,
                "per_host_pps": limits.per_host_pps,
                "concurrent_hosts": limits.concurrent_hosts,
                "max_packets": limits.max_packets,
            },
            stop_if=tuple(condition.text for condition in engagement.stop_if),
            suite=engagement.suite,
            document_sha256=engagement.document_sha256,
        )

    def _state(
        self,
        row: EngagementRow,
        engagement: Engagement,
        decision: Decision,
        valid: Sequence[Approval],
        digest: str,
    ) -> str:
        last = self._runs.last_status(row.id, row.after_run)
        if last in ("running", "stopped"):
            return last
        if self._clock.now_ms() >= row.window_to:
            return last or "expired"
        if not decision.targets:
            return "draft"
        if not guard.approval_reason(engagement, valid, digest, decision.sites):
            return last or "approved"
        consenting = {approval.site for approval in valid}
        return "awaiting_approval" if set(decision.sites) <= consenting else "awaiting_consent"

    def _approvals(self, engagement_id: str) -> list[Approval]:
        wanted = select(ApprovalRow).where(ApprovalRow.engagement == engagement_id).order_by(ApprovalRow.id)
        with self._database.session() as session:
            return [Approval(a.user, a.site, a.digest, a.at) for a in session.scalars(wanted)]


def _acts_for(scope: Scope, site: str) -> bool:
    """The city's desk is everybody who sees the whole city."""
    return scope.sites is None if site == CITY else scope.allows(SiteId(site))


def _visible(scope: Scope, view: EngagementView) -> bool:
    return scope.sites is None or any(
        scope.allows(SiteId(s)) for s in (view.requester_site, *view.target_sites)
    )
