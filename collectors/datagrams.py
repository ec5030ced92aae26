"""Many datagrams with one system call: sendmmsg(2) and recvmmsg(2) on an unconnected UDP socket. Linux only.

Addresses are rows of NAME_BYTES octets holding a struct sockaddr_in or sockaddr_in6, payloads rows of a byte matrix.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from monitor.metrics.arrays import Ints

Bytes: TypeAlias = npt.NDArray[np.uint8]
Words: TypeAlias = npt.NDArray[np.uint64]

NAME_BYTES: Final = 32
NAME_WORDS: Final = NAME_BYTES // 8
_HEADER: Final = np.dtype(  # struct mmsghdr of 64-bit Linux
    {
        "names": ["name", "name_bytes", "vector", "vectors", "control", "control_bytes", "flags", "size"],
        "formats": ["u8", "u4", "u8", "u8", "u8", "u8", "i4", "u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56],
        "itemsize": 64,
    }
)
_CUT: Final = np.dtype(  # struct cmsghdr with the octets of one segment
    {
        "names": ["size", "level", "type", "octets"],
        "formats": ["u8", "i4", "i4", "u2"],
        "offsets": [0, 8, 12, 16],
        "itemsize": 24,
    }
)
_UDP_SEGMENT: Final = 103
SEGMENTS: Final = 32  # at most so many datagrams to one address in one message; the kernel takes 64
# What sendmmsg says when the kernel or the network card cannot cut messages apart.
CANNOT_CUT: Final = frozenset({errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.ENOPROTOOPT})
_TRUNCATED: Final = socket.MSG_TRUNC
_BUSY: Final = frozenset({errno.EAGAIN, errno.EINTR, errno.ENOBUFS})
# What the kernel reports about an earlier datagram (an ICMP answer); the next call works again.
_ABOUT_OTHERS: Final = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
_FORCED: Final = {socket.SO_RCVBUF: 33, socket.SO_SNDBUF: 32}  # SO_RCVBUFFORCE, SO_SNDBUFFORCE
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def sockaddr(address: str, port: int) -> bytes:
    """A literal IPv4 or IPv6 address as the kernel wants it, padded to NAME_BYTES. Raises OSError."""
    if ":" not in address:
        packed = struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(address)
        return packed.ljust(NAME_BYTES, b"\0")
    host, _, zone = address.partition("%")
    scope = socket.if_nametoindex(zone) if zone else 0
    packed = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, 0)
    packed += socket.inet_pton(socket.AF_INET6, host) + struct.pack("=I", scope)
    return packed.ljust(NAME_BYTES, b"\0")


class Outgoing:
    """Datagrams that may be sent: payload rows, their lengths and where they go. Rows keep their place in memory."""

    def __init__(self, rows: int, width: int) -> None:
        self.payloads: Bytes = np.zeros((rows, width), np.uint8)
        self.names: Bytes = np.zeros((rows, NAME_BYTES), np.uint8)
        self._octets = self.payloads.data.cast("B")
        self._width = width
        self._vectors: Words = np.zeros((rows, 2), np.uint64)
        self._headers = np.zeros(rows, _HEADER)
        self._cuts = np.zeros(width + 1, _CUT)
        self._cuts["size"], self._cuts["level"], self._cuts["type"] = 18, socket.IPPROTO_UDP, _UDP_SEGMENT
        self._cuts["octets"] = np.arange(width + 1)
        at = np.arange(rows, dtype=np.uint64)
        self._vectors[:, 0] = self.payloads.ctypes.data + at * np.uint64(width)
        self._headers["name"] = self.names.ctypes.data + at * np.uint64(NAME_BYTES)
        self._headers["vector"] = self._vectors.ctypes.data + at * np.uint64(16)
        self._headers["vectors"] = 1

    @property
    def lengths(self) -> Words:
        """Octets of each payload."""
        return self._vectors[:, 1]

    def write(self, payloads: Iterable[tuple[int, bytes]]) -> None:
        """Rows and their payloads, one at a time. Raises ValueError when one is too long."""
        octets, width = self._octets, self._width
        rows, sizes = [], []
        for row, payload in payloads:
            size = len(payload)
            if size > width:
                raise ValueError(f"a datagram of {size} octets where {width} fit")
            at = row * width
            octets[at : at + size] = payload
            rows.append(row)
            sizes.append(size)
        self._vectors[rows, 1] = sizes

    def address(self, row: int, name: bytes) -> None:
        """Where a row goes; `name` from `sockaddr`."""
        self.names[row] = np.frombuffer(name, np.uint8)
        family = struct.unpack_from("=H", name)[0]
        self._headers["name_bytes"][row] = 16 if family == socket.AF_INET else 28

    def headers(self, rows: Ints) -> npt.NDArray[np.void]:
        """The message headers of some rows, in their order: one datagram each."""
        return np.asarray(self._headers[rows])

    def segmented(self, first: Ints, counts: Ints) -> npt.NDArray[np.void]:
        """Headers that each send `counts` [i] neighbouring rows from `first` [i]: as long as each other, to one
        address. The kernel cuts them apart again behind its routing (UDP_SEGMENT).
        """
        headers = np.asarray(self._headers[first])
        headers["vectors"] = counts
        headers["control"] = self._cuts.ctypes.data + self.lengths[first] * np.uint64(_CUT.itemsize)
        headers["control_bytes"] = np.where(counts > 1, _CUT.itemsize, 0)
        return headers


class Incoming:
    """Room for datagrams: `payloads` [n, width], who sent them as `names` [n, NAME_WORDS], how long they are."""

    def __init__(self, rows: int, width: int) -> None:
        if width % 8:
            raise ValueError("the width must be whole words")
        self.rows = rows
        self.payloads: Bytes = np.zeros((rows, width), np.uint8)
        self.octets = self.payloads.data.cast("B")  # the same, row behind row
        self.names: Words = np.zeros((rows, NAME_WORDS), np.uint64)
        self._vectors: Words = np.zeros((rows, 2), np.uint64)
        self.headers = np.zeros(rows, _HEADER)
        at = np.arange(rows, dtype=np.uint64)
        self._vectors[:, 0] = self.payloads.ctypes.data + at * np.uint64(width)
        self._vectors[:, 1] = width
        self.headers["name"] = self.names.ctypes.data + at * np.uint64(NAME_BYTES)
        self.headers["vector"] = self._vectors.ctypes.data + at * np.uint64(16)
        self.headers["vectors"] = 1
        self.headers["name_bytes"] = NAME_BYTES
        self.pointer = ctypes.c_void_p(self.headers.ctypes.data)

    @property
    def sizes(self) -> npt.NDArray[np.uint32]:
        """Octets of each datagram of the last call."""
        sizes: npt.NDArray[np.uint32] = self.headers["size"]
        return sizes

    def cut(self, count: int) -> npt.NDArray[np.bool_]:
        """Which of the first `count` datagrams did not fit."""
        return np.asarray((self.headers["flags"][:count] & _TRUNCATED) != 0)


class DatagramSocket:
    """A UDP socket of one address family, never blocking. `buffer` octets are asked for each way."""

    def __init__(self, family: socket.AddressFamily, buffer: int = 32 << 20) -> None:
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        if family == socket.AF_INET6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        enlarge(self._socket, socket.SO_RCVBUF, buffer)
        enlarge(self._socket, socket.SO_SNDBUF, buffer)
        self._socket.bind(("", 0) if family == socket.AF_INET else ("::", 0))
        self._descriptor = self._socket.fileno()

    def fileno(self) -> int:
        """For select and poll."""
        return self._descriptor

    def send(self, headers: npt.NDArray[np.void]) -> int:
        """Send headers of `Outgoing.headers`, in order; how many the kernel took (0: try again). Raises OSError when
        the first of them cannot be sent at all.
        """
        sent: int = _LIBC.sendmmsg(self._descriptor, ctypes.c_void_p(headers.ctypes.data), len(headers), 0)
        return sent if sent >= 0 else _failed(_BUSY)

    def receive(self, incoming: Incoming) -> int:
        """Datagrams that are there already, 0 when none. Raises OSError."""
        return receive(self._descriptor, incoming)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def receive(descriptor: int, incoming: Incoming) -> int:
    """How many datagrams that are there already were put into `incoming`; never blocks. Raises OSError."""
    incoming.headers["name_bytes"] = NAME_BYTES
    found: int = _LIBC.recvmmsg(descriptor, incoming.pointer, incoming.rows, socket.MSG_DONTWAIT, None)
    return found if found >= 0 else _failed(_BUSY | _ABOUT_OTHERS)


def enlarge(made: socket.socket, which: int, octets: int) -> None:
    """Ask for a buffer (SO_RCVBUF or SO_SNDBUF), past the system's limit when we may, else as far as it goes."""
    try:
        made.setsockopt(socket.SOL_SOCKET, _FORCED[which], octets)
    except PermissionError:  # no CAP_NET_ADMIN
        made.setsockopt(socket.SOL_SOCKET, which, octets)


def _failed(passing: frozenset[int]) -> int:
    code = ctypes.get_errno()
    if code in passing:
        return 0
    raise OSError(code, os.strerror(code))
