"""Bodies of remote write 1.0 from columns of samples: any number of samples a series, each body built once for all.

The bytes are those of a generic protobuf writer. One that leaves out zero values, as Prometheus's own sender does,
writes a sample of value 0 in nine bytes instead of eighteen.
"""

from __future__ import annotations

from collections.abc import Iterable

import cramjam
import numpy as np

from monitor.metrics.interface import Floats, Ints, Labels
from monitor.metrics.piece import Columns

SAMPLE, ZERO = 18, 9
HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


class Writer:
    """Bodies of samples of the given series; the bytes of the names are made once."""

    def __init__(self, labels: Iterable[Labels]) -> None:
        self._names = [_names(one) for one in labels]

    def body(self, columns: Columns, *, zeros: bool = True) -> bytes:
        """One request. `zeros` False leaves out the values that are 0."""
        samples = _samples(columns.timestamps, columns.values)
        starts = np.flatnonzero(np.diff(columns.series, prepend=-1))
        codes = columns.series[starts].tolist()
        if zeros:
            bounds = (np.append(starts, len(columns.series)) * SAMPLE).tolist()
            flat = samples.tobytes()
        else:
            short = columns.values.view(np.uint64) == 0
            kept = np.ones(samples.shape, np.bool_)
            kept[short, 2:11] = False
            samples[short, 1] = ZERO - 2
            lengths = np.where(short, ZERO, SAMPLE)
            bounds = np.append(np.cumsum(lengths)[starts] - lengths[starts], lengths.sum()).tolist()
            flat = samples[kept].tobytes()
        parts = []
        for code, begin, end in zip(codes, bounds[:-1], bounds[1:], strict=True):
            names = self._names[code]
            parts += [b"\x0a", varint(len(names) + end - begin), names, flat[begin:end]]
        return bytes(cramjam.snappy.compress_raw(b"".join(parts)))


def varint(number: int) -> bytes:
    """Seven bits a byte, least first."""
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    return bytes((number & 0x7F | 0x80,)) + varint(number >> 7)


def _samples(times: Ints, values: Floats) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Tag and length, tag and value, tag and time stamp of present times, [n, 18]."""
    found = np.empty((len(times), SAMPLE), np.uint8)
    found[:, [0, 1, 2, 11]] = (0x12, 0x10, 0x09, 0x10)
    found[:, 3:11] = np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(-1, 8)
    found[:, 12:] = (times[:, None] >> (7 * np.arange(6))) & 0x7F | (0x80, 0x80, 0x80, 0x80, 0x80, 0)
    return found


def _names(labels: Labels) -> bytes:
    pairs = (_field(0x0A, name.encode()) + _field(0x12, value.encode()) for name, value in labels)
    return b"".join(_field(0x0A, pair) for pair in pairs)


def _field(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + varint(len(content)) + content
