"""What a frame of the write-ahead log says: new series with their numbers, and samples as columns.

Layout, little endian: u8 version, u8 flags (1 = late samples, 2 = one time stamp for all, 4 = consecutive series), u32
bytes of series JSON, u32 number of samples, the JSON list of [number, {label: value}], then the series numbers (int32,
only the first when consecutive), time stamps (int64, only one when they are equal) and values (float64).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from monitor.errors import IntegrityError
from monitor.metrics.interface import Codes, Floats, Ints, Labels

_HEAD = struct.Struct("<BBII")
_VERSION = 2
_LATE, _ONE_TIME, _CONSECUTIVE = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame: `new` series (number, labels) and n samples of known or new series. `late` samples may be older
    than others of their series that were logged before.
    """

    new: Sequence[tuple[int, Labels]]
    series: Codes
    timestamps: Ints
    values: Floats
    late: bool = False


def pack(entry: Entry) -> bytes:
    """The payload of a frame."""
    names = orjson.dumps([[number, dict(labels)] for number, labels in entry.new]) if entry.new else b""
    series, times = entry.series, entry.timestamps
    count = len(series)
    flags = _LATE if entry.late else 0
    if count and (times == times[0]).all():
        flags |= _ONE_TIME
        times = times[:1]
    if count and int(series[-1]) - int(series[0]) == count - 1 and (np.diff(series) == 1).all():
        flags |= _CONSECUTIVE
        series = series[:1]
    return b"".join(
        (
            _HEAD.pack(_VERSION, flags, len(names), count),
            names,
            series.astype("<i4", copy=False).tobytes(),
            times.astype("<i8", copy=False).tobytes(),
            entry.values.astype("<f8", copy=False).tobytes(),
        )
    )


def unpack(payload: bytes) -> Entry:
    """The entry of a payload whose checksum was right. Raises IntegrityError for another version."""
    version, flags, length, count = _HEAD.unpack_from(payload)
    if version != _VERSION:
        raise IntegrityError(f"a log entry has version {version}, this program reads {_VERSION}")
    at = _HEAD.size + length
    names = orjson.loads(payload[_HEAD.size : at]) if length else ()
    stored = 1 if flags & _CONSECUTIVE else count
    series = np.frombuffer(payload, "<i4", stored, at)
    at += 4 * stored
    if flags & _CONSECUTIVE:
        series = np.arange(int(series[0]), int(series[0]) + count, dtype=np.int32)
    stored = 1 if flags & _ONE_TIME else count
    timestamps = np.frombuffer(payload, "<i8", stored, at)
    at += 8 * stored
    if flags & _ONE_TIME:
        timestamps = np.full(count, timestamps[0])
    values = np.frombuffer(payload, "<f8", count, at)
    new = [(number, tuple(labels.items())) for number, labels in names]
    return Entry(new, series, timestamps, values, bool(flags & _LATE))
