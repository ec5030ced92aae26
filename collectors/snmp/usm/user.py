"""A user as a credential describes it, checked against what may be used here. No I/O.

`Credential.legacy` lists what is permitted beyond the rule, word by word: MD5, DES, noAuthNoPriv. Without it those
are refused, for MD5 and DES no longer protect and noAuthNoPriv never did (GB/T 22239 8.1.4.1, 8.1.4.8).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from collectors.interface import Credential
from collectors.snmp.usm.errors import PolicyError
from collectors.snmp.usm.keys import AUTH, PRIV, Auth, Priv

NO_AUTH_NO_PRIV: Final = 0
AUTH_NO_PRIV: Final = 1
AUTH_PRIV: Final = 3
LEGACY_WORDS: Final = ("MD5", "DES", "noAuthNoPriv")
MIN_PASSWORD: Final = 8  # RFC 3414 section 11.2
_MAX_NAME: Final = 32

_Protocol = TypeVar("_Protocol", Auth, Priv)


@dataclass(frozen=True, slots=True)
class UsmUser:
    """One user; `level` is also the two low bits of msgFlags. repr shows no secret."""

    name: bytes
    auth: Auth | None = None
    priv: Priv | None = None
    auth_password: bytes = field(default=b"", repr=False)
    priv_password: bytes = field(default=b"", repr=False)

    @property
    def level(self) -> int:
        """NO_AUTH_NO_PRIV, AUTH_NO_PRIV or AUTH_PRIV."""
        if self.auth is None:
            return NO_AUTH_NO_PRIV
        return AUTH_NO_PRIV if self.priv is None else AUTH_PRIV


def usm_user(credential: Credential, where: str) -> UsmUser:
    """The user of a snmp-v3 credential. Raises PolicyError, which names `where`."""
    permitted = _permitted(credential, where)
    name = credential.user.encode()
    if not 1 <= len(name) <= _MAX_NAME:
        raise PolicyError(
            where,
            "user-name",
            f"a v3 user name has 1 to {_MAX_NAME} octets",
            hint="correct the credential",
            zh=f"SNMPv3 用户名须为 1 至 {_MAX_NAME} 个字节，请更正凭据",
        )
    auth = _protocol(credential.auth_protocol or "SHA", AUTH, permitted, where)
    priv = _protocol(credential.priv_protocol or "AES", PRIV, permitted, where)
    for secret in (credential.auth_password, credential.priv_password):
        if secret and len(secret.encode()) < MIN_PASSWORD:
            raise PolicyError(
                where,
                "short-password",
                f"a password is shorter than {MIN_PASSWORD} octets",
                hint="SNMPv3 needs at least eight; set a longer one on the device and in the credential",
                zh=f"口令不足 {MIN_PASSWORD} 个字节，请在设备与凭据中改用更长的口令",
            )
    if not credential.auth_password:
        return _open_user(credential, name, permitted, where)
    password = credential.auth_password.encode()
    if not credential.priv_password:
        return UsmUser(name, auth, None, password)
    return UsmUser(name, auth, priv, password, credential.priv_password.encode())


def _open_user(credential: Credential, name: bytes, permitted: frozenset[str], where: str) -> UsmUser:
    if credential.priv_password:
        raise PolicyError(
            where,
            "privacy-alone",
            "a privacy password without an authentication password",
            hint="SNMPv3 has no privacy without authentication; give both",
            zh="只有加密口令而没有认证口令：SNMPv3 加密必须同时认证，请补充认证口令",
        )
    if "NOAUTHNOPRIV" not in permitted:
        raise PolicyError(
            where,
            "no-auth",
            "a v3 user needs an authentication password (noAuthNoPriv is refused)",
            hint="set one on the device; only when it cannot, permit it with legacy: noAuthNoPriv",
            zh="未设认证口令（noAuthNoPriv）不被接受：请在设备上配置认证与加密；"
            "设备确实不支持时才在凭据中写明 legacy: noAuthNoPriv",
        )
    return UsmUser(name)


def _permitted(credential: Credential, where: str) -> frozenset[str]:
    words = frozenset(word.upper() for word in re.split(r"[\s,;]+", credential.legacy) if word)
    unknown = sorted(words - {word.upper() for word in LEGACY_WORDS})
    if unknown:
        raise PolicyError(
            where,
            "legacy-word",
            f"legacy: {unknown[0]} is not known",
            hint=f"use some of {', '.join(LEGACY_WORDS)}",
            zh=f"legacy 中的 {unknown[0]} 无法识别，可用：{'、'.join(LEGACY_WORDS)}",
        )
    return words


def _protocol(name: str, known: Mapping[str, _Protocol], permitted: frozenset[str], where: str) -> _Protocol:
    key = re.sub(r"[-_ ]", "", name.upper())
    protocol = known.get("SHA" if key == "SHA1" else key)
    if protocol is not None and (not protocol.legacy or protocol.name in permitted):
        return protocol
    usable = ", ".join(kind for kind, row in known.items() if not row.legacy)
    if protocol is None:
        raise PolicyError(
            where,
            "unknown-protocol",
            f"protocol {name} is not known",
            hint=f"use one of {usable}",
            zh=f"不认识协议 {name}，可用：{usable}",
        )
    raise PolicyError(
        where,
        "legacy-protocol",
        f"protocol {name} is not accepted: it no longer protects",
        hint=f"use one of {usable}; only when the device has none of them, permit it with legacy: {protocol.name}",
        zh=f"协议 {name} 已不安全，不被接受：请改用 {usable}；设备确实不支持时才在凭据中写明 legacy: {protocol.name}",
    )
