"""Sessions against agents that behave badly, over real sockets."""

from __future__ import annotations

import dataclasses
import socket

import pytest

from collectors.interface import Credential
from collectors.snmp import ber, message
from collectors.snmp.ber import VarBind, encode_oid
from collectors.snmp.client import Session, open_session
from collectors.snmp.errors import (
    AgentError,
    BudgetError,
    EmptyBulkError,
    LoopError,
    MalformedReplyError,
    NetworkError,
    NoAnswerError,
    RefusedError,
)
from collectors.snmp.message import GET_BULK, GET_NEXT, Message
from monitor.clock import ManualClock, SystemClock
from tests.collectors.snmp.agents import RecordedAgent, UdpAgent

DESCR = encode_oid("1.3.6.1.2.1.2.2.1.2")
OCTETS = encode_oid("1.3.6.1.2.1.2.2.1.10")
HC = encode_oid("1.3.6.1.2.1.31.1.1.1.6")
SYS_DESCR = encode_oid("1.3.6.1.2.1.1.1.0")
SYS_NAME = encode_oid("1.3.6.1.2.1.1.5.0")
INDEXES = (1, 2, 127, 128, 16383, 16384, 268435457)
SYSTEM: list[VarBind] = [(SYS_DESCR, 4, b"switch"), (SYS_NAME, 4, b"core-1")]
TABLE: list[VarBind] = [
    *SYSTEM,
    *((DESCR + ber.encode_index((i,)), 4, f"port {i}".encode()) for i in INDEXES),
    *((OCTETS + ber.encode_index((i,)), ber.COUNTER32, i) for i in INDEXES),
    *((HC + ber.encode_index((i,)), ber.COUNTER64, i << 32) for i in INDEXES if i != 128),
]


def session(agent: UdpAgent, *, kind: str = "snmp-v2c", timeout: float = 0.1, retries: int = 1) -> Session:
    credential = Credential(kind, community="public")
    return open_session(
        agent.host, agent.port, credential, timeout=timeout, retries=retries, clock=SystemClock(), budget=10
    )


def edited(request: Message, **changes: object) -> Message:
    return dataclasses.replace(request, **changes)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("limit", [1000, 7, 1])
def test_walk_of_several_columns_with_holes(host: str, limit: int) -> None:
    recorded = RecordedAgent(TABLE, max_varbinds=limit)  # an agent that cuts replies short
    with UdpAgent(recorded.handle, host=host) as agent, session(agent) as client:
        result = client.walk([DESCR, OCTETS, HC])
    assert not result.problems
    assert [ber.decode_index(index) for index in result.columns[DESCR]] == [(i,) for i in INDEXES]
    assert [value for _, value in result.columns[HC].values()] == [i << 32 for i in INDEXES if i != 128]
    if limit == 1000:
        assert len(agent.requests) == 1


def test_v1_walks_with_getnext_and_get_skips_missing_names() -> None:
    recorded = RecordedAgent([row for row in TABLE if row[1] != ber.COUNTER64], bulk=False)
    with UdpAgent(recorded.handle) as agent, session(agent, kind="snmp-v1") as client:
        result = client.walk([DESCR, OCTETS, HC])
        scalars = client.get([SYS_DESCR, encode_oid("1.3.6.1.2.1.1.99.0"), SYS_NAME])
    assert [len(result.columns[column]) for column in (DESCR, OCTETS, HC)] == [7, 7, 0]
    assert not result.problems
    assert scalars == {SYS_DESCR: (4, b"switch"), SYS_NAME: (4, b"core-1")}
    assert {request.version for request in agent.requests} == {message.V1}


def test_silence_and_a_wrong_community_say_what_may_be_wrong() -> None:
    with UdpAgent(RecordedAgent(TABLE).handle, community=b"other") as agent, session(agent) as client:
        with pytest.raises(NoAnswerError, match="community") as caught:
            client.get([SYS_DESCR])
        assert len(agent.requests) == 2  # the first attempt and one retry
    assert "团体名" in caught.value.zh
    assert caught.value.poll_error().code == "timeout"
    assert caught.value.exit_code == 3


def test_a_closed_port_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    credential = Credential("snmp-v2c", community="public")
    with (
        open_session(
            "127.0.0.1", port, credential, timeout=1, retries=0, clock=SystemClock(), budget=5
        ) as client,
        pytest.raises(RefusedError, match="no SNMP agent listens"),
    ):
        client.get([SYS_DESCR])


def test_an_unknown_host_is_a_network_error() -> None:
    with pytest.raises(NetworkError):
        open_session(
            "no-such-host.invalid",
            161,
            Credential("snmp-v2c", community="public"),
            timeout=1,
            retries=0,
            clock=SystemClock(),
            budget=5,
        )


def test_wrong_request_ids_and_noise_are_skipped() -> None:
    def handler(request: Message) -> list[bytes]:
        right = RecordedAgent(TABLE).handle(request)[0]
        stale = message.encode_response(edited(request, request_id=request.request_id + 1), [])
        return [
            b"\x30\x03abc",
            stale,
            message.encode_request(1, b"public", GET_NEXT, request.request_id, []),
            right,
        ]

    with UdpAgent(handler) as agent, session(agent) as client:
        assert client.get([SYS_NAME]) == {SYS_NAME: (4, b"core-1")}
        assert len(agent.requests) == 1


def test_only_wrong_request_ids_are_a_timeout() -> None:
    def handler(request: Message) -> list[bytes]:
        return [message.encode_response(edited(request, request_id=request.request_id ^ 1), SYSTEM)] * 80

    with UdpAgent(handler) as agent, session(agent, retries=0) as client, pytest.raises(NoAnswerError):
        client.get([SYS_NAME])


def test_answers_from_another_source_are_not_taken() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))

        def handler(request: Message) -> list[bytes]:
            stranger.sendto(RecordedAgent(TABLE).handle(request)[0], ("127.0.0.1", client_port))
            return []

        with UdpAgent(handler) as agent, session(agent, retries=0) as client:
            client_port = client._transport._socket.getsockname()[1]  # type: ignore[attr-defined]
            with pytest.raises(NoAnswerError):
                client.get([SYS_NAME])


def test_a_truncated_answer_has_its_own_code() -> None:
    def handler(request: Message) -> list[bytes]:
        return [RecordedAgent(TABLE).handle(request)[0][:-3]]

    with UdpAgent(handler) as agent, session(agent) as client, pytest.raises(MalformedReplyError) as caught:
        client.get([SYS_NAME])
    assert caught.value.code == "truncated"


def test_an_agent_that_loops_is_stopped_and_what_was_read_is_kept() -> None:
    first = DESCR + b"\x01"

    def handler(request: Message) -> list[bytes]:
        return [message.encode_response(request, [(first, 4, b"port 1")])]

    with UdpAgent(handler) as agent, session(agent) as client:
        result = client.walk([DESCR])
        assert len(agent.requests) == 2
    assert result.columns[DESCR] == {b"\x01": (4, b"port 1")}
    assert [type(problem) for problem in result.problems] == [LoopError]


def test_an_endless_table_ends_at_the_budget() -> None:
    def handler(request: Message) -> list[bytes]:
        last = ber.decode_oid(request.varbinds[0][0])
        at = last[-1] if len(last) > 10 else 0
        rows = [(DESCR + ber.encode_index((at + i,)), 4, b"x") for i in range(1, 2000)]
        return [message.encode_response(request, rows)]

    with UdpAgent(handler) as agent, session(agent, timeout=2) as client:
        result = client.walk([DESCR])
    assert [type(problem) for problem in result.problems] == [BudgetError]
    assert len(result.columns[DESCR]) > 40_000


def test_empty_bulk_answers_fall_back_to_getnext_and_then_stop() -> None:
    recorded = RecordedAgent(TABLE)

    def no_bulk(request: Message) -> list[bytes]:
        return (
            [message.encode_response(request, [])] if request.kind == GET_BULK else recorded.handle(request)
        )

    with UdpAgent(no_bulk) as agent, session(agent) as client:
        result = client.walk([DESCR])
    assert len(result.columns[DESCR]) == len(INDEXES)
    assert not result.problems

    with UdpAgent(lambda request: [message.encode_response(request, [])]) as agent, session(agent) as client:
        result = client.walk([DESCR, OCTETS])
        assert len(agent.requests) == 2
    assert [type(problem) for problem in result.problems] == [EmptyBulkError]


def test_too_big_halves_until_it_fits() -> None:
    recorded = RecordedAgent(TABLE)

    def handler(request: Message) -> list[bytes]:
        rows = request.error_index if request.kind == GET_BULK else 1
        if rows * len(request.varbinds) > 4:
            return [message.encode_response(request, [], 1, 0)]
        return recorded.handle(request)

    with UdpAgent(handler) as agent, session(agent) as client:
        result = client.walk([DESCR, OCTETS, HC])
        scalars = client.get([SYS_DESCR, *(DESCR + ber.encode_index((i,)) for i in INDEXES)])
    assert [len(result.columns[column]) for column in (DESCR, OCTETS, HC)] == [7, 7, 6]
    assert len(scalars) == 8
    with (
        UdpAgent(lambda request: [message.encode_response(request, [], 1, 0)]) as agent,
        session(agent) as client,
    ):
        with pytest.raises(AgentError, match="tooBig"):
            client.get([SYS_DESCR, SYS_NAME])
        assert {problem.code for problem in client.walk([DESCR, OCTETS]).problems} == {"tooBig"}


def test_an_error_status_spoils_its_own_column_only() -> None:
    recorded = RecordedAgent(TABLE)

    def handler(request: Message) -> list[bytes]:
        for at, (oid, _, _) in enumerate(request.varbinds, 1):
            if oid.startswith(OCTETS):
                return [message.encode_response(request, request.varbinds, 5, at)]
        return recorded.handle(request)

    with UdpAgent(handler) as agent, session(agent) as client:
        result = client.walk([DESCR, OCTETS, HC])
    assert [len(result.columns[column]) for column in (DESCR, OCTETS, HC)] == [7, 0, 6]
    assert [problem.code for problem in result.problems] == ["genErr"]


def test_an_error_without_an_index_is_isolated() -> None:
    recorded = RecordedAgent(TABLE)

    def handler(request: Message) -> list[bytes]:
        if any(oid == SYS_DESCR for oid, _, _ in request.varbinds):
            return [message.encode_response(request, request.varbinds, 5, 0)]
        return recorded.handle(request)

    with UdpAgent(handler) as agent, session(agent) as client:
        assert client.get([SYS_DESCR, SYS_NAME]) == {SYS_NAME: (4, b"core-1")}
        with pytest.raises(AgentError, match="genErr"):
            client.get([SYS_DESCR])


def test_big_replies_that_get_lost_are_asked_for_in_small() -> None:
    recorded = RecordedAgent(TABLE)

    def handler(request: Message) -> list[bytes]:
        return [] if request.error_index > 1 else recorded.handle(request)

    with UdpAgent(handler) as agent, session(agent, retries=0, timeout=0.05) as client:
        result = client.walk([DESCR])
    assert len(result.columns[DESCR]) == len(INDEXES)
    assert not result.problems


def test_a_device_that_dies_is_not_waited_for_again_and_again() -> None:
    recorded = RecordedAgent(TABLE)
    recorded.silent = True
    client = Session(recorded, SystemClock())
    for _ in range(5):
        with pytest.raises(NoAnswerError):
            client.get([SYS_NAME])
    assert recorded.asked == 2


def test_the_time_budget_is_kept() -> None:
    clock = ManualClock(0)
    client = Session(RecordedAgent(TABLE), clock, budget=30)
    assert client.get([SYS_NAME])
    clock.advance(31)
    with pytest.raises(BudgetError):
        client.get([SYS_NAME])
    assert [problem.code for problem in client.walk([DESCR]).problems] == ["budget"]
