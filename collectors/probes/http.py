"""Does a web service answer as expected: status, text, trusted certificate? Redirects are followed, five at most.

One GET without cookies or credentials; at most 1 MiB of the body is read.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from collectors.interface import Reading
from collectors.probes.look import Address, Look, ProbeFailedError, dial, failure, resolve
from collectors.probes.tls import describe
from monitor.clock import Clock
from monitor.model import Probe

MAX_REDIRECTS = 5
MAX_BODY = 1 << 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Page:
    """One answer."""

    status: int
    version: float
    location: str
    body: bytes
    certificate: bytes | None


def look_http(probe: Probe, host: str, look: Look, clock: Clock, trust: ssl.SSLContext) -> None:
    """GET the probe's URL (or http://host:port/) and judge the last answer."""
    url = probe.url or f"http://{_bracketed(host)}:{probe.port or 80}/"
    deadline = time.monotonic() + probe.timeout
    redirects = 0
    while True:
        parts = _checked(url)
        # Only the first hop's host may be overridden by the probe's target: a redirect names its own.
        page = _fetch(
            parts, probe.target if probe.url and probe.target and not redirects else "", look, deadline, trust
        )
        if page.status not in _REDIRECTS or not page.location or page.status in probe.expect_status:
            break
        redirects += 1
        if redirects > MAX_REDIRECTS:
            raise ProbeFailedError(
                "redirects", f"more than {MAX_REDIRECTS} redirects", f"重定向超过 {MAX_REDIRECTS} 次"
            )
        url = urljoin(url, page.location)
    look.value("probe_http_redirects", redirects)
    look.value("probe_http_ssl", float(parts.scheme == "https"))
    look.detail["url"] = url
    _judge(probe, page, look, clock)


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise ProbeFailedError(
            "config", f"not an http(s) URL: {url[:200]!r}", "网址无效,应以 http:// 或 https:// 开头"
        )
    return parts


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _fetch(parts: SplitResult, target: str, look: Look, deadline: float, trust: ssl.SSLContext) -> Page:
    name = parts.hostname or ""
    secure = parts.scheme == "https"
    address = resolve(target or name, parts.port or (443 if secure else 80), look)
    look.readings = _last_of_each(look)
    where = f"{name}:{address.sockaddr[1]}"
    connection = http.client.HTTPConnection(_bracketed(name), address.sockaddr[1])
    try:
        sock = _connect(address, name, secure, deadline, trust)
        connection.sock = sock
        sock.settimeout(_left(deadline))
        certificate = sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) else None
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"User-Agent": "zhishou-probe", "Accept": "*/*"})
        response = connection.getresponse()
        body = response.read(MAX_BODY)
        location = response.getheader("Location") or ""
        return Page(response.status, response.version / 10, location, body, certificate)
    except http.client.HTTPException as error:
        raise ProbeFailedError(
            "malformed", f"{where}: no HTTP answer: {error!r}", f"{where}:应答不是 HTTP"
        ) from error
    except OSError as error:
        raise failure(error, where) from error
    finally:
        connection.close()


def _connect(
    address: Address, name: str, secure: bool, deadline: float, trust: ssl.SSLContext
) -> socket.socket:
    raw = dial(address, _left(deadline))
    if not secure:
        return raw
    try:
        return trust.wrap_socket(raw, server_hostname=name)
    except BaseException:
        raw.close()
        raise


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _last_of_each(look: Look) -> list[Reading]:
    return list({(reading.name, reading.labels): reading for reading in look.readings}.values())


def _judge(probe: Probe, page: Page, look: Look, clock: Clock) -> None:
    look.value("probe_http_status_code", page.status)
    look.value("probe_http_version", page.version)
    look.value("probe_http_uncompressed_body_length", len(page.body))
    look.detail["status"] = page.status
    if page.certificate is not None:
        describe(page.certificate, look, clock)
    if page.status not in probe.expect_status:
        wanted = ", ".join(map(str, probe.expect_status))
        look.fail(
            "status", f"status {page.status}, expected {wanted}", f"返回状态 {page.status},应为 {wanted}"
        )
    missing = bool(probe.expect_text) and probe.expect_text.encode() not in page.body
    if probe.expect_text:
        look.value("probe_failed_due_to_regex", float(missing))
    if missing:
        look.fail(
            "text", f"the page does not contain {probe.expect_text!r}", f"页面不含“{probe.expect_text}”"
        )
    look.success = not look.errors
