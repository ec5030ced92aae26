"""Samples as a remote write 1.0 body, quickly: a series' labels are encoded once and remembered.

A poll repeats the same few hundred series every minute; only value and time change. The bytes are those of the
protobuf message `prometheus.WriteRequest` (https://prometheus.io/docs/specs/prw/remote_write_spec/), one TimeSeries a
sample, as a Snappy block. monitor.metrics.remote_write is the reference that the tests compare with.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import cramjam
import numpy as np
import numpy.typing as npt

from monitor.metrics.interface import Labels

MAX_REMEMBERED = 500_000
_DOUBLE = struct.Struct("<d")
_SAMPLE_BYTES = 16  # a double and a time of six octets, each behind its tag
_EIGHT = np.arange(8)
_TIME = np.arange(9, 15)  # from the value's first octet


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


class RowEncoder:
    """The same series again and again, all at one time: the encoded row is kept, only time and values change.

    The row is kept compressed: uncompressed it is mostly names, some 250 octets a series.
    """

    __slots__ = ("_packed", "_values")

    def __init__(self, series: Sequence[Labels]) -> None:
        parts: list[bytes] = []
        values: list[int] = []
        end = 0
        for labels in series:
            known = b"".join(_field(b"\x0a", _label(name, value)) for name, value in labels)
            head = b"\x0a" + _varint(len(known) + 2 + _SAMPLE_BYTES)
            parts += (head, known, b"\x12", bytes((_SAMPLE_BYTES,)), b"\x09", bytes(8), b"\x10", bytes(6))
            values.append(end + len(head) + len(known) + 3)
            end += len(head) + len(known) + 2 + _SAMPLE_BYTES
        self._packed = bytes(cramjam.snappy.compress_raw(b"".join(parts)))
        self._values = np.array(values, np.int64)

    def __len__(self) -> int:
        return len(self._values)

    def encode(self, at_ms: int, values: npt.NDArray[np.float64]) -> bytes:
        """The row as part of an uncompressed body; rows can be joined. `at_ms` between 2004 and 2109."""
        row = np.frombuffer(bytearray(cramjam.snappy.decompress_raw(self._packed)), np.uint8)
        octets = np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(-1, 8)
        row[self._values[:, None] + _EIGHT] = octets
        row[self._values[:, None] + _TIME] = np.frombuffer(_varint(at_ms), np.uint8)
        return row.tobytes()


def pack_rows(rows: Sequence[bytes]) -> bytes:
    """Rows as the body of one request."""
    return bytes(cramjam.snappy.compress_raw(b"".join(rows)))


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
