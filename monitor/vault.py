"""Secrets at rest: AES-256-GCM under one key from environment, systemd credential or a 0600 file.

The context (for example `credential:snmp-ro`) is authenticated with the secret, so that a sealed value moved to
another place does not open. Format: `v1.` + base64url(nonce 12 bytes + ciphertext + tag).
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from monitor.errors import InputError, IntegrityError
from monitor.settings import Settings

KEY_BYTES = 32
NONCE_BYTES = 12


class Vault:
    """Seals and opens short secrets."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise InputError(f"the vault key has {len(key)} bytes, expected {KEY_BYTES}")
        self._cipher = AESGCM(key)

    def seal(self, text: str, context: str) -> str:
        """Encrypt for one context."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), context.encode())
        return "v1." + base64.urlsafe_b64encode(sealed).decode()

    def open(self, token: str, context: str) -> str:
        """Decrypt; IntegrityError when altered, sealed for another context or under another key."""
        try:
            raw = base64.urlsafe_b64decode(token.removeprefix("v1.").encode())
            return self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise IntegrityError(
                "a sealed secret does not open",
                where=context,
                hint="the vault key differs or the value was altered",
            ) from error


def load_vault(settings: Settings) -> Vault:
    """The vault under the configured key; a key file is made on first use."""
    if settings.vault_key:
        return Vault(_decode(settings.vault_key, "setting vault_key"))
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (Path(credentials) / "zhishou-vault-key").exists():
        path = Path(credentials) / "zhishou-vault-key"
        return Vault(_decode(path.read_text("ascii"), str(path)))
    path = Path(settings.vault_key_file) if settings.vault_key_file else settings.folder / "vault.key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise InputError(
                "the vault key is readable by others", where=str(path), hint="chmod 600 it"
            ) from None
        return Vault(_decode(path.read_text("ascii"), str(path)))
    with os.fdopen(descriptor, "wb") as file:
        key = os.urandom(KEY_BYTES)
        file.write(base64.b64encode(key) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return Vault(key)


def _decode(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise InputError("the vault key is not base64", where=where) from error
