"""Request bodies to sample blocks: known layouts at once, other messages by hand, odd ones by protobuf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from google.protobuf.message import DecodeError

from monitor.metrics.bounded import BoundedCache
from monitor.metrics.errors import IngestError
from monitor.metrics.interface import Ints, Labels, SampleBlock
from monitor.metrics.metadata import Note
from monitor.metrics.protocol import remote_write_pb2 as v1
from monitor.metrics.protocol import remote_write_v2_pb2 as v2
from monitor.metrics.remote_write import framing
from monitor.metrics.remote_write import v2 as second
from monitor.metrics.remote_write.envelope import (
    Bytes,
    RequestLimits,
    Scratch,
    Version,
    check_encoding,
    checked_length,
    decompress,
    version_of,
)
from monitor.metrics.remote_write.framing import Columns
from monitor.metrics.remote_write.labels import Flaw, LabelTable
from monitor.metrics.remote_write.notes import notes_of
from monitor.metrics.remote_write.template import TemplateCache

Lists = tuple[Labels, ...]
_COUNTED_FROM = 1 << 22
_CACHE_BYTES = 128 << 20
_TEMPLATE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """Samples of a request that were not taken for one reason, and one series they are of."""

    samples: int
    example: str


@dataclass(frozen=True, slots=True)
class Received:
    """What a request carried. `refusals`, by reason, are series whose labels name none; they are not in the block."""

    version: Version
    block: SampleBlock
    exemplars: int = 0
    histograms: int = 0
    notes: Sequence[Note] = ()
    refusals: Mapping[str, Refusal] = field(default_factory=dict)


class Decoder:
    """Reads remote write requests and remembers what repeats in them. Safe to use from several threads."""

    __slots__ = ("_labels", "_limits", "_lists", "_scratch", "_templates")

    def __init__(
        self,
        limits: RequestLimits | None = None,
        *,
        cache_bytes: int = _CACHE_BYTES,
        template_bytes: int = _TEMPLATE_BYTES,
    ) -> None:
        self._limits = limits or RequestLimits()
        self._labels = LabelTable(cache_bytes)
        self._lists: BoundedCache[int, Lists] = BoundedCache(template_bytes // 2, _list_cost)
        self._templates = TemplateCache(template_bytes // 2)
        self._scratch = Scratch()

    @property
    def remembered_bytes(self) -> int:
        """About how much memory is spent on what repeats."""
        return self._labels.size + self._lists.size + self._templates.size

    def size_of(self, body: bytes, *, content_type: str, content_encoding: str) -> int:
        """The bytes of memory a message will take once decompressed. Raises IngestError as `decode`."""
        version_of(content_type)
        check_encoding(content_encoding)
        return checked_length(body, self._limits.message_bytes)

    def decode(self, body: bytes, *, content_type: str, content_encoding: str) -> Received:
        """What a request carries.

        Raises IngestError with status 400 (malformed), 413 (too big) or 415 (not snappy protobuf).
        """
        version = version_of(content_type)
        check_encoding(content_encoding)
        length = checked_length(body, self._limits.message_bytes)
        memory = self._scratch.take(length)
        try:
            data = decompress(body, memory, length)
            block = self._templates.find(version, data)
            if block is not None:
                return Received(version, block)
            return self._first(data) if version is Version.V1 else self._second(data)
        except DecodeError as error:
            raise IngestError(f"not a remote write {version}.0 message: {error}") from error
        finally:
            self._scratch.give(memory)

    def _first(self, data: Bytes) -> Received:
        raw = data.tobytes()
        _check_fields(raw, self._limits.series)
        request = v1.SplitRequest.FromString(raw)
        self._check_series(len(request.timeseries))
        bodies = list(request.timeseries)
        columns = framing.read_series(bodies, self._labels, self._limits)
        received = self._received(Version.V1, columns, list(notes_of(request.metadata)))
        self._keep(received, columns, bodies, data, 0)
        return received

    def _second(self, data: Bytes) -> Received:
        raw = data.tobytes()
        _check_fields(raw, 2 * self._limits.series)
        request = v2.SplitRequest.FromString(raw)
        self._check_series(len(request.timeseries))
        bodies = list(request.timeseries)
        columns, notes = second.read_series(list(request.symbols), bodies, self._labels, self._limits)
        received = self._received(Version.V2, columns, notes)
        if columns.places is not None:
            start = len(raw) - int(_framed(bodies).sum())
            if _only_symbols(raw[: max(start, 0)], len(request.symbols)):
                self._keep(received, columns, bodies, data, start)
        return received

    def _received(self, version: Version, columns: Columns, notes: list[Note]) -> Received:
        """The block of the sound series with samples, and the refusals of the others."""
        labels, counts = columns.labels, columns.counts
        times, values = columns.times, columns.values
        refusals: dict[str, Refusal] = {}
        if Flaw in map(type, labels) or (len(counts) and counts.min() == 0):
            refusals = _refusals(labels, counts.tolist())
            sound = np.array([not isinstance(item, Flaw) for item in labels], np.bool_)
            kept = np.repeat(sound, counts)
            times, values = times[kept], values[kept]
            some = sound & (counts > 0)
            labels = [labels[at] for at in np.flatnonzero(some).tolist()]
            counts = counts[some]
        series = np.repeat(np.arange(len(labels), dtype=np.int32), counts)
        series.flags.writeable = False
        block = SampleBlock(self._same_list(cast(list[Labels], labels)), series, times, values)
        return Received(version, block, columns.exemplars, columns.histograms, notes, refusals)

    def _same_list(self, labels: list[Labels]) -> Lists:
        """The label sets as a tuple: the one they came in before, when they came in this order.

        Senders that leave out zeros change their layout from minute to minute, but not the order of their series.
        """
        made = tuple(labels)
        key = hash(tuple(map(id, made)))
        known = self._lists.get(key)
        if known is not None and known == made:
            return known
        self._lists.put(key, made)
        return made

    def _check_series(self, count: int) -> None:
        if count > self._limits.series:
            raise IngestError(
                f"the request has {count} series, more than {self._limits.series}",
                status=413,
                hint="send smaller requests",
            )

    def _keep(
        self, received: Received, columns: Columns, bodies: list[bytes], data: Bytes, start: int
    ) -> None:
        """Remember the layout, when its samples can be found again and it carries nothing else of interest."""
        plain = not (received.refusals or received.exemplars or received.histograms)
        if columns.places is None or not plain or len(received.block.labels) != len(bodies):
            return
        places, form = columns.places
        framed = _framed(bodies)
        # Writers of any other framing use more bytes than this.
        if not form.all() or start + int(framed.sum()) != len(data):
            return
        lengths = np.fromiter(map(len, bodies), np.int64, len(bodies))
        shift = start + np.cumsum(framed - lengths)
        at = places + np.repeat(shift, columns.counts)
        self._templates.keep(received.version, data, at, form, received.block)


def _only_symbols(raw: bytes, count: int) -> bool:
    """Whether these are whole fields with so many symbols and no series: of the others, nothing follows then."""
    try:
        first = v2.SplitRequest.FromString(raw)
    except DecodeError:
        return False
    return len(first.symbols) == count and not first.timeseries


def _framed(bodies: list[bytes]) -> Ints:
    """The length of each series with the tag and length before it, in the shortest form."""
    lengths = np.fromiter(map(len, bodies), np.int64, len(bodies))
    return np.asarray(lengths + 2 + (lengths > 0x7F) + (lengths > 0x3FFF) + (lengths > 0x1FFFFF))


def _check_fields(raw: bytes, most: int) -> None:
    """Refuse large messages of very many tiny fields before protobuf spends memory on each."""
    if len(raw) <= _COUNTED_FROM:
        return
    here, size, count = 0, len(raw), 0
    while here < size:
        here += 1
        length = shift = 0
        while here < size:
            byte = raw[here]
            here += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        here += length
        count += 1
        if count > most:
            raise IngestError(
                f"the request has more than {most} series", status=413, hint="send smaller requests"
            )


def _list_cost(_key: int, lists: Lists) -> int:
    return 300 + 8 * len(lists)


def _refusals(labels: Sequence[Labels | Flaw], counts: Sequence[int]) -> dict[str, Refusal]:
    refusals: dict[str, Refusal] = {}
    for item, count in zip(labels, counts, strict=True):
        if isinstance(item, Flaw):
            so_far = refusals.get(item.reason) or Refusal(0, item.example)
            refusals[item.reason] = Refusal(so_far.samples + count, so_far.example)
    return refusals


def decode(
    body: bytes, *, content_type: str, content_encoding: str, max_bytes: int = RequestLimits().message_bytes
) -> SampleBlock:
    """The samples of a single request, in which every series must be sound; a `Decoder` is for many.

    Raises IngestError with status 400 (malformed), 413 (too big) or 415 (not snappy protobuf).
    """
    decoder = Decoder(RequestLimits(message_bytes=max_bytes))
    received = decoder.decode(body, content_type=content_type, content_encoding=content_encoding)
    for reason, refusal in received.refusals.items():
        raise IngestError(f"a series has unusable labels ({reason}): {refusal.example}")
    return received.block
