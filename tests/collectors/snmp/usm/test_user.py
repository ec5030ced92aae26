"""What a credential may ask for, and what it is told when it may not."""

from __future__ import annotations

import pytest

from collectors.snmp.errors import AuthError
from collectors.snmp.usm.errors import PolicyError
from collectors.snmp.usm.user import AUTH_NO_PRIV, AUTH_PRIV, NO_AUTH_NO_PRIV, usm_user
from tests.collectors.snmp.usm.engine import credential


@pytest.mark.parametrize(
    ("changes", "auth", "priv", "level"),
    [
        ({}, "SHA", "AES", AUTH_PRIV),
        ({"auth_protocol": "", "priv_protocol": ""}, "SHA", "AES", AUTH_PRIV),
        ({"auth_protocol": "sha-1", "priv_protocol": "aes-128"}, "SHA", "AES", AUTH_PRIV),
        ({"auth_protocol": "SHA_512", "priv_protocol": "AES-256-C"}, "SHA512", "AES256C", AUTH_PRIV),
        ({"priv_password": ""}, "SHA", None, AUTH_NO_PRIV),
        ({"auth_protocol": "MD5", "priv_protocol": "DES", "legacy": "md5, DES"}, "MD5", "DES", AUTH_PRIV),
        (
            {"auth_password": "", "priv_password": "", "legacy": "noAuthNoPriv"},
            None,
            None,
            NO_AUTH_NO_PRIV,
        ),
    ],
    ids=str,
)
def test_users(changes: dict[str, str], auth: str | None, priv: str | None, level: int) -> None:
    user = usm_user(credential(**changes), "box")
    assert (user.auth and user.auth.name, user.priv and user.priv.name, user.level) == (auth, priv, level)
    assert "pass1" not in repr(user)


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"auth_protocol": "MD5"}, "legacy-protocol", "legacy: MD5"),
        ({"priv_protocol": "DES"}, "legacy-protocol", "legacy: DES"),
        ({"auth_protocol": "MD5", "legacy": "DES"}, "legacy-protocol", "SHA512"),
        ({"auth_protocol": "SHA3"}, "unknown-protocol", "SHA256"),
        ({"priv_protocol": "3DES"}, "unknown-protocol", "AES256C"),
        ({"auth_password": "short"}, "short-password", "8"),
        ({"priv_password": "1234567"}, "short-password", "8"),
        ({"auth_password": "", "priv_password": ""}, "no-auth", "noAuthNoPriv"),
        ({"auth_password": "", "legacy": "noAuthNoPriv"}, "privacy-alone", "认证口令"),
        ({"user": ""}, "user-name", "32"),
        ({"user": "值" * 11}, "user-name", "32"),
        ({"legacy": "MD5 RC4"}, "legacy-word", "RC4"),
    ],
    ids=str,
)
def test_refusals_name_the_place_and_the_remedy_in_both_languages(
    changes: dict[str, str], reason: str, words: str
) -> None:
    with pytest.raises(AuthError, match=r"^box-1: .*; ") as caught:
        usm_user(credential(**changes), "box-1")
    refused = caught.value
    assert isinstance(refused, PolicyError)
    assert refused.reason == reason
    assert refused.code == refused.poll_error().code == "auth"
    assert words in refused.zh
    assert refused.zh.endswith("（box-1）")
    assert "pass1" not in str(refused) + refused.zh
