"""What one outside look found, and how names are resolved and sockets' errors named for all kinds of probes."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from collectors.interface import PollError, Reading

NO_LABELS: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Look:
    """The result while it is being built: `success`, readings, errors, and what the device page shows."""

    success: bool = False
    readings: list[Reading] = field(default_factory=list)
    errors: list[PollError] = field(default_factory=list)
    detail: dict[str, object] = field(default_factory=dict)

    def value(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Add a reading."""
        self.readings.append(Reading(name, tuple(sorted((labels or {}).items())), value))

    def fail(self, code: str, message: str, zh: str) -> None:
        """Add an error; the look is no success."""
        self.success = False
        self.errors.append(PollError(code, message, zh))


@dataclass(frozen=True, slots=True)
class Address:
    """One resolved address: family, the sockaddr of the port, and the seconds resolving took."""

    family: socket.AddressFamily
    sockaddr: tuple[str, int]
    lookup_seconds: float


class ProbeFailedError(Exception):
    """A look that ended early, as a PollError."""

    def __init__(self, code: str, message: str, zh: str) -> None:
        self.error = PollError(code, message, zh)
        super().__init__(message)


def resolve(host: str, port: int, look: Look) -> Address:
    """The first address of a host name, with probe_dns_lookup_time_seconds and probe_ip_protocol."""
    started = time.monotonic()
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ProbeFailedError("dns", f"cannot resolve {host}: {error}", f"无法解析域名 {host}") from error
    family, _, _, _, sockaddr = found[0]
    spent = time.monotonic() - started
    look.value("probe_dns_lookup_time_seconds", spent)
    look.value("probe_ip_protocol", 6.0 if family == socket.AF_INET6 else 4.0)
    return Address(family, (str(sockaddr[0]), int(sockaddr[1])), spent)


def dial(address: Address, timeout: float) -> socket.socket:
    """A TCP connection. ProbeFailedError names why there is none."""
    where = f"{address.sockaddr[0]}:{address.sockaddr[1]}"
    try:
        return socket.create_connection(address.sockaddr, timeout=timeout)
    except OSError as error:
        raise failure(error, where) from error


def failure(error: OSError, where: str) -> ProbeFailedError:
    """A socket or TLS error as a probe's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return ProbeFailedError(
            certificate_code(error),
            f"{where}: {error.verify_message}",
            f"{where}:证书不可信({error.verify_message})",
        )
    if isinstance(error, ssl.SSLError):
        return ProbeFailedError(
            "tls", f"{where}: no TLS handshake: {error.reason or error}", f"{where}:TLS 握手失败"
        )
    if isinstance(error, TimeoutError):
        return ProbeFailedError("timeout", f"{where}: no answer in time", f"{where}:超时无应答")
    if isinstance(error, ConnectionRefusedError):
        return ProbeFailedError("refused", f"{where}: the port is closed", f"{where}:端口未开放")
    return ProbeFailedError("unreachable", f"{where}: {error.strerror or error}", f"{where}:无法到达")


def certificate_code(error: ssl.SSLCertVerificationError) -> str:
    """tls-name, tls-expired or tls-untrusted, by OpenSSL's X509_V_ERR numbers."""
    return {10: "tls-expired", 9: "tls-expired", 62: "tls-name", 64: "tls-name"}.get(
        error.verify_code, "tls-untrusted"
    )
