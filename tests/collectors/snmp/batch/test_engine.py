"""The engine against small agents on the loopback: how polls end, and what it refuses to believe."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.datagrams import SEGMENTS, DatagramSocket
from collectors.snmp.batch.engine import Engine
from collectors.snmp.batch.exchange import runs
from collectors.snmp.batch.plan import Plan, make_plan
from collectors.snmp.batch.request import Envelope
from collectors.snmp.batch.targets import Limits, Outcome, Target
from collectors.snmp.ber import COUNTER32, OCTET_STRING, TIME_TICKS, VarBind, encode_oid
from collectors.snmp.message import V1, V2C, Message, encode_response, parse_request
from monitor.clock import Clock, ManualClock, SystemClock
from tests.collectors.snmp.agents import UdpAgent
from tests.collectors.snmp.batch.trees import TreeAgent

NAME = encode_oid("1.3.6.1.2.1.1.5.0")
UPTIME = encode_oid("1.3.6.1.2.1.1.3.0")
COLUMN = encode_oid("1.3.6.1.4.1.9.1.1.1")
OTHER = encode_oid("1.3.6.1.4.1.9.1.1.2")
TEXT = encode_oid("1.3.6.1.4.1.9.3.0")
DONE, CHANGED, SILENT = int(Outcome.DONE), int(Outcome.CHANGED), int(Outcome.SILENT)


def tree(rows: int = 30, base: int = 100) -> list[VarBind]:
    found: list[VarBind] = [(UPTIME, TIME_TICKS, base), (NAME, OCTET_STRING, b"core")]
    for at in range(rows):
        found.append((COLUMN + bytes((at + 1,)), COUNTER32, base + at))
        found.append((OTHER + bytes((at + 1,)), COUNTER32, 2 * base + at))
    return found


def plan_of(
    varbinds: Sequence[VarBind], *, version: int = V2C, measured: frozenset[bytes] = frozenset()
) -> Plan:
    scalars = {oid: (tag, value) for oid, tag, value in varbinds if oid.endswith(b"\0")}
    columns = {
        column: {oid[len(column) :]: (tag, value) for oid, tag, value in varbinds if oid.startswith(column)}
        for column in (COLUMN, OTHER)
    }
    return make_plan(Envelope(version, b"public"), scalars, columns, measured)


def run(engine: Engine, devices: Sequence[int], seconds: float = 8.0) -> dict[int, int]:
    """Poll devices until all have ended."""
    engine.begin(np.array(devices, np.int64))
    found: dict[int, int] = {}
    until = time.monotonic() + seconds
    while engine.busy and time.monotonic() < until:
        ended = engine.work(time.monotonic() + 0.1)
        found.update(zip(ended.devices.tolist(), ended.outcomes.tolist(), strict=True))
    assert not engine.busy, "a poll never ended"
    state = engine.state()
    assert state["flying"] == 0
    return found


def number(engine: Engine, device: int, plan: Plan, oid: bytes) -> float:
    request, cell = plan.cells[oid]
    return float(engine.numbers[engine.first_slot(device) + request, cell])


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine(SystemClock())
    yield made
    made.close()


def target(
    agent: UdpAgent, *, timeout: float = 3.0, retries: int = 1, window: int = 4, site: int = 0
) -> Target:
    return Target(agent.host, agent.port, timeout, retries, window, site)


@pytest.mark.parametrize("version", [V1, V2C])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_done_with_the_numbers_then_new_numbers(engine: Engine, version: int, host: str) -> None:
    recorded = TreeAgent(tree())
    plan = plan_of(tree(), version=version)
    with UdpAgent(recorded.handle, host=host) as agent:
        device = engine.add(target(agent), plan.requests)
        for base in (100, 101, 70_000, 2**30, 5):
            recorded.say(tree(base=base))
            assert run(engine, [device]) == {device: DONE}
            assert number(engine, device, plan, UPTIME) == base
            assert number(engine, device, plan, COLUMN + b"\x1e") == base + 29
    assert engine.state()["odd"] == 0


@pytest.mark.parametrize("kind", ["row added", "row removed", "text", "error"])
def test_what_changed_is_seen_in_the_next_poll(engine: Engine, kind: str) -> None:
    recorded = TreeAgent(tree())
    with UdpAgent(recorded.handle) as agent:
        device = engine.add(target(agent), plan_of(tree()).requests)
        assert run(engine, [device]) == {device: DONE}
        other = {
            "row added": tree(31),
            "row removed": tree(29),
            "text": [(NAME, OCTET_STRING, b"edge") if row[0] == NAME else row for row in tree()],
            "error": tree(),
        }[kind]
        recorded.say(other)
        if kind == "error":
            agent.handler = lambda request: [encode_response(request, [], 5, 0)]
        assert run(engine, [device]) == {device: CHANGED}


def test_silence_and_retries_at_the_right_times() -> None:
    clock = ManualClock(1_000_000)
    engine = Engine(clock)
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("127.0.0.1", 0))
    sink.settimeout(1.0)
    plan = make_plan(Envelope(V2C, b"public"), {NAME: (OCTET_STRING, b"x")}, {})
    device = engine.add(Target("127.0.0.1", sink.getsockname()[1], 2.0, 2), plan.requests)
    engine.begin(np.array([device]))
    heard = []
    outcome = []
    for step in range(80):
        ended = engine.work(clock.monotonic())
        outcome += [(step, one) for one in ended.outcomes.tolist()]
        sink.setblocking(False)
        try:
            while True:
                sink.recv(2000)
                heard.append(step)
        except BlockingIOError:
            pass
        clock.advance(0.1)
    assert len(heard) == 3, "one request and two retries"
    assert 20 <= heard[1] <= 22
    assert heard[2] - heard[1] in {20, 21, 22}
    assert outcome[0][1] == SILENT
    assert 60 <= outcome[0][0] <= 66
    assert engine.state()["retried"] == 2
    assert engine.state()["flying"] == 0
    # what was silent is asked one thing first
    engine.begin(np.array([device]))
    engine.work(clock.monotonic())
    assert engine.state()["flying"] == 1
    engine.close()
    sink.close()


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_lost_replies_are_asked_for_again(engine: Engine, lost: int) -> None:
    recorded = TreeAgent(tree())
    left = [lost]

    def sometimes(request: Message) -> list[bytes]:
        if left[0]:
            left[0] -= 1
            return []
        return recorded.handle(request)

    plan = make_plan(Envelope(V2C, b"public"), {NAME: (OCTET_STRING, b"core")}, {})
    with UdpAgent(sometimes) as agent:
        device = engine.add(target(agent, timeout=0.1, retries=2), plan.requests)
        assert run(engine, [device]) == {device: SILENT if lost == 3 else DONE}
        assert run(engine, [device]) == {device: DONE}


def test_alternating_lengths_are_learned_once(engine: Engine) -> None:
    recorded = TreeAgent(tree())
    with UdpAgent(recorded.handle) as agent:
        plan = plan_of(tree())
        device = engine.add(target(agent), plan.requests)
        for turn in range(12):
            base = (1, 1000, 2**20)[turn % 3]
            recorded.say(tree(base=base))
            assert run(engine, [device]) == {device: DONE}
            assert number(engine, device, plan, COLUMN + b"\x01") == base
            if turn == 8:  # what comes again is remembered
                reshaped = engine.state()["reshaped"]
    assert engine.state()["reshaped"] == reshaped
    assert engine.state()["layouts"] <= 4 * len(plan.requests)


def test_a_text_that_is_a_number_goes_back_to_what_it_was(engine: Engine) -> None:
    def said(text: bytes) -> list[VarBind]:
        return [(UPTIME, TIME_TICKS, 5), (TEXT, OCTET_STRING, text)]

    recorded = TreeAgent(said(b"25 C"))
    plan = plan_of(said(b"25 C"), measured=frozenset({TEXT}))
    with UdpAgent(recorded.handle) as agent:
        device = engine.add(target(agent), plan.requests)
        for text in (b"25 C", b"26 C", b"25 C", b"7.5", b"N/A", b"26 C"):
            recorded.say(said(text))
            assert run(engine, [device]) == {device: DONE}
            found = number(engine, device, plan, TEXT)
            assert np.isnan(found) if text == b"N/A" else found == float(text.split()[0])


def forged(recorded: TreeAgent, request: Message, how: str) -> list[bytes]:
    good = recorded.handle(request)[0]
    varbinds = recorded.answer(request, [row[0] for row in request.varbinds])
    other = Message(V1, request.community, request.kind, request.request_id, 0, 0, [])
    wrong = Message(V2C, request.community, request.kind, request.request_id ^ 0x00100000, 0, 0, [])
    return {
        "duplicate": [good, good, good],
        "wrong id": [encode_response(wrong, varbinds), good],
        "version": [encode_response(other, varbinds), good],
        "cut": [good[: len(good) // 2], good],
        "one octet": [b"\x30", good],
        "behind": [good + b"\0", good],
        "malformed": [good[:-30] + bytes((good[-30] ^ 0xFF,)) * 30, good],
        "random": [bytes(range(256)) * 3, good],
        "request": [good.replace(b"\xa2", b"\xa5", 1), good],
    }[how]


@pytest.mark.parametrize(
    "how",
    ["duplicate", "wrong id", "version", "cut", "one octet", "behind", "random", "request"],
)
def test_rubbish_before_the_answer_does_no_harm(engine: Engine, how: str) -> None:
    recorded = TreeAgent(tree())
    plan = plan_of(tree())
    with UdpAgent(lambda request: forged(recorded, request, how)) as agent:
        device = engine.add(target(agent, timeout=0.5), plan.requests)
        for _ in range(3):
            assert run(engine, [device]) == {device: DONE}
            assert number(engine, device, plan, UPTIME) == 100
    state = engine.state()
    assert state["stray"] + state.get("malformed", 0) >= 1, "nothing is dropped without being counted"


@pytest.mark.parametrize("how", ["version", "cut", "behind", "request"])
def test_rubbish_alone_is_as_good_as_no_answer(engine: Engine, how: str) -> None:
    recorded = TreeAgent(tree(2))
    plan = plan_of(tree(2))
    assert len(plan.requests) == 1
    turn = [0]

    def handle(request: Message) -> list[bytes]:
        turn[0] += 1
        answers = forged(recorded, request, how)
        return answers[:1] if turn[0] % 2 else answers[1:]

    with UdpAgent(handle) as agent:
        device = engine.add(target(agent, timeout=0.5), plan.requests)
        for at in range(1, 4):
            assert run(engine, [device]) == {device: DONE}
            assert engine.state()["malformed"] == at
            assert engine.state()["retried"] == at


def test_an_oversized_answer_is_a_change(engine: Engine) -> None:
    plan = plan_of(tree())
    long = [(NAME, OCTET_STRING, bytes(3000))]
    with UdpAgent(lambda request: [encode_response(request, long)]) as agent:
        device = engine.add(target(agent), plan.requests)
        assert run(engine, [device]) == {device: CHANGED}


def test_a_device_that_answers_some_requests_and_not_others_has_changed_and_is_not_silent(
    engine: Engine,
) -> None:
    recorded = TreeAgent(tree(120))
    asked: set[int] = set()

    def some(request: Message) -> list[bytes]:
        asked.add(request.request_id)
        return recorded.handle(request) if len(asked) == 1 else []

    plan = plan_of(tree(120))
    with UdpAgent(some) as agent:
        device = engine.add(target(agent, timeout=0.1), plan.requests)
        assert run(engine, [device]) == {device: CHANGED}
        asked.add(0)
        assert run(engine, [device]) == {device: SILENT}


@pytest.mark.parametrize("other", ["127.0.0.1", "127.0.0.2"])
def test_an_answer_from_elsewhere_is_foreign(engine: Engine, other: str) -> None:
    recorded = TreeAgent(tree(base=666))
    spoofer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    spoofer.bind((other, 0))
    plan = plan_of(tree())
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("127.0.0.1", 0))
    sink.settimeout(1.0)
    device = engine.add(Target("127.0.0.1", sink.getsockname()[1], 0.3, 0), plan.requests)
    engine.begin(np.array([device]))
    engine.work(time.monotonic() + 0.05)
    data, source = sink.recvfrom(2000)
    for answer in recorded.handle(parse_request(data)):
        spoofer.sendto(answer, source)
    ended = [one for _ in range(10) for one in engine.work(time.monotonic() + 0.1).outcomes.tolist()]
    assert ended == [SILENT]
    assert engine.state()["foreign"] == 1
    spoofer.close()
    sink.close()


def test_an_answer_to_an_earlier_poll_is_not_taken(engine: Engine) -> None:
    """The agent answers each request only when the next comes: always the one before."""
    recorded = TreeAgent(tree())
    kept: list[list[bytes]] = []

    def late(request: Message) -> list[bytes]:
        kept.append(recorded.handle(request))
        return kept[-2] if len(kept) > 1 else []

    plan = make_plan(Envelope(V2C, b"public"), {NAME: (OCTET_STRING, b"core")}, {})
    with UdpAgent(late) as agent:
        device = engine.add(target(agent, timeout=0.1, retries=0), plan.requests)
        for _ in range(4):
            assert run(engine, [device]) == {device: SILENT}
    assert engine.state()["stray"] >= 3


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, 3)), min_size=1, max_size=90))
def test_what_travels_together_is_of_one_device_and_one_length_but_for_the_last(
    steps: list[tuple[int, bool, int]],
) -> None:
    slots = np.cumsum([1 + (step > 1) for step, _, _ in steps])
    devices = np.cumsum([new for _, new, _ in steps])
    lengths = np.array([length for _, _, length in steps], np.uint64)
    begins, counts = runs(slots, devices, lengths)
    assert begins.tolist() == [0, *np.cumsum(counts)[:-1].tolist()]
    assert counts.sum() == len(slots)
    for begin, end in zip(begins, begins + counts, strict=True):
        assert end - begin <= SEGMENTS
        assert (np.diff(slots[begin:end]) == 1).all()
        assert len(set(devices[begin:end])) == 1
        assert len(set(lengths[begin : end - 1])) <= 1
        assert lengths[end - 1] <= lengths[begin]


@pytest.mark.parametrize("window", [1, 2])
def test_never_more_in_flight_than_the_window(window: int) -> None:
    rows = tree(120)
    recorded = TreeAgent(rows)
    plan = plan_of(rows)
    assert len(plan.requests) > 3
    clock = ManualClock(1_000_000)
    with closing(Engine(clock)) as engine, UdpAgent(recorded.handle) as agent:
        device = engine.add(target(agent, window=window), plan.requests)
        engine.begin(np.array([device]))
        assert ended_within(engine, clock, window)


def ended_within(engine: Engine, clock: Clock, window: int) -> bool:
    """Work until all polls ended, and never have more than so many requests open."""
    until = time.monotonic() + 5
    while engine.busy and time.monotonic() < until:
        assert engine.state()["flying"] + engine.state()["queued"] <= window
        engine.work(clock.monotonic())
    return not engine.busy


def test_fewer_are_in_flight_to_a_device_that_does_not_keep_up() -> None:
    recorded, deaf, clock = TreeAgent(tree(120)), [True], ManualClock(1_000_000)
    plan = plan_of(tree(120))
    with (
        closing(Engine(clock)) as engine,
        UdpAgent(lambda one: [] if deaf[0] else recorded.handle(one)) as agent,
    ):
        device = engine.add(target(agent, window=3), plan.requests)
        engine.begin(np.array([device]))
        engine.work(clock.monotonic())
        time.sleep(0.2)  # until the agent has overheard them
        deaf[0] = False
        clock.advance(4)
        assert ended_within(engine, clock, 3)
        for window in (2, 3, 3):
            engine.begin(np.array([device]))
            assert engine.state()["queued"] == window
            assert ended_within(engine, clock, window)


@pytest.mark.parametrize("flying", [1, 8, 100])
def test_a_thousand_devices_within_the_limit(flying: int) -> None:
    rows = tree(3)
    recorded = TreeAgent(rows)
    plan = plan_of(rows)
    engine = Engine(SystemClock(), Limits(flying=flying))
    with UdpAgent(recorded.handle) as agent:
        count = 1000 if flying == 100 else 60
        devices = [engine.add(target(agent, timeout=5.0), plan.requests) for _ in range(count)]
        engine.begin(np.array(devices))
        until = time.monotonic() + 30
        found: list[int] = []
        while engine.busy and time.monotonic() < until:
            found += engine.work(0.0).outcomes.tolist()
            assert engine.state()["flying"] <= flying
        assert found == [DONE] * count
        assert number(engine, devices[-1], plan, UPTIME) == 100
    engine.close()


def test_a_site_is_not_asked_faster_than_its_rate_and_does_not_hold_up_others() -> None:
    clock = ManualClock(1_000_000)
    engine = Engine(clock, Limits(site_rate=100.0))
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sink.bind(("127.0.0.1", 0))
    plan = make_plan(Envelope(V2C, b"public"), {NAME: (OCTET_STRING, b"core")}, {})
    port = sink.getsockname()[1]
    slow = [engine.add(Target("127.0.0.1", port, 60.0, 0, 4, 0), plan.requests) for _ in range(300)]
    fast = engine.add(Target("127.0.0.1", port, 60.0, 0, 4, 1), plan.requests)
    engine.begin(np.array(slow))
    engine.begin(np.array([fast]))
    engine.work(clock.monotonic())
    assert engine.state()["sent"] == 11, "a tenth of a second's share of one site, and the other's"
    for _ in range(10):
        clock.advance(0.1)
        engine.work(clock.monotonic())
    assert engine.state()["sent"] == pytest.approx(111, abs=2)
    engine.close()
    sink.close()


def test_begun_again_with_requests_still_queued() -> None:
    """What waits for its site's budget when its poll is broken off must not be counted twice in the next."""
    clock = ManualClock(1_000_000)
    engine = Engine(clock, Limits(site_rate=10.0))
    recorded = TreeAgent(tree(120))
    plan = plan_of(tree(120))
    with UdpAgent(recorded.handle) as agent:
        first = engine.add(target(agent), plan.requests)
        engine.begin(np.array([first]))
        engine.work(clock.monotonic())
        engine.remove(first)
        again = engine.add(target(agent, timeout=3600.0), plan.requests)
        engine.begin(np.array([again]))
        until = time.monotonic() + 20
        outcomes: list[int] = []
        while not outcomes and time.monotonic() < until:
            clock.advance(0.01)
            outcomes += engine.work(clock.monotonic()).outcomes.tolist()
        assert outcomes == [DONE]
        assert not engine.busy
        assert engine.state()["flying"] == 0
        assert engine.state()["queued"] == 0
    engine.close()


def test_removed_during_a_poll(engine: Engine) -> None:
    recorded = TreeAgent(tree())
    with UdpAgent(recorded.handle) as agent:
        plan = plan_of(tree())
        gone, stays = (engine.add(target(agent), plan.requests) for _ in range(2))
        engine.begin(np.array([gone, stays]))
        engine.remove(gone)
        reborn = engine.add(target(agent), plan.requests)
        assert reborn == gone, "its place is used again"
        assert run(engine, [reborn]) == {stays: DONE, reborn: DONE}
    assert engine.state()["flying"] == 0


@pytest.mark.parametrize("address", ["240.0.0.1", "ff0e::1", "255.255.255.255"])
def test_what_cannot_be_sent_is_silent_and_disturbs_nobody(engine: Engine, address: str) -> None:
    recorded = TreeAgent(tree())
    plan = plan_of(tree())
    with UdpAgent(recorded.handle) as agent, UdpAgent(recorded.handle, host="::1") as six:
        good = [engine.add(target(agent), plan.requests), engine.add(target(six), plan.requests)]
        bad = engine.add(Target(address, 9, 0.2, 0), plan.requests)
        more = engine.add(target(agent), plan.requests)
        for _ in range(2):
            found = run(engine, [bad, *good, more])
            assert found == {bad: SILENT, good[0]: DONE, good[1]: DONE, more: DONE}


def test_an_address_that_is_none(engine: Engine) -> None:
    with pytest.raises(OSError, match="illegal"):
        engine.add(Target("no.such.host"), plan_of(tree()).requests)
    with pytest.raises(ValueError, match="nothing"):
        engine.add(Target("127.0.0.1"), [])


def test_a_kernel_that_cannot_cut_messages(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = DatagramSocket.send
    asked: list[bool] = []

    def send(self: DatagramSocket, headers: np.ndarray) -> int:
        cuts = bool((headers["vectors"] > 1).any())
        asked.append(cuts)
        if cuts:
            raise OSError(5, "Input/output error")
        return plain(self, headers)

    monkeypatch.setattr(DatagramSocket, "send", send)
    recorded = TreeAgent(tree(120))
    plan = plan_of(tree(120))
    requests = [plan.requests[1]] * 3  # of one length, to one address: one message
    with UdpAgent(recorded.handle) as agent:
        device = engine.add(target(agent), requests)
        assert run(engine, [device]) == {device: DONE}
        assert run(engine, [device]) == {device: DONE}
    assert asked.count(True) == 1, "it does not try again"


def test_the_tables_grow() -> None:
    # One slow agent for all: no more requests at a time than its socket holds, and time for it to answer.
    engine = Engine(SystemClock(), Limits(flying=64))
    recorded = TreeAgent(tree(3))
    plan = plan_of(tree(3))
    with closing(engine), UdpAgent(recorded.handle) as agent:
        first = [engine.add(target(agent, timeout=2.0), plan.requests) for _ in range(20)]
        assert set(run(engine, first).values()) == {DONE}
        before = [number(engine, device, plan, UPTIME) for device in first]
        more = [engine.add(target(agent, timeout=2.0), plan.requests) for _ in range(600)]
        assert [number(engine, device, plan, UPTIME) for device in first] == before
        assert set(run(engine, [*first, *more], 20).values()) == {DONE}


class _Fuzzed:
    """An engine with one device whose agent says what the test decides."""

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()
        self.engine = Engine(self.clock)
        self.agent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.agent.bind(("127.0.0.1", 0))
        self.agent.settimeout(1.0)
        self.recorded = TreeAgent(tree(4))
        self.plan = plan_of(tree(4))
        port = self.agent.getsockname()[1]
        self.device = self.engine.add(Target("127.0.0.1", port, 0.03, 0), self.plan.requests)

    def poll(self, changes: list[tuple[str, int, bytes]]) -> None:
        self.engine.begin(np.array([self.device]))
        self.engine.work(0.0)
        outcomes: list[int] = []
        data, source = self.agent.recvfrom(2000)
        honest = self.recorded.handle(parse_request(data))[0]
        good = bytearray(honest)
        for kind, where, octets in changes:
            at = where % (len(good) + 1)
            if kind == "set":
                good[at : at + len(octets)] = octets
            elif kind == "cut":
                del good[at:]
            elif kind == "insert":
                good[at:at] = octets
            else:
                good[:] = octets
        self.agent.sendto(good, source)
        until = time.monotonic() + 3
        while self.engine.busy and time.monotonic() < until:
            outcomes += self.engine.work(time.monotonic() + 0.01).outcomes.tolist()
        assert not self.engine.busy
        assert len(outcomes) == 1
        assert self.engine.state()["flying"] == 0
        while True:
            self.agent.setblocking(False)
            try:
                self.agent.recv(2000)
            except BlockingIOError:
                break
        self.agent.settimeout(1.0)
        if outcomes == [DONE] and good != honest:
            assert len(self.plan.requests) == 1
            numbers = self.engine.numbers[self.engine.first_slot(self.device)]
            assert np.isfinite(numbers[list({cell for _, cell in self.plan.cells.values()})]).all()


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[_Fuzzed]:
    made = _Fuzzed()
    yield made
    made.engine.close()
    made.agent.close()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "cut", "insert", "all"]), st.integers(0, 2000), st.binary(max_size=8)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_arrives_the_poll_ends(fuzzed: _Fuzzed, changes: list[tuple[str, int, bytes]]) -> None:
    fuzzed.poll(changes)
