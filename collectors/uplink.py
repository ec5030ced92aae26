"""The collector's one way out: HTTP to the core, with the ingest token, on a kept connection a thread.

UplinkError(UnreachableError)   no answer: connection refused, cut, timed out, TLS not trusted
Any answer, whatever its status, is an Answer.
"""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from monitor.errors import InputError, UnreachableError

MAX_ANSWER = 64 << 20


class UplinkError(UnreachableError):
    """The core did not answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the core said; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class CoreClient:
    """Speaks to one core. `url` may carry a path prefix; `token` is never logged. Safe from several threads."""

    def __init__(self, url: str, token: str = "", *, timeout: float = 10.0, ca_file: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InputError("the core's address is http(s)://HOST[:PORT]", where=url, hint="see --core")
        self.url = url
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        self._prefix = parts.path.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._context = ssl.create_default_context(cafile=ca_file or None) if self._secure else None
        self._kept = threading.local()

    def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One exchange; a kept connection that the core closed meanwhile is opened again. Raises UplinkError."""
        sent = {"User-Agent": "zhishou-collector", **(headers or {})}
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        kept: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if kept is not None:
            try:
                return self._exchange(kept, method, path, body, sent)
            except (http.client.HTTPException, OSError):
                self.close()
        connection = self._open()
        try:
            return self._exchange(connection, method, path, body, sent)
        except (http.client.HTTPException, OSError) as error:
            self.close()
            raise UplinkError(
                f"no answer from the core: {error or type(error).__name__}",
                where=self.url,
                hint="check the core, its address, the network and the certificate",
                zh=f"{self.url}:中心没有应答,请检查中心服务、地址、网络和证书",
            ) from error

    def close(self) -> None:
        """Close this thread's connection."""
        kept: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if kept is not None:
            kept.close()
            self._kept.connection = None

    def _open(self) -> http.client.HTTPConnection:
        if self._context is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        self._kept.connection = connection
        return connection

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer:
        connection.request(method, self._prefix + path, body=body, headers=dict(headers))
        response = connection.getresponse()
        content = response.read(MAX_ANSWER + 1)
        if len(content) > MAX_ANSWER:
            raise http.client.HTTPException("the answer is too long")
        return Answer(
            response.status, {name.lower(): value for name, value in response.getheaders()}, content
        )
