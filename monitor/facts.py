"""Content-addressed blobs: facts read from devices, uploaded proofs. A blob's name is its SHA-256."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from monitor.errors import IntegrityError, NotFoundError


class FactStore:
    """A folder of immutable blobs, two levels deep."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        """Store durably; returns the SHA-256 in hex. Storing the same bytes again is free."""
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        if path.exists():
            return digest
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes; IntegrityError when they no longer have this digest."""
        try:
            data = self._path(digest).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"no fact {digest}") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise IntegrityError("a stored fact was altered", where=digest, hint="restore it from a backup")
        return data

    def _path(self, digest: str) -> Path:
        if len(digest) != 64 or not all(c in "0123456789abcdef" for c in digest):
            raise NotFoundError(f"not a SHA-256: {digest[:80]!r}")
        return self._folder / digest[:2] / digest
