"""A trap receiver under test: a host that records, a receiver on a port of the loopback, and senders."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from collectors.interface import Assignment, Credential
from collectors.receivers.datagrams import Peer, parse_listeners
from collectors.receivers.facts import load_facts
from collectors.receivers.library import load_library
from collectors.receivers.tally import Tally
from collectors.receivers.translate import Translator
from collectors.receivers.traps import TrapReceiver
from collectors.snmp.ber import INTEGER, OCTET_STRING, Oid, VarBind, encode_oid
from collectors.snmp.message import encode_trap
from monitor.clock import Clock, SystemClock
from monitor.events.interface import Event
from monitor.metrics.interface import Labels
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess

LINK_DOWN = encode_oid("1.3.6.1.6.3.1.1.5.3")
LINK_UP = encode_oid("1.3.6.1.6.3.1.1.5.4")
LINK_VARBINDS = [
    "1.3.6.1.2.1.2.2.1.1.3", "i", "3", "1.3.6.1.2.1.2.2.1.7.3", "i", "1", "1.3.6.1.2.1.2.2.1.8.3", "i", "2",
]  # fmt: skip


@cache
def translator() -> Translator:
    """The shipped knowledge; loaded once."""
    return Translator(load_facts(), load_library())


class RecordingHost:
    """See collectors.interface.Host."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.collector = "c1"
        self.folder = folder
        self.events: list[Event] = []
        self.samples: list[tuple[Labels, int, float]] = []
        self.polls: list[DeviceId] = []
        self.full = False
        self.told = threading.Condition()

    def tell(self, key: str, event: Event) -> bool:
        assert key
        with self.told:
            if not self.full:
                self.events.append(event)
            self.told.notify_all()
        return not self.full

    def record(self, samples: Sequence[tuple[Labels, int, float]]) -> bool:
        self.samples += samples
        return True

    def poll_soon(self, device: DeviceId) -> bool:
        self.polls.append(device)
        return True

    def actions(self) -> list[str]:
        return [str(event["event.action"]) for event in self.events]


def device(name: str = "SW1", address: str = "127.0.0.1", credential: str = "c", **more: object) -> Device:
    access = SnmpAccess(credential) if credential else None
    return Device(DeviceId(name), SiteId("H1"), name, Kind.NETWORK, address, snmp=access, **more)  # type: ignore[arg-type]


def assignment(devices: Sequence[Device], **credentials: Credential) -> Assignment:
    return Assignment("1", tuple(devices), {SiteId("H1"): "R1"}, credentials)


COMMUNITY = Credential("snmp-v2c", community="watch")
USER = Credential(
    "snmp-v3",
    user="watcher",
    auth_protocol="SHA256",
    auth_password="authentic-1",
    priv_protocol="AES",
    priv_password="private-pass-1",
)


class Station:
    """A running receiver on 127.0.0.1 (or `listen`) with one device at that address."""

    def __init__(
        self, folder: Path, credential: Credential = COMMUNITY, *, listen: str = "127.0.0.1:0"
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.host = RecordingHost(folder)
        self.tally = Tally()
        self.receiver = TrapReceiver(self.host, parse_listeners(listen), 8 << 20, translator(), self.tally)
        self.receiver.assign(assignment([device()], c=credential))

    def __enter__(self) -> Self:
        self.receiver.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.receiver.stop()

    @property
    def port(self) -> int:
        return self.receiver.ports[0]

    def send(self, *datagrams: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for data in datagrams:
                sender.sendto(data, ("127.0.0.1", self.port))

    def wait(self, done: Callable[[], bool], seconds: float = 10.0) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if done():
                return True
            time.sleep(0.01)
        return done()

    def count(self, name: str, label: str | None = None) -> int:
        return self.tally.count(name, label)

    def settled(self) -> bool:
        """Whether every received datagram has found its place (see tally.py)."""
        kept = sum(
            self.count(f"zhishou_traps_{name}") for name in ("malformed", "refused", "handshakes", "accepted")
        )
        dropped = sum(self.count("zhishou_traps_dropped", reason) for reason in ("queue", "usm_queue"))
        return kept + dropped == self.count("zhishou_traps_received")


_SENDER_ENVIRONMENT = {**os.environ, "MIBS": "", "SNMP_PERSISTENT_DIR": "/nonexistent"}


def netsnmp(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Debian's snmptrap or snmpinform."""
    return subprocess.run(
        [f"/usr/bin/{program}", *arguments],
        env=_SENDER_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@contextmanager
def hopeless_inform(*arguments: str) -> Iterator[None]:
    """An snmpinform that nobody will answer, until the block ends."""
    sender = subprocess.Popen(
        ["/usr/bin/snmpinform", *arguments],
        env=_SENDER_ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        sender.kill()
        sender.wait()


def link_trap(number: int, interface: int, *, trap: Oid = LINK_DOWN, community: bytes = b"watch") -> bytes:
    """A v2c trap with its own request-id and uptime."""
    rows: list[VarBind] = [
        (encode_oid((1, 3, 6, 1, 2, 1, 2, 2, 1, 1, interface)), INTEGER, interface),
        (encode_oid((1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 1, interface)), OCTET_STRING, b"GE0/0/%d" % interface),
    ]
    return encode_trap(community, number, number * 7, trap, rows)


def peer(address: str = "127.0.0.1", port: int = 40000) -> Peer:
    """The sockaddr_in of an address."""
    return Peer(
        struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(address) + bytes(8)
    )
