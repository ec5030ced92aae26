"""Agents for tests: a recorded one without a socket, and a UDP one whose answers a test decides."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from collectors.snmp import ber, message
from collectors.snmp.ber import VarBind, decode_oid, encode_oid
from collectors.snmp.errors import BerError, NoAnswerError
from collectors.snmp.message import GET, GET_BULK, GET_NEXT, Message
from collectors.snmp.walk import Ask, Reply

Handler = Callable[[Message], list[bytes]]


def read_snmprec(path: Path) -> list[VarBind]:
    """`OID|tag|value` lines, value hex when the tag ends in x; `#` starts a comment line."""
    found: list[VarBind] = []
    for line in path.read_text("utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        oid, kind, text = line.split("|", 2)
        tag = int(kind.rstrip("x"))
        value: int | bytes
        if kind.endswith("x"):
            value = bytes.fromhex(text)
        elif tag in ber.NUMERIC:
            value = int(text)
        elif tag == ber.OBJECT_ID:
            value = encode_oid(text)
        elif tag == ber.IP_ADDRESS:
            value = bytes(int(part) for part in text.split("."))
        else:
            value = text.encode()
        found.append((encode_oid(oid), tag, value))
    return found


class RecordedAgent:
    """Answers GET, GETNEXT and GETBULK from varbinds; also a Transport, without a socket."""

    where = "recording"

    def __init__(self, varbinds: list[VarBind], *, bulk: bool = True, max_varbinds: int = 1000) -> None:
        self.bulk = bulk
        self.rows = sorted(varbinds, key=lambda row: decode_oid(row[0]))
        self.by_oid = {row[0]: row for row in self.rows}
        self.max_varbinds = max_varbinds
        self.asked = 0
        self.silent = False

    def exchange(self, ask: Ask) -> Reply:
        self.asked += 1
        if self.silent:
            raise NoAnswerError(self.where)
        return Reply(*self.answer(ask.kind, list(ask.oids), ask.max_repetitions))

    def close(self) -> None:
        pass

    def answer(self, kind: int, oids: list[bytes], repetitions: int) -> tuple[int, int, list[VarBind]]:
        if kind == GET:
            out = [self.by_oid.get(oid, (oid, ber.NO_SUCH_INSTANCE, None)) for oid in oids]
        elif kind == GET_NEXT:
            out = [self.after(oid) for oid in oids]
        else:
            out = []
            for _ in range(repetitions):
                row = [self.after(oid) for oid in oids]
                out += row
                oids = [varbind[0] for varbind in row]
            out = out[: self.max_varbinds]
        if not self.bulk:
            missing = [at for at, (_, tag, _) in enumerate(out, 1) if tag in ber.EMPTY]
            if missing:
                return 2, missing[0], message.null_varbinds(oids)
        return 0, 0, out

    def after(self, oid: bytes) -> VarBind:
        key = decode_oid(oid)
        for row in self.rows:
            if decode_oid(row[0]) > key:
                return row
        return oid, ber.END_OF_MIB_VIEW, None

    def handle(self, request: Message) -> list[bytes]:
        """As a UdpAgent's handler."""
        repetitions = request.error_index if request.kind == GET_BULK else 0
        status, index, varbinds = self.answer(request.kind, [row[0] for row in request.varbinds], repetitions)
        return [message.encode_response(request, varbinds, status, index)]


class UdpAgent:
    """A socket on the loopback; `handler` turns each request into the datagrams that answer it."""

    def __init__(self, handler: Handler, *, community: bytes = b"public", host: str = "127.0.0.1") -> None:
        self.handler = handler
        self.community = community
        self.host = host
        self.requests: list[Message] = []
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.port: int = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            data, source = self.socket.recvfrom(65535)
            if not data:
                return
            try:
                request = message.parse_request(data)
            except BerError:
                continue
            self.requests.append(request)
            if request.community != self.community:
                continue
            for answer in self.handler(request):
                self.socket.sendto(answer, source)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.sendto(b"", (self.host, self.port))
        self.thread.join(5)
        self.socket.close()
