"""The seam of the alerting room: what the desk shows and does, and what a channel must offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from monitor.model import Scope, Severity


class AlertState(StrEnum):
    """ISA-18.2 states that a person can see.

    PENDING condition true but not yet for long enough; ACTIVE firing, unacknowledged; ACKED firing, acknowledged;
    RETURNED back to normal before anyone acknowledged; CLOSED normal and acknowledged (or closed by policy);
    SHELVED firing but silenced.
    """

    PENDING = "pending"
    ACTIVE = "active"
    ACKED = "acked"
    RETURNED = "returned"
    CLOSED = "closed"
    SHELVED = "shelved"


@dataclass(frozen=True, slots=True)
class AlertView:
    """One alert as people see it. Times in ms; `number` is the human name, e.g. AL-20261121-0417."""

    id: int
    number: str
    name: str
    severity: Severity
    state: AlertState
    labels: Mapping[str, str]
    annotations: Mapping[str, str]  # summary, description (zh); summary_en, description_en; runbook
    site: str
    device: str
    value: float
    expression: str
    active_at: int
    fired_at: int | None
    resolved_at: int | None
    acked_by: str = ""
    acked_at: int | None = None
    owner: str = ""
    escalated_to: str = ""
    silenced_until: int | None = None
    root: int | None = None  # id of the alert this one is suppressed under
    suppressed: int = 0  # how many alerts are suppressed under this one


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of an alert's history. `kind`: fired, acked, assigned, note, silenced, escalated, resolved ..."""

    at: int
    kind: str
    actor: str
    text: str


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts: open ones by default. Empty tuples mean any."""

    states: tuple[AlertState, ...] = (
        AlertState.ACTIVE,
        AlertState.ACKED,
        AlertState.RETURNED,
        AlertState.SHELVED,
    )
    severities: tuple[Severity, ...] = ()
    site: str = ""
    device: str = ""
    text: str = ""
    owner: str = ""
    roots_only: bool = False
    since: int | None = None  # active at or after
    sort: str = "-severity"  # severity, active_at, site; a leading minus reverses
    offset: int = 0
    limit: int = 200


class Desk(Protocol):
    """What the duty desk reads and does. Every method sees only the scope; every act is audited with its actor.

    Implementation: rules.alerting.desk.SqlDesk(database, audit, clock).
    """

    def alerts(self, scope: Scope, wanted: AlertFilter) -> tuple[list[AlertView], int]:
        """A page of alerts, and how many there are in all."""
        ...

    def alert(self, scope: Scope, alert_id: int) -> AlertView:
        """One alert; NotFoundError outside the scope."""
        ...

    def suppressed_under(self, scope: Scope, alert_id: int) -> list[AlertView]:
        """The alerts that this one explains."""
        ...

    def timeline(self, scope: Scope, alert_id: int) -> list[TimelineEntry]:
        """Newest first."""
        ...

    def counts(self, scope: Scope) -> Mapping[Severity, int]:
        """Firing alerts (not suppressed, not shelved) by severity."""
        ...

    def fired_per_hour(self, scope: Scope, hours: int) -> Mapping[Severity, Sequence[int]]:
        """How many alerts fired in each of the last hours, oldest first."""
        ...

    def worst_by_site(self, scope: Scope) -> Mapping[str, tuple[Severity, int]]:
        """Worst firing severity and number of firing alerts of each site that has any."""
        ...

    def ack(self, scope: Scope, alert_ids: Sequence[int], actor: str, note: str = "") -> None:
        """Acknowledge; an alert without an owner becomes the actor's."""
        ...

    def assign(self, scope: Scope, alert_ids: Sequence[int], actor: str, owner: str) -> None:
        """Give to somebody; counts as acknowledged."""
        ...

    def note(self, scope: Scope, alert_ids: Sequence[int], actor: str, text: str) -> None:
        """Write into the timeline."""
        ...

    def silence(self, scope: Scope, alert_ids: Sequence[int], actor: str, until_ms: int, reason: str) -> None:
        """Shelve until a time (at most 7 days ahead) with a reason."""
        ...

    def escalate(self, scope: Scope, alert_ids: Sequence[int], actor: str, to: str, note: str = "") -> None:
        """Hand up the line; notifies."""
        ...

    def change_token(self) -> str:
        """Changes whenever anything above changes; cheap to ask once a second (for live pages)."""
        ...


@dataclass(frozen=True, slots=True)
class Notification:
    """One message about one alert to one receiver. `key` makes sending idempotent."""

    key: str
    event: str  # fired | resolved | escalated
    alert: AlertView
    receiver: str
    title: str
    body: str
    extra: Mapping[str, str] = field(default_factory=dict)


class Channel(Protocol):
    """A way to tell somebody. Raises ChannelError (retryable or not); returns when the far side accepted."""

    name: str

    def send(self, notification: Notification) -> None:
        """Deliver one notification."""
        ...
