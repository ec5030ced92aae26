"""Agents that answer from a tree that the test may change, as RFC 3416 wants it."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from collectors.snmp.ber import END_OF_MIB_VIEW, NO_SUCH_INSTANCE, VarBind, decode_oid
from collectors.snmp.message import GET, GET_BULK, V1, Message, encode_response, null_varbinds

NO_SUCH_NAME = 2


class TreeAgent:
    """A handler for UdpAgent. `most` varbinds a reply; `asked` counts the requests."""

    def __init__(self, varbinds: Sequence[VarBind] = (), *, most: int = 10_000) -> None:
        self.most = most
        self.asked = 0
        self.rows: list[VarBind] = []
        self.keys: list[tuple[int, ...]] = []
        self.say(varbinds)

    def say(self, varbinds: Sequence[VarBind]) -> None:
        """From now on."""
        self.rows = sorted(varbinds, key=lambda row: decode_oid(row[0]))
        self.keys = [decode_oid(row[0]) for row in self.rows]

    def handle(self, request: Message) -> list[bytes]:
        self.asked += 1
        names = [row[0] for row in request.varbinds]
        found = self.answer(request, names)
        if request.version == V1:
            missing = [
                at for at, (_, tag, _) in enumerate(found, 1) if tag in {END_OF_MIB_VIEW, NO_SUCH_INSTANCE}
            ]
            if missing:
                return [encode_response(request, null_varbinds(names), NO_SUCH_NAME, missing[0])]
        return [encode_response(request, found)]

    def answer(self, request: Message, names: list[bytes]) -> list[VarBind]:
        if request.kind == GET:
            return [self._exactly(name) for name in names]
        if request.kind != GET_BULK:
            return [self._after(name) for name in names]
        singles = request.error_status
        found = [self._after(name) for name in names[:singles]]
        names = names[singles:]
        for _ in range(request.error_index):
            row = [self._after(name) for name in names]
            found += row
            names = [one[0] for one in row]
        return found[: self.most]

    def _exactly(self, name: bytes) -> VarBind:
        key = decode_oid(name)
        at = bisect.bisect_left(self.keys, key)
        there = at < len(self.keys) and self.keys[at] == key
        return self.rows[at] if there else (name, NO_SUCH_INSTANCE, None)

    def _after(self, name: bytes) -> VarBind:
        at = bisect.bisect_right(self.keys, decode_oid(name))
        return self.rows[at] if at < len(self.rows) else (name, END_OF_MIB_VIEW, None)
