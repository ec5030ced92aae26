"""What a sweep sends when, by a clock that only the test moves."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.discovery.pace import Pace
from collectors.discovery.planner import Kind, Limits, Planner, Step, Try

LADDER = (Step(Kind.ENGINE), Step(Kind.V2C, "ro"), Step(Kind.V2C, "old"), Step(Kind.V1, "ancient"))
USUAL = Limits(rate=1000.0, in_flight=16, timeout=1.0, retries=1)
NAMES = [f"10.0.0.{n}" for n in range(1, 255)]


def planner(
    addresses: Iterable[str] = NAMES,
    steps: tuple[Step, ...] = LADDER,
    limits: Limits = USUAL,
    *,
    pace: Pace | None = None,
    skip: Callable[[str], bool] = lambda _: False,
    start: int = 0,
) -> Planner:
    return Planner(
        addresses,
        steps,
        limits,
        pace or Pace(limits.rate, 0.0),
        itertools.count(1).__next__,
        skip=skip,
        start=start,
    )


def run(
    made: Planner, answers: Callable[[Try], bool] = lambda _: False, *, step: float = 0.01
) -> list[tuple[float, Try]]:
    """Drive until finished; what `answers` accepts is answered at once and read at once."""
    now, sent = 0.0, []
    while not made.finished:
        while (tried := made.next_try(now)) is not None:
            sent.append((now, tried))
            if answers(tried) and made.answered(tried.request_id, tried.address) is not None:
                made.settle(tried.address)
        now += step
        assert now < 10_000
    return sent


def test_every_address_climbs_the_whole_ladder_v3_first() -> None:
    made = planner(NAMES[:3])
    sent = run(made)
    for address in NAMES[:3]:
        steps = [made.steps[t.rung] for _, t in sent if t.address == address and t.attempt == 0]
        assert steps == list(LADDER)
    assert made.done == 3


def test_each_credential_once_but_for_lost_datagrams_of_the_same_request() -> None:
    made = planner(NAMES[:20])
    sent = run(made)
    per_step = Counter((t.address, t.rung) for _, t in sent)
    assert set(per_step.values()) == {2}  # the first and one repetition
    for address, rung in per_step:
        assert len({t.request_id for _, t in sent if (t.address, t.rung) == (address, rung)}) == 1


def test_the_first_answer_ends_the_climb() -> None:
    made = planner(NAMES[:5])
    sent = run(made, lambda t: made.steps[t.rung].credential == "ro")
    assert {made.steps[t.rung].credential for _, t in sent} == {"", "ro"}


@pytest.mark.parametrize("rate", [5.0, 50.0, 400.0])
def test_no_second_sees_more_than_the_rate(rate: float) -> None:
    limits = Limits(rate=rate, in_flight=1000, timeout=0.5, retries=1)
    made = planner(NAMES[:60], (Step(Kind.V2C, "ro"),), limits)
    times = [at for at, _ in run(made, step=0.003)]
    assert len(times) == 120
    for first in times:
        within = sum(first <= at < first + 1.0 for at in times)
        assert within <= rate + max(1.0, rate * 0.05) + 1
    assert times[-1] >= (120 - 1) / rate * 0.9


def test_no_more_than_so_many_are_in_flight() -> None:
    made = planner(limits=Limits(rate=100_000.0, in_flight=7, timeout=1.0, retries=0), pace=Pace(1e6, 0.0))
    most, now = 0, 0.0
    while not made.finished:
        while made.next_try(now) is not None:
            most = max(most, made.in_flight)
        now += 0.25
    assert most == 7


def test_a_pause_is_not_caught_up_in_a_burst() -> None:
    pace = Pace(100.0, 0.0)
    assert sum(pace.take(3600.0) == 0 for _ in range(100)) == 5
    assert 0 < pace.take(3600.0) <= 0.01
    assert pace.take(3599.0) > 0  # a clock that jumps back gives nothing


def test_skipped_addresses_get_nothing_and_count_as_done() -> None:
    made = planner(NAMES[:10], skip=lambda address: address.endswith((".3", ".4")))
    sent = run(made)
    assert {t.address for _, t in sent} == set(NAMES[:10]) - {"10.0.0.3", "10.0.0.4"}
    assert made.done == made.mark == 10


def test_a_scan_is_taken_up_where_all_before_is_done() -> None:
    made = planner(NAMES[:50], (Step(Kind.V2C, "ro"),), Limits(rate=1e6, in_flight=10, timeout=1.0, retries=0),
                   pace=Pace(1e6, 0.0))  # fmt: skip
    first = list(iter(lambda: made.next_try(1.0), None))
    made.answered(first[0].request_id, first[0].address)
    made.answered(first[4].request_id, first[4].address)
    assert made.mark == 0  # answered, but not read yet
    made.settle(first[4].address)
    assert (made.mark, made.done) == (0, 1)
    made.settle(first[0].address)
    assert (made.mark, made.done) == (1, 2)
    again = planner(NAMES[:50], start=made.mark)
    assert {t.address for _, t in run(again)} == set(NAMES[1:50])
    assert again.done == 50


def test_an_address_whose_v3_users_do_not_fit_goes_on_with_communities() -> None:
    made = planner(NAMES[:1])
    tried = made.next_try(1.0)
    assert tried is not None
    assert made.answered(tried.request_id, tried.address) is tried
    assert made.next_try(2.0) is None
    assert not made.finished
    made.resume(tried.address)
    following = made.next_try(2.0)
    assert following is not None
    assert made.steps[following.rung] == Step(Kind.V2C, "ro")


def test_strangers_and_repetitions_are_not_taken_for_answers() -> None:
    made = planner(NAMES[:2])
    tried = made.next_try(1.0)
    assert tried is not None
    assert made.answered(tried.request_id, "10.9.9.9") is None  # another source
    assert made.answered(tried.request_id + 1000, tried.address) is None
    assert made.answered(tried.request_id, tried.address) is tried
    assert made.answered(tried.request_id, tried.address) is None


def test_a_late_answer_to_the_first_datagram_counts() -> None:
    made = planner(NAMES[:1], limits=Limits(rate=1000.0, in_flight=4, timeout=1.0, retries=1))
    first = made.next_try(0.5)
    assert first is not None
    second = made.next_try(1.6)
    assert second is not None
    assert (second.request_id, second.attempt) == (first.request_id, 1)
    assert made.answered(first.request_id, first.address) is second


def test_ids_never_collide_in_flight() -> None:
    ids = iter([5, 5, 5, 6, 7])
    made = Planner(NAMES[:3], (Step(Kind.V2C, "ro"),), Limits(rate=1e6), Pace(1e6, 0.0), ids.__next__)
    tried = [made.next_try(1.0) for _ in range(3)]
    assert len({t.request_id for t in tried if t is not None}) == 3


@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.sets(st.integers(1, 40)),
    st.sets(st.tuples(st.integers(1, 40), st.integers(0, 3))),
    st.integers(0, 2),
    st.integers(1, 9),
)
def test_it_always_ends_with_every_address_done(
    count: int, skipped: set[int], answering: set[tuple[int, int]], retries: int, in_flight: int
) -> None:
    limits = Limits(rate=1000.0, in_flight=in_flight, timeout=0.2, retries=retries)
    made = planner(NAMES[:count], limits=limits, skip=lambda a: int(a.rpartition(".")[2]) in skipped)
    sent = run(made, lambda t: (t.number + 1, t.rung) in answering, step=0.05)
    assert made.done == made.mark == count
    assert made.in_flight == 0
    assert all(t.attempt <= retries for _, t in sent)
    assert max(Counter((t.address, t.rung) for _, t in sent).values(), default=0) <= retries + 1


def test_nothing_to_send_means_a_short_sleep_until_the_next_deadline() -> None:
    made = planner(NAMES[:1], limits=Limits(rate=1000.0, in_flight=4, timeout=0.03, retries=0))
    assert made.next_try(1.0) is not None
    assert made.next_try(1.0) is None
    assert 0 < made.wait(1.0) <= 0.0301
