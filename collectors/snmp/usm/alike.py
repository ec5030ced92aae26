"""Messages to and from one agent that are like earlier ones: what does not change between them is built once. No I/O.

`Requests` seals. `Answers` opens what is authentic and laid out like an answer that was taken by the book before; all
else it leaves alone and untouched, so that what is refused is refused in one place.
"""

from __future__ import annotations

import secrets
from hmac import compare_digest
from typing import Final

from collectors.snmp.ber import OCTET_STRING, encode_integer, encode_length, tlv
from collectors.snmp.usm.ciphers import Digester, Privacy
from collectors.snmp.usm.message import REPORTABLE, UsmMessage, encode_header, encode_security
from collectors.snmp.usm.user import UsmUser

LONG_AGO: Final = float("-inf")
ID_OCTETS: Final = 4
_ID_OF_FOUR_OCTETS: Final = 0x800000  # and all that are greater
_SALT: Final = b"\x04\x08"  # tag and length of msgPrivacyParameters
_NO_SALT: Final = b"\x04\x00"
_SALT_OCTETS: Final = 8
_ID_HEAD: Final = b"\x02\x04"  # tag and length of a request id of four octets
_SALTS: Final = 0xFFFFFFFFFFFFFFFF
_KEPT: Final = 64  # sizes of requests, and of answers

_Head = tuple[bytes, bytes, bytes]
_Layout = tuple[bytes, int, bytes, int, bytes, int, int]


class Requests:
    """Seals requests to one engine, with the boots and time given to `stamp` last. `until` is for the owner: when they
    must be stamped anew.
    """

    __slots__ = (
        "_behind_id", "_blank", "_boots", "_digester", "_engine_id", "_heads", "_privacy", "_salt", "_salt_head",
        "_scope", "_time", "_user", "until",
    )  # fmt: skip

    def __init__(
        self,
        engine_id: bytes,
        context: bytes,
        user: UsmUser,
        digester: Digester | None,
        privacy: Privacy | None,
    ) -> None:
        self._engine_id = engine_id
        self._user = user
        self._digester = digester
        self._privacy = privacy
        self._scope = tlv(OCTET_STRING, engine_id) + tlv(OCTET_STRING, context)
        self._salt = secrets.randbits(8 * _SALT_OCTETS)
        self._salt_head = _NO_SALT if privacy is None else _SALT
        self._boots = self._time = 0
        self._behind_id = self._blank = b""
        self._heads: dict[int, _Head] = {}
        self.until = LONG_AGO

    def stamp(self, boots: int, time: int) -> None:
        """From now on boots and time of the engine are these."""
        self._boots, self._time = boots, time
        digest = b"" if self._digester is None else self._digester.zeros
        salt = b"" if self._privacy is None else bytes(_SALT_OCTETS)
        security = encode_security(self._engine_id, boots, time, self._user.name, digest, salt)
        header = encode_header(0, self._user.level | REPORTABLE)
        length = len(self._behind_id)
        # Behind version, tag and length of the header and the message id (8); before what `_SALT` stands for.
        fields = header[8:] + security[: len(security) - len(salt) - len(_SALT)]
        self._behind_id = fields[: len(fields) - len(digest)]
        self._blank = fields + self._salt_head
        if len(self._behind_id) != length:
            self._heads.clear()

    def seal(self, pdu: bytes, msg_id: int, request_id_at: int) -> bytes:
        """A message around a PDU, whose request id at `request_id_at` becomes the message id, of four octets; 0 leaves
        the PDU as it is.
        """
        octets = ID_OCTETS if msg_id >= _ID_OF_FOUR_OCTETS else len(encode_integer(msg_id)) - 2
        number = msg_id.to_bytes(octets, "big")
        size = len(pdu)
        head, scope, body = self._heads.get(size << 3 | octets) or self._new_head(size, octets)
        if request_id_at:
            back = b"".join((scope, pdu[:request_id_at], number, pdu[request_id_at + ID_OCTETS :]))
        else:
            back = scope + pdu
        if self._privacy is not None:
            self._salt = count = self._salt + 1 & _SALTS
            secret, salt = self._privacy.encrypt(back, self._boots, self._time, count)
            back = b"".join((salt, body, secret))
        message = b"".join((head, number, self._blank, back))
        if self._digester is None:
            return message
        digest = self._digester.digest(message)
        return b"".join((head, number, self._behind_id, digest, self._salt_head, back))

    def _new_head(self, pdu: int, number: int) -> _Head:
        """For sizes of PDU and message id: octets before the id, those before the PDU, those before the ciphertext."""
        scope = b"\x30" + encode_length(len(self._scope) + pdu) + self._scope
        inside, body = len(scope) + pdu, b""
        if self._privacy is not None:
            secret = self._privacy.size(inside)
            body = b"\x04" + encode_length(secret)
            inside = _SALT_OCTETS + len(body) + secret
        fixed = encode_header(0, 0)
        inner = b"\x02\x01\x03\x30" + bytes((len(fixed) - 6 + number, 2, number))
        size = len(inner) + number + len(self._blank) + inside
        if len(self._heads) >= _KEPT:
            self._heads.clear()
        head = b"\x30" + encode_length(size) + inner, scope, body
        self._heads[pdu << 3 | number] = head
        return head


class Answers:
    """Opens answers of one engine that tell the same time as the one remembered last: another second is for the book,
    which then remembers its answer.
    """

    __slots__ = (
        "_behind_id",
        "_blank",
        "_boots",
        "_digester",
        "_layouts",
        "_privacy",
        "_salt_head",
        "_time",
        "_until",
    )

    def __init__(self, digester: Digester, privacy: Privacy | None) -> None:
        self._digester = digester
        self._privacy = privacy
        self._salt_head = _NO_SALT if privacy is None else _SALT
        self._boots = self._time = 0
        self._behind_id = self._blank = b""
        self._layouts: dict[int, _Layout] = {}
        self._until = LONG_AGO

    def forget_time(self) -> None:
        """Open nothing until the next answer is remembered."""
        self._until = LONG_AGO

    def remember(self, data: bytes, message: UsmMessage, plain: bytes, pdu: bytes, until: float) -> None:
        """An answer was taken by the book. Its time is within the window until `until`, seconds of the monotonic
        clock.
        """
        id_at, id_end, digest_at = message.msg_id_at, message.msg_id_end, message.digest_at
        digest_end = digest_at + len(message.digest)
        salt_end = digest_end + len(_SALT) + len(message.salt)
        pdu_at = plain.index(pdu)
        request_id_at = 4 + (pdu[1] & 0x7F if pdu[1] > 0x7F else 0)
        if (
            id_end - id_at != ID_OCTETS
            or pdu[request_id_at - 2 : request_id_at] != _ID_HEAD
            or data[digest_end : digest_end + len(_SALT)] != self._salt_head
        ):
            return
        body_at = len(data) - len(plain) if self._privacy is None else message.body_at
        behind_id = data[id_end:digest_at]
        if len(self._layouts) >= _KEPT or len(behind_id) != len(self._behind_id):
            self._layouts.clear()
        self._layouts[len(data)] = (
            data[:id_at], digest_at, data[salt_end:body_at], body_at, plain[: pdu_at + request_id_at], pdu_at,
            pdu_at + len(pdu),
        )  # fmt: skip
        self._behind_id = behind_id
        self._blank = behind_id + self._digester.zeros
        self._boots, self._time, self._until = message.boots, message.time, until

    def open(self, octets: memoryview, at: int, size: int, number: int, now: float) -> int:
        """The answer at octets [at : at + size], whose message id and request id must be this number, gives place to
        its PDU: octets of that, 0 when all was left as it was. `now` is the monotonic clock's.
        """
        layout = self._layouts.get(size)
        if layout is None or now > self._until:
            return 0
        first, digest_at, body_head, body_at, scope, pdu_at, pdu_end = layout
        wanted = number.to_bytes(ID_OCTETS, "big")
        data = octets[at : at + size].tobytes()
        if not data.startswith(b"".join((first, wanted, self._behind_id))):
            return 0
        digest_end = digest_at + self._digester.octets
        back = data[digest_end:]
        digest = self._digester.digest(b"".join((first, wanted, self._blank, back)))
        if not (
            compare_digest(digest, data[digest_at:digest_end])
            and back.startswith(self._salt_head)
            and data.startswith(body_head, body_at - len(body_head))
        ):
            return 0
        plain = data[body_at:]
        if self._privacy is not None:
            plain = self._privacy.decrypt(plain, self._boots, self._time, back[2 : 2 + _SALT_OCTETS])
        if not plain.startswith(scope + wanted):
            return 0
        octets[at : at + pdu_end - pdu_at] = plain[pdu_at:pdu_end]
        return pdu_end - pdu_at
