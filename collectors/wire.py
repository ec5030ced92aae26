"""Samples as a remote write 1.0 body, quickly: a series' labels are encoded once and remembered.

A poll repeats the same few hundred series every minute; only value and time change. The bytes are those of the
protobuf message `prometheus.WriteRequest` (https://prometheus.io/docs/specs/prw/remote_write_spec/), one TimeSeries a
sample, as a Snappy block. monitor.metrics.remote_write is the reference that the tests compare with.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import cramjam

from monitor.metrics.interface import Labels

MAX_REMEMBERED = 500_000
_DOUBLE = struct.Struct("<d")


class SampleEncoder:
    """Encodes samples. Safe from several threads: the worst that can happen is that labels are encoded twice."""

    def __init__(self) -> None:
        self._known: dict[Labels, bytes] = {}

    def encode(self, samples: Iterable[tuple[Labels, int, float]]) -> bytes:
        """The body of one request; times in ms since the epoch."""
        parts: list[bytes] = []
        times: dict[int, bytes] = {}
        for labels, at, value in samples:
            known = self._known.get(labels)
            if known is None:
                known = self._remember(labels)
            time = times.get(at)
            if time is None:
                time = times[at] = b"\x10" + _varint(at & 0xFFFF_FFFF_FFFF_FFFF)
            sample = b"\x09" + _DOUBLE.pack(value) + time
            parts += (
                b"\x0a",
                _varint(len(known) + 2 + len(sample)),
                known,
                b"\x12",
                bytes((len(sample),)),
                sample,
            )
        return bytes(cramjam.snappy.compress_raw(b"".join(parts)))

    def _remember(self, labels: Labels) -> bytes:
        if len(self._known) >= MAX_REMEMBERED:
            self._known = {}
        encoded = b"".join(_field(b"\x0a", _label(name, value)) for name, value in labels)
        self._known[labels] = encoded
        return encoded


def _label(name: str, value: str) -> bytes:
    return _field(b"\x0a", name.encode()) + _field(b"\x12", value.encode("utf-8", "replace"))


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
