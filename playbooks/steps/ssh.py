"""Reads an SSH server's greeting and its key-exchange offer (KEXINIT, RFC 4253 section 7.1); never logs in."""

from __future__ import annotations

from monitor.errors import InputError, ZhishouError
from playbooks.formats import Exchange
from playbooks.gate import CONNECT_PACKETS, READ_PACKETS
from playbooks.steps.interface import Door, Observation, Reach, Step, Stream, from_refusal

GREETING = b"SSH-2.0-Zhishou_check\r\n"
KEXINIT = 20
MAX_PACKET = 35000  # RFC 4253 section 6.1
_NAMES = ("kex", "hostkey", "cipher", "cipher_server", "mac", "mac_server", "compression")


def parse_offer(data: bytes) -> dict[str, str]:
    """Name lists of the first binary packet in `data`, comma-separated, by part name. Raises InputError."""
    if len(data) < 6:
        raise InputError("cut packet")
    length, padding = int.from_bytes(data[:4], "big"), data[4]
    if not padding + 1 < length <= MAX_PACKET or len(data) < 4 + length:
        raise InputError("bad packet length")
    payload = data[5 : 4 + length - padding]
    if not payload or payload[0] != KEXINIT:
        raise InputError("not a KEXINIT")
    place = 17  # message number and 16 bytes of cookie
    lists: dict[str, str] = {}
    for name in _NAMES:
        size = int.from_bytes(payload[place : place + 4], "big")
        text = payload[place + 4 : place + 4 + size]
        if len(payload) < place + 4 or len(text) != size:
            raise InputError(f"cut name list {name}")
        lists[name] = text.decode("latin-1")
        place += 4 + size
    for name in ("cipher", "mac"):  # both directions matter alike
        server = lists.pop(f"{name}_server")
        lists[name] = ",".join(dict.fromkeys(f"{lists[name]},{server}".split(",")))
    return lists


class SshStep:
    """Protocol block `ssh`. Parts: `banner`, `kex`, `hostkey`, `cipher`, `mac`, `compression`."""

    protocol = "ssh"
    transport = "tcp"
    keys: frozenset[str] = frozenset()

    def packets(self, exchange: Exchange) -> int:
        """Connection, our greeting, acknowledgements of the offer."""
        return CONNECT_PACKETS + 1 + 4 * READ_PACKETS

    async def observe(self, exchange: Exchange, door: Door) -> Observation:
        """Look once."""
        try:
            stream = await door.connect(exchange.port, exchange.timeout)
            banner, rest = await _greeting(stream, exchange.timeout)
            if not banner:
                reach = Reach.ANSWERED if rest else Reach.QUIET
                return Observation(reach, {"response": rest.decode("latin-1")} if rest else {})
            await stream.send(GREETING)
            packet = await _packet(stream, rest, exchange.timeout)
        except ZhishouError as error:
            return from_refusal(error)
        parts = {"banner": banner.decode("latin-1")}
        try:
            return Observation(Reach.ANSWERED, {**parts, **parse_offer(packet)})
        except InputError as error:
            return Observation(Reach.ANSWERED, parts, f"no key-exchange offer: {error.message}")


async def _greeting(stream: Stream, seconds: float) -> tuple[bytes, bytes]:
    """The identification line and what followed it; lines before it are allowed (RFC 4253 section 4.2)."""
    data = b""
    while len(data) < 8192:
        for line in data.split(b"\n")[:-1]:
            if line.startswith(b"SSH-"):
                return line.rstrip(b"\r"), data[data.index(line) + len(line) + 1 :]
        chunk = await stream.receive(1024, seconds)
        if not chunk:
            break
        data += chunk
    return b"", data


async def _packet(stream: Stream, data: bytes, seconds: float) -> bytes:
    while len(data) < 4 or len(data) < 4 + min(int.from_bytes(data[:4], "big"), MAX_PACKET):
        chunk = await stream.receive(8192, seconds)
        if not chunk:
            break
        data += chunk
    return data


def build() -> Step:
    """The step."""
    return SshStep()
