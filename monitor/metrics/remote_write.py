"""Prometheus remote write: request bodies to sample blocks and back.

1.0 (`application/x-protobuf`, also `;proto=prometheus.WriteRequest`) and 2.0
(`;proto=io.prometheus.write.v2.Request`), always Snappy block format. Exemplars, metadata and native
histograms are skipped. Sources:
https://prometheus.io/docs/specs/prw/remote_write_spec/ and .../remote_write_spec_2_0/.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import cast

import cramjam
import numpy as np
from google.protobuf.message import DecodeError

from monitor.metrics.errors import IngestError
from monitor.metrics.interface import Labels, SampleBlock
from monitor.metrics.protocol import remote_write_pb2 as v1
from monitor.metrics.protocol import remote_write_v2_pb2 as v2

CONTENT_TYPE = "application/x-protobuf"
_TAIL = 18
_MOST_EXPANSION = 22
_PROTO_V1 = "prometheus.WriteRequest"
_PROTO_V2 = "io.prometheus.write.v2.Request"


def decode(
    body: bytes, *, content_type: str, content_encoding: str, max_bytes: int = 64 << 20
) -> SampleBlock:
    """The samples of one request.

    `max_bytes` bounds the decompressed size and is checked before anything is decompressed. Raises
    IngestError with status 400 (malformed), 413 (too big) or 415 (not snappy protobuf).
    """
    proto = _proto_of(content_type)
    if content_encoding.strip().lower() != "snappy":
        raise IngestError(
            f"content encoding {content_encoding!r} is not supported", status=415, hint="send snappy"
        )
    raw = _decompress(body, max_bytes)
    try:
        if proto == _PROTO_V2:
            return _columns(_series_v2(v2.Request.FromString(raw)))
        return _plain_columns(raw) or _columns(_series_v1(v1.WriteRequest.FromString(raw)))
    except DecodeError as error:
        raise IngestError(f"not a {proto} message: {error}") from error


def encode(block: SampleBlock) -> bytes:
    """A remote write 1.0 request body (protobuf, Snappy block) that carries the block, samples in order."""
    plain = _plain_body(block)
    if plain is not None:
        return bytes(cramjam.snappy.compress_raw(plain))
    request = v1.WriteRequest()
    order = np.argsort(block.series, kind="stable")
    codes = block.series[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1)).tolist()
    ends = [*starts, len(codes)][1:]
    times, values = block.timestamps[order].tolist(), block.values[order].tolist()
    for first, end in zip(starts, ends, strict=True):
        samples = [v1.Sample(value=values[at], timestamp=times[at]) for at in range(first, end)]
        request.timeseries.add(labels=_raw_labels(block.labels[codes[first]]), samples=samples)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def _plain_body(block: SampleBlock) -> bytes | None:
    """A request of one sample a series, written column by column; None when the block is not of that shape.

    The mirror image of `_plain_columns`, byte for byte what protobuf would write (but for values of zero, which
    it would leave out).
    """
    times = block.timestamps
    count = len(times)
    if len(np.unique(block.series)) != count or ((times < 1 << 35) | (times >= 1 << 42)).any():
        return None
    tails = np.empty((count, _TAIL), np.uint8)
    tails[:, [0, 1, 2, 11]] = (0x12, 0x10, 0x09, 0x10)
    tails[:, 3:11] = block.values.astype("<f8").view(np.uint8).reshape(count, 8)
    tails[:, 12:] = (times[:, None] >> (7 * np.arange(6))) & 0x7F | (0x80, 0x80, 0x80, 0x80, 0x80, 0)
    flat = tails.tobytes()
    labels = block.labels
    parts = [b""] * (2 * count)
    parts[::2] = [_series_start(labels[code]) for code in block.series.tolist()]
    parts[1::2] = [flat[at : at + _TAIL] for at in range(0, len(flat), _TAIL)]
    return b"".join(parts)


@lru_cache(maxsize=500_000)
def _series_start(labels: Labels) -> bytes:
    """Tag, length and labels of a series that will end in one sample of `_TAIL` bytes."""
    series = v1.TimeSeries(labels=_raw_labels(labels)).SerializeToString()
    length = len(series) + _TAIL
    varint = b""
    while length > 0x7F:
        varint += bytes([length & 0x7F | 0x80])
        length >>= 7
    return b"\x0a" + varint + bytes([length]) + series


def _raw_labels(labels: Labels) -> tuple[bytes, ...]:
    return tuple(v1.Label(name=name, value=value).SerializeToString() for name, value in labels)


def _proto_of(content_type: str) -> str:
    """The message name a content type asks for; refuses what is not remote write."""
    kind, *parameters = (part.strip() for part in content_type.split(";"))
    proto = _PROTO_V1
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "proto":
            proto = value.strip().strip('"')
    if kind.lower() != CONTENT_TYPE or proto not in {_PROTO_V1, _PROTO_V2}:
        raise IngestError(
            f"content type {content_type!r} is not supported", status=415, hint=f"send {CONTENT_TYPE}"
        )
    return proto


def _decompress(body: bytes, max_bytes: int) -> bytes:
    length = _declared_length(body)
    if length > max_bytes:
        raise IngestError(
            f"the request decompresses to {length} bytes, more than {max_bytes}",
            status=413,
            hint="send smaller requests",
        )
    if length > _MOST_EXPANSION * len(body):
        raise IngestError("the snappy block says it is longer than it can be")
    try:
        raw = bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise IngestError(f"not a snappy block: {error}") from error
    if len(raw) != length:
        raise IngestError("the snappy block is shorter than it says")
    return raw


def _declared_length(body: bytes) -> int:
    """The decompressed length in a Snappy block header: a varint of at most 32 bits."""
    length = 0
    for at, byte in enumerate(body[:5]):
        length |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            return length
    raise IngestError("not a snappy block: the length header is broken")


def _plain_columns(raw: bytes) -> SampleBlock | None:
    """The columns of a request in which every series has one sample of present times, as pollers send it.

    Each series then ends in the same 18 bytes (tag, length, tag, value, tag, six bytes of time stamp), which are
    read all at once; what is before them names the series. None when the request is not of that shape.
    """
    series = v1.SplitRequest.FromString(raw).timeseries
    if not series or min(map(len, series)) <= _TAIL:
        return None
    tails = np.frombuffer(b"".join([one[-_TAIL:] for one in series]), np.uint8).reshape(-1, _TAIL)
    fixed = tails[:, [0, 1, 2, 11]] == (0x12, 0x10, 0x09, 0x10)
    if not fixed.all() or (tails[:, 12:17] < 0x80).any() or (tails[:, 17] >= 0x80).any():
        return None
    labels = tuple([_labels_before(one[:-_TAIL]) for one in series])
    if None in labels:
        return None
    values = np.ascontiguousarray(tails[:, 3:11]).view("<f8").ravel().astype(np.float64)
    times = ((tails[:, 12:] & 0x7F).astype(np.int64) << (7 * np.arange(6))).sum(1)
    return SampleBlock(
        cast(tuple[Labels, ...], labels), np.arange(len(labels), dtype=np.int32), times, values
    )


@lru_cache(maxsize=500_000)
def _labels_before(raw: bytes) -> Labels | None:
    """The label set of a series without its sample; None when the bytes are no such thing on their own."""
    try:
        series = v1.TimeSeries.FromString(raw)
    except DecodeError:
        return None
    return None if series.samples else _labels_of(tuple(series.labels))


def _series_v1(request: v1.WriteRequest) -> Iterable[tuple[Labels, Sequence[v1.Sample]]]:
    for series in request.timeseries:
        yield _labels_of(tuple(series.labels)), series.samples


@lru_cache(maxsize=500_000)
def _labels_of(raw: tuple[bytes, ...]) -> Labels:
    """The label set of a series by its raw labels; remembered, as the same ones come every minute."""
    return _checked([(label.name, label.value) for label in map(v1.Label.FromString, raw)])


def _series_v2(request: v2.Request) -> Iterable[tuple[Labels, Sequence[v2.Sample]]]:
    symbols = request.symbols
    if symbols and symbols[0]:
        raise IngestError("the first symbol must be the empty string")
    count = len(symbols)
    texts = list(symbols)
    for series in request.timeseries:
        refs = list(series.labels_refs)
        if len(refs) % 2 or any(ref >= count for ref in refs):
            raise IngestError("a series refers to symbols that are not there")
        pairs = [(texts[refs[i]], texts[refs[i + 1]]) for i in range(0, len(refs), 2)]
        yield _checked(pairs), series.samples


def _checked(pairs: list[tuple[str, str]]) -> Labels:
    """A received label set, canonical or refused: names sorted, unique, not empty, a metric name."""
    previous = ""
    for name, _ in pairs:
        if name <= previous:
            reason = "an empty name" if not name else "names that are unsorted or not unique"
            raise IngestError(f"a series has label {reason}: {name!r} after {previous!r}")
        previous = name
    labels = tuple((name, value) for name, value in pairs if value)
    if not any(name == "__name__" for name, _ in labels):
        raise IngestError("a series has no metric name")
    return labels


def _columns(series: Iterable[tuple[Labels, Sequence[v1.Sample | v2.Sample]]]) -> SampleBlock:
    labels: list[Labels] = []
    counts: list[int] = []
    times: list[int] = []
    values: list[float] = []
    for label_set, samples in series:
        if not samples:
            continue
        labels.append(label_set)
        counts.append(len(samples))
        for sample in samples:
            times.append(sample.timestamp)
            values.append(sample.value)
    codes = np.repeat(np.arange(len(labels), dtype=np.int32), np.array(counts, np.int64))
    return SampleBlock(tuple(labels), codes, np.array(times, np.int64), np.array(values, np.float64))
