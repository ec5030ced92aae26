"""The life cycle of a finding, pure. People claim and accept; only a re-check of the same service verifies or reopens.

open -> assigned -> fixed_claimed -> verified | reopened; risk_accepted(until) and false_positive(until) lapse to open.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum

from playbooks.interface import FindingState, Outcome

S = FindingState
MAX_UNTIL_MS = 366 * 86_400_000
_OUT = (S.ASSIGNED, S.FIXED_CLAIMED, S.RISK_ACCEPTED, S.FALSE_POSITIVE)
MOVES: dict[FindingState, tuple[FindingState, ...]] = {
    S.OPEN: _OUT,
    S.ASSIGNED: _OUT,
    S.REOPENED: _OUT,
    S.FIXED_CLAIMED: (S.ASSIGNED, S.RISK_ACCEPTED, S.FALSE_POSITIVE),
    S.RISK_ACCEPTED: (S.OPEN, S.ASSIGNED, S.FIXED_CLAIMED),
    S.FALSE_POSITIVE: (S.OPEN, S.ASSIGNED),
    S.VERIFIED: (),
}


class Seen(StrEnum):
    """What a re-check saw at one port of one address.

    FOUND the weakness; CLEAN the same service without it; GONE the host answers on that port, but with a refusal or
    with something else than what was found; UNKNOWN anything else.
    """

    FOUND = "found"
    CLEAN = "clean"
    GONE = "gone"
    UNKNOWN = "unknown"


def seen_from(outcome: Outcome, *, recognised: bool) -> Seen:
    """What an exchange's outcome says about a finding."""
    if outcome is Outcome.FINDING:
        return Seen.FOUND
    if outcome is Outcome.PASS:
        return Seen.CLEAN if recognised else Seen.GONE
    return Seen.UNKNOWN


def fingerprint(site: str, asset: str, check: str, port: int) -> str:
    """Stable over runs, engagements and wording."""
    return hashlib.sha256(json.dumps([site, asset, check, port]).encode()).hexdigest()


def current(state: FindingState, until: int | None, now_ms: int) -> FindingState:
    """The state now: an acceptance that has run out is open again."""
    lapsed = until is not None and now_ms >= until
    return S.OPEN if lapsed and state in (S.RISK_ACCEPTED, S.FALSE_POSITIVE) else state


def after_recheck(state: FindingState, seen: Seen) -> FindingState:
    """The state after a re-check. `state` is `current` already.

    A service that is gone verifies only a claimed fix: without a claim it may just be down for an hour.
    """
    if seen is Seen.FOUND:
        return S.REOPENED if state in (S.FIXED_CLAIMED, S.VERIFIED) else state
    if seen is Seen.CLEAN:
        return state if state is S.FALSE_POSITIVE else S.VERIFIED
    if seen is Seen.GONE and state is S.FIXED_CLAIMED:
        return S.VERIFIED
    return state


def move_reason(
    state: FindingState,
    to: FindingState,
    *,
    actor: str,
    owner: str,
    held_by: str,
    until: int | None,
    note: str,
    now: int,
) -> str:
    """Why a person may not take this step; empty when they may. `held_by` is the owner so far."""
    if to in (S.VERIFIED, S.REOPENED):
        return "only a re-check verifies or reopens"
    if to not in MOVES[state]:
        return f"{state} does not go to {to}"
    if to is S.ASSIGNED and not owner:
        return "an owner is needed"
    if to in (S.RISK_ACCEPTED, S.FALSE_POSITIVE):
        if not note:
            return "a reason is needed"
        if until is None or not now < until <= now + MAX_UNTIL_MS:
            return "a date is needed, within a year from now"
        if to is S.RISK_ACCEPTED and actor == held_by:
            return "who has to fix it cannot accept the risk"
    return ""
