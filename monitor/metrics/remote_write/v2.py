"""Remote write 2.0 messages: label sets and metadata by reference into a table of symbols.

Label references are written out as the label bytes of 1.0, so that a series has one label set whichever protocol it
comes by. Start timestamps are ignored, exemplars and histograms counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from monitor.metrics.errors import IngestError
from monitor.metrics.interface import Labels
from monitor.metrics.metadata import MetricInfo, Note
from monitor.metrics.protocol import remote_write_v2_pb2 as v2
from monitor.metrics.remote_write.envelope import RequestLimits
from monitor.metrics.remote_write.framing import Columns, check_count, differences
from monitor.metrics.remote_write.labels import Flaw, LabelTable, varint
from monitor.metrics.remote_write.notes import info
from monitor.metrics.remote_write.samples import PADDING, read_samples


@dataclass(frozen=True, slots=True)
class _Rest:
    """What follows the samples of a series."""

    metadata: v2.Metadata | None
    exemplars: int
    histograms: int


class _Symbols:
    """The table of one request. Raises IngestError for references that lead nowhere."""

    __slots__ = ("_pieces", "_texts")

    def __init__(self, texts: Sequence[str]) -> None:
        if texts and texts[0]:
            raise IngestError("the first symbol must be the empty string")
        self._texts = texts
        self._pieces = _Pieces(texts)

    def text(self, ref: int) -> str:
        """A symbol."""
        return _symbol(self._texts, ref)

    def key(self, refs: Sequence[int]) -> bytes:
        """The label bytes of 1.0 for the references of a series."""
        if len(refs) % 2:
            raise _odd()
        return b"".join(map(self._pieces.__getitem__, zip(refs[::2], refs[1::2], strict=True)))

    def keys(self, packed: list[bytes]) -> list[bytes] | None:
        """The same for many packed lists of references; None when protobuf should look at each."""
        data = np.frombuffer(b"".join(packed), np.uint8)
        sizes = np.fromiter(map(len, packed), np.int64, len(packed))
        last = np.concatenate([np.zeros(1, np.int64), np.cumsum(data < 0x80)])
        ends = np.cumsum(sizes)
        if (data[ends[sizes > 0] - 1] >= 0x80).any():  # It would go on in the next list.
            return None
        bounds = last[ends]
        if (bounds % 2).any():
            raise _odd()
        refs = v2.TimeSeries.FromString(b"\x0a" + varint(len(data)) + data.tobytes()).labels_refs
        pairs = zip(refs[::2], refs[1::2], strict=True)
        pieces = list(map(self._pieces.__getitem__, pairs))
        steps = [0, *(bounds // 2).tolist()]
        return [b"".join(pieces[start:end]) for start, end in pairwise(steps)]


class _Pieces(dict[tuple[int, int], bytes]):
    """The label bytes for a pair of references, made when they are asked for."""

    __slots__ = ("_texts",)

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        self._texts = texts

    def __missing__(self, pair: tuple[int, int]) -> bytes:
        name, value = (_symbol(self._texts, ref).encode() for ref in pair)
        label = b"\x0a" + varint(len(name)) + name
        if value:
            label += b"\x12" + varint(len(value)) + value
        piece = self[pair] = b"\x0a" + varint(len(label)) + label
        return piece


def _symbol(texts: Sequence[str], ref: int) -> str:
    if ref >= len(texts):
        raise IngestError("a series refers to symbols that are not there")
    return texts[ref]


def _odd() -> IngestError:
    return IngestError("a series has a label name without a value")


def read_series(
    symbols: Sequence[str], bodies: list[bytes], table: LabelTable, limits: RequestLimits
) -> tuple[Columns, list[Note]]:
    """The columns and metadata of serialised `TimeSeries`. Raises IngestError and protobuf's DecodeError."""
    if max(map(len, bodies), default=0) > limits.series_bytes:
        raise IngestError(
            f"a series of the request has more than {limits.series_bytes} bytes",
            status=413,
            hint="send fewer samples of a series at a time",
        )
    names = _Symbols(symbols)
    found = _by_steps(bodies, names, limits) or _by_protobuf(bodies, names, limits)
    keys, columns, rests = found
    labels = table.find(keys)
    assert labels is not None  # Keys made here are labels and nothing else.
    columns.labels.extend(labels)
    return columns, _notes(names, labels, rests)


def _by_steps(
    bodies: list[bytes], names: _Symbols, limits: RequestLimits
) -> tuple[list[bytes], Columns, list[_Rest]] | None:
    """References, samples, the rest: as every known writer orders them."""
    refs: list[bytes] = []
    counts: list[int] = []
    at: list[int] = []
    rests: list[_Rest] = []
    known: dict[bytes, _Rest | None] = {}
    base = 0
    for body in bodies:
        try:
            packed, end = _step(body, base, at)
        except IndexError:  # A length that leads beyond the end.
            return None
        tail = body[end:]
        if tail not in known:
            known[tail] = _rest(tail)
        rest = known[tail]
        if rest is None or end > len(body):
            return None
        refs.append(packed)
        rests.append(rest)
        counts.append(len(at))
        base += len(body)
        check_count(len(at), limits)
    places = np.array(at, np.int64)
    samples = read_samples(np.frombuffer(b"".join([*bodies, PADDING]), np.uint8), places) if at else None
    keys = names.keys(refs) if samples is not None else None
    if samples is None or keys is None:
        return None
    exemplars, histograms = sum(r.exemplars for r in rests), sum(r.histograms for r in rests)
    columns = Columns(
        [], differences(counts), samples.times, samples.values, (places, samples.form), exemplars, histograms
    )
    return keys, columns, rests


def _step(body: bytes, base: int, at: list[int]) -> tuple[bytes, int]:
    """The packed references of a series and where its samples end; their offsets are added to `at`."""
    here, size = 0, len(body)
    packed = b""
    if size and body[0] == 0x0A:
        length, start = body[1], 2
        if length > 0x7F:
            length, start = length & 0x7F | body[2] << 7, 3
            if body[2] > 0x7F:
                raise IndexError
        here = start + length
        packed = body[start:here]
    while here < size and body[here] == 0x12:
        if body[here + 1] > 0x7F:
            raise IndexError
        at.append(base + here)
        here += 2 + body[here + 1]
    return packed, here


def _rest(tail: bytes) -> _Rest | None:
    """What protobuf finds after the samples; None when there are references or samples again."""
    series = v2.TimeSeries.FromString(tail)
    if series.samples or series.labels_refs:
        return None
    return _rest_of(series)


def _rest_of(series: v2.TimeSeries) -> _Rest:
    metadata = series.metadata if series.HasField("metadata") else None
    return _Rest(metadata, len(series.exemplars), len(series.histograms))


def _by_protobuf(
    bodies: list[bytes], names: _Symbols, limits: RequestLimits
) -> tuple[list[bytes], Columns, list[_Rest]]:
    """Whatever protobuf understands."""
    keys: list[bytes] = []
    counts: list[int] = []
    times: list[int] = []
    values: list[float] = []
    rests: list[_Rest] = []
    for body in bodies:
        series = v2.TimeSeries.FromString(body)
        check_count(len(times) + len(series.samples), limits)
        keys.append(names.key(series.labels_refs))
        rests.append(_rest_of(series))
        counts.append(len(series.samples))
        for sample in series.samples:
            times.append(sample.timestamp)
            values.append(sample.value)
    columns = Columns(
        [],
        np.array(counts, np.int64),
        np.array(times, np.int64),
        np.array(values, np.float64),
        exemplars=sum(rest.exemplars for rest in rests),
        histograms=sum(rest.histograms for rest in rests),
    )
    return keys, columns, rests


def _notes(names: _Symbols, labels: list[Labels | Flaw], rests: list[_Rest]) -> list[Note]:
    """One note a metric: series of a metric repeat it."""
    notes: dict[str, MetricInfo] = {}
    for label_set, rest in zip(labels, rests, strict=True):
        if rest.metadata is None or isinstance(label_set, Flaw):
            continue
        metric = next(value for name, value in label_set if name == "__name__")
        if metric not in notes:
            said = rest.metadata
            notes[metric] = info(said.type, names.text(said.help_ref), names.text(said.unit_ref))
    return list(notes.items())
