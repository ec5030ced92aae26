"""Keys, digests and ciphers: the vectors of the RFCs, and pysnmp and the standard library as oracles."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyasn1.type import univ
from pysnmp.proto.secmod.rfc3414 import localkey, service
from pysnmp.proto.secmod.rfc3414.auth import hmacmd5, hmacsha
from pysnmp.proto.secmod.rfc3414.priv import des
from pysnmp.proto.secmod.rfc3826.priv import aes
from pysnmp.proto.secmod.rfc7860.auth import hmacsha2

from collectors.snmp.usm.ciphers import AesCfb, DesCbc, Digester, privacy
from collectors.snmp.usm.keys import AUTH, PRIV, KeyChain, localise, password_to_key

ENGINE_ID = bytes(11) + b"\x02"
PASSWORD = b"maplesyrup"
AUTH_IDS = {
    "MD5": hmacmd5.HmacMd5.SERVICE_ID,
    "SHA": hmacsha.HmacSha.SERVICE_ID,
    "SHA224": hmacsha2.HmacSha2.SHA224_SERVICE_ID,
    "SHA256": hmacsha2.HmacSha2.SHA256_SERVICE_ID,
    "SHA384": hmacsha2.HmacSha2.SAH384_SERVICE_ID,
    "SHA512": hmacsha2.HmacSha2.SHA512_SERVICE_ID,
}
THEIR_PRIV = {
    "DES": des.Des,
    "AES": aes.Aes,
    "AES192": service.aes192.AesBlumenthal192,
    "AES256": service.aes256.AesBlumenthal256,
    "AES192C": service.aes192.Aes192,
    "AES256C": service.aes256.Aes256,
}


@pytest.mark.parametrize(
    ("hash_name", "user_key", "local_key"),
    [  # RFC 3414 A.3.1 and A.3.2
        ("md5", "9faf3283884e92834ebc9847d8edd963", "526f5eed9fcce26f8964c2930787d82b"),
        ("sha1", "9fb5cc0381497b3793528939ff788d5d79145211", "6695febc9288e36282235fc7151f128497b38f3f"),
    ],
)
def test_vectors_of_rfc_3414(hash_name: str, user_key: str, local_key: str) -> None:
    key = password_to_key(hash_name, PASSWORD)
    assert key.hex() == user_key
    assert localise(hash_name, key, ENGINE_ID).hex() == local_key


def test_vectors_of_the_reeder_draft() -> None:
    """draft-reeder-snmpv3-usm-3desede-00, B.1 and B.2: the octets behind the first digest."""
    key = KeyChain().priv_key(AUTH["MD5"], PRIV["AES256C"], PASSWORD, ENGINE_ID)
    assert key.hex() == "526f5eed9fcce26f8964c2930787d82b79eff44a90650ee0a3a40abfac5acc12"
    key = KeyChain().priv_key(AUTH["SHA"], PRIV["AES256C"], PASSWORD, ENGINE_ID)
    assert key.hex() == "6695febc9288e36282235fc7151f128497b38f3f9b8b6d78936ba6e7d19dfd9c"


@pytest.mark.parametrize(
    ("auth", "digest"),
    [  # RFC 7860's protocols are these digests, cut; the digests are RFC 4231's second case
        ("SHA224", "a30e01098bc6dbbf45690f3a7e9e6d0f"),
        ("SHA256", "5bdcc146bf60754e6a042426089575c75a003f089d273983"),
        ("SHA384", "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"),
        (
            "SHA512",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd",
        ),
    ],
)
def test_digests_of_rfc_4231(auth: str, digest: str) -> None:
    assert Digester(AUTH[auth], b"Jefe").digest(b"what do ya want for nothing?").hex() == digest


@given(st.sampled_from(sorted(AUTH)), st.binary(max_size=64), st.binary(max_size=300))
def test_digests_are_those_of_the_standard_library(auth: str, key: bytes, data: bytes) -> None:
    digester = Digester(AUTH[auth], key)
    whole = hmac.digest(key, data, AUTH[auth].hash_name)
    assert digester.digest(data) == whole[: AUTH[auth].mac_octets]
    assert digester.zeros == bytes(len(digester.digest(data)))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(AUTH)),
    st.sampled_from(sorted(THEIR_PRIV)),
    st.binary(min_size=8, max_size=40),
    st.binary(min_size=5, max_size=32),
)
def test_keys_are_those_of_pysnmp(auth: str, priv: str, password: bytes, engine_id: bytes) -> None:
    keys, engine = KeyChain(), univ.OctetString(engine_id)
    theirs = THEIR_PRIV[priv]()
    user_key = theirs.hash_passphrase(AUTH_IDS[auth], univ.OctetString(password))
    expected = bytes(theirs.localize_key(AUTH_IDS[auth], user_key, engine))
    assert keys.priv_key(AUTH[auth], PRIV[priv], password, engine_id) == expected
    if auth in {"MD5", "SHA"}:
        hashed = (localkey.password_to_key_md5 if auth == "MD5" else localkey.password_to_key_sha)(
            password, engine
        )
        assert keys.auth_key(AUTH[auth], password, engine_id) == bytes(hashed)


@given(
    st.sampled_from(["DES", "AES", "AES192", "AES256"]),
    st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=4),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**64 - 1),
)
def test_what_we_encrypt_pysnmp_decrypts_and_the_other_way_round(
    name: str, messages: list[bytes], boots: int, time: int, count: int
) -> None:
    theirs, key = THEIR_PRIV[name](), bytes(range(7, 7 + PRIV[name].key_octets))
    ours = privacy(PRIV[name], key)
    for plain in messages:
        secret, salt = ours.encrypt(plain, boots, time, count)
        assert len(secret) == ours.size(len(plain))
        key_, salt_, secret_ = (univ.OctetString(octets) for octets in (key, salt, secret))
        assert bytes(theirs.decrypt_data(key_, (boots, time, salt_), secret_))[: len(plain)] == plain
        theirs_secret, theirs_salt = theirs.encrypt_data(key_, (boots, time, None), plain)
        assert ours.decrypt(bytes(theirs_secret), boots, time, bytes(theirs_salt))[: len(plain)] == plain
        assert ours.decrypt(secret, boots, time, salt)[: len(plain)] == plain
        assert salt != ours.encrypt(plain, boots, time, count ^ 1)[1]


def test_what_cannot_be_ciphertext_is_empty() -> None:
    for cipher in (AesCfb(bytes(16)), DesCbc(bytes(16))):
        assert cipher.decrypt(b"", 1, 1, bytes(8)) == b""
        assert cipher.decrypt(bytes(16), 1, 1, bytes(7)) == b""
    assert DesCbc(bytes(16)).decrypt(bytes(9), 1, 1, bytes(8)) == b""


def test_the_key_chain_is_bounded_and_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []

    def counted(hash_name: str, password: bytes) -> bytes:
        hashed.append(password)
        return hash_name.encode() + password

    monkeypatch.setattr("collectors.snmp.usm.keys.password_to_key", counted)
    keys = KeyChain(limit=2)
    for password in (
        b"first-one",
        b"first-one",
        b"second-one",
        b"first-one",
        b"third-one",
        b"first-one",
        b"second-one",
    ):
        keys.auth_key(AUTH["SHA"], password, ENGINE_ID)
    assert hashed == [b"first-one", b"second-one", b"third-one", b"second-one"]
    assert len(keys._kept) == 2
    assert b"-one" not in b"".join(keys._kept)
    assert "one" not in repr(keys)
    keys.auth_key(AUTH["SHA256"], b"second-one", ENGINE_ID)
    assert len(hashed) == 5  # another hash, another key
    with pytest.raises(ValueError, match="empty"):
        password_to_key("sha1", b"")
