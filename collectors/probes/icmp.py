"""Does the host answer an echo request (RFC 792, RFC 4443)? Without privileges where Linux allows it.

A datagram ICMP socket needs the process's group in net.ipv4.ping_group_range, a raw one CAP_NET_RAW.
"""

from __future__ import annotations

import os
import socket
import struct
import time

from collectors.probes.look import Look, ProbeFailedError, failure, resolve
from monitor.model import Probe

_ECHO = struct.Struct("!BBHHH")
_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
_TAG_BYTES = 16


def look_icmp(probe: Probe, host: str, look: Look) -> None:
    """One echo request; probe_icmp_duration_seconds by phase resolve, setup and rtt."""
    address = resolve(host, 0, look)
    started = time.monotonic()
    sock, raw = _open(address.family)
    with sock:
        sock.settimeout(probe.timeout)
        try:
            sock.connect(address.sockaddr)
            setup = time.monotonic() - started
            rtt = _exchange(sock, address.family, raw, probe.timeout)
        except OSError as error:
            raise failure(error, host) from error
    for phase, seconds in (("resolve", address.lookup_seconds), ("setup", setup), ("rtt", rtt)):
        look.value("probe_icmp_duration_seconds", seconds, {"phase": phase})
    look.detail["rtt_seconds"] = rtt
    look.success = True


def _open(family: socket.AddressFamily) -> tuple[socket.socket, bool]:
    try:
        return socket.socket(family, socket.SOCK_DGRAM, _PROTOCOL[family]), False
    except PermissionError:
        pass  # the group is not in net.ipv4.ping_group_range: a raw socket may still be allowed
    try:
        return socket.socket(family, socket.SOCK_RAW, _PROTOCOL[family]), True
    except PermissionError as error:
        raise ProbeFailedError(
            "unsupported",
            "this process may not send ICMP; set net.ipv4.ping_group_range to its group or give it CAP_NET_RAW",
            "采集进程无权发送 ICMP;请设置 net.ipv4.ping_group_range 或授予 CAP_NET_RAW",
        ) from error


def _exchange(sock: socket.socket, family: socket.AddressFamily, raw: bool, timeout: float) -> float:
    """Seconds until the reply that carries our tag; other ICMP that a raw socket sees is passed over."""
    tag = os.urandom(_TAG_BYTES)
    identifier = int.from_bytes(tag[:2])
    started = time.monotonic()
    sock.send(request(family, identifier, 1, tag))
    while (left := timeout - (time.monotonic() - started)) > 0:
        sock.settimeout(left)
        data = sock.recv(2048)
        if is_reply(data, family, raw, tag):
            return time.monotonic() - started
    raise TimeoutError


def request(family: socket.AddressFamily, identifier: int, sequence: int, payload: bytes) -> bytes:
    """An echo request. ICMPv6's checksum covers addresses, so the kernel writes it."""
    kind = _REQUEST[family]
    packet = _ECHO.pack(kind, 0, 0, identifier, sequence) + payload
    check = checksum(packet) if family == socket.AF_INET else 0
    return _ECHO.pack(kind, 0, check, identifier, sequence) + payload


def is_reply(data: bytes, family: socket.AddressFamily, raw: bool, tag: bytes) -> bool:
    """Whether this is the echo reply with our tag; a raw IPv4 socket gives the IP header too."""
    if raw and family == socket.AF_INET:
        data = data[(data[0] & 0x0F) * 4 :] if data else data
    return len(data) >= _ECHO.size and data[0] == _REPLY[family] and data[_ECHO.size :] == tag


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
