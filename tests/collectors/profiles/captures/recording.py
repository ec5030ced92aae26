"""An agent over a .snmprec of millions of rows: keys sorted once, values parsed only when they are asked for."""

from __future__ import annotations

import bz2
import struct
from bisect import bisect_left, bisect_right
from pathlib import Path

from collectors.snmp import ber, message
from collectors.snmp.ber import VarBind, decode_oid
from collectors.snmp.errors import BerError
from collectors.snmp.message import GET, GET_BULK, Message
from monitor.errors import InputError

_VARBIND = 24  # octets an answer spends on a varbind besides its value, about


class LargeRecording:
    """Answers GET, GETNEXT and GETBULK; answers of at most `max_size` octets, as over Ethernet."""

    def __init__(self, path: Path, max_size: int = 1400) -> None:
        data = path.read_bytes()
        text = bz2.decompress(data) if path.suffix == ".bz2" else data
        rows = [(_key(line), line) for line in text.split(b"\n") if line[:2] == b"1."]
        rows.sort(key=lambda row: row[0])
        self.keys = [key for key, _ in rows]
        self.lines = [line for _, line in rows]
        self.max_size = max_size

    def handle(self, request: Message) -> list[bytes]:
        """As a UdpAgent's handler."""
        oids = [row[0] for row in request.varbinds]
        if request.kind == GET:
            found = [self._exactly(oid) for oid in oids]
        elif request.kind == GET_BULK:
            found = self._bulk(oids, request.error_index)
        else:
            found = [self._after(oid) for oid in oids]
        return [message.encode_response(request, found, 0, 0)]

    def _bulk(self, oids: list[bytes], repetitions: int) -> list[VarBind]:
        found: list[VarBind] = []
        size = 0
        for _ in range(repetitions):
            row = [self._after(oid) for oid in oids]
            size += sum(_VARBIND + (len(value) if isinstance(value, bytes) else 4) for _, _, value in row)
            if found and size > self.max_size:
                break
            found += row
            oids = [varbind[0] for varbind in row]
            if all(varbind[1] == ber.END_OF_MIB_VIEW for varbind in row):
                break
        return found

    def _exactly(self, oid: bytes) -> VarBind:
        key = _pack(decode_oid(oid))
        at = bisect_left(self.keys, key)
        if at < len(self.keys) and self.keys[at] == key:
            varbind = _parse(self.lines[at])
            if varbind is not None:
                return varbind
        return oid, ber.NO_SUCH_INSTANCE, None

    def _after(self, oid: bytes) -> VarBind:
        at = bisect_right(self.keys, _pack(decode_oid(oid)))
        while at < len(self.keys):
            varbind = _parse(self.lines[at])
            if varbind is not None:
                return varbind
            at += 1
        return oid, ber.END_OF_MIB_VIEW, None


def _pack(subids: tuple[int, ...]) -> bytes:
    return struct.pack(f">{len(subids)}I", *subids)


def _key(line: bytes) -> bytes:
    try:
        return _pack(tuple(map(int, line[: line.index(b"|")].split(b"."))))
    except (ValueError, struct.error):
        return b""  # sorts first and is never reached


def _parse(line: bytes) -> VarBind | None:
    """None for a line that is no value: recordings have cut ones."""
    try:
        oid, kind, raw = line.rstrip(b"\r").split(b"|", 2)
        form = kind.decode().split(":")[0]
        tag = int(form.rstrip("xe"))
        name = ber.encode_oid(oid.decode())
        if ":" in kind.decode():
            return (
                name,
                ber.OCTET_STRING if tag == ber.OCTET_STRING else tag,
                b"" if tag == ber.OCTET_STRING else 1,
            )
        if tag in ber.NUMERIC:
            return name, tag, int(raw)
        if tag == ber.OBJECT_ID:
            return name, tag, ber.encode_oid(raw.decode().strip("."))
        if tag == ber.IP_ADDRESS and not form.endswith("x"):
            return name, tag, bytes(map(int, raw.split(b".")))
        if tag in ber.EMPTY:
            return name, ber.NULL, None
        return name, tag, bytes.fromhex(raw.decode()) if form.endswith("x") else raw
    except (ValueError, BerError, InputError):
        return None
