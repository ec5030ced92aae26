"""Asking the running core over its Unix socket, from another process of the same user."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

from monitor.errors import UnreachableError

_MOST_BYTES = 64 << 20


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket; `timeout` in seconds holds for each step of an exchange."""

    def __init__(self, path: Path, *, timeout: float) -> None:
        super().__init__("core", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask_core(path: Path, address: str, *, seconds: float) -> bytes:
    """The body of `GET address` from the core that listens at `path`.

    Raises UnreachableError when there is no core, it takes longer than `seconds`, or it does not answer with 200.
    """
    connection = UnixConnection(path, timeout=seconds)
    try:
        connection.request("GET", address)
        answer = connection.getresponse()
        body = answer.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(path, str(error) or type(error).__name__) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise _unreachable(path, f"status {answer.status}")
    return body


def _unreachable(path: Path, reason: str) -> UnreachableError:
    return UnreachableError(
        f"the core does not answer: {reason}",
        where=str(path),
        hint="is it running? (`zhishou up`)",
        zh=f"{path}：核心没有应答（{reason}）；请检查服务是否已启动",
    )
