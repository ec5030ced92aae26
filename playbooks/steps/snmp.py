"""Does an SNMP agent answer to a default community? One GET of sysDescr each, counted on disk before it is sent.

An agent stays silent to a wrong community, so silence alone proves nothing. The SNMPv3 discovery message
(RFC 3414 section 4), which carries no credential, shows whether an agent is there before and after: only then
is silence to every community a pass.
"""

from __future__ import annotations

from monitor.devices import SnmpCodec, snmp_codec
from monitor.errors import InputError, ZhishouError
from playbooks.formats import Exchange
from playbooks.steps.interface import (
    ClosedError,
    Door,
    Observation,
    Reach,
    RefusedError,
    SilentError,
    Step,
    from_refusal,
)

SYS_DESCR = "1.3.6.1.2.1.1.1.0"


def _tlv(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    return bytes([tag, len(body)]) + body


def discovery() -> bytes:
    """An SNMPv3 GetRequest with empty engine id and no user: every agent answers it with a Report."""
    empty = _tlv(4)
    zero = _tlv(2, b"\x00")
    header = _tlv(0x30, _tlv(2, b"\x01"), _tlv(2, b"\x05\xc0"), _tlv(4, b"\x04"), _tlv(2, b"\x03"))
    security = _tlv(4, _tlv(0x30, empty, zero, zero, empty, empty, empty))
    request = _tlv(0x30, empty, empty, _tlv(0xA0, _tlv(2, b"\x01"), zero, zero, _tlv(0x30)))
    return _tlv(0x30, _tlv(2, b"\x03"), header, security, request)


def is_report(data: bytes) -> bool:
    """Whether this is an SNMPv3 message at all (version 3 in its first field)."""
    place = 2 + (data[1] & 0x7F if len(data) > 1 and data[1] & 0x80 else 0)
    return data[:1] == b"\x30" and data[place : place + 3] == b"\x02\x01\x03"


class SnmpStep:
    """Protocol block `snmp`. Key `communities`. Parts: `community`, `response` (sysDescr), `agent` (alive)."""

    protocol = "snmp"
    transport = "udp"
    keys = frozenset({"communities"})

    def __init__(self, codec: SnmpCodec | None = None) -> None:
        self._codec = codec

    def packets(self, exchange: Exchange) -> int:
        """One each, and discovery before and after."""
        return len(exchange.option("communities")) + 2

    async def observe(self, exchange: Exchange, door: Door) -> Observation:
        """Look once."""
        codec = self._codec or snmp_codec()
        alive = await self._alive(exchange, door)
        if isinstance(alive, Observation):
            return alive
        for number, community in enumerate(exchange.option("communities"), 1):
            refusal = await door.attempt(community)
            if refusal:
                return Observation(Reach.BLOCKED, reason=refusal)
            try:
                request = codec.encode_get("2c", community, number, [SYS_DESCR])
                answer = codec.decode(await door.datagram(exchange.port, request, exchange.timeout))
            except (SilentError, InputError):
                continue
            except ZhishouError as error:
                return from_refusal(error)
            if answer.request_id == number and answer.error_status == 0:
                value = answer.varbinds.get(SYS_DESCR)
                text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
                return Observation(Reach.ANSWERED, {"community": community, "response": text})
        if alive and await self._alive(exchange, door) is True:
            return Observation(Reach.ANSWERED, {"community": "", "agent": "answers SNMPv3 discovery"})
        return Observation(Reach.SILENT, reason="no answer to any community, and no sign of an agent")

    @staticmethod
    async def _alive(exchange: Exchange, door: Door) -> bool | Observation:
        try:
            return is_report(await door.datagram(exchange.port, discovery(), exchange.timeout))
        except SilentError:
            return False
        except (ClosedError, RefusedError) as error:
            return from_refusal(error)


def build() -> Step:
    """The step."""
    return SnmpStep()
