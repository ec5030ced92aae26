"""Our SNMPv3 against Debian's snmpd: every protocol it offers, restarts, a lost engine id, and its refusals."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from collectors.interface import Credential
from collectors.snmp.ber import OCTET_STRING, encode_oid
from collectors.snmp.cli import poll
from collectors.snmp.client import Session
from collectors.snmp.errors import AuthError, NoAnswerError
from collectors.snmp.message import GET
from collectors.snmp.usm.errors import ReportedError
from collectors.snmp.usm.keys import KeyChain
from collectors.snmp.usm.transport import UsmTransport
from collectors.snmp.walk import Ask
from monitor.clock import SystemClock
from monitor.errors import InputError, UnreachableError
from tests.collectors.snmp.usm.engine import SYS_NAME, credential
from tests.real.snmpd import LoopbackSnmpd

ASK = Ask(GET, [SYS_NAME])
NAMED = (SYS_NAME, OCTET_STRING, b"loopback-snmpd")
SYSTEM = [encode_oid(f"1.3.6.1.2.1.1.{at}") for at in range(1, 7)]
AUTHS = ("MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512")
PRIVS = ("", "DES", "AES", "AES-192", "AES-256", "AES-192-C", "AES-256-C")
PAIRS = [(auth, priv) for auth in AUTHS for priv in PRIVS]
KEYS = KeyChain()


def name_of(auth: str, priv: str) -> str:
    return f"u-{auth}-{priv}"


def create(auth: str, priv: str) -> tuple[str, str]:
    user = name_of(auth, priv)
    words = ["createUser", user, auth, "authpass1", *([priv, "privpass1"] if priv else [])]
    return " ".join(words), f"rouser {user} {'authpriv' if priv else 'authnopriv'}"


def credential_of(auth: str, priv: str) -> Credential:
    return credential(
        user=name_of(auth, priv),
        auth_protocol=auth,
        priv_protocol=priv,
        priv_password="privpass1" if priv else "",
        legacy="MD5 DES",
    )


@pytest.fixture(scope="module")
def snmpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSnmpd]:
    options = [line for pair in PAIRS for line in create(*pair)]
    options += ["createUser nobody", "rouser nobody noauth"]
    with LoopbackSnmpd(tmp_path_factory.mktemp("snmpd"), options=tuple(options)) as running:
        yield running


def opened(
    agent: LoopbackSnmpd, asked: Credential, *, timeout: float = 1.0, retries: int = 1
) -> UsmTransport:
    return UsmTransport(agent.host, agent.port, asked, timeout, retries, SystemClock(), keys=KEYS)


@pytest.mark.parametrize(("auth", "priv"), PAIRS)
def test_every_protocol_of_net_snmp(snmpd: LoopbackSnmpd, auth: str, priv: str) -> None:
    client = opened(snmpd, credential_of(auth, priv))
    with Session(client, SystemClock()) as session:
        result = session.walk(SYSTEM)
        assert session.get([SYS_NAME]) == {SYS_NAME: NAMED[1:]}
    assert not result.problems
    assert sum(map(len, result.columns.values())) >= 6
    assert client.counts == {"engine-discovered": 1}


def test_a_user_without_a_password_is_read_only_when_permitted(snmpd: LoopbackSnmpd) -> None:
    bare = {"user": "nobody", "auth_password": "", "priv_password": ""}
    with pytest.raises(AuthError, match="noAuthNoPriv"):
        opened(snmpd, credential(**bare))
    client = opened(snmpd, credential(**bare, legacy="noAuthNoPriv"))
    assert list(client.exchange(ASK).varbinds) == [NAMED]
    client.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"auth_password": "otherpass"}, "reported-wrong-digest"),
        ({"auth_protocol": "SHA-256"}, "reported-wrong-digest"),
        ({"user": "stranger"}, "reported-unknown-user"),
        ({"user": name_of("SHA", "")}, "reported-unsupported-level"),
    ],
    ids=str,
)
def test_its_reports_name_the_cause(snmpd: LoopbackSnmpd, changes: dict[str, str], reason: str) -> None:
    client = opened(snmpd, credential(**{"user": name_of("SHA", "AES")} | changes))
    started = time.monotonic()
    with pytest.raises(ReportedError) as caught:
        client.exchange(ASK)
    client.close()
    assert caught.value.reason == reason
    assert re.search(r"设备报告 usmStats\w+：.+请.+（127\.0\.0\.1:\d+）$", caught.value.zh)
    assert time.monotonic() - started < 0.9  # at once, not after the timeout


def test_it_drops_what_it_cannot_decrypt(snmpd: LoopbackSnmpd) -> None:
    asked = credential(user=name_of("SHA", "AES"), priv_password="otherpass")
    client = opened(snmpd, asked, timeout=0.1, retries=0)
    with pytest.raises((NoAnswerError, ReportedError), match="privacy"):
        client.exchange(ASK)
    client.close()


def test_a_restart_while_polling_costs_no_poll(tmp_path: Path) -> None:
    def boots(count: int) -> tuple[str, ...]:
        return *create("SHA-256", "AES"), "oldEngineID 0x80001f8880aabbccdd", f"engineBoots {count}"

    with LoopbackSnmpd(tmp_path, options=boots(7)) as agent:
        client = opened(agent, credential_of("SHA-256", "AES"), retries=0)
        for restarts in range(3):
            assert list(client.exchange(ASK).varbinds) == [NAMED]
            assert client.counts.get("restarted", 0) == client.counts.get("time-synchronised", 0) == restarts
            agent.stop()
            agent.options = boots(8 + restarts)
            agent.start()
        assert list(client.exchange(ASK).varbinds) == [NAMED]
        assert client.counts["engine-discovered"] == 1
        client.close()


def test_a_lost_engine_id_while_polling_costs_no_poll(tmp_path: Path) -> None:
    with LoopbackSnmpd(tmp_path, options=create("SHA", "AES")) as agent:
        client = opened(agent, credential_of("SHA", "AES"), retries=0)
        assert list(client.exchange(ASK).varbinds) == [NAMED]
        agent.stop()
        agent.start()  # with a new engine id, for it is told none and reads none (-C)
        assert list(client.exchange(ASK).varbinds) == [NAMED]
        assert client.counts == {"engine-discovered": 2, "engine-changed": 1}
        client.close()


def test_a_jump_of_our_clock_while_polling_costs_no_poll(snmpd: LoopbackSnmpd) -> None:
    class Jumping(SystemClock):
        __slots__ = ()
        jump = 0.0

        def monotonic(self) -> float:
            return super().monotonic() + self.jump

    clock = Jumping()
    client = UsmTransport(snmpd.host, snmpd.port, credential_of("SHA", "AES"), 1.0, 0, clock, keys=KEYS)
    client.exchange(ASK)
    for Jumping.jump in (100_000.0, 300_000.0, 300_160.0):
        assert list(client.exchange(ASK).varbinds) == [NAMED]
    assert client.counts["time-synchronised"] == 3
    client.close()


def test_the_command_speaks_old_protocols_only_when_told_so(snmpd: LoopbackSnmpd) -> None:
    target = f"{snmpd.host}:{snmpd.port}"
    words = [
        target,
        "--v3-user",
        name_of("MD5", "DES"),
        "--v3-auth",
        "MD5:authpass1",
        "--v3-priv",
        "DES:privpass1",
    ]
    runner = CliRunner()
    refused = runner.invoke(poll, words)
    assert isinstance(refused.exception, UnreachableError)
    assert "legacy: MD5" in refused.exception.zh
    assert "loopback-snmpd" in runner.invoke(poll, [*words, "--v3-legacy", "MD5,DES"]).stdout
    assert isinstance(runner.invoke(poll, [target, "--v3-legacy", "MD5"]).exception, InputError)
