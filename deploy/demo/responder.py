"""The process that answers SNMP for the simulated city: one loopback address a device, one event loop for all."""

from __future__ import annotations

import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Final

from collectors.snmp.ber import (
    END_OF_MIB_VIEW,
    NO_SUCH_INSTANCE,
    NULL,
    VarBind,
    decode_oid,
    encode_oid,
)
from collectors.snmp.errors import BerError
from collectors.snmp.message import GET, GET_BULK, GET_NEXT, Message, encode_response, parse_request
from deploy.demo.agents.host import linux, storage
from deploy.demo.agents.network import h3c, huawei
from deploy.demo.agents.power import ups
from deploy.demo.agents.tree import Row, Tree
from deploy.demo.city import COMMUNITY, PORT, DemoDevice, devices
from deploy.demo.faults import Effect, active

MODELS: Final[Mapping[str, Callable[[DemoDevice, float, Mapping[Effect, float]], list[Row]]]] = {
    "huawei-switch": huawei,
    "huawei-router": huawei,
    "h3c-switch": h3c,
    "h3c-firewall": h3c,
    "linux-server": linux,
    "linux-storage": storage,
    "ups": ups,
}
MAX_REPLY = 1472
MAX_ROWS = 400
NO_SUCH_NAME = 2


class Agent:
    """One device's agent. Values are computed at most once a second."""

    __slots__ = ("_at", "_device", "_tree")

    def __init__(self, device: DemoDevice) -> None:
        self._device = device
        self._at = -1
        self._tree = Tree([])

    def answer(self, data: bytes, t: float, elapsed: float) -> bytes | None:
        """The reply to one datagram, or None: wrong community, not a request, or the device is silent now."""
        faults = active(self._device.id, elapsed)
        if Effect.SILENT in faults:
            return None
        try:
            request = parse_request(data)
        except BerError:
            return None
        if request.community != COMMUNITY.encode():
            return None
        if int(t) != self._at:
            self._at, self._tree = int(t), Tree(MODELS[self._device.model](self._device, t, faults))
        return respond(request, self._tree)


def respond(request: Message, tree: Tree) -> bytes:
    """A GetResponse for GET, GETNEXT and GETBULK; version 1 gets noSuchName instead of exceptions."""
    if request.kind == GET_BULK:
        return _bulk(request, tree)
    found: list[VarBind] = []
    for number, (name, _, _) in enumerate(request.varbinds, 1):
        key = decode_oid(name)
        row = tree.get(key) if request.kind == GET else tree.after(key) if request.kind == GET_NEXT else None
        if row is not None:
            found.append((encode_oid(row[0]), row[1], row[2]))
        elif request.version == 0:
            return encode_response(
                request, [(n, NULL, None) for n, _, _ in request.varbinds], NO_SUCH_NAME, number
            )
        else:
            found.append((name, NO_SUCH_INSTANCE if request.kind == GET else END_OF_MIB_VIEW, None))
    return encode_response(request, found)


def _bulk(request: Message, tree: Tree) -> bytes:
    # In a GETBULK request the two error fields carry non-repeaters and max-repetitions (RFC 3416, 4.2.3).
    singles, repeats = max(0, request.error_status), max(0, request.error_index)
    keys = [decode_oid(name) for name, _, _ in request.varbinds]
    found: list[VarBind] = [_next(tree, key)[1] for key in keys[:singles]]
    columns = keys[singles:]
    size = 0
    for _ in range(repeats):
        if not columns or len(found) >= MAX_ROWS:
            break
        row = [_next(tree, key) for key in columns]
        size += sum(
            len(name) + 12 + (len(value) if isinstance(value, bytes) else 6) for _, (name, _, value) in row
        )
        if size > MAX_REPLY - 120 and len(found) > singles:
            break
        found += [varbind for _, varbind in row]
        columns = [key for key, _ in row]
        if all(varbind[1] == END_OF_MIB_VIEW for _, varbind in row):
            break
    return encode_response(request, found)


def _next(tree: Tree, key: tuple[int, ...]) -> tuple[tuple[int, ...], VarBind]:
    row = tree.after(key)
    if row is None:
        return key, (encode_oid(key), END_OF_MIB_VIEW, None)
    return row[0], (encode_oid(row[0]), row[1], row[2])


class Responder:
    """Sockets and agents of many devices."""

    def __init__(self, city: tuple[DemoDevice, ...], port: int = PORT) -> None:
        self._selector = selectors.DefaultSelector()
        self._started = time.monotonic()
        self._stopping = False
        for device in city:
            listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            listener.setblocking(False)
            listener.bind((device.address, port))
            self._selector.register(listener, selectors.EVENT_READ, Agent(device))

    def run(self) -> None:
        """Answer until stopped."""
        while not self._stopping:
            for key, _ in self._selector.select(timeout=0.5):
                self._serve(key)

    def stop(self) -> None:
        """Makes `run` return within half a second."""
        self._stopping = True

    def close(self) -> None:
        """Release every socket."""
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _serve(self, key: selectors.SelectorKey) -> None:
        listener, agent = key.fileobj, key.data
        assert isinstance(listener, socket.socket)
        assert isinstance(agent, Agent)
        elapsed = time.monotonic() - self._started
        for _ in range(16):
            try:
                data, address = listener.recvfrom(65_535)
            except BlockingIOError:
                return
            reply = agent.answer(data, time.time(), elapsed)
            if reply is not None:
                listener.sendto(reply, address)


def main() -> None:
    """The entry point of `zhishou.demo`: serve the whole city until SIGTERM."""
    responder = Responder(devices())

    def stop(_signal: int, _frame: FrameType | None) -> None:
        responder.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        responder.run()
    finally:
        responder.close()
