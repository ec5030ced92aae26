"""SNMPv3 through the engine: Debian's snmpd behind a relay that tampers, replays and forges."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pytest

from collectors.interface import Credential
from collectors.snmp.batch.engine import Engine
from collectors.snmp.batch.plan import Plan, make_plan
from collectors.snmp.batch.targets import Outcome, Target
from collectors.snmp.ber import Typed, encode_oid
from collectors.snmp.client import Session
from collectors.snmp.message import RESPONSE, V2C, frame
from collectors.snmp.usm.keys import KeyChain
from collectors.snmp.usm.transport import UsmTransport
from monitor.clock import SystemClock
from tests.real.snmpd import LoopbackSnmpd

SYSTEM = encode_oid("1.3.6.1.2.1.1")
DONE, SILENT = int(Outcome.DONE), int(Outcome.SILENT)
USER = Credential(
    "snmp-v3", user="ops", auth_protocol="SHA", auth_password="authpass1", priv_protocol="AES",
    priv_password="privpass1",
)  # fmt: skip
Change = Callable[[bytes], list[bytes]]


@pytest.fixture(scope="module")
def snmpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSnmpd]:
    folder: Path = tmp_path_factory.mktemp("snmpd")
    with LoopbackSnmpd(folder, user="ops", auth="SHA:authpass1", priv="AES:privpass1") as running:
        yield running


class Relay:
    """Stands before an agent; `change` turns each of its answers into what arrives."""

    def __init__(self, agent: LoopbackSnmpd) -> None:
        self.change: Change = lambda answer: [answer]
        self.answers: list[bytes] = []
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self._back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._back.settimeout(0.5)
        self._back.connect((agent.host, agent.port))
        self.elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client: tuple[str, int] = ("", 0)
        self.port: int = self._front.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            data, self.client = self._front.recvfrom(65535)
            if not data:
                return
            self._back.send(data)
            try:
                answer = self._back.recv(65535)
            except TimeoutError:
                continue
            self.answers.append(answer)
            for changed in self.change(answer):
                self._front.sendto(changed, self.client)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(5)
        for one in (self._front, self._back, self.elsewhere):
            one.close()


class Polled:
    """One device in an engine of its own, its peer as a plain reading leaves it."""

    def __init__(self, relay: Relay) -> None:
        self.engine = Engine(SystemClock())
        clock = SystemClock()
        self.transport = UsmTransport("127.0.0.1", relay.port, USER, 2.0, 1, clock, keys=KeyChain())
        with Session(self.transport, clock) as session:
            walked = session.walk([SYSTEM]).columns[SYSTEM]
        scalars: dict[bytes, Typed] = {SYSTEM + row: cell for row, cell in walked.items() if row[0] < 8}
        self.plan: Plan = make_plan(None, scalars, {})
        target = Target("127.0.0.1", relay.port, 0.5, 0)
        self.device = self.engine.add(target, self.plan.requests, self.transport.peer)

    def poll(self) -> int:
        self.engine.begin(np.array([self.device]))
        until = time.monotonic() + 8
        outcomes: list[int] = []
        while self.engine.busy and time.monotonic() < until:
            outcomes += self.engine.work(time.monotonic() + 0.05).outcomes.tolist()
        (outcome,) = outcomes
        return outcome

    def count(self, name: str) -> int:
        return int(self.engine.state().get(name, 0))


@pytest.fixture
def relay(snmpd: LoopbackSnmpd) -> Iterator[Relay]:
    with Relay(snmpd) as made:
        yield made


@pytest.fixture
def polled(relay: Relay) -> Iterator[Polled]:
    made = Polled(relay)
    yield made
    made.engine.close()


def test_done_with_the_numbers(polled: Polled) -> None:
    uptimes = []
    for _ in range(3):
        assert polled.poll() == DONE
        request, cell = polled.plan.cells[SYSTEM + b"\x03\x00"]
        uptimes.append(polled.engine.numbers[polled.engine.first_slot(polled.device) + request, cell])
        time.sleep(0.02)
    assert uptimes == sorted(uptimes)
    assert uptimes[0] > 0
    assert polled.count("refused") == 0


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 0x01
    return bytes(changed)


TAMPERED: dict[str, Change] = {
    "the digest": lambda answer: [flipped(answer, answer.index(b"\x04\x0c") + 5)],
    "the body": lambda answer: [flipped(answer, len(answer) - 3)],
    "the engine": lambda answer: [flipped(answer, answer.index(b"\x80\x00\x1f\x88") + 6)],
    "nothing in it": lambda answer: [answer[:40]],
}


@pytest.mark.parametrize("what", list(TAMPERED))
def test_tampered_answers_are_refused(relay: Relay, polled: Polled, what: str) -> None:
    assert polled.poll() == DONE
    relay.change = TAMPERED[what]
    assert polled.poll() == SILENT
    assert polled.count("refused") >= 1
    assert polled.engine.was_refused(polled.device)
    assert not polled.engine.was_refused(polled.device), "it is told once"
    relay.change = lambda answer: [answer]
    assert polled.poll() == DONE


def test_a_tampered_answer_before_the_right_one_does_no_harm(relay: Relay, polled: Polled) -> None:
    assert polled.poll() == DONE
    sent = TAMPERED["the body"]
    relay.change = lambda answer: [*sent(answer), answer]
    for _ in range(3):
        assert polled.poll() == DONE
    assert polled.count("refused") + polled.count("stray") >= 3


def test_a_replayed_message_is_not_taken(relay: Relay, polled: Polled) -> None:
    assert polled.poll() == DONE
    old = list(relay.answers)
    relay.change = lambda _: old[-1:]
    assert polled.poll() == SILENT
    assert polled.count("stray") >= 1, "its message id is of no request that is out"
    fake = len(relay.answers)
    relay.change = lambda answer: [with_id_of(old[-1], answer)]
    assert polled.poll() == SILENT
    assert len(relay.answers) > fake
    assert polled.count("refused") >= 1, "with the right id its digest is wrong"


def with_id_of(old: bytes, new: bytes) -> bytes:
    """The old message with the new one's message id."""
    at = id_at(old)
    other = id_at(new)
    return old[:at] + new[other : other + 4] + old[at + 4 :]


def id_at(data: bytes) -> int:
    start = 2 + (data[1] & 0x7F if data[1] > 0x7F else 0)
    assert data[start : start + 3] == b"\x02\x01\x03"
    assert data[start + 3] == 0x30
    assert data[start + 5 : start + 7] == b"\x02\x04"
    return start + 7


def test_the_same_answer_twice_counts_once(relay: Relay, polled: Polled) -> None:
    relay.change = lambda answer: [answer, answer]
    for _ in range(3):
        assert polled.poll() == DONE
    assert polled.count("flying") == 0
    assert polled.count("stray") + polled.count("refused") >= 1


def test_an_authentic_answer_from_elsewhere_is_foreign(relay: Relay, polled: Polled) -> None:
    assert polled.poll() == DONE

    def away(answer: bytes) -> list[bytes]:
        relay.elsewhere.sendto(answer, relay.client)
        return []

    relay.change = away
    assert polled.poll() == SILENT
    assert polled.count("foreign") >= 1
    relay.change = lambda answer: [answer]
    assert polled.poll() == DONE


def test_plain_answers_to_a_sealed_request_are_not_taken(relay: Relay, polled: Polled) -> None:
    def unsealed(answer: bytes) -> list[bytes]:
        at = id_at(answer)
        number = int.from_bytes(answer[at : at + 4], "big")
        return [frame(V2C, b"public", RESPONSE, number, 0, 0, b"")]

    relay.change = unsealed
    assert polled.poll() == SILENT
    assert polled.count("stray") >= 1
