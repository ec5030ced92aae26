"""Passwords to keys: RFC 3414 appendix A.2 and 11.2, RFC 7860 section 9.3, RFC 3826 section 1.2. No I/O.

Two ways exist to stretch a key that is shorter than the cipher needs: Blumenthal's (net-snmp, Huawei, H3C) and
Reeder's (Cisco). MD5 and DES are listed, marked as legacy; user.py refuses them unless a credential permits them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

_STRETCHED: Final = 1 << 20  # octets of repeated password that are hashed, RFC 3414 A.2
_KEPT: Final = 4096
BLUMENTHAL: Final = "blumenthal"
REEDER: Final = "reeder"


@dataclass(frozen=True, slots=True)
class Auth:
    """An authentication protocol: its hash, and the octets of its digest that travel."""

    name: str
    hash_name: str
    mac_octets: int
    legacy: bool = False


@dataclass(frozen=True, slots=True)
class Priv:
    """A privacy protocol: octets of key it takes, and how a shorter key is stretched."""

    name: str
    key_octets: int
    extension: str = BLUMENTHAL
    legacy: bool = False


AUTH: Final[Mapping[str, Auth]] = MappingProxyType(
    {
        "SHA": Auth("SHA", "sha1", 12),
        "SHA224": Auth("SHA224", "sha224", 16),
        "SHA256": Auth("SHA256", "sha256", 24),
        "SHA384": Auth("SHA384", "sha384", 32),
        "SHA512": Auth("SHA512", "sha512", 48),
        "MD5": Auth("MD5", "md5", 12, legacy=True),
    }
)
PRIV: Final[Mapping[str, Priv]] = MappingProxyType(
    {
        "AES": Priv("AES", 16),
        "AES128": Priv("AES", 16),
        "AES192": Priv("AES192", 24),
        "AES256": Priv("AES256", 32),
        "AES192C": Priv("AES192C", 24, REEDER),
        "AES256C": Priv("AES256C", 32, REEDER),
        "DES": Priv("DES", 16, legacy=True),
    }
)


def password_to_key(hash_name: str, password: bytes) -> bytes:
    """Ku: the digest of one MiB of the password repeated; a millisecond or two. ValueError when it is empty."""
    if not password:
        raise ValueError("an empty password has no key")
    repeated = password * (_STRETCHED // len(password) + 1)
    return _digest(hash_name, repeated[:_STRETCHED])


def localise(hash_name: str, key: bytes, engine_id: bytes) -> bytes:
    """Kul: the key of one user at one engine (RFC 3414 section 2.6)."""
    return _digest(hash_name, key + engine_id + key)


class KeyChain:
    """Localised keys of many users at many engines; remembers the dear steps, bounded. Safe from several threads.

    Entries are found by a keyed fingerprint, so that no password is kept and none can appear in a repr.
    """

    __slots__ = ("_kept", "_limit", "_lock", "_pepper")

    def __init__(self, limit: int = _KEPT) -> None:
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._limit = limit
        self._lock = threading.Lock()
        self._pepper = secrets.token_bytes(32)

    def auth_key(self, auth: Auth, password: bytes, engine_id: bytes) -> bytes:
        """The localised authentication key."""
        return localise(auth.hash_name, self._user_key(auth.hash_name, password), engine_id)

    def priv_key(self, auth: Auth, priv: Priv, password: bytes, engine_id: bytes) -> bytes:
        """The localised privacy key, stretched to what the cipher takes. The user's `auth` gives the hash."""
        name = auth.hash_name
        key = self.auth_key(auth, password, engine_id)
        while len(key) < priv.key_octets:
            if priv.extension == REEDER:
                last = key[-hashlib.new(name, usedforsecurity=False).digest_size :]
                key += localise(name, self._user_key(name, last), engine_id)
            else:
                key += _digest(name, key)
        return key[: priv.key_octets]

    def _user_key(self, hash_name: str, password: bytes) -> bytes:
        label = hmac.digest(self._pepper, hash_name.encode() + b"\0" + password, "sha256")
        return self._remembered(label, lambda: password_to_key(hash_name, password))

    def _remembered(self, label: bytes, make: Callable[[], bytes]) -> bytes:
        with self._lock:
            found = self._kept.get(label)
            if found is not None:
                self._kept.move_to_end(label)
                return found
        made = make()
        with self._lock:
            self._kept[label] = made
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        return made


def _digest(hash_name: str, data: bytes) -> bytes:
    return hashlib.new(hash_name, data, usedforsecurity=False).digest()
