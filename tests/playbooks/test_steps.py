"""Every protocol against real servers on the loopback: Debian's sshd and snmpd, Python's TLS with planted certificates."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from monitor.clock import ManualClock, to_datetime
from monitor.database import Database
from monitor.devices import snmp_codec
from monitor.errors import InputError
from monitor.model import Kind
from playbooks.formats import Exchange, Limits
from playbooks.gate import Gate, StopSignal
from playbooks.guard import Target, Warrant
from playbooks.interface import Outcome
from playbooks.loader import Library, load_engagement
from playbooks.matchers import judge
from playbooks.steps.interface import Observation, Reach, installed_steps
from playbooks.steps.snmp import SnmpStep, discovery, is_report
from playbooks.steps.ssh import parse_offer
from playbooks.steps.tls import certificate_parts, client_hello, parse_reply
from playbooks.tables import AttemptRow
from tests.playbooks.conftest import MakeOffice
from tests.playbooks.world import (
    AT_H031,
    CITY,
    H012,
    NOON,
    Listener,
    approve_all,
    check,
    device,
    engagement,
    listening,
)
from tests.real.snmpd import LoopbackSnmpd
from tests.real.sshd import LoopbackSshd, free_port

STEPS = installed_steps()
LIBRARY = Library(STEPS)
SECOND = 1000


def observe(
    protocol: str,
    port: int,
    tmp_path: Path,
    *,
    address: str = "127.0.0.1",
    refuse: str = "",
    timeout: float = 1.0,
    **options: tuple[str, ...],
) -> tuple[Observation, Gate, list[str]]:
    """Look once through a real gate; also the accounts that were asked for."""
    step = STEPS[protocol]
    target = Target(device("x", "").id, H012, Kind.SERVER, address, address)
    warrant = Warrant(
        load_engagement(engagement(), "e.yml").window,
        frozenset({(str(target.device), address)}),
        frozenset({(step.transport, port)}),
    )
    accounts: list[str] = []

    async def attempt(account: str) -> str:
        accounts.append(account)
        return refuse

    async def look() -> tuple[Observation, Gate]:
        gate = Gate(warrant, Limits(2000, 200, 1, 1000), ManualClock(NOON), StopSignal(tmp_path / "stop"))
        door = gate.door(target, attempt)
        exchange = Exchange(port, timeout=timeout, options=options)
        try:
            seen = await step.observe(exchange, door)
        finally:
            door.close()
        assert gate.budget.used <= step.packets(exchange)
        return seen, gate

    seen, gate = asyncio.run(look())
    return seen, gate, accounts


def judged(name: str, seen: Observation) -> Outcome:
    return judge(LIBRARY.checks[name].exchanges[0], seen)[0]


def certificate(folder: Path, *, days: int = 90, signed_by_itself: bool = True) -> tuple[Path, Path]:
    """A certificate and its key, valid until `days` from the tests' noon."""
    key = rsa.generate_private_key(65537, 2048)
    authority = key if signed_by_itself else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "his.local")])
    issuer = (
        subject if signed_by_itself else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hospital CA")])
    )
    ends = to_datetime(NOON) + timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(min(ends, datetime.now(UTC)) - timedelta(days=365))
        .not_valid_after(ends)
        .sign(authority, hashes.SHA256())
    )
    certificate_file, key_file = folder / f"c{days}.pem", folder / f"k{days}.pem"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_file, key_file


@contextmanager
def tls_server(files: tuple[Path, Path], *, old: bool = False) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    if old:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            with contextlib.suppress(OSError):
                raw, _ = listener.accept()
                raw.settimeout(2)
                with raw, context.wrap_socket(raw, server_side=True) as wrapped:
                    wrapped.recv(16)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stopping.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(3)


def test_a_tls_server_that_still_speaks_1_1_is_weak(tmp_path: Path) -> None:
    with tls_server(certificate(tmp_path), old=True) as port:
        seen, _, _ = observe("tls", port, tmp_path)
    assert seen.parts["protocols"] == "TLSv1.1 TLSv1.3"
    assert judged("tls-weak", seen) is Outcome.FINDING


def test_a_modern_tls_server_passes_and_its_certificate_is_read(tmp_path: Path) -> None:
    with tls_server(certificate(tmp_path, days=31, signed_by_itself=False)) as port:
        seen, _, _ = observe("tls", port, tmp_path)
    assert seen.parts["protocols"] == "TLSv1.3"
    assert seen.parts["days_left"] == "31.00"
    assert seen.parts["issuer"] == "CN=Hospital CA"
    for name in ("tls-weak", "tls-certificate-expired", "tls-certificate-self-signed"):
        assert judged(name, seen) is Outcome.PASS


def test_an_expired_certificate_that_signed_itself_is_two_findings(tmp_path: Path) -> None:
    with tls_server(certificate(tmp_path, days=-2)) as port:
        seen, _, _ = observe("tls", port, tmp_path, observe=("certificate",))
    assert judged("tls-certificate-expired", seen) is Outcome.FINDING
    assert judged("tls-certificate-self-signed", seen) is Outcome.FINDING


@pytest.mark.parametrize("name", ["tls-weak", "tls-certificate-expired", "tls-certificate-self-signed"])
def test_something_that_does_not_speak_tls_never_passes(name: str, tmp_path: Path) -> None:
    with listening(Listener("127.0.0.1", reply=b"220 ftp\r\n")) as (planted,):
        seen, _, _ = observe("tls", planted.port, tmp_path)
    assert judged(name, seen) in (Outcome.NOT_APPLICABLE, Outcome.NOT_TESTED)


def test_a_server_that_declines_every_handshake_never_passes(tmp_path: Path) -> None:
    with listening(Listener("127.0.0.1", reply=bytes.fromhex("15030100020228"))) as (planted,):
        seen, _, _ = observe("tls", planted.port, tmp_path)
    assert judged("tls-weak", seen) is Outcome.NOT_TESTED


def test_our_hello_offers_1_1_at_most() -> None:
    hello = client_hello(0x0302, bytes(32))
    assert hello[:3] == b"\x16\x03\x01"
    assert hello[9:11] == b"\x03\x02"
    assert b"\x00\x2b" not in hello[11 + 32 :]  # no supported_versions extension


@given(st.binary(max_size=100))
def test_any_bytes_are_a_tls_answer_or_an_input_error(data: bytes) -> None:
    with contextlib.suppress(InputError):
        assert parse_reply(data) in ("alert", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2")
    with contextlib.suppress(InputError):
        certificate_parts(data, 0)
    with contextlib.suppress(InputError):
        assert set(parse_offer(data)) == {"kex", "hostkey", "cipher", "mac", "compression"}


def test_sshd_with_an_old_algorithm_is_weak_and_nobody_logs_in(tmp_path: Path) -> None:
    with LoopbackSshd(tmp_path, options=("Ciphers +aes256-cbc", "LogLevel DEBUG")) as sshd:
        seen, _, accounts = observe("ssh", sshd.port, tmp_path)
        log = sshd.log.read_text("utf-8") if sshd.log.exists() else ""
    assert "aes256-cbc" in seen.parts["cipher"].split(",")
    assert seen.parts["banner"].startswith("SSH-2.0-OpenSSH")
    assert judged("ssh-kex", seen) is Outcome.FINDING
    assert accounts == []
    assert "userauth-request" not in log


def test_sshd_with_modern_algorithms_passes(tmp_path: Path) -> None:
    modern = ("KexAlgorithms curve25519-sha256", "Ciphers aes128-gcm@openssh.com", "MACs hmac-sha2-256")
    with LoopbackSshd(tmp_path, options=modern) as sshd:
        seen, _, _ = observe("ssh", sshd.port, tmp_path)
    assert seen.parts["kex"].split(",")[0] == "curve25519-sha256"
    assert judged("ssh-kex", seen) is Outcome.PASS


@pytest.mark.parametrize(
    ("greeting", "outcome"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", Outcome.NOT_TESTED),
        (b"SSH-1.5-Cisco\r\n", Outcome.FINDING),
        (b"220 ftp\r\n", Outcome.NOT_TESTED),
        (b"", Outcome.NOT_TESTED),
        (b"x" * 9000, Outcome.NOT_TESTED),
        (b"SSH-2.0-x\r\n\xff\xff\xff\xff\x00", Outcome.NOT_TESTED),
    ],
)
def test_half_an_ssh_server_never_passes(greeting: bytes, outcome: Outcome, tmp_path: Path) -> None:
    with listening(Listener("127.0.0.1", greeting=greeting)) as (planted,):
        seen, _, _ = observe("ssh", planted.port, tmp_path)
    assert judged("ssh-kex", seen) is outcome


def test_snmpd_with_public_is_found(tmp_path: Path) -> None:
    with LoopbackSnmpd(tmp_path, community="public") as snmpd:
        seen, _, accounts = observe(
            "snmp", snmpd.port, tmp_path, timeout=10.0, communities=("public", "private")
        )
    assert seen.parts["community"] == "public"
    assert accounts == ["public"]
    assert judged("snmp-default-community", seen) is Outcome.FINDING


def test_snmpd_with_another_community_passes_because_it_answers_discovery(tmp_path: Path) -> None:
    with LoopbackSnmpd(tmp_path, community="an-own-word") as snmpd:
        seen, _, accounts = observe(
            "snmp", snmpd.port, tmp_path, timeout=3.0, communities=("public", "private")
        )
    assert accounts == ["public", "private"]
    assert judged("snmp-default-community", seen) is Outcome.PASS


@pytest.mark.parametrize("port_open", [True, False])
def test_no_agent_is_never_a_pass(port_open: bool, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1] if port_open else free_port(socket.SOCK_DGRAM)
        seen, _, _ = observe("snmp", port, tmp_path, communities=("public",))
    expected = Outcome.NOT_TESTED if port_open else Outcome.NOT_APPLICABLE
    assert judged("snmp-default-community", seen) is expected


def test_a_refused_attempt_sends_no_community(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        seen, _, _ = observe(
            "snmp", deaf.getsockname()[1], tmp_path, refuse="enough", communities=("public",)
        )
        deaf.setblocking(False)
        received = deaf.recv(2000)
        with pytest.raises(BlockingIOError):
            deaf.recv(2000)
    assert (seen.reach, seen.reason) == (Reach.BLOCKED, "enough")
    assert received == discovery()
    assert b"public" not in received


def test_the_discovery_message_is_what_the_rfc_says() -> None:
    message = discovery()
    assert is_report(message)
    assert message[1] == len(message) - 2
    assert not is_report(snmp_codec().encode_get("2c", "public", 1, ["1.3.6.1.2.1.1.1.0"]))


CREDENTIALS = {"enabled": True, "attempts_per_account": 1, "per_device_per_day": 2}


def snmp_office(
    make_office: MakeOffice, port: int, policy: dict[str, object], communities: list[str]
) -> object:
    text = check(
        "snmp",
        port,
        protocol="snmp",
        safety="auth-probe",
        communities=communities,
        timeout=0.3,
        matchers=[{"type": "member", "part": "community", "members": [*communities]}],
    )
    office = make_office({"snmp": text}, device("x", "127.0.0.1"))
    office.submit(AT_H031, engagement(credentials={"default_creds": policy}), "a")
    approve_all(office)
    return office


def test_attempts_are_counted_on_disk_across_runs_and_days(
    make_office: MakeOffice, database: Database, clock: ManualClock
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        policy = {**CREDENTIALS, "lockout": "none"}
        office = snmp_office(make_office, deaf.getsockname()[1], policy, ["one", "two", "three"])
        for _ in range(3):
            office.run(CITY, "E-07", "a")  # type: ignore[attr-defined]
        deaf.setblocking(False)
        sent = []
        with contextlib.suppress(BlockingIOError):
            while True:
                sent.append(deaf.recv(2000))
    with database.session() as session:
        rows = session.scalars(select(AttemptRow)).all()
    assert [row.account for row in rows] == ["one", "two"]
    for word, times in ((b"one", 1), (b"two", 1), (b"three", 0)):
        assert sum(word in packet for packet in sent) == times


@pytest.mark.parametrize(
    "policy",
    [
        CREDENTIALS,
        {**CREDENTIALS, "lockout": "unknown"},
        {**CREDENTIALS, "enabled": False, "lockout": "none"},
    ],
)
def test_without_a_known_lockout_policy_no_packet_leaves(
    make_office: MakeOffice, policy: dict[str, object], database: Database
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        office = snmp_office(make_office, deaf.getsockname()[1], policy, ["public"])
        assert office.plan(CITY, "E-07").packets == 0  # type: ignore[attr-defined]
        office.run(CITY, "E-07", "a")  # type: ignore[attr-defined]
        deaf.setblocking(False)
        with pytest.raises(BlockingIOError):
            deaf.recv(2000)
    view = office.runs(CITY)[0]  # type: ignore[attr-defined]
    assert (view.total, view.coverage[Outcome.NOT_TESTED]) == (0, 1)
    with database.session() as session:
        assert session.scalars(select(AttemptRow)).all() == []


def test_the_attempt_is_on_disk_before_the_packet_is_sent(
    make_office: MakeOffice, database: Database
) -> None:
    """The planted agent looks into the database the moment the community arrives."""
    seen: list[int] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(5)

        def watch() -> None:
            while True:
                if b"public" in agent.recv(2000):
                    with database.session() as session:
                        seen.append(len(session.scalars(select(AttemptRow)).all()))
                    return

        thread = threading.Thread(target=watch)
        thread.start()
        policy = {**CREDENTIALS, "lockout": "none"}
        office = snmp_office(make_office, agent.getsockname()[1], policy, ["public"])
        office.run(CITY, "E-07", "a")  # type: ignore[attr-defined]
        thread.join(5)
    assert seen == [1]


def test_an_answer_to_another_request_is_not_believed(tmp_path: Path) -> None:
    class Liar:
        def encode_get(self, version: str, community: str, request_id: int, oids: object) -> bytes:
            return community.encode()

        def decode(self, data: bytes) -> object:
            from monitor.devices import SnmpAnswer

            return SnmpAnswer(99, 0, {"1.3.6.1.2.1.1.1.0": "x"})

    original = STEPS["snmp"]
    STEPS["snmp"] = SnmpStep(Liar())  # type: ignore[arg-type]
    try:
        with LoopbackSnmpd(tmp_path, community="own") as snmpd:
            seen, _, _ = observe("snmp", snmpd.port, tmp_path, communities=("public",))
    finally:
        STEPS["snmp"] = original
    assert seen.parts.get("community", "") == ""
