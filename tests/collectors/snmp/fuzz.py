"""Byte-level fuzzing of everything that reads what a network sends: `python -m tests.collectors.snmp.fuzz MINUTES`.

Valid messages are mutated (octets flipped, lengths lied about, parts cut, repeated, spliced) and given to the decoders,
the shapes and layouts of the batch, SNMPv3 and the trap receiver. Nothing may raise anything but its own error, take
long, or take a forged message for an authentic one. A failure prints the seed and the octets.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from collectors.receivers.decode import envelope, trap_name, version_of
from collectors.snmp import ber, message
from collectors.snmp.batch.headers import request_ids
from collectors.snmp.batch.layouts import REPLY_BYTES, Layouts
from collectors.snmp.batch.shape import read_message, read_pdu
from collectors.snmp.ber import COUNTER32, COUNTER64, INTEGER, OCTET_STRING, VarBind, encode_oid
from collectors.snmp.errors import BerError, SnmpError
from tests.collectors.snmp.usm.engine import Engine, opened_alike, pdu_of, peer_of

SLOWEST = (
    1.0  # CPU seconds one reader may take for one message: an endless loop is a fault, a busy machine is not
)
VARBINDS: list[VarBind] = [
    (encode_oid("1.3.6.1.2.1.1.5.0"), OCTET_STRING, b"core-1"),
    (encode_oid("1.3.6.1.2.1.2.2.1.10.4294967295"), COUNTER32, 0xFFFFFFFF),
    (encode_oid("1.3.6.1.2.1.31.1.1.1.6.1"), COUNTER64, 2**63 + 5),
    (encode_oid("1.3.6.1.2.1.2.2.1.8.1"), INTEGER, -1),
    (encode_oid("1.3.6.1.2.1.1.2.0"), ber.OBJECT_ID, encode_oid("1.3.6.1.4.1.2011.2.23")),
    (encode_oid("1.3.6.1.2.1.4.20.1.1.0"), ber.IP_ADDRESS, b"\x7f\0\0\1"),
    (encode_oid("1.3.6.1.2.1.1.3.0"), ber.TIME_TICKS, 77),
]
COLD_START = encode_oid("1.3.6.1.6.3.1.1.5.1")


class Fuzz:
    """Counts what happened; `step` tries one mutated message everywhere."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self._engine = Engine()
        self._peer = peer_of(self._engine)
        self._layouts = Layouts(capacity=8)
        self._numbers = 0x40000000
        body = b"".join(message.encode_varbind(*varbind) for varbind in VARBINDS)
        self._plain = [
            message.frame(version, b"public", kind, 0x41000000, 0, 0, body)
            for version in (0, 1)
            for kind in (message.RESPONSE, message.GET, message.GET_BULK)
        ]
        self._traps = [
            message.encode_trap(b"public", 7, 99, COLD_START, VARBINDS, inform=inform)
            for inform in (False, True)
        ]
        self._pdus = [pdu_of(message.RESPONSE, 9, VARBINDS * times) for times in (1, 3)]

    def step(self) -> None:
        """One message of each sort."""
        for sort, data in (("plain", self._pick(self._plain)), ("trap", self._pick(self._traps))):
            self._try(
                sort, self.mutated(data), [message.parse_message, message.parse_trap, read_message, _receiver]
            )
        self._try("pdu", self.mutated(self._pick(self._pdus)), [read_pdu])
        self._forge()
        self._batch()

    def mutated(self, data: bytes) -> bytes:
        """The message with one to four things wrong."""
        octets = bytearray(data)
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randrange(len(octets)) if octets else 0
            kind = self.random.randrange(6)
            if kind == 0 and octets:
                octets[at] ^= 1 << self.random.randrange(8)
            elif kind == 1 and octets:
                octets[at] = self.random.choice((0, 1, 0x30, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFF))
            elif kind == 2:
                del octets[at : at + self.random.randint(1, 8)]
            elif kind == 3:
                octets[at:at] = self.random.randbytes(self.random.randint(1, 8))
            elif kind == 4:
                octets[at:at] = octets[: self.random.randint(1, 64)]
            else:
                del octets[self.random.randint(0, len(octets)) :]
        return bytes(octets)

    def _pick(self, some: Sequence[bytes]) -> bytes:
        return self.random.choice(some)

    def _try(self, sort: str, data: bytes, readers: Sequence[Callable[[bytes], object]]) -> None:
        for reader in readers:
            begun = time.process_time()
            try:
                reader(data)
                self.counts[f"{sort} read"] += 1
            except BerError:
                self.counts[f"{sort} refused"] += 1
            except Exception as error:
                raise AssertionError(f"seed {self.seed}: {reader.__name__} of {data.hex()}") from error
            assert time.process_time() - begun < SLOWEST, f"seed {self.seed}: {data.hex()} takes too long"

    def _forge(self) -> None:
        """An SNMPv3 answer, mutated: refused unless it is the very same."""
        self._numbers += 1
        answer = pdu_of(message.RESPONSE, self._numbers, VARBINDS * self.random.choice((1, 3)))
        good = self._engine.wrap(answer, self._numbers)
        self._peer.seal(answer, self._numbers)
        forged = self.mutated(good)
        alike = opened_alike(self._peer, forged, self._numbers)
        assert alike is None or forged == good, f"seed {self.seed}: {forged.hex()} opens like {good.hex()}"
        try:
            opened = self._peer.open(forged)
        except SnmpError:
            self.counts["v3 refused"] += 1
        except Exception as error:
            raise AssertionError(f"seed {self.seed}: open of {forged.hex()}") from error
        else:
            assert forged == good, f"seed {self.seed}: a forged reply is accepted: {forged.hex()} {opened!r}"
        assert self._peer.open(good) == (self._numbers, answer), "what is authentic is still taken"
        assert opened_alike(self._peer, good, self._numbers) == answer

    def _batch(self) -> None:
        """Random rows where replies are expected."""
        rows = np.frombuffer(self.random.randbytes(4 * REPLY_BYTES), np.uint8).reshape(4, REPLY_BYTES).copy()
        good = self._pick(self._plain)
        rows[0, : len(good)] = np.frombuffer(good, np.uint8)
        request_ids(rows)
        try:
            number = self._layouts.learn(read_message(good))
        except BerError:
            return
        sizes = np.full(4, len(good))
        numbers = np.full(4, number)
        fits = self._layouts.fits(numbers, rows.view(np.uint64), sizes)
        assert fits.tolist() == [number != 0, False, False, False]
        self._layouts.numbers(numbers, rows.view(np.uint64), np.arange(4))
        self._layouts.forget([number])
        self.counts["batches"] += 1


def _receiver(data: bytes) -> None:
    version_of(data)
    found = envelope(data)
    if found is not None:
        trap_name(found[2])


def run(seconds: float, seed: int | None = None) -> Counter[str]:
    """Fuzz for so long; returns what happened how often."""
    fuzz = Fuzz(random.randrange(1 << 32) if seed is None else seed)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        fuzz.step()
    return fuzz.counts


def main() -> None:
    """`python -m tests.collectors.snmp.fuzz MINUTES [SEED]`."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    counts = run(60 * minutes, int(sys.argv[2]) if len(sys.argv) > 2 else None)
    for name, count in sorted(counts.items()):
        print(f"{count:12,} {name}")


if __name__ == "__main__":
    main()
