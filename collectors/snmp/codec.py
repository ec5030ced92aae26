"""The `snmp-codec` seam of monitor.devices, for rooms that send their own datagrams (playbook steps)."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.snmp.ber import IP_ADDRESS, OBJECT_ID, Value, dotted, encode_oid
from collectors.snmp.message import GET, V1, V2C, encode_request, parse_response
from monitor.devices import SnmpAnswer
from monitor.errors import InputError


class MessageCodec:
    """Encodes GET requests and decodes responses, v1 and v2c."""

    __slots__ = ()

    def encode_get(self, version: str, community: str, request_id: int, oids: Sequence[str]) -> bytes:
        """A GetRequest; `version` is '1' or '2c'. Raises InputError on another version or a bad OID."""
        versions = {"1": V1, "2c": V2C}
        if version not in versions:
            raise InputError(f"SNMP version {version!r} is not known here", hint="use 1 or 2c")
        names = [encode_oid(oid) for oid in oids]
        return encode_request(versions[version], community.encode(), GET, request_id, names)

    def decode(self, data: bytes) -> SnmpAnswer:
        """Raises InputError on anything that is not a well-formed Response."""
        message = parse_response(data)
        varbinds = {dotted(oid): _printable(tag, value) for oid, tag, value in message.varbinds}
        return SnmpAnswer(message.request_id, message.error_status, varbinds)


def _printable(tag: int, value: Value) -> str | int | bytes | None:
    if isinstance(value, bytes):
        if tag == OBJECT_ID:
            return dotted(value)
        if tag == IP_ADDRESS:
            return ".".join(map(str, value))
        text = value.decode("utf-8", "replace")
        return text if "\ufffd" not in text and text.isprintable() else value
    return value


def build() -> MessageCodec:
    """The codec, by entry point `zhishou.collectors` / `snmp-codec`."""
    return MessageCodec()
