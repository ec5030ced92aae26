"""Forwards machine endpoints to the core's Unix socket, after the token.

The core does all machine work; the web process only stands in front. Bodies are streamed both ways in pieces,
hop-by-hop headers and cookies are dropped, and a core that is down is a 502 problem, a slow one a 504.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import ipaddress
import select
import socket
import string
from collections.abc import Iterator
from urllib.parse import quote

import structlog
from flask import Flask, Response, abort, g, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from dashboards.scope import backend, public
from dashboards.security import problem
from monitor.core_socket import UnixConnection

log = structlog.get_logger(__name__)

CHUNK = 64 * 1024
TIMEOUT = 60.0  # seconds the core may take
_DROPPED = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "cookie",
    "authorization",
    "content-length",
    "expect",
    "server",
    "date",
    "x-zhishou-collector",
}
_FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")
_COLLECTORS = "/api/v1/collectors/"
_READ_BY_POST = ("query", "query_range", "query_exemplars", "series", "labels", "format_query")
_WRITES = ("/api/v1/write", "/api/v1/import/prometheus")
_CLIENT_GONE = 499
_METHODS = ["GET", "POST", "PUT", "DELETE"]


def needed_scope(method: str, path: str) -> str:
    """Which token scope a machine request needs: ingest for data in, write for changes, read otherwise."""
    if path.startswith(("/api/v1/ingest", "/api/v1/collectors")) or path.endswith(_WRITES):
        return "ingest"
    if method in {"GET", "HEAD"}:
        return "read"
    # Prometheus queries may be sent by POST and change nothing.
    query = path.removeprefix("/prometheus/api/v1/")
    return "read" if method == "POST" and query != path and query in _READ_BY_POST else "write"


def bearer_text(header: str) -> str:
    """The token of an Authorization header: bearer, or basic with the token as password; else empty."""
    kind, _sep, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def machine_caller_ok(scope: str) -> bool:
    """Whether this request carries a token with a scope, or needs none on this loopback."""
    header = request.headers.get("Authorization", "")
    collector = request.path.removeprefix(_COLLECTORS).partition("/")[0] if _hands_out_credentials() else ""
    if header:
        info = backend().tokens.check(bearer_text(header))
        if info is None or not info.allows(scope, collector):
            return False
        g.collectors = info.collectors
        return True
    return (
        backend().settings.insecure_local_api
        and not _hands_out_credentials()
        and _is_loopback(request.remote_addr)
        and not _is_cross_site()
        and not any(name in request.headers for name in _FORWARDED)
    )


def _hands_out_credentials() -> bool:
    # An assignment holds the secrets of every device of a collector: open to its token, never to whoever is local.
    return request.path.startswith(_COLLECTORS)


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def _is_cross_site() -> bool:
    # A page somebody else serves must not drive the open loopback endpoints through the operator's browser.
    host = request.host.rsplit(":", 1)[0].strip("[]")
    named = host == "localhost" or _is_loopback(host)
    origin = request.headers.get("Origin", request.host_url.rstrip("/"))
    if origin != request.host_url.rstrip("/"):
        return True
    return not named or request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}


def install(app: Flask) -> None:
    """Mount the forwarded paths."""

    @public
    def forward(rest: str = "") -> ResponseReturnValue:
        scope = needed_scope(request.method, request.path)
        if not machine_caller_ok(scope):
            response = problem(401, f"a token with the scope {scope} is needed")
            response.headers["WWW-Authenticate"] = 'Bearer realm="zhishou", Basic realm="zhishou"'
            return response
        return _forward(app.config["MAX_CONTENT_LENGTH"])

    for rule in (
        "/prometheus/",
        "/prometheus/<path:rest>",
        "/alertmanager/<path:rest>",
        "/snmp",
        "/api/v1/ingest/<path:rest>",
        "/api/v1/collectors/<path:rest>",
    ):
        app.add_url_rule(rule, "machine.forward", forward, methods=_METHODS)


def _forward(limit: int) -> ResponseReturnValue:
    length = request.content_length
    if length is None and request.headers.get("Transfer-Encoding"):
        abort(411, _("须给出 Content-Length"))
    if (length or 0) > limit:
        abort(413)
    connection = UnixConnection(backend().settings.socket_path, timeout=TIMEOUT)
    try:
        _send(connection, length or 0)
        if not _await_answer(connection):
            connection.close()
            return Response(status=_CLIENT_GONE)
        answer = connection.getresponse()
    except TimeoutError:
        connection.close()
        return problem(504, "the core did not answer in time")
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        log.warning("core-unreachable", path=request.path, error=str(error))
        return problem(502, "the core does not answer", "it may be starting; try again in a few seconds")
    headers = [(k, v) for k, v in answer.getheaders() if k.lower() not in _DROPPED]
    if (size := answer.getheader("Content-Length")) is not None:
        headers.append(("Content-Length", size))
    body = b"" if request.method == "HEAD" else _stream(connection, answer)
    return Response(body, status=answer.status, headers=headers)


def _send(connection: UnixConnection, length: int) -> None:
    # Written anew from what was checked: the core must not read another address out of the raw request line.
    path = quote(request.environ["PATH_INFO"].encode("latin-1"), safe="/:@!$&'()*+,=~-._")
    if query := request.environ.get("QUERY_STRING", ""):
        path += "?" + quote(query.encode("latin-1"), safe=string.punctuation)
    connection.putrequest(request.method, path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", "core")
    for name, value in request.headers.items():
        if name.lower() not in _DROPPED:
            connection.putheader(name, value)
    if collectors := getattr(g, "collectors", None):
        connection.putheader("X-Zhishou-Collector", ",".join(sorted(collectors)))
    if length or request.method in {"POST", "PUT"}:
        connection.putheader("Content-Length", str(length))
    connection.endheaders()
    while length > 0:
        piece = request.stream.read(min(CHUNK, length))
        if not piece:
            raise ConnectionError("the client stopped sending")
        connection.send(piece)
        length -= len(piece)


def _await_answer(connection: UnixConnection) -> bool:
    """Whether the core answers; False when our client goes away first: then the core need not go on either."""
    client: socket.socket | None = request.environ.get("gunicorn.socket")
    poller = select.poll()
    poller.register(connection.sock, select.POLLIN)
    if client is not None:
        poller.register(client, select.POLLRDHUP)
    ready = poller.poll(TIMEOUT * 1000)
    if not ready:
        raise TimeoutError
    return any(descriptor == connection.sock.fileno() for descriptor, _events in ready)


def _stream(connection: UnixConnection, answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := answer.read(CHUNK):
            yield piece
    finally:
        connection.close()
