"""What a frame of the write-ahead log says: new series with their numbers, and samples as columns.

Layout, little endian: u32 bytes of series JSON, the JSON list of [number, {label: value}], u32 number of samples,
then the series numbers (int32), time stamps (int64) and values (float64), each as one column.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from monitor.metrics.interface import Codes, Floats, Ints, Labels

_COUNT = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame: `new` series (number, labels) and n samples of known or new series."""

    new: Sequence[tuple[int, Labels]]
    series: Codes
    timestamps: Ints
    values: Floats


def pack(entry: Entry) -> bytes:
    """The payload of a frame."""
    names = orjson.dumps([[number, dict(labels)] for number, labels in entry.new]) if entry.new else b""
    return b"".join(
        (
            _COUNT.pack(len(names)),
            names,
            _COUNT.pack(len(entry.series)),
            entry.series.astype("<i4").tobytes(),
            entry.timestamps.astype("<i8").tobytes(),
            entry.values.astype("<f8").tobytes(),
        )
    )


def unpack(payload: bytes) -> Entry:
    """The entry of a payload whose checksum was right."""
    (length,) = _COUNT.unpack_from(payload)
    at = _COUNT.size + length
    names = orjson.loads(payload[_COUNT.size : at]) if length else []
    (count,) = _COUNT.unpack_from(payload, at)
    at += _COUNT.size
    series = np.frombuffer(payload, "<i4", count, at)
    timestamps = np.frombuffer(payload, "<i8", count, at + 4 * count)
    values = np.frombuffer(payload, "<f8", count, at + 12 * count)
    new = [(number, tuple(labels.items())) for number, labels in names]
    return Entry(new, series.astype(np.int32), timestamps.astype(np.int64), values.astype(np.float64))
