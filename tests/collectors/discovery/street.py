"""A street of written agents: loopback addresses with one port, answered by one thread; every datagram is recorded."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from collectors.snmp import ber, message
from collectors.snmp.ber import VarBind, encode_index, encode_oid
from collectors.snmp.errors import BerError
from tests.collectors.snmp.agents import RecordedAgent

SYSTEM = "1.3.6.1.2.1.1"


def rows(
    name: str,
    *,
    object_id: str = "1.3.6.1.4.1.99999.1",
    descr: str = "A written switch",
    services: int = 2,
    macs: tuple[str, ...] = (),
    addresses: tuple[str, ...] = (),
    engine: bytes = b"",
) -> list[VarBind]:
    """What one agent holds."""
    found: list[VarBind] = [
        (encode_oid(f"{SYSTEM}.1.0"), ber.OCTET_STRING, descr.encode()),
        (encode_oid(f"{SYSTEM}.2.0"), ber.OBJECT_ID, encode_oid(object_id)),
        (encode_oid(f"{SYSTEM}.3.0"), ber.TIME_TICKS, 4711),
        (encode_oid(f"{SYSTEM}.5.0"), ber.OCTET_STRING, name.encode()),
        (encode_oid(f"{SYSTEM}.7.0"), ber.INTEGER, services),
    ]
    for number, mac in enumerate(macs, 1):
        octets = bytes.fromhex(mac.replace(":", ""))
        found.append((encode_oid(f"1.3.6.1.2.1.2.2.1.6.{number}"), ber.OCTET_STRING, octets))
    for address in addresses:
        octets = socket.inet_aton(address)
        index = encode_index(tuple(octets))
        found.append((encode_oid("1.3.6.1.2.1.4.20.1.1") + index, ber.IP_ADDRESS, octets))
    if engine:
        found.append((encode_oid("1.3.6.1.6.3.10.2.1.1.0"), ber.OCTET_STRING, engine))
    return found


@dataclass(frozen=True, slots=True)
class House:
    """One agent; empty `answers` means a socket that never answers. `version` None answers every version."""

    answers: list[VarBind]
    community: bytes = b"right"
    version: int | None = None
    answer_from: str = ""


class Street:
    """Agents by address. `heard` lists (monotonic seconds, address, datagram)."""

    def __init__(self, houses: Mapping[str, House]) -> None:
        self.houses = dict(houses)
        self.heard: list[tuple[float, str, bytes]] = []
        self.port = 0
        self._sockets: dict[str, socket.socket] = {}
        self._agents = {address: RecordedAgent(house.answers) for address, house in houses.items()}
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def communities(self, address: str) -> list[bytes]:
        """The communities tried at an address, in order; v3 messages are b'v3'."""
        found = []
        for _, house, data in self.heard:
            if house == address:
                try:
                    found.append(message.parse_message(data).community)
                except BerError:
                    found.append(b"v3")
        return found

    def __enter__(self) -> Self:
        for address in self.houses:
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.bind((address, self.port))
            self.port = opened.getsockname()[1]
            self._sockets[address] = opened
            self._selector.register(opened, selectors.EVENT_READ, address)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(5)
        self._selector.close()
        for opened in self._sockets.values():
            opened.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.05):
                address: str = key.data
                data, source = self._sockets[address].recvfrom(65535)
                self.heard.append((time.monotonic(), address, data))
                self._answer(address, data, source)

    def _answer(self, address: str, data: bytes, source: tuple[str, int]) -> None:
        house = self.houses[address]
        try:
            request = message.parse_request(data)
        except BerError:
            return
        if not house.answers or request.community != house.community:
            return
        if house.version is not None and request.version != house.version:
            return
        sender = self._sockets[house.answer_from or address]
        for answer in self._agents[address].handle(request):
            sender.sendto(answer, source)
