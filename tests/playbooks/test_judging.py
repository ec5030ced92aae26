"""Matchers, redaction, pacing and the life cycle of findings: the pure parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks import findings
from playbooks.findings import Seen
from playbooks.formats import Check, Exchange, Matcher
from playbooks.interface import FindingState, Outcome
from playbooks.loader import load_check
from playbooks.matchers import MAX_EVIDENCE, evidence, judge, merge
from playbooks.pacing import Budget, TokenBucket
from playbooks.steps.interface import Observation, Reach, installed_steps
from tests.playbooks.world import check

PONG = Exchange(6379, matchers=(Matcher("word", values=("+PONG",)),))
STEPS = installed_steps()


def answered(text: str, **parts: str) -> Observation:
    return Observation(Reach.ANSWERED, {"response": text, **parts})


@pytest.mark.parametrize("reach", [Reach.SILENT, Reach.BLOCKED, Reach.ERROR, Reach.CLOSED, Reach.QUIET])
@pytest.mark.parametrize(
    "matcher", [Matcher("word", values=("x",)), Matcher("word", values=("x",), negative=True)]
)
def test_what_did_not_answer_never_passes_and_is_no_finding(reach: Reach, matcher: Matcher) -> None:
    parts = {} if reach is Reach.QUIET else {"response": "y"}
    outcome, reason = judge(Exchange(1, matchers=(matcher,)), Observation(reach, parts, "why"))
    assert outcome not in (Outcome.PASS, Outcome.FINDING)
    assert reason


def test_a_refused_connection_passes_only_where_being_open_is_the_weakness() -> None:
    closed = Observation(Reach.CLOSED)
    assert judge(PONG, closed)[0] is Outcome.NOT_APPLICABLE
    assert judge(Exchange(23, closed="pass", matchers=(Matcher("open"),)), closed)[0] is Outcome.PASS


def test_a_part_that_was_not_seen_is_not_tested() -> None:
    exchange = Exchange(443, matchers=(Matcher("number", "days_left", below=0.0),))
    assert judge(exchange, answered("", days_left="-1"))[0] is Outcome.FINDING
    assert judge(exchange, answered("", days_left="0.5"))[0] is Outcome.PASS
    assert judge(exchange, answered("hello"))[0] is Outcome.NOT_TESTED
    assert judge(exchange, answered("", days_left="soon"))[0] is Outcome.NOT_TESTED


@pytest.mark.parametrize(
    ("matcher", "text", "held"),
    [
        (Matcher("word", values=("a", "b")), "b", True),
        (Matcher("word", values=("a", "b"), every=True), "b", False),
        (Matcher("regex", values=("^x.z$",)), "xyz", True),
        (Matcher("binary", values=("ff00",)), "a\xff\x00", True),
        (Matcher("member", values=("des",)), "3des,aes", False),
        (Matcher("member", values=("des",)), "aes des", True),
        (Matcher("word", values=("a",), negative=True), "b", True),
    ],
)
def test_matchers(matcher: Matcher, text: str, held: bool) -> None:
    expected = Outcome.FINDING if held else Outcome.PASS
    assert judge(Exchange(1, matchers=(matcher,)), answered(text))[0] is expected


def test_all_matchers_or_any() -> None:
    both = (Matcher("word", values=("a",)), Matcher("word", values=("b",)))
    assert judge(Exchange(1, matchers=both), answered("a"))[0] is Outcome.FINDING
    assert judge(Exchange(1, matchers=both, every=True), answered("a"))[0] is Outcome.PASS


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ("pass pass", Outcome.PASS),
        ("pass not_tested", Outcome.NOT_TESTED),
        ("pass error", Outcome.ERROR),
        ("not_applicable pass", Outcome.PASS),
        ("not_tested finding", Outcome.FINDING),
        ("not_applicable", Outcome.NOT_APPLICABLE),
        ("", Outcome.NOT_TESTED),
    ],
)
def test_one_untested_port_makes_no_pass(outcomes: str, expected: Outcome) -> None:
    assert merge([(Outcome(word), "") for word in outcomes.split()])[0] is expected


def loaded(**more: object) -> Check:
    return load_check(check("redis", 6379, **more), "c.yml", STEPS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "secret", ["requirepass hunter2", "Password: hunter2", "token=hunter2", "db_pwd = hunter2"]
)
def test_secrets_never_reach_the_evidence(secret: str) -> None:
    kept = evidence(loaded(), answered("+PONG " + secret))
    assert "hunter2" not in kept
    assert "+PONG" in kept


@given(st.integers(200, 300))
def test_a_secret_across_the_cut_is_redacted_too(padding: int) -> None:
    assert "hunt" not in evidence(loaded(), answered("x" * padding + " password: hunter2"))


@given(st.binary(max_size=5000))
def test_evidence_is_capped_and_printable(data: bytes) -> None:
    kept = evidence(loaded(), answered(data.decode("latin-1")))
    assert len(kept) <= MAX_EVIDENCE
    assert all(c.isprintable() or c == "\n" for c in kept)


@given(st.floats(1, 500), st.lists(st.tuples(st.integers(1, 10), st.floats(0, 1)), min_size=1, max_size=60))
def test_a_bucket_never_lets_more_through_than_burst_and_rate(
    rate: float, calls: list[tuple[int, float]]
) -> None:
    bucket, now, sent = TokenBucket(rate, 5.0), 0.0, 0
    for packets, pause in calls:
        now += pause
        now += bucket.take(packets, now)
        sent += packets
        assert sent <= 5 + rate * now + 1e-6 * sent


def test_a_clock_that_jumps_back_gives_no_tokens() -> None:
    bucket = TokenBucket(1.0, 1.0)
    assert bucket.take(1, 100.0) == 0
    assert bucket.take(1, 0.0) == pytest.approx(1.0)


@given(st.integers(0, 100), st.lists(st.integers(1, 30)))
def test_the_budget_is_hard(most: int, wanted: list[int]) -> None:
    budget = Budget(most)
    granted = sum(packets for packets in wanted if budget.spend(packets))
    assert granted == budget.used <= most


S = FindingState


@pytest.mark.parametrize(
    ("state", "seen", "after"),
    [
        (S.FIXED_CLAIMED, Seen.FOUND, S.REOPENED),
        (S.VERIFIED, Seen.FOUND, S.REOPENED),
        (S.OPEN, Seen.FOUND, S.OPEN),
        (S.ASSIGNED, Seen.FOUND, S.ASSIGNED),
        (S.RISK_ACCEPTED, Seen.FOUND, S.RISK_ACCEPTED),
        (S.FALSE_POSITIVE, Seen.FOUND, S.FALSE_POSITIVE),
        (S.FIXED_CLAIMED, Seen.CLEAN, S.VERIFIED),
        (S.OPEN, Seen.CLEAN, S.VERIFIED),
        (S.FALSE_POSITIVE, Seen.CLEAN, S.FALSE_POSITIVE),
        (S.FIXED_CLAIMED, Seen.GONE, S.VERIFIED),
        (S.OPEN, Seen.GONE, S.OPEN),
        (S.ASSIGNED, Seen.GONE, S.ASSIGNED),
    ],
)
def test_what_a_recheck_does(state: FindingState, seen: Seen, after: FindingState) -> None:
    assert findings.after_recheck(state, seen) is after


@pytest.mark.parametrize("state", list(S))
def test_a_recheck_that_saw_nothing_changes_nothing(state: FindingState) -> None:
    assert findings.after_recheck(state, Seen.UNKNOWN) is state


@pytest.mark.parametrize("outcome", [Outcome.NOT_TESTED, Outcome.ERROR, Outcome.NOT_APPLICABLE])
@pytest.mark.parametrize("recognised", [True, False])
def test_only_findings_and_passes_say_anything(outcome: Outcome, recognised: bool) -> None:
    assert findings.seen_from(outcome, recognised=recognised) is Seen.UNKNOWN


def reason(state: FindingState, to: FindingState, **changes: object) -> str:
    given_: dict[str, object] = {
        "actor": "x",
        "owner": "o",
        "held_by": "o",
        "until": 2000,
        "note": "n",
        "now": 1000,
    }
    return findings.move_reason(state, to, **{**given_, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("to", [S.VERIFIED, S.REOPENED])
def test_no_person_verifies_or_reopens(state: FindingState, to: FindingState) -> None:
    assert reason(state, to) == "only a re-check verifies or reopens"


def test_what_people_may_do_and_what_it_takes() -> None:
    assert reason(S.OPEN, S.ASSIGNED) == ""
    assert reason(S.OPEN, S.ASSIGNED, owner="")
    assert reason(S.ASSIGNED, S.FIXED_CLAIMED) == ""
    assert reason(S.OPEN, S.RISK_ACCEPTED) == ""
    assert reason(S.OPEN, S.RISK_ACCEPTED, until=None)
    assert reason(S.OPEN, S.RISK_ACCEPTED, until=1000)
    assert reason(S.OPEN, S.RISK_ACCEPTED, until=10**12)
    assert reason(S.OPEN, S.FALSE_POSITIVE, note="")
    assert reason(S.ASSIGNED, S.RISK_ACCEPTED, actor="o")
    assert reason(S.VERIFIED, S.OPEN)


def test_an_acceptance_lapses_to_open() -> None:
    assert findings.current(S.RISK_ACCEPTED, 1000, 999) is S.RISK_ACCEPTED
    assert findings.current(S.RISK_ACCEPTED, 1000, 1000) is S.OPEN
    assert findings.current(S.VERIFIED, 1000, 1000) is S.VERIFIED


def test_fingerprints_depend_on_site_asset_check_and_port_only() -> None:
    marks = {findings.fingerprint(*f) for f in [("s", "d", "c", 1), ("t", "d", "c", 1), ("s", "e", "c", 1),
                                                ("s", "d", "f", 1), ("s", "d", "c", 2), ("sd", "", "c", 1)]}  # fmt: skip
    assert len(marks) == 6
