"""Digest and privacy with localised keys (RFC 3414 sections 6 and 8, RFC 3826, RFC 7860). No I/O.

Built once per agent and user, used for every message: the state of HMAC behind its key is kept (RFC 2104, section 4),
and so are the contexts of the block cipher.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC

from collectors.snmp.usm.keys import Auth, Priv

_HASHES: Final[Mapping[str, type[hashes.HashAlgorithm]]] = {
    "md5": hashes.MD5,
    "sha1": hashes.SHA1,
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
_BLOCK: Final = 16
_SALT_AT: Final = 8  # in the block a message begins behind
_FILLING: Final = tuple(
    bytes(-octets % _BLOCK) for octets in range(_BLOCK)
)  # behind so many octets of a block
_DES_BLOCK: Final = 8


class Digester:
    """HMAC under one localised key, cut to what travels."""

    __slots__ = ("_keyed", "octets", "zeros")

    def __init__(self, auth: Auth, key: bytes) -> None:
        self._keyed = HMAC(key, _HASHES[auth.hash_name]()).copy
        self.octets = auth.mac_octets
        self.zeros = bytes(auth.mac_octets)

    def digest(self, message: bytes) -> bytes:
        """The digest of a message whose own digest field holds zeros."""
        keyed = self._keyed()
        keyed.update(message)
        return keyed.finalize()[: self.octets]


class Privacy(Protocol):
    """A cipher under one localised key. `boots` and `time` are those of the message, `salt` its eight octets."""

    def size(self, plain: int) -> int:
        """Octets of ciphertext for so many of plain text."""
        ...

    def encrypt(self, plain: bytes, boots: int, time: int, count: int) -> tuple[bytes, bytes]:
        """Ciphertext and salt; `count` must never repeat under one key."""
        ...

    def decrypt(self, secret: bytes, boots: int, time: int, salt: bytes) -> bytes:
        """The plain text, perhaps with padding; garbage under a wrong key. Empty when it cannot be one."""
        ...


class AesCfb:
    """AES in 128-bit cipher feedback mode, RFC 3826 section 3.1. Not for use by several threads at once.

    Making a context costs more than a message, so one each way serves all messages. All that a block depends on is the
    block of ciphertext before it: a message begins behind a block that travels as its start, and ends with a whole one.
    """

    __slots__ = ("_block", "_decrypt", "_encrypt", "_next")

    def __init__(self, key: bytes) -> None:
        algorithm = algorithms.AES(key)
        self._encrypt = Cipher(algorithm, CFB(bytes(_BLOCK))).encryptor().update
        self._decrypt = Cipher(algorithm, CFB(bytes(_BLOCK))).decryptor().update
        self._block = Cipher(algorithm, modes.ECB()).encryptor().update  # noqa: S305 - the block function of CFB
        # What the next block is XORed with: the last one of the ciphertext, encrypted.
        self._next = int.from_bytes(self._block(bytes(_BLOCK)), "big")

    def size(self, plain: int) -> int:
        """As many."""
        return plain

    def encrypt(self, plain: bytes, boots: int, time: int, count: int) -> tuple[bytes, bytes]:
        """Ciphertext and salt."""
        end = _BLOCK + len(plain)
        start = (boots << 96 | time << 64 | count) ^ self._next  # comes out as boots, time and count
        secret = self._encrypt(b"".join((start.to_bytes(_BLOCK, "big"), plain, _FILLING[end % _BLOCK])))
        self._next = int.from_bytes(self._block(secret[-_BLOCK:]), "big")
        return secret[_BLOCK:end], secret[_SALT_AT:_BLOCK]

    def decrypt(self, secret: bytes, boots: int, time: int, salt: bytes) -> bytes:
        """The plain text."""
        end = _BLOCK + len(secret)
        if end == _BLOCK or len(salt) != _BLOCK - _SALT_AT:
            return b""
        start = (boots << 32 | time).to_bytes(_SALT_AT, "big")
        return self._decrypt(b"".join((start, salt, secret, _FILLING[end % _BLOCK])))[_BLOCK:end]


class DesCbc:
    """DES in cipher block chaining mode, RFC 3414 section 8.1.1. For agents that have nothing better."""

    __slots__ = ("_algorithm", "_whitener")

    def __init__(self, key: bytes) -> None:
        self._algorithm = TripleDES(key[:8] * 3)  # three times the same key is single DES
        self._whitener = int.from_bytes(key[8:16], "big")

    def size(self, plain: int) -> int:
        """Whole blocks."""
        return plain + -plain % _DES_BLOCK

    def encrypt(self, plain: bytes, boots: int, time: int, count: int) -> tuple[bytes, bytes]:
        """Ciphertext and salt."""
        number = (boots & 0xFFFFFFFF) << 32 | count & 0xFFFFFFFF
        filled = plain + bytes(self.size(len(plain)) - len(plain))
        return self._cipher(number).encryptor().update(filled), number.to_bytes(8, "big")

    def decrypt(self, secret: bytes, boots: int, time: int, salt: bytes) -> bytes:
        """The plain text with its padding."""
        if not secret or len(secret) % _DES_BLOCK or len(salt) != 8:
            return b""
        return self._cipher(int.from_bytes(salt, "big")).decryptor().update(secret)

    def _cipher(self, number: int) -> Cipher[modes.CBC]:
        return Cipher(self._algorithm, modes.CBC((number ^ self._whitener).to_bytes(8, "big")))


def privacy(priv: Priv, key: bytes) -> Privacy:
    """The cipher of a protocol."""
    return DesCbc(key) if priv.name == "DES" else AesCfb(key)
