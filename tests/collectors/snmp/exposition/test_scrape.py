"""What a scrape asks for and how it counts, on recorded and on ill-behaved agents."""

from __future__ import annotations

import pytest

from collectors.place import parse_yaml
from collectors.profiles.modules import WalkModule
from collectors.profiles.modules_loader import parse_modules
from collectors.snmp.ber import INTEGER, OCTET_STRING, VarBind, dotted, encode_oid
from collectors.snmp.errors import AgentError, BudgetError, LoopError, NoAnswerError
from collectors.snmp.exposition.scrape import Scrape, ScrapeError, Scraper
from collectors.snmp.message import GET, GET_NEXT
from collectors.snmp.walk import Ask, Reply
from monitor.clock import ManualClock
from tests.collectors.snmp.agents import RecordedAgent

TABLE = "1.3.6.1.4.1.9.1.1"
ROWS: list[VarBind] = [
    *(
        (encode_oid(f"{TABLE}.{column}.{row}"), INTEGER, column * 100 + row)
        for column in (1, 2)
        for row in range(1, 31)
    ),
    *((encode_oid(f"{TABLE}.3.{row}"), OCTET_STRING, b"up" if row % 2 else b"down") for row in range(1, 31)),
    (encode_oid("1.3.6.1.4.1.9.2.0"), INTEGER, 7),
    (encode_oid("1.3.6.1.4.1.9.3.0"), INTEGER, 8),
]


def module(text: str) -> WalkModule:
    return parse_modules(parse_yaml(f"modules: {{m: {{{text}, metrics: []}}}}".encode(), "m")).modules["m"]


def scrape(text: str, agent: RecordedAgent | None = None, *, clock: ManualClock | None = None) -> Scrape:
    clock = clock or ManualClock(0)
    return Scraper(agent or RecordedAgent(ROWS), module(text), clock, clock.monotonic() + 10).run()


def test_subtrees_instances_and_what_is_not_there() -> None:
    result = scrape(
        f"walk: [{TABLE}.1, {TABLE}.2.7, 1.3.6.1.4.1.9.2, 1.3.6.1.4.1.8], get: [1.3.6.1.4.1.9.3.0, 1.3.6.1.4.1.9.4.0]"
    )
    names = [dotted(oid) for oid in result.varbinds]
    assert names == [
        "1.3.6.1.4.1.9.3.0", *(f"{TABLE}.1.{row}" for row in range(1, 31)), f"{TABLE}.2.7", "1.3.6.1.4.1.9.2.0",
    ]  # fmt: skip
    # a GET; two GETBULK of 25; GETBULK and GET for an instance, again for what is not there; one GETBULK
    assert (result.packets, result.retried, result.returned) == (1 + 2 + 2 + 1 + 2, 0, 33)


def test_v1_reads_the_same_by_getnext() -> None:
    text = f"walk: [{TABLE}.1, 1.3.6.1.4.1.9.3], get: [1.3.6.1.4.1.9.2.0, 1.3.6.1.4.1.9.4.0]"
    assert scrape(text, RecordedAgent(ROWS, bulk=False)).varbinds == scrape(text).varbinds


def test_filters_read_only_the_rows_all_of_them_allow() -> None:
    up = f"{{oid: {TABLE}.3, targets: [{TABLE}.1], values: ['^up$']}}"
    first = f"{{oid: {TABLE}.2, targets: [{TABLE}.1], values: ['^20[1-5]$']}}"
    silent = "{oid: 1.3.6.1.4.1.77, targets: [1.3.6.1.4.1.9.2], values: [x]}"
    result = scrape(f"walk: [{TABLE}.1, 1.3.6.1.4.1.9.2], filters: [{up}, {first}]")
    assert [dotted(oid) for oid in result.varbinds] == [
        *(f"{TABLE}.1.{row}" for row in (1, 3, 5)),
        "1.3.6.1.4.1.9.2.0",
    ]
    assert not scrape(f"walk: [1.3.6.1.4.1.9.2], filters: [{silent}]").varbinds


class Deaf(RecordedAgent):
    """Does not answer the first `silences` requests."""

    def __init__(self, silences: int) -> None:
        super().__init__(ROWS)
        self.silences = silences

    def exchange(self, ask: Ask) -> Reply:
        if self.silences:
            self.silences -= 1
            raise NoAnswerError(self.where)
        return super().exchange(ask)


def test_silence_is_asked_again_and_counted() -> None:
    result = scrape("walk: [1.3.6.1.4.1.9.2], retries: 2", Deaf(2))
    assert (result.packets, result.retried, result.returned) == (3, 2, 1)
    with pytest.raises(ScrapeError) as caught:
        scrape("walk: [1.3.6.1.4.1.9.2], retries: 1", Deaf(2))
    assert caught.value.doing == "walking"
    assert isinstance(caught.value.cause, NoAnswerError)
    with pytest.raises(ScrapeError) as caught:
        scrape("get: [1.3.6.1.4.1.9.2.0], retries: 0", Deaf(1))
    assert caught.value.doing == "getting"


class Looping(RecordedAgent):
    """Gives the same rows for ever."""

    def exchange(self, ask: Ask) -> Reply:
        return Reply(0, 0, self.rows[:5])


def test_an_agent_that_loops_is_stopped() -> None:
    with pytest.raises(ScrapeError) as caught:
        scrape(f"walk: [{TABLE}]", Looping(ROWS))
    assert isinstance(caught.value.cause, LoopError)
    lenient = scrape(f"walk: [{TABLE}], allow_nonincreasing_oids: true", Looping(ROWS))
    assert len(lenient.varbinds) == 5


class Small(RecordedAgent):
    """Answers tooBig to more than `limit` varbinds."""

    limit = 4

    def exchange(self, ask: Ask) -> Reply:
        if max(len(ask.oids), ask.max_repetitions) > self.limit:
            return Reply(1, 0, ())
        return super().exchange(ask)


def test_too_big_is_asked_in_smaller_pieces() -> None:
    gets = ", ".join(f"{TABLE}.1.{row}" for row in range(1, 11))
    text = f"walk: [{TABLE}.2], get: [{gets}]"
    assert scrape(text, Small(ROWS)).varbinds == scrape(text).varbinds
    Small.limit = 0
    try:
        with pytest.raises(ScrapeError) as caught:
            scrape(text, Small(ROWS))
    finally:
        Small.limit = 4
    assert isinstance(caught.value.cause, AgentError)


class Late(RecordedAgent):
    """Every answer takes four seconds."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(ROWS)
        self.clock = clock
        self.kinds: list[int] = []

    def exchange(self, ask: Ask) -> Reply:
        self.clock.advance(4)
        self.kinds.append(ask.kind)
        return super().exchange(ask)


def test_the_time_of_a_scrape_is_bounded() -> None:
    clock = ManualClock(0)
    agent = Late(clock)
    with pytest.raises(ScrapeError) as caught:
        scrape(f"walk: [{TABLE}], max_repetitions: 1", agent, clock=clock)
    assert isinstance(caught.value.cause, BudgetError)
    assert len(agent.kinds) == 3
    assert not set(agent.kinds) & {GET, GET_NEXT}
