"""HTTP to the back end: TLS verified, credentials from a file, one kept connection a user.

BackendError   no answer, or none that can be used: address, credentials, network, certificate
Any answer, whatever its status, is an Answer.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from monitor.errors import UnreachableError
from monitor.settings import Settings

CREDENTIAL = "zhishou-remote-secret"
_MAX_ANSWER = 48 << 20  # About two million points; parsed they take several times as much.
_CHUNK = 1 << 20
_CONNECT_SECONDS = 5.0


class BackendError(UnreachableError):
    """The back end did not answer, or must not be asked."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a back end. The secret itself stays in its file, read for every connection.

    A `user` makes it basic authentication, otherwise the secret is a bearer token; `tenant` is sent as
    X-Scope-OrgID (Mimir, Cortex). `ca_file` is trusted besides the system's authorities.
    """

    url: str
    user: str = ""
    secret_file: str = ""
    ca_file: str = ""
    tenant: str = ""
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the back end said; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The first line of the body, for people; at most 200 characters."""
        lines = self.body[:1000].decode("utf-8", "replace").strip().splitlines()
        return lines[0][:200] if lines else ""


def access_of(settings: Settings, url: str, timeout: float) -> Access:
    """The access the settings describe. Without a file the systemd credential of the service is used, if any."""
    secret = settings.remote_secret_file
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not secret and folder and (Path(folder) / CREDENTIAL).exists():
        secret = str(Path(folder) / CREDENTIAL)
    return Access(url, settings.remote_user, secret, settings.remote_ca_file, settings.remote_tenant, timeout)


class Backend:
    """Asks one back end. Use one from one thread; `stop` may come from another and cuts what is under way.

    `reopen`: a kept connection that was closed meanwhile is opened again without a word; otherwise it is an error,
    as the back end may have been started anew.
    """

    def __init__(self, access: Access, *, reopen: bool = True) -> None:
        self._access = access
        self._reopen = reopen
        self._guard = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._headers: dict[str, str] = {}
        self._stopped = False

    @property
    def name(self) -> str:
        """The address for messages; it never holds a secret."""
        url = urlsplit(self._access.url)
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        port = f":{_port(url)}" if _port(url) else ""
        return f"{url.scheme}://{host}{port}{url.path}"

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST below the URL. Raises BackendError."""
        return self._request("POST", path, body, headers)

    def ask(self, method: str, path: str, form: str, headers: Mapping[str, str]) -> Answer:
        """GET with a query, or POST a form, below the URL. Raises BackendError."""
        if method == "GET":
            return self._request("GET", f"{path}?{form}", b"", headers)
        return self._request("POST", path, form.encode(), headers)

    def _request(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            if self._connection is not None:
                try:
                    return self._exchange(self._connection, method, path, body, headers)
                except (http.client.HTTPException, ConnectionError):
                    if not self._reopen:
                        raise
                    self.close()
            return self._exchange(self._open(), method, path, body, headers)
        except (http.client.HTTPException, OSError, ValueError) as error:
            self.close()
            raise self._error(f"no answer: {error or type(error).__name__}") from error

    def stop(self) -> None:
        """End the exchange under way, if any, and refuse new ones; from any thread."""
        with self._guard:
            self._stopped = True
            connection = self._connection
        if connection is not None and connection.sock is not None:
            # Wakes the thread that waits for the answer; closing is that thread's turn.
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Drop the connection."""
        with self._guard:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> http.client.HTTPConnection:
        url = urlsplit(self._access.url)
        if url.scheme not in ("http", "https") or not url.hostname or url.username or url.query:
            raise self._error("the address is not http(s)://HOST[:PORT][/PATH]")
        self._headers = self._own_headers(url)
        connecting = min(_CONNECT_SECONDS, self._access.timeout)
        if url.scheme == "https":
            context = ssl.create_default_context()
            if self._access.ca_file:
                context.load_verify_locations(self._access.ca_file)
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                url.hostname, url.port, timeout=connecting, context=context
            )
        else:
            made = http.client.HTTPConnection(url.hostname, url.port, timeout=connecting)
        made.connect()
        made.sock.settimeout(self._access.timeout)
        with self._guard:
            if not self._stopped:
                self._connection = made
                return made
        made.close()
        raise self._error("stopped")

    def _own_headers(self, url: SplitResult) -> dict[str, str]:
        access = self._access
        headers = {"User-Agent": "zhishou"}
        if access.tenant:
            headers["X-Scope-OrgID"] = access.tenant
        if access.secret_file:
            if url.scheme == "http" and not _is_loopback(url.hostname or ""):
                raise self._error("credentials are not sent over plain HTTP; use an https:// address")
            headers["Authorization"] = _authorization(access.user, self._secret())
        return headers

    def _secret(self) -> str:
        path = Path(self._access.secret_file)
        if path.stat().st_mode & 0o007:
            raise self._error(f"{path} is readable by everybody; chmod 600 it")
        return path.read_text("utf-8").strip()

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
    ) -> Answer:
        prefix = urlsplit(self._access.url).path.rstrip("/")
        deadline = time.monotonic() + self._access.timeout
        connection.request(method, prefix + path or "/", body or None, {**self._headers, **headers})
        response = connection.getresponse()
        content = bytearray()
        while chunk := response.read1(_CHUNK):
            content += chunk
            if len(content) > _MAX_ANSWER:
                raise http.client.HTTPException(f"the answer is longer than {_MAX_ANSWER >> 20} MiB")
            if time.monotonic() > deadline:
                raise TimeoutError("the answer takes too long")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        response.close()
        if response.will_close or response.status in (401, 403):
            # A changed secret is read for the next connection.
            self.close()
        return Answer(
            response.status, {key.lower(): text for key, text in response.getheaders()}, bytes(content)
        )

    def _error(self, reason: str) -> BackendError:
        return BackendError(
            reason,
            where=self.name,
            hint="check its address, credentials, certificate and the network",
            zh=f"{self.name}：指标后端不可用（{reason}）；请检查地址、凭据、证书和网络",
        )


def _port(url: SplitResult) -> int | None:
    try:
        return url.port
    except ValueError:
        return None


def _authorization(user: str, secret: str) -> str:
    if user:
        return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()
    return f"Bearer {secret}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
