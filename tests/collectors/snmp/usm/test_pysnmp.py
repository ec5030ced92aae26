"""Our SNMPv3 against a responder built from pysnmp, an implementation that shares no line with net-snmp."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pysnmp.carrier.asyncio.dgram import udp
from pysnmp.entity import config, engine
from pysnmp.entity.rfc3413 import cmdrsp, context

from collectors.snmp.ber import encode_oid
from collectors.snmp.client import Session
from collectors.snmp.usm.errors import ReportedError
from collectors.snmp.usm.keys import KeyChain
from collectors.snmp.usm.transport import UsmTransport
from monitor.clock import SystemClock
from tests.collectors.snmp.usm.engine import credential
from tests.real.sshd import free_port

SYS_DESCR = encode_oid("1.3.6.1.2.1.1.1.0")
AUTHS = {
    "MD5": config.USM_AUTH_HMAC96_MD5,
    "SHA": config.USM_AUTH_HMAC96_SHA,
    "SHA224": config.USM_AUTH_HMAC128_SHA224,
    "SHA256": config.USM_AUTH_HMAC192_SHA256,
    "SHA384": config.USM_AUTH_HMAC256_SHA384,
    "SHA512": config.USM_AUTH_HMAC384_SHA512,
}
PRIVS = {
    "": config.USM_PRIV_NONE,
    "DES": config.USM_PRIV_CBC56_DES,
    "AES": config.USM_PRIV_CFB128_AES,
    "AES192": config.USM_PRIV_CFB192_AES_BLUMENTHAL,
    "AES256": config.USM_PRIV_CFB256_AES_BLUMENTHAL,
    "AES192C": config.USM_PRIV_CFB192_AES,
    "AES256C": config.USM_PRIV_CFB256_AES,
}
PAIRS = [
    *((auth, priv) for auth in ("SHA", "SHA256", "SHA512") for priv in PRIVS if priv != "DES"),
    ("SHA224", "AES256C"), ("SHA384", "AES256"), ("MD5", "DES"), ("MD5", "AES256C"),
]  # fmt: skip
KEYS = KeyChain()


class Responder:
    """pysnmp's own system group, for one user per pair of protocols."""

    def __init__(self) -> None:
        self.port = free_port(socket.SOCK_DGRAM)
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        agent = self._agent()
        self.loop.call_soon(self.ready.set)
        self.loop.run_forever()
        agent.close_dispatcher()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def _agent(self) -> Any:
        agent = engine.SnmpEngine()
        server = udp.UdpTransport(loop=self.loop).open_server_mode(("127.0.0.1", self.port))
        config.add_transport(agent, udp.DOMAIN_NAME, server)
        for auth, priv in PAIRS:
            user = f"{auth}-{priv}"
            config.add_v3_user(agent, user, AUTHS[auth], "authpass1", PRIVS[priv], "privpass1")
            config.add_vacm_user(agent, 3, user, "authPriv" if priv else "authNoPriv", (1, 3, 6))
        shown = context.SnmpContext(agent)
        for responder in (
            cmdrsp.GetCommandResponder,
            cmdrsp.NextCommandResponder,
            cmdrsp.BulkCommandResponder,
        ):
            responder(agent, shown)
        return agent


@pytest.fixture(scope="module")
def responder() -> Iterator[Responder]:
    running = Responder()
    running.thread.start()
    assert running.ready.wait(20)
    yield running
    running.loop.call_soon_threadsafe(running.loop.stop)
    running.thread.join(10)


def opened(responder: Responder, auth: str, priv: str, **changes: str) -> UsmTransport:
    asked = credential(
        **{
            "user": f"{auth}-{priv}",
            "auth_protocol": auth,
            "priv_protocol": priv,
            "priv_password": "privpass1" if priv else "",
            "legacy": "MD5 DES",
        }
        | changes
    )
    return UsmTransport("127.0.0.1", responder.port, asked, 2.0, 1, SystemClock(), keys=KEYS)


@pytest.mark.parametrize(("auth", "priv"), PAIRS)
def test_it_answers_us(responder: Responder, auth: str, priv: str) -> None:
    with Session(opened(responder, auth, priv), SystemClock()) as session:
        found = session.get([SYS_DESCR])
        walked = session.walk([SYS_DESCR[:-1], encode_oid("1.3.6.1.2.1.1.3")])
    assert b"SNMP" in bytes(str(found[SYS_DESCR][1]), "ascii")
    assert not walked.problems
    assert walked.columns[SYS_DESCR[:-1]] == {b"\0": found[SYS_DESCR]}


def test_its_reports_are_understood(responder: Responder) -> None:
    for changes, reason in (
        ({"auth_password": "otherpass"}, "reported-wrong-digest"),
        ({"user": "stranger"}, "reported-unknown-user"),
    ):
        client = opened(responder, "SHA", "AES", **changes)
        with Session(client, SystemClock()) as session, pytest.raises(ReportedError) as caught:
            session.get([SYS_DESCR])
        assert caught.value.reason == reason
