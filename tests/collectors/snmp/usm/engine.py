"""An authoritative engine for tests: it answers as told, rightly or wrongly; and shorthands for users and peers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from collectors.interface import Credential
from collectors.snmp import ber, message
from collectors.snmp.ber import VarBind, encode_oid, tlv
from collectors.snmp.usm.ciphers import Digester, privacy
from collectors.snmp.usm.errors import AgainError
from collectors.snmp.usm.keys import KeyChain
from collectors.snmp.usm.message import (
    decode_message,
    decode_scoped,
    encode_header,
    encode_message,
    encode_scoped,
    encode_security,
)
from collectors.snmp.usm.peer import UsmPeer
from collectors.snmp.usm.user import UsmUser, usm_user
from monitor.clock import ManualClock

ENGINE_ID = bytes.fromhex("80001f8880aabbccdd00112233")
SYS_NAME = encode_oid("1.3.6.1.2.1.1.5.0")
NAME: list[VarBind] = [(SYS_NAME, ber.OCTET_STRING, b"core-1")]
STATS = "1.3.6.1.6.3.15.1.1."
LEVEL, WINDOW, USER, ENGINE, DIGEST, DECRYPT = (STATS + f"{number}.0" for number in range(1, 7))
KEYS = KeyChain()


def credential(**changes: str) -> Credential:
    """SHA and AES unless changed."""
    fields = {
        "user": "ops",
        "auth_protocol": "SHA",
        "auth_password": "authpass1",
        "priv_protocol": "AES",
        "priv_password": "privpass1",
    }
    return Credential("snmp-v3", **fields | changes)


def pdu_of(kind: int, request_id: int = 1, varbinds: list[VarBind] | None = None) -> bytes:
    rows = NAME if varbinds is None else varbinds
    return message.encode_pdu(kind, request_id, 0, 0, b"".join(message.encode_varbind(*row) for row in rows))


RESPONSE = pdu_of(message.RESPONSE)
GET = pdu_of(message.GET, varbinds=message.null_varbinds([SYS_NAME]))


NUMBER = 0x40000009  # message id and request id of what is opened alike


def answer_of(number: int = NUMBER, rows: int = 1) -> bytes:
    return pdu_of(message.RESPONSE, number, NAME * rows)


def report_of(oid: str) -> bytes:
    return pdu_of(message.REPORT, 0, [(encode_oid(oid), ber.COUNTER32, 7)])


@dataclass
class Engine:
    """`time` moves only when set. What `wrap` is not told comes from the user and the engine itself."""

    user: UsmUser = field(default_factory=lambda: usm_user(credential(), "test"))
    engine_id: bytes = ENGINE_ID
    boots: int = 3
    time: int = 1000
    salt: int = 77

    def wrap(
        self,
        pdu: bytes,
        msg_id: int,
        *,
        level: int | None = None,
        name: bytes | None = None,
        body: bytes = b"",
    ) -> bytes:
        """A message at `level`; `body` replaces the ScopedPDU."""
        user = self.user
        level = user.level if level is None else level
        body = body or encode_scoped(self.engine_id, b"", pdu)
        salt = b""
        if level & 2:
            assert user.auth is not None
            assert user.priv is not None
            cipher = privacy(
                user.priv, KEYS.priv_key(user.auth, user.priv, user.priv_password, self.engine_id)
            )
            self.salt += 1
            secret, salt = cipher.encrypt(body, self.boots, self.time, self.salt)
            body = tlv(ber.OCTET_STRING, secret)
        zeros = bytes(user.auth.mac_octets) if level & 1 and user.auth else b""
        security = encode_security(
            self.engine_id, self.boots, self.time, user.name if name is None else name, zeros, salt
        )
        data = encode_message(encode_header(msg_id, level), security, body)
        return self.sign(data, len(data) - len(body) - len(salt) - len(zeros) - 2) if level & 1 else data

    def sign(self, data: bytes, at: int) -> bytes:
        """Put the right digest into a message."""
        assert self.user.auth is not None
        digester = Digester(
            self.user.auth, KEYS.auth_key(self.user.auth, self.user.auth_password, self.engine_id)
        )
        end = at + digester.octets
        return data[:at] + digester.digest(data[:at] + digester.zeros + data[end:]) + data[end:]

    def report(self, oid: str, msg_id: int, *, level: int = 0) -> bytes:
        return self.wrap(report_of(oid), msg_id, level=level, name=b"" if oid == ENGINE else None)

    def read(self, data: bytes) -> bytes:
        """The PDU of a request, verified."""
        got = decode_message(data)
        user = self.user
        assert got.engine_id == self.engine_id
        assert got.user == user.name
        assert got.flags == user.level | 4
        if user.auth is not None:
            assert self.sign(data, got.digest_at) == data
        plain = got.body
        if user.auth is not None and user.priv is not None:
            cipher = privacy(
                user.priv, KEYS.priv_key(user.auth, user.priv, user.priv_password, self.engine_id)
            )
            plain = cipher.decrypt(got.body, got.boots, got.time, got.salt)
        return decode_scoped(plain, padded=True).pdu


def peer_of(engine: Engine, clock: ManualClock | None = None) -> UsmPeer:
    """A peer that has discovered the engine, verified one answer and has asked something under id 9."""
    peer = UsmPeer("test", engine.user, KEYS, clock or ManualClock())
    peer.discovery(1)
    with pytest.raises(AgainError):
        peer.open(engine.report(ENGINE, 1))
    assert peer.open(engine.wrap(RESPONSE, 2)) == (2, RESPONSE)
    peer.seal(GET, 9)
    return peer


def opened_alike(peer: UsmPeer, data: bytes, number: int = NUMBER) -> bytes | None:
    """The PDU a peer puts in the place of an answer like an earlier one; None when it leaves that as it was. Nothing
    around it may change, and nothing is counted.
    """
    before, beside = dict(peer.counts), b"beside it"
    octets = bytearray(beside + data + beside)
    size = peer.open_alike(memoryview(octets), len(beside), len(data), number)
    assert peer.counts == before
    assert octets.startswith(beside)
    assert octets[len(beside) + size :] == data[size:] + beside
    if not size:
        assert octets == beside + data + beside
        return None
    return bytes(octets[len(beside) : len(beside) + size])
