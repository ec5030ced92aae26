"""What happens to an alert, as pure functions and one table.

Two machines run side by side. `step` is Prometheus's: is the condition pending, firing or over, for one label
set of one rule. `next_state` is ISA-18.2's: what people see, given the condition and what they did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from monitor.metrics.interface import Labels
from rules.alerting.interface import AlertState


class Phase(StrEnum):
    """The condition of an alert."""

    PENDING = "pending"
    FIRING = "firing"
    NORMAL = "normal"


class Transition(StrEnum):
    """What one evaluation did to an alert."""

    APPEARED = "appeared"  # true, but not yet for long enough
    FIRED = "fired"
    RESOLVED = "resolved"
    VANISHED = "vanished"  # over before it fired


@dataclass(frozen=True, slots=True)
class Tracked:
    """One label set that a rule tracks. Times in ms; `keep_since` is when a firing alert stopped being true.

    `doubtful_until`: after a restart with a gap in the data, a missing series is no proof until then.
    """

    labels: Labels
    annotations: Mapping[str, str]
    value: float
    phase: Phase
    active_at: int
    fired_at: int | None = None
    keep_since: int | None = None
    doubtful_until: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """A label set for which the expression is true now."""

    labels: Labels
    annotations: Mapping[str, str]
    value: float


def step(
    before: Tracked | None, reading: Reading | None, now: int, *, hold_ms: int, keep_ms: int
) -> tuple[Tracked | None, Transition | None]:
    """The alert after one evaluation at `now`, and what changed. `hold_ms` is `for`, `keep_ms` keep_firing_for."""
    if reading is not None:
        return _true(before, reading, now, hold_ms)
    if before is None:
        return None, None
    if now < before.doubtful_until:
        return before, None
    if before.phase is Phase.PENDING:
        return None, Transition.VANISHED
    since = now if before.keep_since is None else before.keep_since
    if now - since < keep_ms:
        return replace(before, keep_since=since), None
    return None, Transition.RESOLVED


def _true(
    before: Tracked | None, reading: Reading, now: int, hold_ms: int
) -> tuple[Tracked, Transition | None]:
    labels, texts, value = reading.labels, reading.annotations, reading.value
    if before is not None and before.phase is not Phase.PENDING:
        return Tracked(labels, texts, value, before.phase, before.active_at, before.fired_at), None
    active_at = now if before is None else before.active_at
    if now - active_at >= hold_ms:
        return Tracked(labels, texts, value, Phase.FIRING, active_at, now), Transition.FIRED
    after = Tracked(labels, texts, value, Phase.PENDING, active_at)
    return after, (Transition.APPEARED if before is None else None)


class Act(StrEnum):
    """What moves an alert between the states people see."""

    FIRE = "fire"
    CLEAR = "clear"
    ACK = "ack"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    CLOSE = "close"  # by policy: suppressed under another alert, or returned and forgotten


_S = AlertState

# ISA-18.2, clause 5: rows are states, columns what happens. A pair that is missing changes nothing.
TABLE: Mapping[tuple[AlertState, Act], AlertState] = {
    (_S.PENDING, Act.FIRE): _S.ACTIVE,
    (_S.PENDING, Act.CLEAR): _S.CLOSED,
    (_S.ACTIVE, Act.ACK): _S.ACKED,
    (_S.ACTIVE, Act.CLEAR): _S.RETURNED,
    (_S.ACTIVE, Act.SHELVE): _S.SHELVED,
    (_S.ACKED, Act.CLEAR): _S.CLOSED,
    (_S.ACKED, Act.SHELVE): _S.SHELVED,
    (_S.RETURNED, Act.FIRE): _S.ACTIVE,
    (_S.RETURNED, Act.ACK): _S.CLOSED,
    (_S.RETURNED, Act.CLOSE): _S.CLOSED,
    (_S.SHELVED, Act.UNSHELVE): _S.ACTIVE,
    (_S.SHELVED, Act.CLEAR): _S.CLOSED,
    (_S.CLOSED, Act.FIRE): _S.ACTIVE,
}


def next_state(state: AlertState, act: Act) -> AlertState:
    """The state after an act; the same state where the act means nothing."""
    return TABLE.get((state, act), state)
