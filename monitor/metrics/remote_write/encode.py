"""Sample blocks to remote write 1.0 request bodies."""

from __future__ import annotations

import cramjam
import numpy as np

from monitor.metrics.bounded import BoundedCache
from monitor.metrics.interface import Floats, Ints, Labels, SampleBlock
from monitor.metrics.protocol import remote_write_pb2 as v1
from monitor.metrics.remote_write.labels import varint
from monitor.metrics.remote_write.samples import FULL

_FIRST_SIX_BYTES, _FIRST_SEVEN_BYTES = 1 << 35, 1 << 42  # Times that take six bytes as a varint.
_ENTRY_BYTES = 150
_CACHE_BYTES = 64 << 20


class Encoder:
    """Writes remote write requests and remembers the label bytes of series. Safe to use from several threads."""

    __slots__ = ("_labels",)

    def __init__(self, *, cache_bytes: int = _CACHE_BYTES) -> None:
        self._labels: BoundedCache[Labels, bytes] = BoundedCache(cache_bytes, _cost)

    def encode(self, block: SampleBlock) -> bytes:
        """A request body (protobuf, Snappy block) that carries the block: series by series, samples in order."""
        codes, times, values = block.series, block.timestamps, block.values
        if len(codes) > 1 and (codes[1:] < codes[:-1]).any():
            order = np.argsort(codes, kind="stable")
            codes, times, values = codes[order], times[order], values[order]
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        bounds = [*starts.tolist(), len(codes)]
        labels = [self._label_bytes(block.labels[code]) for code in codes[starts].tolist()]
        samples, sizes = _samples(times, values)
        parts: list[bytes] = []
        for raw, first, end in zip(labels, bounds, bounds[1:], strict=False):
            own = samples[sizes[first] : sizes[end]]
            parts += (b"\x0a", varint(len(raw) + len(own)), raw, own)
        return bytes(cramjam.snappy.compress_raw(b"".join(parts)))

    def _label_bytes(self, labels: Labels) -> bytes:
        raw = self._labels.get(labels)
        if raw is None:
            raw = v1.TimeSeries(
                labels=[v1.Label(name=name, value=value).SerializeToString() for name, value in labels]
            ).SerializeToString()
            self._labels.put(labels, raw)
        return raw


def _cost(_labels: Labels, raw: bytes) -> int:
    return _ENTRY_BYTES + len(raw)


def _samples(times: Ints, values: Floats) -> tuple[bytes, list[int]]:
    """The sample fields one after the other, and where each begins (with the end of the last)."""
    count = len(times)
    if ((times < _FIRST_SIX_BYTES) | (times >= _FIRST_SEVEN_BYTES)).any():
        fields = [
            v1.TimeSeries(samples=[v1.Sample(value=value, timestamp=at)]).SerializeToString()
            for at, value in zip(times.tolist(), values.tolist(), strict=True)
        ]
        return b"".join(fields), np.cumsum([0, *map(len, fields)]).tolist()
    rows = np.empty((count, FULL), np.uint8)
    rows[:, [0, 1, 2, 11]] = (0x12, 0x10, 0x09, 0x10)
    rows[:, 3:11] = values.astype("<f8").view(np.uint8).reshape(count, 8)
    rows[:, 12:] = (times[:, None] >> (7 * np.arange(6))) & 0x7F | (0x80, 0x80, 0x80, 0x80, 0x80, 0)
    return rows.tobytes(), list(range(0, FULL * count + 1, FULL))


def encode(block: SampleBlock) -> bytes:
    """The request body for one block; an `Encoder` is for many."""
    return Encoder().encode(block)
