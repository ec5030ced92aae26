"""Is the certificate trusted, is it for this name, and how long is it valid?

Verified against the system's authorities and those handed in. When it does not verify, its dates are still read
over a second, unverified connection on which nothing is sent: an expired certificate has an expiry date too.
Only the server's own certificate is looked at; Python 3.11 does not show the chain.
"""

from __future__ import annotations

import ssl
import time

from cryptography import x509

from collectors.probes.look import Address, Look, dial, failure, resolve
from monitor.clock import Clock
from monitor.model import Probe

DEFAULT_PORT = 443
DAY = 86_400


def look_tls(probe: Probe, host: str, look: Look, clock: Clock, trust: ssl.SSLContext) -> None:
    """A verified handshake; probe_ssl_earliest_cert_expiry, probe_tls_version_info."""
    address = resolve(host, probe.port or DEFAULT_PORT, look)
    where = f"{host}:{address.sockaddr[1]}"
    raw = dial(address, probe.timeout)
    started = time.monotonic()
    try:
        with trust.wrap_socket(raw, server_hostname=host) as secure:
            look.value("probe_tls_handshake_seconds", time.monotonic() - started)
            look.value("probe_tls_version_info", 1.0, {"version": secure.version() or ""})
            certificate = secure.getpeercert(binary_form=True)
    except ssl.SSLCertVerificationError as error:
        look.errors.append(failure(error, where).error)
        certificate = _unverified(address, probe.timeout)
    except OSError as error:
        raise failure(error, where) from error
    finally:
        raw.close()
    if certificate is not None:
        describe(certificate, look, clock)
    look.success = not look.errors


def _unverified(address: Address, timeout: float) -> bytes | None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with dial(address, timeout) as raw, context.wrap_socket(raw) as secure:
            return secure.getpeercert(binary_form=True)
    except OSError:
        return None  # the first connection's error is the one to report


def describe(certificate: bytes, look: Look, clock: Clock) -> None:
    """The dates and names of a DER certificate: probe_ssl_earliest_cert_expiry in seconds since the epoch."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        expires = parsed.not_valid_after_utc.timestamp()
        subject, issuer = parsed.subject.rfc4514_string(), parsed.issuer.rfc4514_string()
    except ValueError as error:
        look.fail("malformed", f"the certificate is not readable: {error}", "证书格式错误,无法读取")
        return
    look.value("probe_ssl_earliest_cert_expiry", expires)
    days = (expires - clock.now_ms() / 1000) / DAY
    look.detail["certificate"] = {"subject": subject, "issuer": issuer, "days_left": round(days, 1)}
