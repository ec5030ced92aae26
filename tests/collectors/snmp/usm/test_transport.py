"""The transport over real sockets, against an engine that answers as a test decides."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from collectors.profiles.loader import load_profiles
from collectors.snmp import message
from collectors.snmp.client import Session, Transport
from collectors.snmp.errors import (
    AuthError,
    MalformedReplyError,
    NetworkError,
    NoAnswerError,
    RefusedError,
)
from collectors.snmp.poller import SnmpPoller
from collectors.snmp.usm.errors import AgainError, ReportedError, UntrustedError
from collectors.snmp.usm.message import UsmMessage, decode_message
from collectors.snmp.usm.transport import UsmTransport
from collectors.snmp.walk import Ask
from monitor.clock import SystemClock
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess
from tests.collectors.snmp.agents import RecordedAgent
from tests.collectors.snmp.usm.engine import (
    DIGEST,
    ENGINE,
    NAME,
    SYS_NAME,
    WINDOW,
    Engine,
    credential,
    pdu_of,
    report_of,
)

ASK = Ask(message.GET, [SYS_NAME])
NEW_ID = bytes.fromhex("80001f8880ffffffffffffffff")
Handler = Callable[[bytes, UsmMessage], list[bytes]]


class Agent:
    """Serves an Engine: discovery, time window and requests by the book, unless `handler` answers instead."""

    def __init__(self, engine: Engine, handler: Handler | None = None, *, host: str = "127.0.0.1") -> None:
        self.engine = engine
        self.handler = handler or self.answer
        self.host = host
        self.recorded = RecordedAgent(NAME)
        self.seen: list[UsmMessage] = []
        self.clients: list[UsmTransport] = []
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.port: int = self.socket.getsockname()[1]
        self.source: tuple[object, ...] = ()
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def answer(self, data: bytes, got: UsmMessage) -> list[bytes]:
        engine = self.engine
        if got.engine_id != engine.engine_id:
            return [engine.report(ENGINE, got.msg_id)]
        if got.boots != engine.boots or abs(got.time - engine.time) > 150:
            return [engine.report(WINDOW, got.msg_id, level=1)]
        return [engine.wrap(self.response(data), got.msg_id)]

    def response(self, data: bytes) -> bytes:
        request = message.parse_pdu(self.engine.read(data))
        asked = request.kind, [row[0] for row in request.varbinds], request.error_index
        status, index, rows = self.recorded.answer(*asked)
        varbinds = b"".join(message.encode_varbind(*row) for row in rows)
        return message.encode_pdu(message.RESPONSE, request.request_id, status, index, varbinds)

    def _serve(self) -> None:
        while True:
            data, self.source = self.socket.recvfrom(65535)
            if not data:
                return
            got = decode_message(data)
            self.seen.append(got)
            for answer in self.handler(data, got):
                self.socket.sendto(answer, self.source)

    def client(self, *, timeout: float = 0.1, retries: int = 1) -> UsmTransport:
        """A transport to this agent, closed with it."""
        self.clients.append(UsmTransport(self.host, self.port, credential(), timeout, retries, SystemClock()))
        return self.clients[-1]

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self.clients:
            client.close()
        self.socket.sendto(b"", (self.host, self.port))
        self.thread.join(5)
        self.socket.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_exchange_takes_a_discovery_and_one_request(host: str) -> None:
    with Agent(Engine(), host=host) as agent:
        client: Transport = agent.client()
        for _ in range(3):
            assert client.exchange(ASK).varbinds == NAME
            client.close()  # what is known stays, the socket does not
    assert [got.engine_id != b"" for got in agent.seen] == [False, True, True, True]
    assert len({got.msg_id for got in agent.seen}) == 4
    assert client.where == (f"[::1]:{agent.port}" if ":" in host else f"{host}:{agent.port}")
    assert client.bulk


def test_sessions_walk_over_it() -> None:
    column = SYS_NAME[:-2]
    with Agent(Engine()) as agent, Session(agent.client(), SystemClock()) as session:
        result = session.walk([column])
        assert session.get([SYS_NAME]) == {SYS_NAME: NAME[0][1:]}
    assert not result.problems
    assert list(result.columns[column].values()) == [NAME[0][1:]]


def test_a_wrong_time_is_corrected_within_the_exchange() -> None:
    with Agent(Engine(boots=5, time=9000)) as agent:
        client = agent.client(retries=0)
        client.exchange(ASK)
        agent.engine.boots, agent.engine.time = 6, 2  # restarted
        assert client.exchange(ASK).varbinds == NAME
        assert client.counts["restarted"] == client.counts["time-synchronised"] == 1
        agent.engine.time += 100_000  # its clock, or ours, has jumped
        assert client.exchange(ASK).varbinds == NAME


def test_a_new_engine_is_found_within_the_exchange() -> None:
    with Agent(Engine()) as agent:
        client = agent.client(retries=0)
        client.exchange(ASK)
        agent.engine.engine_id, agent.engine.boots, agent.engine.time = NEW_ID, 1, 5
        assert client.exchange(ASK).varbinds == NAME
        assert client.counts["engine-changed"] == 1
        agent.engine.boots, agent.engine.time = 1, 1
        agent.engine.engine_id = NEW_ID[:-1] + b"\x01"
        assert client.exchange(ASK).varbinds == NAME


def test_an_agent_whose_clock_goes_back_without_a_restart_is_read_on() -> None:
    """Against RFC 3414, but firmware does it; the answer to a fresh random id is no recording."""
    with Agent(Engine(time=50_000)) as agent:
        client = agent.client(retries=0)
        client.exchange(ASK)
        agent.engine.time = 3
        assert client.exchange(ASK).varbinds == NAME
        assert client.counts["time-set-back"] == client.counts["replayed"] == 1


def test_replayed_answers_are_refused_and_counted() -> None:
    recorded: list[bytes] = []

    def handler(data: bytes, got: UsmMessage) -> list[bytes]:
        answers, before = agent.answer(data, got), recorded[:1]
        if got.engine_id:
            recorded.extend(answers)
        return [*before, *answers]

    with Agent(Engine(), handler) as agent:
        client = agent.client(timeout=0.5)
        for _ in range(3):
            assert client.exchange(ASK).varbinds == NAME
        assert client.counts["wrong-message-id"] == 2  # young enough for the window, yet not what was asked
        agent.engine.time += 151
        for _ in range(2):
            assert client.exchange(ASK).varbinds == NAME
        assert client.counts["replayed"] == 2


def test_forged_answers_are_passed_over_for_the_true_one() -> None:
    def handler(data: bytes, got: UsmMessage) -> list[bytes]:
        good = agent.answer(data, got)[0]
        if not got.engine_id:
            return [agent.engine.report(ENGINE, got.msg_id ^ 1), good]
        liar = dataclasses.replace(
            agent.engine, user=dataclasses.replace(agent.engine.user, auth_password=b"otherpass")
        )
        return [
            b"noise",
            good[:-1] + bytes((good[-1] ^ 1,)),
            liar.wrap(agent.response(data), got.msg_id),
            agent.engine.wrap(agent.response(data), got.msg_id, level=0),
            agent.engine.report(DIGEST, got.msg_id ^ 1),
            agent.engine.wrap(report_of(WINDOW), got.msg_id ^ 1, level=1),
            agent.engine.wrap(pdu_of(message.RESPONSE, 1), got.msg_id),
            dataclasses.replace(agent.engine, engine_id=NEW_ID).report(ENGINE, got.msg_id ^ 1),
            good,
        ]

    with Agent(Engine(), handler) as agent:
        client = agent.client(timeout=1, retries=0)
        assert client.exchange(ASK).varbinds == NAME
    assert client.counts == {
        "engine-discovered": 1, "unasked-report": 3, "malformed": 1, "wrong-digest": 2, "downgraded": 1,
        "time-synchronised": 1, "wrong-request-id": 1, "wrong-message-id": 1,
    }  # fmt: skip


def test_answers_from_another_source_are_not_taken() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))

        def handler(data: bytes, got: UsmMessage) -> list[bytes]:
            answers = agent.answer(data, got)
            if not got.engine_id:
                return answers
            stranger.sendto(answers[0], agent.source)
            return []

        with Agent(Engine(), handler) as agent:
            client = agent.client(retries=0)
            with pytest.raises(NoAnswerError):
                client.exchange(ASK)


def test_only_false_answers_end_as_what_they_are() -> None:
    def forging(data: bytes, got: UsmMessage) -> list[bytes]:
        good = agent.answer(data, got)[0]
        return [good if not got.engine_id else good[:-1] + bytes((good[-1] ^ 1,))] * 80

    def noisy(data: bytes, got: UsmMessage) -> list[bytes]:
        return agent.answer(data, got) if not got.engine_id else [b"\x30\x03abc"]

    def unfinished(data: bytes, got: UsmMessage) -> list[bytes]:
        return (
            agent.answer(data, got)
            if not got.engine_id
            else [agent.engine.wrap(b"\xa2\x03\x02\x01\x07", got.msg_id)]
        )

    def strangers(data: bytes, got: UsmMessage) -> list[bytes]:
        return (
            agent.answer(data, got)
            if not got.engine_id
            else [agent.engine.wrap(pdu_of(message.RESPONSE, 1), got.msg_id)]
        )

    expected: list[tuple[Handler, type[Exception]]] = [
        (forging, UntrustedError),
        (noisy, MalformedReplyError),
        (unfinished, MalformedReplyError),
        (strangers, NoAnswerError),
        (lambda data, got: [], NoAnswerError),
    ]
    for handler, error in expected:
        with Agent(Engine(), handler) as agent:
            client = agent.client(timeout=0.05)
            with pytest.raises(error):
                client.exchange(ASK)
        assert len(agent.seen) == (3 if agent.seen[-1].engine_id else 2)  # each attempt was made


def test_after_silence_the_engine_is_sought_anew() -> None:
    """A successor that drops what is not meant for it instead of reporting."""

    def handler(data: bytes, got: UsmMessage) -> list[bytes]:
        strange = got.engine_id not in {b"", agent.engine.engine_id}
        return [] if strange else agent.answer(data, got)

    with Agent(Engine(), handler) as agent:
        client = agent.client(timeout=0.05)
        client.exchange(ASK)
        agent.engine.engine_id = NEW_ID
        with pytest.raises(NoAnswerError):
            client.exchange(ASK)
        assert client.exchange(ASK).varbinds == NAME


def test_a_report_ends_the_exchange_at_once() -> None:
    def handler(data: bytes, got: UsmMessage) -> list[bytes]:
        return [agent.engine.report(DIGEST, got.msg_id)] if got.engine_id else agent.answer(data, got)

    with Agent(Engine(), handler) as agent:
        client = agent.client(timeout=5)
        with pytest.raises(ReportedError, match="usmStatsWrongDigests"):
            client.exchange(ASK)
    assert len(agent.seen) == 2


def test_an_agent_that_never_agrees_on_the_time_is_given_up() -> None:
    def handler(data: bytes, got: UsmMessage) -> list[bytes]:
        return (
            [agent.engine.report(WINDOW, got.msg_id, level=1)] if got.engine_id else agent.answer(data, got)
        )

    with Agent(Engine(), handler) as agent:
        client = agent.client(timeout=5)
        with pytest.raises(AgainError) as caught:
            client.exchange(ASK)
    assert "时钟" in caught.value.zh
    assert len(agent.seen) < 8


def test_addresses_and_credentials_that_cannot_be_used() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = UsmTransport("127.0.0.1", port, credential(), 1, 0, SystemClock())
    with pytest.raises(RefusedError):
        client.exchange(ASK)
    client.close()
    client.close()
    with pytest.raises(NetworkError):
        UsmTransport("no-such-host.invalid", 161, credential(), 1, 0, SystemClock())
    with pytest.raises(AuthError, match="MD5"):
        UsmTransport("127.0.0.1", port, credential(auth_protocol="MD5"), 1, 0, SystemClock())


def test_a_poller_keeps_what_it_knows_of_an_agent_but_no_socket(tmp_path: Path) -> None:
    (tmp_path / "generic.yml").write_text("name: generic\n", "utf-8")
    poller = SnmpPoller(SystemClock(), load_profiles(tmp_path))
    with Agent(Engine()) as agent:
        access = SnmpAccess("c", port=agent.port, timeout=1, retries=1)
        device = Device(DeviceId("box"), SiteId("s"), "box", Kind.NETWORK, agent.host, snmp=access)
        files = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            assert poller.poll(device, credential()).up
        assert [got.engine_id for got in agent.seen].count(b"") == 1
        assert len(list(Path("/proc/self/fd").iterdir())) == files
        refused = poller.poll(device, credential(auth_protocol="MD5"))
        assert [error.code for error in refused.errors] == ["auth"]
        assert "legacy: MD5" in refused.errors[0].zh
        assert poller.poll(device, credential()).up
        assert [got.engine_id for got in agent.seen].count(b"") == 2  # another credential came between
    poller.close()
