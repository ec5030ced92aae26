"""The seam of the playbooks room: engagements, plans, runs and findings as pages show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from monitor.model import Scope, Severity


class Outcome(StrEnum):
    """Status of one check on one host; a probe that was killed, timed out or unreachable is never a pass."""

    FINDING = "finding"
    PASS = "pass"  # noqa: S105
    NOT_APPLICABLE = "not_applicable"
    ERROR = "error"
    NOT_TESTED = "not_tested"


class FindingState(StrEnum):
    """Life cycle of a weakness. Only a re-check that reached the same service verifies."""

    OPEN = "open"
    ASSIGNED = "assigned"
    FIXED_CLAIMED = "fixed_claimed"
    VERIFIED = "verified"
    REOPENED = "reopened"
    RISK_ACCEPTED = "risk_accepted"
    FALSE_POSITIVE = "false_positive"


@dataclass(frozen=True, slots=True)
class CheckView:
    """A check of the library."""

    id: str
    name: str
    severity: Severity
    protocol: str
    safety: str
    description: str
    remediation: str
    mlps: tuple[str, ...]
    max_packets: int


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One check of a plan: exact targets, packet ceiling, seconds expected."""

    check: str
    name: str
    safety: str
    protocol: str
    targets: int
    packets: int
    seconds: float
    per_host_pps: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What an engagement would do now. `digest` (SHA-256 of engagement + suite + targets) is what approvers sign."""

    digest: str
    rows: tuple[PlanRow, ...]
    targets: tuple[tuple[str, str], ...]  # (device id, address)
    excluded: tuple[tuple[str, str], ...]  # (device id or address, reason)
    packets: int
    packet_budget: int
    seconds: float


@dataclass(frozen=True, slots=True)
class EngagementView:
    """An engagement and where it stands. `state`: draft, awaiting_consent, awaiting_approval, approved, running,
    done, stopped, expired.
    """

    id: str
    title: str
    kind: str
    state: str
    requester: str
    requester_site: str
    target_sites: tuple[str, ...]
    window_from: int
    window_to: int
    approvals: tuple[tuple[str, str, int], ...]  # (user, site, at)
    needed_approvals: int
    limits: Mapping[str, int]
    stop_if: tuple[str, ...]
    suite: tuple[str, ...]
    document_sha256: str


@dataclass(frozen=True, slots=True)
class RunView:
    """One run. `coverage` maps every outcome to a count over host x check."""

    id: int
    engagement: str
    started_at: int
    finished_at: int | None
    status: str  # running | done | stopped | refused
    reason: str
    packets: int
    done: int
    total: int
    coverage: Mapping[Outcome, int]


@dataclass(frozen=True, slots=True)
class FindingView:
    """A weakness at one place. `fingerprint` is stable over (site, asset, check, port)."""

    id: int
    fingerprint: str
    site: str
    device: str
    port: int
    check: str
    name: str
    severity: Severity
    state: FindingState
    owner: str
    first_seen: int
    last_seen: int
    evidence: str
    remediation: str
    until: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class StopView:
    """The kill switch that stands. `at` is ms since the epoch; `actor` is empty when the file was made by hand."""

    actor: str
    at: int
    reason: str


class Office(Protocol):
    """Engagements, runs and findings. Every act is audited. Sites of the scope are those seen.

    Implementation: playbooks.office.SqlOffice(database, directory, audit, clock).
    """

    def checks(self) -> Sequence[CheckView]:
        """The library."""
        ...

    def engagements(self, scope: Scope) -> list[EngagementView]:
        """Newest window first."""
        ...

    def engagement(self, scope: Scope, engagement_id: str) -> EngagementView:
        """One engagement; NotFoundError outside the scope."""
        ...

    def submit(self, scope: Scope, text: str, actor: str) -> str:
        """Register an engagement written in YAML; returns its id. Any edit of an approved one voids approvals."""
        ...

    def plan(self, scope: Scope, engagement_id: str) -> Plan:
        """Exact targets x checks x packets x duration, resolved now."""
        ...

    def approve(self, scope: Scope, engagement_id: str, actor: str, site: str, digest: str) -> None:
        """Sign the plan with this digest; DeniedError for the requester, a second time, or a stale digest."""
        ...

    def run(
        self,
        scope: Scope,
        engagement_id: str,
        actor: str,
        progress: Callable[[int, int, str], bool] | None = None,
    ) -> int:
        """Run now; returns the run id. DeniedError (and no packet) unless approved and inside the window."""
        ...

    def stop_all(self, actor: str, reason: str) -> None:
        """The kill switch: every probe of every process stops within 2 s and no run resumes."""
        ...

    def stop_standing(self) -> bool:
        """Whether the kill switch is set: then nothing runs."""
        ...

    def standing_stop(self) -> StopView | None:
        """Who set the kill switch, when and why; None when it is not set."""
        ...

    def release_stop(self, actor: str, reason: str) -> None:
        """Take the kill switch back; stopped runs stay stopped."""
        ...

    def runs(self, scope: Scope, engagement_id: str = "", limit: int = 50) -> list[RunView]:
        """Newest first."""
        ...

    def findings(
        self, scope: Scope, states: Sequence[FindingState] = (), site: str = "", device: str = ""
    ) -> list[FindingView]:
        """Worst first."""
        ...

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
        """A life-cycle step a person may take; DeniedError for VERIFIED and REOPENED (only a re-check does that)."""
        ...
