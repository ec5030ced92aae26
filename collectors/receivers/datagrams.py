"""UDP sockets that lose nothing in silence: read in batches with recvmmsg(2), the kernel's drops counted exactly.

The kernel counts, for each socket, the datagrams it threw away because the receive buffer was full. SO_RXQ_OVFL hands
that counter out with the next datagram only; SO_MEMINFO reads the same counter at any time, so that drops at the very
end of a storm are counted too. It is an unsigned 32-bit number that wraps. Linux only.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass
from typing import Final, NewType, Self

from collectors.datagrams import NAME_BYTES, Incoming, enlarge, receive
from monitor.errors import InputError, UnreachableError

Peer = NewType("Peer", bytes)  # a raw sockaddr_in or sockaddr_in6, as the kernel gives it
Datagram = tuple[Peer, bytes]

BATCH: Final = 128
ROOM: Final = 65_536  # the largest UDP payload fits, so none is ever cut
_SO_MEMINFO: Final = 55
_MEMINFO_FIELDS: Final = 9
_MEMINFO_DROPS: Final = 8
_NAME_SIZE: Final = {socket.AF_INET: 16, socket.AF_INET6: 28}
_WRAP: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen: a literal IPv4 or IPv6 address and a port."""

    host: str
    port: int

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class PortTakenError(UnreachableError):
    """Another program listens there already."""


class TrapSocket:
    """One bound UDP socket. `receive` is for one thread; `send` and `kernel_drops` are safe from others."""

    def __init__(self, listener: Listener, buffer_bytes: int) -> None:
        """Raises PortTakenError, or UnreachableError when the address or family is not there."""
        self.listener = listener
        self._socket = _bound(listener, buffer_bytes)
        self.buffer_bytes = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self._incoming = Incoming(BATCH, ROOM)
        self._names = self._incoming.names.data.cast("B")
        self._name_size = _NAME_SIZE[listener.family]
        self._drops = 0
        self._drops_seen = self._raw_drops()

    @property
    def port(self) -> int:
        """The port the kernel gave, when 0 was asked for."""
        return int(self._socket.getsockname()[1])

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def receive(self) -> list[Datagram]:
        """Up to BATCH waiting datagrams, none when nothing waits; never blocks. OSError when the socket is broken."""
        got = receive(self._socket.fileno(), self._incoming)
        data, names, size = self._incoming.octets, self._names, self._name_size
        found = []
        for index, length in enumerate(self._incoming.sizes[:got].tolist()):
            at, name = index * ROOM, index * NAME_BYTES
            found.append((Peer(names[name : name + size].tobytes()), data[at : at + length].tobytes()))
        return found

    def send(self, data: bytes, peer: Peer) -> None:
        """Answer a sender. OSError when the network does not take it."""
        self._socket.sendto(data, address_of(peer))

    def kernel_drops(self) -> int:
        """Datagrams the kernel threw away since the socket was opened; grows only, past 2**32 too."""
        now = self._raw_drops()
        self._drops += (now - self._drops_seen) % _WRAP
        self._drops_seen = now
        return self._drops

    def close(self) -> None:
        """Release the port."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _raw_drops(self) -> int:
        try:
            info = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * _MEMINFO_FIELDS)
        except OSError as error:
            if error.errno == errno.ENOPROTOOPT:  # Linux before 4.12
                return 0
            raise
        fields = struct.unpack(f"{len(info) // 4}I", info)
        return fields[_MEMINFO_DROPS] if len(fields) > _MEMINFO_DROPS else 0


def address_of(peer: Peer) -> tuple[str, int] | tuple[str, int, int, int]:
    """A sockaddr as Python's socket functions take it."""
    if len(peer) == 16:
        return socket.inet_ntop(socket.AF_INET, peer[4:8]), int.from_bytes(peer[2:4], "big")
    port, flow = struct.unpack_from("!HI", peer, 2)
    (scope,) = struct.unpack_from("=I", peer, 24)
    return socket.inet_ntop(socket.AF_INET6, peer[8:24]), port, flow, scope


def host_of(peer: Peer) -> bytes:
    """The packed address (4 or 16 octets) of a sockaddr."""
    return peer[4:8] if len(peer) == 16 else peer[8:24]


def parse_listeners(text: str) -> tuple[Listener, ...]:
    """`HOST:PORT,[HOST]:PORT` of the settings; empty means none. InputError when it is something else."""
    found = []
    for part in text.split(","):
        if not part.strip():
            continue
        host, _, port = part.strip().rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            socket.inet_pton(family, host)
            number = int(port)
        except (OSError, ValueError):
            number = -1
        if not 0 <= number < 65_536:
            raise InputError(
                f"{part.strip()!r} is not ADDRESS:PORT",
                where="trap_listen",
                hint="e.g. 0.0.0.0:1162,[::]:1162",
            )
        found.append(Listener(host, number))
    return tuple(found)


def _bound(listener: Listener, buffer_bytes: int) -> socket.socket:
    try:
        made = socket.socket(listener.family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise UnreachableError(f"cannot open a socket: {error.strerror}", where=str(listener)) from error
    try:
        if listener.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        enlarge(made, socket.SO_RCVBUF, buffer_bytes)
        made.bind((listener.host, listener.port))
    except OSError as error:
        made.close()
        raise _refusal(listener, error) from error
    return made


def _refusal(listener: Listener, error: OSError) -> UnreachableError:
    where = str(listener)
    if error.errno == errno.EADDRINUSE:
        return PortTakenError(
            "the port for SNMP traps is taken by another program",
            where=where,
            hint="stop the other receiver (ss -lunp shows it) or set trap_listen to another port",
            zh=f"SNMP 陷阱端口 {where} 已被占用：请停用占用它的程序（ss -lunp 可查），或用 trap_listen 改用其他端口",
        )
    if error.errno == errno.EACCES:
        return UnreachableError(
            "this user may not listen on that port",
            where=where,
            hint="ports below 1024 need CAP_NET_BIND_SERVICE",
            zh=f"无权监听端口 {where}：1024 以下端口需要 CAP_NET_BIND_SERVICE 权限",
        )
    return UnreachableError(
        f"cannot listen: {error.strerror}",
        where=where,
        hint="check trap_listen; an address must belong to this machine",
        zh=f"无法监听 {where}：{error.strerror}，请检查 trap_listen",
    )
