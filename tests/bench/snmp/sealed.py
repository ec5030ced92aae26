"""SNMPv3 agents as a process of their own: `python -m tests.bench.snmp.sealed` serves and prints its port.

It answers authPriv for the bench's user on every address of the loopback, each with an engine of its own. Answers are
worked out once, and then only sealed. Debian's snmpd answers too slowly for a poller of thousands of devices.
"""

from __future__ import annotations

import ctypes
import signal
import socket
import struct
import time
from typing import Final

from collectors.datagrams import enlarge
from collectors.snmp.ber import COUNTER32, OCTET_STRING, SEQUENCE, encode_oid, read_header, tlv
from collectors.snmp.errors import SnmpError
from collectors.snmp.message import REPORT, encode_pdu, encode_varbind
from collectors.snmp.usm.ciphers import Digester, Privacy, privacy
from collectors.snmp.usm.keys import KeyChain
from collectors.snmp.usm.message import (
    AUTH_FLAG,
    PRIV_FLAG,
    UsmMessage,
    decode_message,
    decode_scoped,
    encode_header,
    encode_message,
    encode_scoped,
    encode_security,
)
from collectors.snmp.usm.user import usm_user
from deploy.demo.agents.tree import Tree
from tests.bench.agents import Replay, rows
from tests.bench.snmp.workload import V3

_UNKNOWN_ENGINE: Final = encode_oid("1.3.6.1.6.3.15.1.1.4.0")
_V2C_HEAD: Final = b"\x02\x01\x01\x04\x01v"
_BURST: Final = 256
_BUFFER: Final = 16 << 20
_IP_PKTINFO: Final = 8
_PR_SET_PDEATHSIG: Final = 1
_FLAGS_LEVEL: Final = AUTH_FLAG | PRIV_FLAG


class SealedAgent:
    """One agent: its engine, and the answers of `replay` sealed for the bench's user."""

    def __init__(self, engine_id: bytes, keys: KeyChain, replay: Replay) -> None:
        user = usm_user(V3, "bench")
        assert user.auth is not None
        assert user.priv is not None
        self._engine_id, self._replay = engine_id, replay
        self._digester = Digester(user.auth, keys.auth_key(user.auth, user.auth_password, engine_id))
        self._privacy: Privacy = privacy(
            user.priv, keys.priv_key(user.auth, user.priv, user.priv_password, engine_id)
        )
        self._began = time.monotonic() - 1000
        self._salt = 0

    def answer(self, datagram: bytes) -> bytes:
        """The answer to a message. Raises SnmpError for what is none."""
        message = decode_message(datagram)
        now = int(time.monotonic() - self._began)
        if message.engine_id != self._engine_id:
            return self._unknown_engine(message, now)
        plain = self._privacy.decrypt(message.body, message.boots, message.time, message.salt)
        scoped = encode_scoped(self._engine_id, b"", self._response(decode_scoped(plain, padded=True).pdu))
        self._salt += 1
        secret, salt = self._privacy.encrypt(scoped, 1, now, self._salt)
        zeros = self._digester.zeros
        security = encode_security(self._engine_id, 1, now, message.user, zeros, salt)
        body = tlv(OCTET_STRING, secret)
        data = encode_message(encode_header(message.msg_id, _FLAGS_LEVEL), security, body)
        at = len(data) - len(body) - len(salt) - 2 - len(zeros)
        return b"".join((data[:at], self._digester.digest(data), data[at + len(zeros) :]))

    def _unknown_engine(self, message: UsmMessage, now: int) -> bytes:
        pdu = encode_pdu(REPORT, 0, 0, 0, encode_varbind(_UNKNOWN_ENGINE, COUNTER32, 1))
        security = encode_security(self._engine_id, 1, now, b"")
        scoped = encode_scoped(self._engine_id, b"", pdu)
        return encode_message(encode_header(message.msg_id, 0), security, scoped)

    def _response(self, pdu: bytes) -> bytes:
        """The answer to a PDU, which `replay` knows in the envelope of SNMPv2c."""
        reply = self._replay.answer(tlv(SEQUENCE, _V2C_HEAD + pdu))
        return reply[read_header(reply, 0, len(reply))[1] + len(_V2C_HEAD) :]


def main() -> None:
    """Serve until the process that started this one ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    keys, replay = KeyChain(), Replay(Tree(rows(1)))
    agents: dict[bytes, SealedAgent] = {}
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    enlarge(listener, socket.SO_RCVBUF, _BUFFER)
    listener.bind(("0.0.0.0", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        # Answers go out in bursts, as those of a city come in, not one for each turn of the poller.
        answers = []
        for datagram, asked, peer in _burst(listener):
            agent = agents.get(asked)
            if agent is None:
                agent = agents[asked] = SealedAgent(b"\x80\x00\x1f\x88\x04" + asked + b"bench", keys, replay)
            try:
                answers.append((agent.answer(datagram), asked, peer))
            except SnmpError:
                continue  # what is no request gets no answer
        for answer, asked, peer in answers:
            info = struct.pack("=i4s4s", 0, asked, bytes(4))
            listener.sendmsg([answer], [(socket.IPPROTO_IP, _IP_PKTINFO, info)], 0, peer)


def _burst(listener: socket.socket) -> list[tuple[bytes, bytes, tuple[str, int]]]:
    """What has arrived, at least one: datagram, address asked, and who asked."""
    found: list[tuple[bytes, bytes, tuple[str, int]]] = []
    flags = 0
    while len(found) < _BURST:
        try:
            datagram, control, _, peer = listener.recvmsg(4096, 64, flags)
        except BlockingIOError:
            break
        found.append((datagram, control[0][2][8:12], peer))
        flags = socket.MSG_DONTWAIT
    return found


if __name__ == "__main__":
    main()
