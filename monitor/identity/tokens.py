"""API tokens for machines: `zs_` + 43 characters; only the SHA-256 is kept.

Scopes: read, write, ingest; `ingest:ID` is ingest as that one collector, which sees and says nothing of others' sites.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from monitor.clock import Clock
from monitor.database import Database
from monitor.errors import InputError, NotFoundError
from monitor.tables import TokenRow

SCOPES = frozenset({"read", "write", "ingest"})
_BOUND = re.compile(r"ingest:[A-Za-z0-9._-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token without its secret."""

    name: str
    scopes: frozenset[str]
    created_at: int
    revoked: bool

    @property
    def collectors(self) -> frozenset[str]:
        """The collectors this token is bound to; empty when it is bound to none."""
        return frozenset(s.partition(":")[2] for s in self.scopes if ":" in s)

    def allows(self, scope: str, collector: str = "") -> bool:
        """Whether the token has a scope; for ingest in the name of a collector when one is given."""
        if scope in self.scopes:
            return True
        return scope == "ingest" and bool(self.collectors) and (not collector or collector in self.collectors)


class Tokens:
    """Creates, checks and revokes tokens."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(self, name: str, scopes: Sequence[str]) -> str:
        """A new token, shown this once. InputError for an unknown scope or a name in use."""
        if not scopes or any(s not in SCOPES and not _BOUND.fullmatch(s) for s in scopes):
            raise InputError(
                f"unknown scope in {sorted(scopes)}",
                hint="one or more of read, write, ingest, ingest:COLLECTOR",
            )
        if "ingest" in scopes and any(":" in s for s in scopes):
            raise InputError("ingest for one collector and for all", hint="leave one of the two out")
        text = "zs_" + secrets.token_urlsafe(32)
        with self._database.session() as session:
            if session.get(TokenRow, name) is not None:
                raise InputError(
                    f"a token named {name!r} exists", hint="choose another name or revoke it first"
                )
            session.add(
                TokenRow(
                    name=name,
                    token_hash=_hash(text),
                    scopes=",".join(sorted(scopes)),
                    created_at=self._clock.now_ms(),
                )
            )
        return text

    def check(self, text: str) -> TokenInfo | None:
        """What a token allows, or None. Found by its hash, so timing says nothing about the secret."""
        with self._database.session() as session:
            row = session.scalars(select(TokenRow).where(TokenRow.token_hash == _hash(text))).first()
        return None if row is None or row.revoked else _info(row)

    def list(self) -> list[TokenInfo]:
        """All tokens by name."""
        with self._database.session() as session:
            return [_info(row) for row in session.scalars(select(TokenRow).order_by(TokenRow.name))]

    def revoke(self, name: str) -> None:
        """Switch a token off for good."""
        with self._database.session() as session:
            row = session.get(TokenRow, name)
            if row is None:
                raise NotFoundError(f"no token {name!r}")
            row.revoked = True


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _info(row: TokenRow) -> TokenInfo:
    return TokenInfo(row.name, frozenset(row.scopes.split(",")), row.created_at, row.revoked)
