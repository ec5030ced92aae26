"""The state machines, against Prometheus's words and ISA-18.2's table."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rules.alerting.interface import AlertState
from rules.alerting.states import TABLE, Act, Phase, Reading, Tracked, Transition, next_state, step

LABELS = (("device", "a"),)
READING = Reading(LABELS, {"summary": "s"}, 1.0)


def run(
    truths: list[bool], hold_ms: int, keep_ms: int, every: int = 10
) -> list[tuple[Tracked | None, Transition | None]]:
    tracked: Tracked | None = None
    history = []
    for i, true in enumerate(truths):
        tracked, change = step(
            tracked, READING if true else None, i * every, hold_ms=hold_ms, keep_ms=keep_ms
        )
        history.append((tracked, change))
    return history


def test_without_for_it_fires_at_once() -> None:
    (tracked, change), (gone, over) = run([True, False], 0, 0)
    assert tracked is not None
    assert (tracked.phase, change, tracked.fired_at) == (Phase.FIRING, Transition.FIRED, 0)
    assert (gone, over) == (None, Transition.RESOLVED)


def test_for_must_pass_without_a_break() -> None:
    changes = [change for _, change in run([True, True, False, True, True, True], 20, 0)]
    assert changes == [
        Transition.APPEARED,
        None,
        Transition.VANISHED,
        Transition.APPEARED,
        None,
        Transition.FIRED,
    ]


def test_keep_firing_for_bridges_a_gap_and_starts_anew() -> None:
    history = run([True, False, False, True, False, False, False, False], 0, 25)
    assert [change for _, change in history] == [Transition.FIRED] + [None] * 6 + [Transition.RESOLVED]


def test_a_doubtful_absence_proves_nothing() -> None:
    firing = Tracked(LABELS, {}, 1.0, Phase.FIRING, 0, 0, doubtful_until=50)
    kept, change = step(firing, None, 40, hold_ms=0, keep_ms=0)
    assert (kept, change) == (firing, None)
    assert step(firing, None, 50, hold_ms=0, keep_ms=0) == (None, Transition.RESOLVED)
    seen, _ = step(firing, READING, 40, hold_ms=0, keep_ms=0)
    assert seen is not None
    assert seen.doubtful_until == 0


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_histories_are_lawful(truths: list[bool], hold_ms: int, keep_ms: int) -> None:
    history = run(truths, hold_ms, keep_ms)
    for i, (tracked, change) in enumerate(history):
        now = i * 10
        if change is Transition.FIRED:
            assert truths[i]
            assert tracked is not None
            assert now - tracked.active_at >= hold_ms
            assert all(truths[tracked.active_at // 10 : i + 1]), "for was interrupted"
        if change is Transition.RESOLVED:
            assert not any(truths[i - (keep_ms // 10) : i + 1])
        if truths[i]:
            assert tracked is not None
        if tracked is not None and tracked.phase is Phase.PENDING:
            assert now - tracked.active_at < hold_ms
            assert truths[i]
    for (before, _), (after, change) in pairwise(history):
        allowed: dict[tuple[bool, bool], set[Transition | None]] = {
            (False, False): {None},
            (False, True): {Transition.APPEARED, Transition.FIRED},
            (True, False): {Transition.RESOLVED, Transition.VANISHED},
            (True, True): {None, Transition.FIRED},
        }
        assert change in allowed[before is not None, after is not None]


def test_isa_table() -> None:
    s = AlertState
    assert next_state(s.ACTIVE, Act.ACK) is s.ACKED
    assert next_state(s.ACTIVE, Act.CLEAR) is s.RETURNED, "an unseen alert stays on the desk"
    assert next_state(s.ACKED, Act.CLEAR) is s.CLOSED
    assert next_state(s.RETURNED, Act.ACK) is s.CLOSED
    assert next_state(s.RETURNED, Act.FIRE) is s.ACTIVE
    assert next_state(s.SHELVED, Act.ACK) is s.SHELVED
    assert next_state(s.CLOSED, Act.ACK) is s.CLOSED


@given(st.lists(st.sampled_from(list(Act)), max_size=40))
def test_no_sequence_of_acts_leads_back_to_pending_and_every_state_can_end(acts: list[Act]) -> None:
    state = AlertState.ACTIVE
    for act in acts:
        state = next_state(state, act)
        assert state is not AlertState.PENDING
    for act in (Act.UNSHELVE, Act.ACK, Act.CLEAR, Act.ACK):
        state = next_state(state, act)
    assert state is AlertState.CLOSED


def test_table_names_only_known_states() -> None:
    assert {state for state, _ in TABLE} == set(AlertState)
