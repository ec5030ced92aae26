"""The key that signs evidence: Ed25519, made on first use, its private half sealed by the vault."""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.exc import IntegrityError as DuplicateError

from monitor.clock import Clock
from monitor.database import Database
from monitor.vault import Vault
from rules.compliance.tables import SigningKeyRow
from rules.compliance.verifier import fingerprint

NAME = "evidence"
_CONTEXT = "compliance-key:evidence"


class Signer:
    """Signs bytes; `public` is the raw public key in hex."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw().hex()

    @property
    def fingerprint(self) -> str:
        """What a receiver compares."""
        return fingerprint(self.public)

    def sign(self, data: bytes) -> str:
        """The signature in hex."""
        return self._key.sign(data).hex()


def one_time_signer() -> Signer:
    """A key for a single bundle; nothing keeps it."""
    return Signer(Ed25519PrivateKey.generate())


def stored_signer(database: Database, vault: Vault, clock: Clock) -> Signer:
    """The key of this installation."""
    with database.session() as session:
        row = session.get(SigningKeyRow, NAME)
    if row is None:
        row = _make(database, vault, clock)
    raw = bytes.fromhex(vault.open(row.sealed, _CONTEXT))
    return Signer(Ed25519PrivateKey.from_private_bytes(raw))


def _make(database: Database, vault: Vault, clock: Clock) -> SigningKeyRow:
    key = Ed25519PrivateKey.generate()
    raw = key.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    made = SigningKeyRow(
        name=NAME,
        public=key.public_key().public_bytes_raw().hex(),
        sealed=vault.seal(raw.hex(), _CONTEXT),
        created_at=clock.now_ms(),
    )
    try:
        with database.session() as session:
            session.add(made)
    except DuplicateError:  # another process was first; its key is the one
        with database.session() as session:
            return session.get_one(SigningKeyRow, NAME)
    return made
