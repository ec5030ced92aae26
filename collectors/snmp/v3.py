"""SNMPv3 USM (RFC 3414, 3826, 7860) through pysnmp, behind client.Transport.

pysnmp discovers the engine, keeps its time and verifies every answer's HMAC. MD5 and DES are refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from pysnmp.hlapi.v3arch import asyncio as hlapi
from pysnmp.proto import errind
from pysnmp.proto.rfc1905 import EndOfMibView, NoSuchInstance, NoSuchObject

from collectors.interface import Credential
from collectors.snmp import ber
from collectors.snmp.ber import Typed, VarBind, decode_oid, encode_oid
from collectors.snmp.errors import (
    AuthError,
    BerError,
    MalformedReplyError,
    NetworkError,
    NoAnswerError,
    SnmpError,
)
from collectors.snmp.message import GET, GET_BULK
from collectors.snmp.walk import Ask, Reply

AUTH_PROTOCOLS: Final[Mapping[str, object]] = {
    "SHA": hlapi.USM_AUTH_HMAC96_SHA,
    "SHA224": hlapi.USM_AUTH_HMAC128_SHA224,
    "SHA256": hlapi.USM_AUTH_HMAC192_SHA256,
    "SHA384": hlapi.USM_AUTH_HMAC256_SHA384,
    "SHA512": hlapi.USM_AUTH_HMAC384_SHA512,
}
# AES192/256 as in net-snmp, Huawei and H3C; the C forms localise keys as Cisco does.
PRIV_PROTOCOLS: Final[Mapping[str, object]] = {
    "AES": hlapi.USM_PRIV_CFB128_AES,
    "AES128": hlapi.USM_PRIV_CFB128_AES,
    "AES192": hlapi.USM_PRIV_CFB192_AES_BLUMENTHAL,
    "AES256": hlapi.USM_PRIV_CFB256_AES_BLUMENTHAL,
    "AES192C": hlapi.USM_PRIV_CFB192_AES,
    "AES256C": hlapi.USM_PRIV_CFB256_AES,
}

_SILENT: Final = (errind.RequestTimedOut,)
_AUTH: Final = (
    errind.AuthenticationError,
    errind.AuthenticationFailure,
    errind.WrongDigest,
    errind.UnknownUserName,
    errind.UnknownSecurityName,
    errind.UnsupportedSecurityLevel,
    errind.UnknownEngineID,
    errind.NotInTimeWindow,
    errind.DecryptionError,
    errind.EncryptionError,
    errind.ReportPduReceived,
)


class UsmTransport:
    """One SNMPv3 peer. Runs pysnmp's event loop only while a request is out; use from one thread."""

    bulk = True

    def __init__(self, address: str, port: int, credential: Credential, timeout: float, retries: int) -> None:
        self.where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        self._user = _usm_user(credential, self.where)
        self._runner = asyncio.Runner()
        self._engine = hlapi.SnmpEngine()
        self._synchronised = False
        kind = hlapi.Udp6TransportTarget if ":" in address else hlapi.UdpTransportTarget
        try:
            self._target = self._runner.run(kind.create((address, port), timeout=timeout, retries=retries))
        except Exception as error:  # pysnmp raises its own and the resolver's errors alike
            self.close()
            raise NetworkError(self.where, str(error)) from error

    def exchange(self, ask: Ask) -> Reply:
        """Raises NoAnswerError, AuthError, MalformedReplyError or NetworkError."""
        try:
            reply = self._exchange(ask)
        except NoAnswerError:
            if not self._synchronised:
                raise
            # The agent was restarted: pysnmp drops its reports, so discover engine and time afresh.
            self._engine.close_dispatcher()
            self._engine = hlapi.SnmpEngine()
            self._synchronised = False
            reply = self._exchange(ask)
        self._synchronised = True
        return reply

    def _exchange(self, ask: Ask) -> Reply:
        try:
            indication, status, index, rows = self._runner.run(self._ask(ask))
            varbinds = [_varbind(name, value) for name, value in rows]
        except errind.ErrorIndication as error:
            raise self._error(error) from error
        except BerError as error:
            raise MalformedReplyError(self.where, error) from error
        except Exception as error:  # pysnmp lets pyasn1 and socket errors of all kinds through
            raise NetworkError(self.where, f"{type(error).__name__}: {error}") from error
        if indication is not None:
            raise self._error(indication)
        return Reply(int(status), int(index), [] if int(status) else varbinds)

    def close(self) -> None:
        """Close pysnmp's sockets and the event loop."""
        self._engine.close_dispatcher()
        self._runner.close()

    async def _ask(self, ask: Ask) -> Any:
        names = [hlapi.ObjectType(hlapi.ObjectIdentity(decode_oid(oid))) for oid in ask.oids]
        head = (self._engine, self._user, self._target, hlapi.ContextData())
        if ask.kind == GET:
            return await hlapi.get_cmd(*head, *names, lookupMib=False)
        if ask.kind == GET_BULK:
            return await hlapi.bulk_cmd(*head, 0, ask.max_repetitions, *names, lookupMib=False)
        return await hlapi.next_cmd(*head, *names, lookupMib=False)

    def _error(self, indication: object) -> SnmpError:
        if isinstance(indication, _SILENT):
            return NoAnswerError(self.where, v3=True)
        if isinstance(indication, _AUTH):
            return AuthError(self.where, str(indication))
        return MalformedReplyError(self.where, BerError(str(indication)))


def _usm_user(credential: Credential, where: str) -> Any:
    auth = _protocol(credential.auth_protocol or "SHA", AUTH_PROTOCOLS, where)
    priv = _protocol(credential.priv_protocol or "AES", PRIV_PROTOCOLS, where)
    for secret in (credential.auth_password, credential.priv_password):
        if secret and len(secret) < 8:
            raise AuthError(where, "a password is shorter than eight characters")
    if not credential.auth_password:
        raise AuthError(where, "a v3 user needs an authentication password (noAuthNoPriv is refused)")
    if not credential.priv_password:
        return hlapi.UsmUserData(credential.user, credential.auth_password, authProtocol=auth)
    return hlapi.UsmUserData(
        credential.user,
        credential.auth_password,
        credential.priv_password,
        authProtocol=auth,
        privProtocol=priv,
    )


def _protocol(name: str, known: Mapping[str, object], where: str) -> object:
    key = name.upper().replace("-", "").replace("SHA1", "SHA")
    if key not in known:
        raise AuthError(where, f"protocol {name} is not accepted (accepted: {', '.join(known)})")
    return known[key]


_TAGS: Final[Mapping[str, int]] = {
    "Integer": ber.INTEGER,
    "Integer32": ber.INTEGER,
    "Counter32": ber.COUNTER32,
    "Gauge32": ber.GAUGE32,
    "Unsigned32": ber.GAUGE32,
    "TimeTicks": ber.TIME_TICKS,
    "Counter64": ber.COUNTER64,
    "OctetString": ber.OCTET_STRING,
    "IpAddress": ber.IP_ADDRESS,
    "Opaque": ber.OPAQUE,
    "Bits": ber.OCTET_STRING,
    "ObjectIdentifier": ber.OBJECT_ID,
}


def _varbind(name: Any, value: Any) -> VarBind:
    tag, plain = _typed(value)
    return encode_oid(tuple(name)), tag, plain


def _typed(value: Any) -> Typed:
    for kind, tag in (
        (EndOfMibView, ber.END_OF_MIB_VIEW),
        (NoSuchObject, ber.NO_SUCH_OBJECT),
        (NoSuchInstance, ber.NO_SUCH_INSTANCE),
    ):
        if isinstance(value, kind):
            return tag, None
    tag = _TAGS.get(type(value).__name__, ber.NULL)
    if tag == ber.NULL:
        return tag, None
    if tag == ber.OBJECT_ID:
        return tag, encode_oid(tuple(value))
    if tag in ber.NUMERIC:
        return tag, int(value)
    return tag, bytes(value.asOctets())
