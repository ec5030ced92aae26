"""Secrets at rest."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.credentials import Credentials
from monitor.database import Database
from monitor.errors import InputError, IntegrityError, NotFoundError
from monitor.settings import Settings
from monitor.vault import Vault, load_vault

KEY = bytes(range(32))


@given(st.text(), st.text())
def test_what_is_sealed_opens_for_its_context_only(text: str, context: str) -> None:
    vault = Vault(KEY)
    token = vault.seal(text, context)
    assert vault.open(token, context) == text
    with pytest.raises(IntegrityError):
        vault.open(token, context + "x")


def test_every_flipped_byte_is_refused() -> None:
    vault = Vault(KEY)
    token = vault.seal("public", "credential:a")
    raw = base64.urlsafe_b64decode(token.removeprefix("v1."))
    for position in range(len(raw)):
        bad = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        with pytest.raises(IntegrityError):
            vault.open("v1." + base64.urlsafe_b64encode(bad).decode(), "credential:a")


def test_the_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path))
    token = load_vault(settings).seal("secret", "c")
    path = tmp_path / "vault.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_vault(settings).open(token, "c") == "secret"
    path.chmod(0o644)
    with pytest.raises(InputError, match="readable by others"):
        load_vault(settings)


def test_a_key_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(InputError, match="5 bytes"):
        Vault(b"short")


def test_credentials_are_stored_sealed(database: Database, vault: Vault, tmp_path: Path) -> None:
    credentials = Credentials(database, vault)
    credentials.put("ro", "snmp-v2c", {"community": "hospital-secret"})
    assert credentials.get("ro") == ("snmp-v2c", {"community": "hospital-secret"})
    assert credentials.names() == [("ro", "snmp-v2c")]
    for path in tmp_path.glob("state.db*"):
        assert b"hospital-secret" not in path.read_bytes()


def test_unknown_credential_kinds_and_names_are_refused(database: Database, vault: Vault) -> None:
    credentials = Credentials(database, vault)
    with pytest.raises(InputError, match="snmp-v9"):
        credentials.put("a", "snmp-v9", {})
    with pytest.raises(InputError, match="password"):
        credentials.put("a", "snmp-v2c", {"password": "x"})
    with pytest.raises(NotFoundError):
        credentials.get("nothing")
