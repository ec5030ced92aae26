"""Which TLS versions a server still accepts, and what its certificate says. Nothing is sent inside the tunnel.

Old versions are asked for with a ClientHello of our own (RFC 5246 section 7.4.1.2, RFC 4346), because a modern
TLS library will not speak them; the certificate comes from a real handshake that verifies nothing.
"""

from __future__ import annotations

import os

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from monitor.errors import InputError, ZhishouError
from playbooks.formats import Exchange
from playbooks.gate import CONNECT_PACKETS, HANDSHAKE_PACKETS, READ_PACKETS
from playbooks.steps.interface import ClosedError, Door, Observation, Reach, SilentError, Step, from_refusal

VERSIONS = {0x0300: "SSLv3", 0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2"}
TLS11 = 0x0302
_DAY_MS = 86_400_000
# Everything a TLS 1.0/1.1 server may want: RSA, (EC)DHE with AES-CBC and 3DES, and RC4 of the oldest gear.
_CIPHERS = bytes.fromhex("c00ac009c014c013003900330035002f00160013000ac012c00800050004") + b"\x00\xff"
_GROUPS = bytes.fromhex("000a00080006001d00170018")  # x25519, secp256r1, secp384r1
_POINTS = bytes.fromhex("000b00020100")


def client_hello(version: int, random: bytes) -> bytes:
    """One TLS record with a ClientHello that offers `version` as the highest. `random` is 32 bytes."""
    extensions = _GROUPS + _POINTS
    body = version.to_bytes(2, "big") + random + b"\x00"
    body += len(_CIPHERS).to_bytes(2, "big") + _CIPHERS + b"\x01\x00"
    body += len(extensions).to_bytes(2, "big") + extensions
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(handshake).to_bytes(2, "big") + handshake


def parse_reply(data: bytes) -> str:
    """The version a ServerHello chose; `alert` when the server declined. Raises InputError for anything else."""
    if len(data) >= 7 and data[0] == 0x15 and data[1] == 3:
        return "alert"
    if len(data) < 11 or data[0] != 0x16 or data[1] != 3 or data[5] != 2:
        raise InputError("not a TLS answer")
    version = VERSIONS.get(int.from_bytes(data[9:11], "big"))
    if version is None:
        raise InputError("unknown TLS version")
    return version


def certificate_parts(der: bytes, now_ms: int) -> dict[str, str]:
    """Subject, issuer, days left (may be negative) and whether it signed itself. Raises InputError."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        expires = certificate.not_valid_after_utc.timestamp() * 1000
        subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise InputError(f"certificate cannot be read: {error}") from error
    return {
        "subject": subject,
        "issuer": issuer,
        "days_left": f"{(expires - now_ms) / _DAY_MS:.2f}",
        "self_signed": "true" if _self_signed(certificate) else "false",
    }


def _self_signed(certificate: x509.Certificate) -> bool:
    if certificate.subject != certificate.issuer:
        return False
    try:
        certificate.verify_directly_issued_by(certificate)
    except InvalidSignature:
        return False
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return True  # issuer and subject are the same; a key kind we cannot verify changes nothing
    return True


class TlsStep:
    """Protocol block `tls`. Key `observe`: protocols, certificate. Parts: `protocols` and those of a certificate."""

    protocol = "tls"
    transport = "tcp"
    keys = frozenset({"observe"})

    def packets(self, exchange: Exchange) -> int:
        """One connection with our hello, one with a whole handshake."""
        old = CONNECT_PACKETS + 1 + READ_PACKETS if "protocols" in self._wanted(exchange) else 0
        return old + CONNECT_PACKETS + HANDSHAKE_PACKETS

    @staticmethod
    def _wanted(exchange: Exchange) -> tuple[str, ...]:
        return exchange.option("observe") or ("protocols", "certificate")

    async def observe(self, exchange: Exchange, door: Door) -> Observation:
        """Look once."""
        protocols: list[str] = []
        declined = False
        try:
            if "protocols" in self._wanted(exchange):
                old = await self._old_version(exchange, door)
                declined = old == "alert"
                protocols += [old] if old and not declined else []
            facts = await door.handshake(exchange.port, exchange.timeout)
        except (ClosedError, SilentError) as error:
            if not protocols:
                return from_refusal(error)
            facts = None
        except ZhishouError as error:
            return from_refusal(error)
        if facts is None and not protocols:
            reason = "TLS, but no handshake succeeds" if declined else "does not speak TLS"
            return Observation(Reach.QUIET if declined else Reach.ANSWERED, {}, reason)
        if facts is None:
            return Observation(Reach.ANSWERED, {"protocols": " ".join(protocols)})
        protocols += [facts.version] if facts.version not in protocols else []
        parts = {"protocols": " ".join(protocols)}
        try:
            parts.update(certificate_parts(facts.certificate, door.now_ms()))
        except InputError as error:
            return Observation(Reach.ANSWERED, parts, error.message)
        return Observation(Reach.ANSWERED, parts)

    @staticmethod
    async def _old_version(exchange: Exchange, door: Door) -> str:
        stream = await door.connect(exchange.port, exchange.timeout)
        await stream.send(client_hello(TLS11, os.urandom(32)))
        answer = b""
        while len(answer) < 11:
            chunk = await stream.receive(4096, exchange.timeout)
            if not chunk:
                break
            answer += chunk
        stream.close()  # a server that serves one at a time is free again
        try:
            return parse_reply(answer)
        except InputError:
            return ""


def build() -> Step:
    """The step."""
    return TlsStep()
