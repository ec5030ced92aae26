"""A peer believes what is proved and nothing else: every refusal with its reason, counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.snmp import message
from collectors.snmp.errors import MalformedReplyError, SnmpError
from collectors.snmp.usm.errors import (
    REPORTED,
    UNTRUSTED,
    AgainError,
    EngineChangedError,
    ReportedError,
    UntrustedError,
    UsmError,
)
from collectors.snmp.usm.message import decode_message, decode_scoped, encode_scoped
from collectors.snmp.usm.peer import UsmPeer
from collectors.snmp.usm.user import UsmUser, usm_user
from monitor.clock import ManualClock
from tests.collectors.snmp.usm.engine import (
    DECRYPT,
    DIGEST,
    ENGINE,
    ENGINE_ID,
    GET,
    KEYS,
    LEVEL,
    NAME,
    NUMBER,
    RESPONSE,
    USER,
    WINDOW,
    Engine,
    answer_of,
    credential,
    opened_alike,
    pdu_of,
    peer_of,
    report_of,
)

OTHER_ID = bytes.fromhex("80001f8880ffffffffffffffff")
LONG = pdu_of(message.RESPONSE, 5, NAME * 60)
USERS = {
    "SHA AES": {},
    "SHA512 AES256C": {"auth_protocol": "SHA512", "priv_protocol": "AES256C"},
    "SHA256": {"auth_protocol": "SHA256", "priv_password": ""},
    "MD5 DES": {"auth_protocol": "MD5", "priv_protocol": "DES", "legacy": "MD5 DES"},
    "noAuthNoPriv": {"auth_password": "", "priv_password": "", "legacy": "noAuthNoPriv"},
}


def user_of(name: str) -> UsmUser:
    return usm_user(credential(**USERS[name]), "test")


def refused(peer: UsmPeer, data: bytes) -> str:
    """The reason of a refusal, which must be counted once and leave the peer as it was."""
    before = dict(peer.counts)
    state = (peer.engine_id, peer.boots, peer.engine_time())
    with pytest.raises(UntrustedError) as caught:
        peer.open(data)
    assert (peer.engine_id, peer.boots, peer.engine_time()) == state
    reason = caught.value.reason
    assert peer.counts == {**before, reason: before.get(reason, 0) + 1}
    return reason


@pytest.mark.parametrize("name", USERS)
def test_requests_and_answers_of_every_size_and_at_every_level(name: str) -> None:
    clock = ManualClock()
    engine = Engine(user_of(name))
    peer = peer_of(engine, clock)
    for msg_id in (0, 127, 128, 32767, 65536, 0x7FFFFF, 0x800000, 2**31 - 1):
        for pdu in (GET, pdu_of(message.GET_BULK, 5, NAME * 4), pdu_of(message.GET, 5, NAME * 20), LONG):
            for _ in range(2):
                sealed = peer.seal(pdu, msg_id)
                assert decode_message(sealed).msg_id == msg_id
                assert engine.read(sealed) == pdu
            answer = answer_of(msg_id, len(pdu) // 20)
            for seen in (False, True):
                wrapped = engine.wrap(answer, msg_id)
                alike = opened_alike(peer, wrapped, msg_id)
                if msg_id > 0x7FFFFF and engine.user.level:  # there is something to verify
                    assert alike == answer or not (alike or seen)
                else:
                    assert alike is None
                assert peer.open(wrapped) == (msg_id, answer)
                assert len(answer) < len(wrapped) <= len(answer) + peer.around
        clock.advance(70)
        engine.time += 70
    assert peer.counts == {"engine-discovered": 1}


@pytest.mark.parametrize("name", USERS)
def test_a_request_takes_the_message_id(name: str) -> None:
    engine = Engine(user_of(name))
    peer = peer_of(engine)
    for number in (0x40000000, 2**31 - 1):
        for rows in (1, 20):
            pdu = pdu_of(message.GET_BULK, 0x40000001, NAME * rows)
            sealed = peer.seal(pdu, number, pdu.index(b"\x02\x04") + 2)
            assert decode_message(sealed).msg_id == number
            assert engine.read(sealed) == pdu_of(message.GET_BULK, number, NAME * rows)


def test_the_engine_time_runs_on_and_is_what_requests_carry() -> None:
    clock = ManualClock()
    engine = Engine(time=10)
    peer = peer_of(engine, clock)
    for seconds in (0.5, 0.6, 200, 70_000, 2**31):
        clock.advance(seconds)
        got = decode_message(peer.seal(GET, 1))
        assert (got.boots, got.time) == (3, min(10 + int(clock.monotonic()), 2**31 - 1))
        assert got.time == peer.engine_time()


def test_no_salt_is_used_twice_and_equal_requests_differ() -> None:
    peer = peer_of(Engine())
    sealed = [decode_message(peer.seal(GET, 1)) for _ in range(500)]
    assert len({one.salt for one in sealed}) == len({one.body for one in sealed}) == 500


def test_an_undiscovered_peer_seals_nothing_and_learns_only_what_it_asked_for() -> None:
    engine = Engine()
    peer = UsmPeer("test", engine.user, KEYS, ManualClock())
    assert decode_message(peer.seal(GET, 10)) == decode_message(peer.discovery(10))
    probe = decode_message(peer.seal(GET, 11))
    assert (probe.msg_id, probe.flags, probe.engine_id, probe.user) == (11, 4, b"", b"")
    scoped = decode_scoped(probe.body, padded=False)
    assert (scoped.engine_id, message.parse_pdu(scoped.pdu).varbinds) == (b"", [])
    assert refused(peer, engine.report(ENGINE, 12)) == "unasked-report"
    assert refused(peer, Engine(engine_id=b"1234").report(ENGINE, 11)) == "wrong-engine"
    assert refused(peer, engine.wrap(RESPONSE, 11)) == "wrong-engine"
    assert refused(peer, engine.wrap(RESPONSE, 11, level=0)) == "wrong-engine"
    assert not peer.ready
    peer.discovery(13)
    with pytest.raises(AgainError) as caught:
        peer.open(engine.report(ENGINE, 11))  # the answer to the first probe
    assert (caught.value.reason, caught.value.msg_id) == ("engine-discovered", 11)
    assert (peer.ready, peer.engine_id, peer.boots) == (True, ENGINE_ID, 3)


def test_any_report_with_an_engine_id_answers_a_discovery() -> None:
    """Some agents complain about the empty user name first."""
    engine = Engine()
    peer = UsmPeer("test", engine.user, KEYS, ManualClock())
    peer.discovery(1)
    with pytest.raises(AgainError):
        peer.open(engine.report(USER, 1))
    assert peer.engine_id == ENGINE_ID


def test_the_time_of_a_discovery_is_a_hint_and_not_believed() -> None:
    """A forged boots counter in the Report, which nobody signs, must not lock the true agent out."""
    peer = UsmPeer("test", Engine().user, KEYS, ManualClock())
    peer.discovery(1)
    with pytest.raises(AgainError):
        peer.open(Engine(boots=2**31 - 2, time=2**31 - 1).report(ENGINE, 1))
    engine = Engine()
    peer.seal(GET, 2)
    with pytest.raises(AgainError) as caught:
        peer.open(engine.report(WINDOW, 2, level=1))
    assert caught.value.reason == "time-synchronised"
    assert engine.read(peer.seal(GET, 3)) == GET
    assert (peer.boots, peer.engine_time()) == (3, 1000)


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    return data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]


@pytest.mark.parametrize("name", [name for name in USERS if name != "noAuthNoPriv"])
@pytest.mark.parametrize("seen", [False, True], ids=["first", "alike"])
def test_no_answer_with_a_flipped_bit_is_accepted(name: str, seen: bool) -> None:
    engine = Engine(user_of(name))
    peer = peer_of(engine)
    answer = answer_of(rows=3)
    if seen:
        peer.open(engine.wrap(answer_of(NUMBER - 1, rows=3), NUMBER - 1))
    data = engine.wrap(answer, NUMBER)
    for at in range(len(data)):
        for bit in range(8):
            assert opened_alike(peer, flipped(data, at, bit)) is None
            with pytest.raises((UntrustedError, MalformedReplyError)):
                peer.open(flipped(data, at, bit))
    for size in range(len(data)):
        assert opened_alike(peer, data[:size]) is None
        with pytest.raises((UntrustedError, MalformedReplyError)):
            peer.open(data[:size])
    assert peer.counts["wrong-digest"] > 100
    assert opened_alike(peer, data) == (answer if seen else None)
    assert peer.open(data) == (NUMBER, answer)
    assert (peer.boots, peer.engine_time()) == (3, 1000)


def test_an_answer_to_another_request_is_not_opened_alike() -> None:
    engine = Engine()
    peer = peer_of(engine)
    peer.open(engine.wrap(answer_of(), NUMBER))
    assert opened_alike(peer, engine.wrap(answer_of(), NUMBER)) == answer_of()
    assert opened_alike(peer, engine.wrap(answer_of(), NUMBER), NUMBER - 1) is None
    assert opened_alike(peer, engine.wrap(answer_of(NUMBER - 1), NUMBER)) is None
    assert opened_alike(peer, engine.wrap(answer_of(), NUMBER - 1)) is None
    assert opened_alike(peer, engine.wrap(pdu_of(message.GET, NUMBER), NUMBER)) is None
    engine.time += 1  # is for the book, which remembers it
    assert opened_alike(peer, engine.wrap(answer_of(), NUMBER)) is None
    peer.open(engine.wrap(answer_of(), NUMBER))
    assert opened_alike(peer, engine.wrap(answer_of(), NUMBER)) == answer_of()


def test_what_is_signed_but_malformed_is_refused_by_the_short_way_too() -> None:
    """A right digest does not excuse a wrong form: whatever holds the key is held to the protocol."""
    engine = Engine()
    peer = peer_of(engine)
    answer = answer_of(rows=60)
    good = engine.wrap(answer, NUMBER)
    got = decode_message(good)
    assert peer.open(good) == (NUMBER, answer)
    assert opened_alike(peer, good) == answer
    user_at = got.digest_at - 5

    def altered(at: int, octets: bytes) -> bytes:
        data = good[:at] + octets + good[at + len(octets) :]
        return engine.sign(data, got.digest_at)

    for data in (
        altered(0, b"\x31"),
        altered(2, (len(good) - 5).to_bytes(2, "big")),
        altered(good.index(b"\x02\x01\x03") + 2, b"\x02"),
        altered(got.msg_id_at, b"\x80"),
        altered(got.time_at, b"\x80"),
        altered(got.digest_at + 12, b"\x05"),
        altered(got.body_at - 4, b"\x05"),
        altered(got.body_at - 1, b"\x00"),
    ):
        assert opened_alike(peer, data) is None
        with pytest.raises(MalformedReplyError):
            peer.open(data)
    assert good[user_at : user_at + 3] == b"ops"
    assert refused(peer, altered(user_at, b"spo")) == "wrong-user"
    assert refused(peer, altered(good.index(ENGINE_ID), ENGINE_ID[:-1] + b"\x00")) == "wrong-engine"
    assert opened_alike(peer, good) == answer


def test_forged_answers() -> None:
    engine = Engine()
    peer = peer_of(engine)
    good = engine.wrap(RESPONSE, 9)
    digest_at = decode_message(good).digest_at
    assert refused(peer, flipped(good, digest_at)) == "wrong-digest"
    assert refused(peer, good[:digest_at] + bytes(12) + good[digest_at + 12 :]) == "wrong-digest"
    stranger = dataclasses.replace(engine.user, auth_password=b"otherpass")
    assert refused(peer, Engine(stranger).wrap(RESPONSE, 9)) == "wrong-digest"
    longer = usm_user(credential(auth_protocol="SHA256"), "test")
    assert refused(peer, Engine(longer).wrap(RESPONSE, 9)) == "wrong-digest"
    assert refused(peer, engine.wrap(RESPONSE, 9, name=b"root")) == "wrong-user"
    assert refused(peer, Engine(engine_id=OTHER_ID).wrap(RESPONSE, 9)) == "wrong-engine"
    misread = dataclasses.replace(engine.user, priv_password=b"otherpass")
    assert refused(peer, Engine(misread).wrap(RESPONSE, 9)) == "garbled"
    assert refused(peer, engine.wrap(GET, 9)) == "unexpected-kind"
    assert refused(peer, engine.wrap(pdu_of(message.TRAP_V2), 9)) == "unexpected-kind"
    assert peer.open(good) == (9, RESPONSE)


def test_downgraded_answers() -> None:
    engine = Engine()
    peer = peer_of(engine)
    assert refused(peer, engine.wrap(RESPONSE, 9, level=0)) == "downgraded"
    assert refused(peer, engine.wrap(RESPONSE, 9, level=1)) == "downgraded"
    data = engine.wrap(RESPONSE, 9)
    flags_at = data.index(b"\x04\x01\x03") + 2
    assert refused(peer, data[:flags_at] + b"\x02" + data[flags_at + 1 :]) == "bad-flags"
    for flags in (b"\x00", b"\x01"):  # what remains is no plain message, so it is not even well-formed
        with pytest.raises(MalformedReplyError):
            peer.open(data[:flags_at] + flags + data[flags_at + 1 :])
    plain = Engine(user_of("SHA256"))
    peer = peer_of(plain)
    data = plain.wrap(RESPONSE, 9)
    flags_at = data.index(b"\x04\x01\x01") + 2
    assert refused(peer, data[:flags_at] + b"\x00" + data[flags_at + 1 :]) == "downgraded"
    both = dataclasses.replace(
        engine, user=dataclasses.replace(plain.user, priv=engine.user.priv, priv_password=b"privpass1")
    )
    assert refused(peer, both.wrap(RESPONSE, 9)) == "bad-flags"
    nobody = Engine(user_of("noAuthNoPriv"))
    peer = peer_of(nobody)
    assert refused(peer, nobody.wrap(RESPONSE, 9, name=b"root")) == "wrong-user"
    assert refused(peer, nobody.wrap(GET, 9)) == "unexpected-kind"
    assert refused(peer, plain.wrap(RESPONSE, 9)) == "bad-flags"


def test_replays() -> None:
    """RFC 3414 section 3.2.7 b: an answer may be 150 s behind our notion of the agent's time."""
    clock = ManualClock()
    engine = Engine()
    peer = peer_of(engine, clock)
    recorded = engine.wrap(answer_of(), NUMBER)
    assert peer.open(recorded) == (NUMBER, answer_of())
    clock.advance(150)
    assert opened_alike(peer, recorded) == answer_of()
    assert peer.open(recorded) == (NUMBER, answer_of())
    clock.advance(1)
    assert opened_alike(peer, recorded) is None
    assert refused(peer, recorded) == "replayed"
    engine.time += 151
    assert peer.open(engine.wrap(answer_of(), NUMBER)) == (NUMBER, answer_of())
    clock.advance(-151)  # whatever our clock does, the newest answer counts
    assert opened_alike(peer, recorded) is None
    assert refused(peer, recorded) == "replayed"
    engine.boots, engine.time = 4, 0
    assert peer.open(engine.wrap(RESPONSE, 11)) == (11, RESPONSE)
    assert (peer.boots, peer.engine_time(), peer.counts["restarted"]) == (4, 0, 1)
    assert opened_alike(peer, recorded) is None
    assert refused(peer, recorded) == "replayed"  # of the boot before
    engine.boots = 2**31 - 1  # latched: RFC 3414 section 2.2.2
    assert refused(peer, engine.wrap(RESPONSE, 12)) == "replayed"


def test_nothing_unproved_moves_the_clock() -> None:
    engine = Engine()
    peer = peer_of(engine)
    later = dataclasses.replace(engine, boots=9, time=5)
    for data in (
        later.report(WINDOW, 9),
        flipped(later.report(WINDOW, 9, level=1), 60),
        flipped(later.wrap(RESPONSE, 9), 90),
    ):
        assert refused(peer, data) in {"unproved-report", "wrong-digest"}
    with pytest.raises(AgainError):
        peer.open(later.report(WINDOW, 9, level=1))
    assert (peer.boots, peer.engine_time()) == (9, 5)


@pytest.mark.parametrize("jump", [-100_000, -200, 200, 100_000])
@pytest.mark.parametrize("level", [1, 3])
def test_a_jump_of_our_clock_is_mended_by_the_agents_report(jump: float, level: int) -> None:
    clock = ManualClock(10**9)
    engine = Engine(time=500_000)
    peer = peer_of(engine, clock)
    clock.advance(jump)
    with pytest.raises(AgainError) as caught:
        peer.open(engine.report(WINDOW, 9, level=level))
    assert (caught.value.reason, caught.value.msg_id) == ("time-synchronised", 9)
    assert peer.engine_time() == 500_000
    assert peer.open(engine.wrap(RESPONSE, 10)) == (10, RESPONSE)
    recorded = dataclasses.replace(engine, time=500_000 - 151).report(WINDOW, 9, level=level)
    assert refused(peer, recorded) == "replayed"


@pytest.mark.parametrize(
    ("oid", "reason", "remedy"),
    [
        (LEVEL, "reported-unsupported-level", "级别"),
        (USER, "reported-unknown-user", "用户名"),
        (DIGEST, "reported-wrong-digest", "认证口令"),
        (DECRYPT, "reported-decryption", "加密口令"),
        ("1.3.6.1.6.3.12.1.5.0", "reported-unknown-context", "上下文"),
        ("1.3.6.1.6.3.11.2.1.1.0", "reported-other", "日志"),
    ],
)
@pytest.mark.parametrize("level", [0, 1, 3])
def test_reports_say_what_to_do(oid: str, reason: str, remedy: str, level: int) -> None:
    engine = Engine()
    peer = peer_of(engine)
    with pytest.raises(ReportedError, match="the agent reports") as caught:
        peer.open(engine.report(oid, 9, level=level))
    assert (caught.value.reason, caught.value.msg_id, caught.value.code) == (reason, 9, "auth")
    assert remedy in caught.value.zh
    assert "test" in caught.value.zh
    assert peer.counts[reason] == 1
    if level == 0:
        assert refused(peer, Engine(engine_id=OTHER_ID).report(oid, 9)) == "wrong-engine"


def test_another_engine_is_found_anew() -> None:
    peer = peer_of(Engine())
    fresh = Engine(engine_id=OTHER_ID, boots=1, time=3)
    assert refused(peer, Engine().report(ENGINE, 9)) == "unasked-report"
    assert refused(peer, Engine().wrap(report_of(ENGINE), 9, level=1)) == "unasked-report"
    assert refused(peer, fresh.report(ENGINE, 8)) == "unasked-report"
    with pytest.raises(EngineChangedError) as caught:
        peer.open(fresh.report(ENGINE, 9))
    assert (caught.value.msg_id, peer.ready, peer.counts["engine-changed"]) == (9, False, 1)
    assert refused(peer, Engine().wrap(RESPONSE, 9)) == "wrong-engine"
    peer.seal(GET, 10)
    with pytest.raises(AgainError):
        peer.open(fresh.report(ENGINE, 10))
    assert fresh.read(peer.seal(GET, 11)) == GET
    assert peer.open(fresh.wrap(RESPONSE, 11)) == (11, RESPONSE)
    assert (peer.engine_id, peer.boots, peer.engine_time()) == (OTHER_ID, 1, 3)
    assert refused(peer, Engine().wrap(RESPONSE, 12)) == "wrong-engine"


def test_a_forged_change_of_the_engine_does_not_make_recordings_fresh() -> None:
    engine = Engine(time=5000)
    recorded = dataclasses.replace(engine, time=4000).wrap(RESPONSE, 9)
    peer = peer_of(engine)
    with pytest.raises(EngineChangedError):
        peer.open(Engine(engine_id=OTHER_ID).report(ENGINE, 9))
    peer.seal(GET, 9)
    with pytest.raises(AgainError):
        peer.open(dataclasses.replace(engine, boots=1, time=4000).report(ENGINE, 9))
    assert refused(peer, recorded) == "replayed"
    assert engine.read(peer.seal(GET, 9)) == GET
    assert (peer.boots, peer.engine_time()) == (3, 5000)
    peer.forget()
    assert (peer.ready, peer.boots) == (False, 0)


def test_reports_about_what_was_never_asked_are_refused() -> None:
    engine = Engine()
    peer = peer_of(engine)
    for oid, level in ((USER, 0), (DIGEST, 0), (DECRYPT, 1), (USER, 3)):
        assert refused(peer, engine.report(oid, 8, level=level)) == "unasked-report"
    for msg_id in range(100, 116):
        peer.seal(GET, msg_id)
    assert refused(peer, engine.report(USER, 9)) == "unasked-report"  # long ago


def test_padding_behind_a_scoped_pdu_is_taken() -> None:
    engine = Engine()
    peer = peer_of(engine)
    padded = encode_scoped(ENGINE_ID, b"", RESPONSE) + bytes(5)
    assert peer.open(engine.wrap(RESPONSE, 9, body=padded)) == (9, RESPONSE)
    other = encode_scoped(b"", b"vlan-7", RESPONSE)
    assert peer.open(engine.wrap(RESPONSE, 9, body=other)) == (9, RESPONSE)


def test_a_context_is_asked_for() -> None:
    engine = Engine()
    peer = UsmPeer("test", engine.user, KEYS, ManualClock(), context=b"vlan-7")
    peer.discovery(1)
    with pytest.raises(AgainError):
        peer.open(engine.report(ENGINE, 1))
    sealed = decode_message(peer.seal(GET, 2))
    plain = engine.read(peer.seal(GET, 2))
    assert plain == GET
    assert len(sealed.body) == len(encode_scoped(ENGINE_ID, b"vlan-7", GET))


def test_counts_can_be_shared_by_many_peers() -> None:
    counts: dict[str, int] = {}
    peers = [UsmPeer("test", Engine().user, KEYS, ManualClock(), counts=counts) for _ in range(3)]
    for peer in peers:
        with pytest.raises(MalformedReplyError):
            peer.open(b"noise")
    assert counts == {"malformed": 3}


def mutation(draw: st.DrawFn, data: bytes) -> bytes:
    kind = draw(st.sampled_from(["replace", "cut", "insert", "raw"]))
    at = draw(st.integers(0, len(data) - 1))
    octets = draw(st.binary(max_size=30))
    if kind == "replace":
        return data[:at] + octets + data[at + len(octets) :]
    if kind == "insert":
        return data[:at] + octets + data[at:]
    return data[:at] if kind == "cut" else octets


@st.composite
def datagrams(draw: st.DrawFn) -> tuple[str, bytes]:
    """Something near an authentic message, for one of USERS."""
    name = draw(st.sampled_from(list(USERS)))
    engine = Engine(user_of(name), boots=draw(st.integers(2, 4)), time=draw(st.integers(800, 1200)))
    makers: list[Callable[[], bytes]] = [
        lambda: engine.wrap(answer_of(rows=draw(st.integers(0, 9))), NUMBER),
        lambda: engine.report(draw(st.sampled_from([ENGINE, WINDOW, USER])), 9),
        lambda: engine.wrap(report_of(WINDOW), 9),
        lambda: engine.wrap(b"", 9, body=draw(st.binary(min_size=1, max_size=40))),
        lambda: engine.wrap(draw(st.binary(max_size=40)), 9),
    ]
    data = draw(st.sampled_from(makers))()
    return name, mutation(draw, data) if draw(st.booleans()) else data


@settings(max_examples=400, deadline=None)
@given(datagrams(), st.binary(max_size=300))
def test_what_is_opened_alike_is_what_the_book_accepts(near: tuple[str, bytes], noise: bytes) -> None:
    """Nor does it matter to the book what was seen before."""
    name, data = near
    engine = Engine(user_of(name))
    fresh, seasoned = peer_of(engine), peer_of(engine)
    for rows in range(9):
        seasoned.open(engine.wrap(answer_of(rows=rows), NUMBER))
    for octets in (data, noise):
        alike = opened_alike(seasoned, octets)
        accepted = outcome(fresh, octets)
        assert accepted == outcome(seasoned, octets)
        if alike is not None:
            assert accepted[0] == (NUMBER, alike)


def outcome(peer: UsmPeer, data: bytes) -> tuple[object, ...]:
    try:
        answer: object = peer.open(data)
    except SnmpError as error:
        answer = error.reason if isinstance(error, UsmError) else "malformed"
    return answer, peer.engine_id, peer.boots, peer.engine_time()


def test_every_reason_has_words_in_both_languages() -> None:
    errors: list[UsmError] = [
        *(UntrustedError("box", reason) for reason in UNTRUSTED),
        *(ReportedError("box", reason) for reason in REPORTED),
    ]
    for error in errors:
        assert str(error).isascii()
        assert error.where == "box"
        assert error.hint
        assert any(letter >= "\u4e00" for letter in error.zh)
        assert error.zh.endswith("（box）")
