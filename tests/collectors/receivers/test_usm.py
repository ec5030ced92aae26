"""SNMPv3 traps and informs: real senders, then every way to forge one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from collectors.receivers.usm import Door, OwnEngine
from collectors.snmp.usm.message import decode_message
from collectors.snmp.usm.user import usm_user
from tests.collectors.receivers.station import (
    LINK_VARBINDS,
    USER,
    Station,
    assignment,
    device,
    hopeless_inform,
    netsnmp,
)

ENGINE = "0x80001f8804414243"
LINK = ["1.3.6.1.6.3.1.1.5.3", *LINK_VARBINDS]


def v3(
    user: str = "watcher", auth: str = "authentic-1", priv: str = "private-pass-1", level: str = "authPriv"
) -> list[str]:
    return ["-v3", "-u", user, "-l", level, "-a", "SHA-256", "-A", auth, "-x", "AES", "-X", priv]


def captured(*options: str, boots: int = 1, seconds: int = 1000) -> bytes:
    """A v3 trap of net-snmp as it travels."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(5)
        target = f"127.0.0.1:{sink.getsockname()[1]}"
        netsnmp("snmptrap", *(options or v3()), "-e", ENGINE, "-Z", f"{boots},{seconds}", target, "", *LINK)
        return sink.recv(65_535)


@pytest.mark.parametrize("priv", ["AES", "AES-192", "AES-256"])
def test_net_snmp_sends_a_signed_trap_and_an_inform(tmp_path: Path, priv: str) -> None:
    credential = replace(USER, priv_protocol=priv.replace("-", ""))
    options = [*v3()[:-4], "-x", priv, "-X", "private-pass-1"]
    with Station(tmp_path, credential) as station:
        target = f"127.0.0.1:{station.port}"
        netsnmp("snmptrap", *options, "-e", ENGINE, target, "", *LINK)
        inform = netsnmp(
            "snmpinform", *options, "-r", "0", "-t", "5", target, "", "1.3.6.1.6.3.1.1.5.4", *LINK_VARBINDS
        )
        assert inform.returncode == 0, inform.stderr
        assert station.wait(lambda: len(station.host.events) == 2)
        assert station.settled()
    assert station.host.actions() == ["trap.linkDown", "trap.linkUp"]
    event = station.host.events[0]
    assert (event["zhishou.trap.version"], event["zhishou.trap.verified"]) == ("3", True)
    assert event["zhishou.trap.varbind.ifOperStatus"] == "down"
    assert station.count("zhishou_trap_informs_answered") == 1
    assert station.host.polls == ["SW1", "SW1"]


SENDER = """
import asyncio, sys
from pysnmp.hlapi.v3arch.asyncio import *
async def main(kind, port):
    user = UsmUserData("watcher", "authentic-1", "private-pass-1",
                       authProtocol=USM_AUTH_HMAC192_SHA256, privProtocol=USM_PRIV_CFB128_AES)
    target = await UdpTransportTarget.create(("127.0.0.1", port), timeout=5, retries=0)
    note = NotificationType(ObjectIdentity("1.3.6.1.6.3.1.1.5.2")).add_varbinds(("1.3.6.1.2.1.1.5.0", OctetString("py")))
    error, status, _, _ = await send_notification(SnmpEngine(), user, target, ContextData(), kind, note)
    print(error, status)
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.parametrize("kind", ["trap", "inform"])
def test_pysnmp_sends(tmp_path: Path, kind: str) -> None:
    with Station(tmp_path, USER) as station:
        command = [sys.executable, "-W", "ignore", "-c", SENDER, kind, str(station.port)]
        sent = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert sent.stdout.split() == ["None", "0"], sent.stderr
        assert station.wait(lambda: bool(station.host.events))
    assert station.host.actions() == ["trap.warmStart"]
    assert station.count("zhishou_trap_informs_answered") == (kind == "inform")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (v3(auth="another-one"), "digest"),
        (v3(priv="another-one"), "decryption"),
        (v3(user="nobody"), "user"),
        (v3(level="authNoPriv"), "level"),
        (v3(level="noAuthNoPriv"), "level"),
        ([*v3()[:5], "-a", "SHA", *v3()[7:]], "digest"),
    ],
)
def test_whoever_has_not_the_right_secrets_is_refused(
    tmp_path: Path, options: list[str], reason: str
) -> None:
    with Station(tmp_path, USER) as station:
        station.send(captured(*options))
        assert station.wait(lambda: station.count("zhishou_traps_refused", reason) == 1)
        with hopeless_inform(*options, "-r", "0", "-t", "20", f"127.0.0.1:{station.port}", "", *LINK):
            assert station.wait(lambda: station.count("zhishou_traps_refused") >= 2)
    assert set(station.host.actions()) == {f"trap.refused.{reason}"}
    assert station.count("zhishou_traps_accepted") == station.count("zhishou_trap_informs_answered") == 0
    assert station.host.polls == []


def test_nothing_but_the_genuine_octets_passes(tmp_path: Path) -> None:
    genuine = captured()
    forged = [genuine[:at] + bytes((genuine[at] ^ 1,)) + genuine[at + 1 :] for at in range(len(genuine))]
    forged += [genuine[:at] for at in range(len(genuine))] + [genuine + b"\0"]
    with Station(tmp_path, USER) as station:
        station.send(*forged)
        assert station.wait(
            lambda: station.count("zhishou_traps_received") == len(forged) and station.settled(), 20
        )
        assert station.count("zhishou_traps_accepted") == 0
        station.send(genuine)
        assert station.wait(lambda: station.count("zhishou_traps_accepted", "3") == 1), (
            "the genuine one still passes"
        )


def test_replays_are_refused_within_the_window_behind_it_and_after_a_restart(tmp_path: Path) -> None:
    old, recent = captured(seconds=1000), captured(seconds=5000)
    with Station(tmp_path, USER) as station:
        station.send(old)
        assert station.wait(lambda: station.count("zhishou_traps_accepted", "3") == 1)
        station.send(old)
        assert station.wait(lambda: station.count("zhishou_traps_refused", "replay") == 1)
        station.send(recent)
        assert station.wait(lambda: station.count("zhishou_traps_accepted", "3") == 2)
        station.send(old)
        assert station.wait(lambda: station.count("zhishou_traps_refused", "window") == 1)
    with Station(tmp_path, USER) as station:
        station.send(old, recent)
        assert station.wait(lambda: station.count("zhishou_traps_refused", "window") == 2)
        station.send(captured(boots=2, seconds=3))
        assert station.wait(lambda: station.count("zhishou_traps_accepted", "3") == 1), (
            "a rebooted device is heard"
        )


def test_a_signed_trap_from_another_address_is_nobodys(tmp_path: Path) -> None:
    with Station(tmp_path, USER) as station:
        station.receiver.assign(assignment([device(address="10.0.0.1")], c=USER))
        station.send(captured())
        assert station.wait(lambda: station.count("zhishou_traps_refused", "unknown-source") == 1)


def test_a_device_without_a_v3_credential_cannot_sign(tmp_path: Path) -> None:
    with Station(tmp_path) as station:
        station.send(captured())
        assert station.wait(lambda: station.count("zhishou_traps_refused", "not-v3") == 1)


def test_weak_protocols_are_refused(tmp_path: Path) -> None:
    with Station(tmp_path, replace(USER, auth_protocol="MD5")) as station:
        station.send(captured())
        assert station.wait(lambda: station.count("zhishou_traps_refused", "protocol") == 1)
    assert station.host.actions() == ["trap.refused.protocol"]


def test_two_hospitals_may_use_one_user_name(tmp_path: Path) -> None:
    other = replace(USER, auth_password="authentic-2", priv_password="private-pass-2")
    with Station(tmp_path, USER) as station:
        station.send(captured())
        assert station.wait(lambda: station.count("zhishou_traps_accepted", "3") == 1)
        station.receiver.assign(assignment([device("OTHER")], c=other))
        station.send(captured(*v3(auth="authentic-2", priv="private-pass-2"), seconds=1001))
        assert station.wait(lambda: station.count("zhishou_traps_accepted", "3") == 2)
        station.send(captured(seconds=1002))
        assert station.wait(lambda: station.count("zhishou_traps_refused", "digest") == 1)
    assert [event.get("zhishou.device") for event in station.host.events[:2]] == ["SW1", "OTHER"]


def test_our_engine_keeps_its_id_and_counts_its_boots(tmp_path: Path) -> None:
    path = tmp_path / "traps/engine.json"
    found = []
    for _ in range(2):
        with Station(tmp_path, USER) as station:
            inform = netsnmp(
                "snmpinform", *v3(), "-r", "0", "-t", "5", f"127.0.0.1:{station.port}", "", *LINK
            )
            assert inform.returncode == 0
        found.append(json.loads(path.read_text()))
    assert found[0]["engine_id"] == found[1]["engine_id"]
    assert found[1]["boots"] == found[0]["boots"] + 1


def test_forged_engine_ids_do_not_fill_tables() -> None:
    door = Door(OwnEngine(b"\x80\x00\x4f\xb8\x05own", 1, 0), usm_user(USER, "SW1"))
    genuine = captured()
    message = decode_message(genuine)
    for number in range(50):
        engine = b"\x80\x00\x1f\x88\x04" + bytes((65, 66, number))
        forged = genuine.replace(message.engine_id, engine)
        assert not door.signed(decode_message(forged), forged)
    assert door.engines == 1, "our own"
    assert door.signed(message, genuine)
    assert door.engines == 2


def test_a_repeated_inform_is_answered_again_and_told_once(tmp_path: Path) -> None:
    with Station(tmp_path, USER) as station, Between(station.port) as between:
        sent = netsnmp("snmpinform", *v3(), "-r", "0", "-t", "5", f"127.0.0.1:{between.port}", "", *LINK)
        assert sent.returncode == 0, sent.stderr
        assert station.wait(lambda: len(station.host.events) == 1)
        inform, acknowledgements = between.upward[-1], len(between.downward)
        between.again(inform)
        assert station.wait(lambda: len(between.downward) == acknowledgements + 1)
        between.again(inform[:-1] + bytes((inform[-1] ^ 1,)))
        assert station.wait(lambda: station.count("zhishou_traps_refused", "digest") == 1)
    assert station.host.actions() == ["trap.linkDown", "trap.refused.digest"]
    assert station.count("zhishou_traps_accepted") == 1


def test_damaged_discoveries_do_no_harm(tmp_path: Path) -> None:
    with Station(tmp_path, USER) as station, Between(station.port) as between:
        netsnmp("snmpinform", *v3(), "-r", "0", "-t", "5", f"127.0.0.1:{between.port}", "", *LINK)
        discovery = between.upward[0]
        before = station.count("zhishou_traps_received")
        for bit in (0x01, 0x40, 0x80):
            damaged = [
                discovery[:at] + bytes((discovery[at] ^ bit,)) + discovery[at + 1 :]
                for at in range(len(discovery))
            ]
            station.send(*damaged)
        sent = 3 * len(discovery)
        assert station.wait(
            lambda: station.count("zhishou_traps_received") == before + sent and station.settled(), 20
        )
        assert station.count("zhishou_traps_accepted") == 1, "the genuine inform"
        again = netsnmp("snmpinform", *v3(), "-r", "0", "-t", "5", f"127.0.0.1:{station.port}", "", *LINK)
        assert again.returncode == 0, again.stderr


class Between:
    """Somebody on the path who sees every datagram and can send it again."""

    def __init__(self, target: int) -> None:
        self._target = ("127.0.0.1", target)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port = self._socket.getsockname()[1]
        self.upward: list[bytes] = []
        self.downward: list[bytes] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._pass_on)

    def again(self, data: bytes) -> None:
        self._socket.sendto(data, self._target)

    def _pass_on(self) -> None:
        client = self._target
        while not self._stop.is_set():
            try:
                data, sender = self._socket.recvfrom(65_535)
            except TimeoutError:
                continue
            if sender == self._target:
                self.downward.append(data)
                self._socket.sendto(data, client)
            else:
                client = sender
                self.upward.append(data)
                self._socket.sendto(data, self._target)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()
