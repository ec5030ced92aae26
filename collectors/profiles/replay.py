"""An agent on the loopback that answers from a recorded walk, so that a profile is tried through a real poll."""

from __future__ import annotations

import socket
import threading
from bisect import bisect_right
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from collectors.snmp import ber, message
from collectors.snmp.ber import VarBind, decode_oid
from collectors.snmp.errors import BerError
from collectors.snmp.message import GET, GET_BULK, GET_NEXT, Message

COMMUNITY: Final = "replay"
_MAX_VARBINDS: Final = 100  # in one answer
_MAX_OCTETS: Final = 1400


class ReplayAgent:
    """Answers GET, GETNEXT and GETBULK of v1 and v2c at `host` and `port` while the context is open."""

    host = "127.0.0.1"

    def __init__(self, varbinds: Sequence[VarBind]) -> None:
        self._rows = sorted(varbinds, key=lambda row: decode_oid(row[0]))
        self._names = [decode_oid(row[0]) for row in self._rows]
        self._by_oid = {row[0]: row for row in self._rows}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.host, 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="replay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.sendto(b"", (self.host, self.port))
        self._thread.join(5)
        self._socket.close()

    def answer(self, kind: int, oids: Sequence[bytes], non_repeaters: int, repetitions: int) -> list[VarBind]:
        """The varbinds of an answer."""
        if kind == GET:
            return [self._by_oid.get(oid, (oid, ber.NO_SUCH_INSTANCE, None)) for oid in oids]
        if kind == GET_NEXT:
            return [self._after(oid) for oid in oids]
        out = [self._after(oid) for oid in oids[:non_repeaters]]
        cursors = list(oids[non_repeaters:])
        for _ in range(repetitions):
            if not cursors or len(out) + len(cursors) > _MAX_VARBINDS:
                break
            row = [self._after(oid) for oid in cursors]
            out += row
            cursors = [varbind[0] for varbind in row]
        return out

    def _after(self, oid: bytes) -> VarBind:
        at = bisect_right(self._names, decode_oid(oid))
        return self._rows[at] if at < len(self._rows) else (oid, ber.END_OF_MIB_VIEW, None)

    def _serve(self) -> None:
        while True:
            data, source = self._socket.recvfrom(65535)
            if not data:
                return
            try:
                request = message.parse_request(data)
            except BerError:
                continue
            if request.community == COMMUNITY.encode():
                self._socket.sendto(self._respond(request), source)

    def _respond(self, request: Message) -> bytes:
        oids = [row[0] for row in request.varbinds]
        bulk = request.kind == GET_BULK
        varbinds = self.answer(
            request.kind, oids, request.error_status if bulk else 0, request.error_index if bulk else 0
        )
        if request.version == message.V1:
            missing = [at for at, row in enumerate(varbinds, 1) if row[1] in ber.EMPTY]
            if missing:
                return message.encode_response(request, message.null_varbinds(oids), 2, missing[0])
        data = message.encode_response(request, varbinds)
        while len(data) > _MAX_OCTETS and bulk and len(varbinds) > len(oids):
            varbinds = varbinds[: max(len(oids), len(varbinds) // 2)]
            data = message.encode_response(request, varbinds)
        return data
