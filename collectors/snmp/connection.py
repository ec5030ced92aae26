"""The socket that a transport asks one agent through."""

from __future__ import annotations

import socket

from collectors.snmp.errors import NetworkError


def connect_udp(address: str, port: int, where: str) -> socket.socket:
    """A connected UDP socket, v4 or v6: the kernel drops what comes from elsewhere. Raises NetworkError."""
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0]
        connected = socket.socket(family, kind, protocol)
    except OSError as error:
        raise NetworkError(where, error.strerror or str(error)) from error
    try:
        connected.connect(target)
    except OSError as error:
        connected.close()
        raise NetworkError(where, error.strerror or str(error)) from error
    return connected
