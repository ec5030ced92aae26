"""Named credentials, sealed in the state database. Field names by kind:

snmp-v1, snmp-v2c: community. snmp-v3: user, auth_protocol, auth_password, priv_protocol, priv_password, legacy
(weak protocols permitted all the same, of MD5, DES, noAuthNoPriv).
ssh: user and password or private_key. Nothing here ever prints a value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import select

from monitor.database import Database
from monitor.errors import InputError, NotFoundError
from monitor.tables import CredentialRow
from monitor.vault import Vault

FIELDS: Mapping[str, frozenset[str]] = {
    "snmp-v1": frozenset({"community"}),
    "snmp-v2c": frozenset({"community"}),
    "snmp-v3": frozenset(
        {"user", "auth_protocol", "auth_password", "priv_protocol", "priv_password", "legacy"}
    ),
    "ssh": frozenset({"user", "password", "private_key"}),
}


class Credentials:
    """Stores and opens credentials."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    @property
    def vault(self) -> Vault:
        """The vault that seals them, for other secrets of the same installation."""
        return self._vault

    def put(self, name: str, kind: str, fields: Mapping[str, str]) -> None:
        """Create or replace. InputError for an unknown kind or field."""
        if kind not in FIELDS:
            raise InputError(
                f"unknown credential kind {kind!r}", where=name, hint="one of " + ", ".join(FIELDS)
            )
        if unknown := set(fields) - FIELDS[kind]:
            raise InputError(f"{kind} has no field {sorted(unknown)[0]!r}", where=name)
        sealed = self._vault.seal(json.dumps(dict(fields), sort_keys=True), f"credential:{name}")
        with self._database.session() as session:
            session.merge(CredentialRow(name=name, kind=kind, sealed=sealed))

    def get(self, name: str) -> tuple[str, dict[str, str]]:
        """(kind, fields). NotFoundError, or IntegrityError when it does not open."""
        with self._database.session() as session:
            row = session.get(CredentialRow, name)
        if row is None:
            raise NotFoundError(
                f"no credential {name!r}", hint="`zhishou inventory apply` registers credentials"
            )
        fields: dict[str, str] = json.loads(self._vault.open(row.sealed, f"credential:{name}"))
        return row.kind, fields

    def names(self) -> list[tuple[str, str]]:
        """(name, kind) of every credential, sorted; no secrets."""
        with self._database.session() as session:
            rows = session.execute(
                select(CredentialRow.name, CredentialRow.kind).order_by(CredentialRow.name)
            )
            return [(name, kind) for name, kind in rows]
