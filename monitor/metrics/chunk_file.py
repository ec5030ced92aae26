"""One file of sealed samples of one day: written once, never changed, sound or known to be damaged frame by frame.

Frames in order: `M` what the file is; for each batch of some groups a `T` (their time stamps) and its `V`s (the values
of one metric of these groups); `N` names of series, so that a lost catalog can be rebuilt from the files of a day;
`I` the index of all `T` and `V`; `E` where the index begins. A damaged index is rebuilt from the frames themselves.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cramjam
import numpy as np
import numpy.typing as npt
import orjson

from monitor.metrics.bounded import BoundedCache
from monitor.metrics.codec import unpack_numbers, unpack_times, unpack_values
from monitor.metrics.frames import HEADER_BYTES, header_at, payload_at, scan
from monitor.metrics.interface import Bools, Codes, Ints, Labels
from monitor.metrics.layers import beside, clip
from monitor.metrics.piece import Piece

MAGIC = b"ZCHK"
RAW = 0
BATCH = struct.Struct("<cIqqq")
CHUNK = struct.Struct("<cIBII")
END = struct.Struct("<cQ")
_LENGTH = struct.Struct("<I")
_INDEX_COLUMNS = 10
_MOST_KEPT = 64

Arrays = tuple[npt.NDArray[Any], ...]
Decoded = BoundedCache[tuple[Path, int], Arrays]


@dataclass(frozen=True, slots=True)
class About:
    """What a file is: `level` 0 sealed, 1 compacted; `replaces` the names of the files it was made from."""

    seal: int
    level: int
    created_ms: int
    replaces: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Index:
    """Where things are. Batches [b]: offset, slot_ms, low_ms, high_ms. Chunks [c]: at, batch, aspect; chunk c has
    the series series[first[c]:first[c + 1]]. `named` are the series whose names the file has. `damaged` are the
    offsets of what is not sound, if the index had to be rebuilt.
    """

    offset: Ints
    slot_ms: Ints
    low_ms: Ints
    high_ms: Ints
    at: Ints
    batch: Ints
    aspect: Ints
    first: Ints
    series: Codes
    named: Codes
    damaged: Sequence[int] = ()

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return self.series.nbytes + self.named.nbytes + 64 * len(self.at)

    def chunks(self, wanted: Bools, aspect: int, after_ms: int, until_ms: int) -> Ints:
        """The chunks of an aspect that have wanted series and may have samples in (after_ms, until_ms]."""
        alive = (self.low_ms <= until_ms) & (self.high_ms > after_ms)
        chosen = alive[self.batch] & (self.aspect == aspect)
        if not chosen.any():
            return np.empty(0, np.int64)
        asked = np.add.reduceat(mask_of(self.series, wanted), self.first[:-1], dtype=np.int64)
        return np.flatnonzero(chosen & (asked > 0))


@dataclass(frozen=True, slots=True)
class Found:
    """Samples of one slot."""

    slot_ms: int
    piece: Piece


class ChunkFile:
    """Reads one file. Any thread; the file is opened for each reading."""

    __slots__ = ("__weakref__", "level", "path", "seal", "size")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seal, self.level = parse_name(path)
        self.size = path.stat().st_size

    def index(self) -> Index:
        """The index, rebuilt from the frames when it is damaged. Raises OSError."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            tail = HEADER_BYTES + END.size
            end = payload_at(os.pread(descriptor, tail, max(size - tail, 0)), 0, MAGIC)
            if end is not None and end[:1] == b"E":
                _, at = END.unpack(end)
                payload = payload_at(os.pread(descriptor, size - tail - at, at), 0, MAGIC)
                if payload is not None and payload[:1] == b"I":
                    return _index_of(payload)
            return _rebuilt(os.pread(descriptor, size, 0))
        finally:
            os.close(descriptor)

    def about(self) -> About:
        """What the file says about itself; what its name says when that is damaged. Raises OSError."""
        with self.path.open("rb") as file:
            header = header_at(head := file.read(HEADER_BYTES), 0, MAGIC)
            payload = payload_at(head + file.read(header[0]), 0, MAGIC) if header else None
        return _about_of(payload) if payload else About(self.seal, self.level, 0)

    def read(
        self,
        index: Index,
        chunks: Ints,
        wanted: Bools,
        interval: tuple[int, int],
        decoded: Decoded | None = None,
    ) -> tuple[list[Found], list[int]]:
        """The samples of some chunks in (after, until], and the offsets of damaged frames. Raises OSError.

        `decoded` remembers frames, for the next chart of the same devices; not when many are read.
        """
        kept = decoded if decoded is not None and len(chunks) <= _MOST_KEPT else None
        damaged: list[int] = []
        found: list[Found] = []
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            batches = index.batch[chunks]
            for batch in np.unique(batches).tolist():
                offset = int(index.offset[batch])
                times = self._decoded(descriptor, offset, _times, kept)
                if times is None:
                    damaged.append(offset)
                    continue
                stamps, rows = times
                pieces = []
                for chunk in chunks[batches == batch].tolist():
                    values = self._decoded(descriptor, int(index.at[chunk]), _values, kept)
                    if values is None:
                        damaged.append(int(index.at[chunk]))
                        continue
                    pieces.append(_piece(values, stamps, rows, wanted))
                if pieces:
                    piece = clip(beside(pieces), *interval)
                    if len(piece.values):
                        found.append(Found(int(index.slot_ms[batch]), piece))
        finally:
            os.close(descriptor)
        return found, damaged

    def names(self) -> tuple[list[tuple[int, Labels]], int]:
        """The names in the file, and how many of its frames are damaged. Raises OSError."""
        frames, damaged = scan(self.path.read_bytes(), MAGIC)
        names = [name for _, payload in frames if payload[:1] == b"N" for name in unpack_names(payload[1:])]
        return names, len(damaged)

    def _decoded(
        self, descriptor: int, at: int, decode: Callable[[bytes], Arrays], kept: Decoded | None
    ) -> Arrays | None:
        """A frame as arrays, None when it is damaged."""
        known = kept.get((self.path, at)) if kept is not None else None
        if known is None:
            payload = self._frame(descriptor, at)
            if payload is None:
                return None
            known = decode(payload)
            if kept is not None:
                kept.put((self.path, at), known)
        return known

    @staticmethod
    def _frame(descriptor: int, at: int) -> bytes | None:
        header = header_at(os.pread(descriptor, HEADER_BYTES, at), 0, MAGIC)
        if header is None:
            return None
        return payload_at(os.pread(descriptor, HEADER_BYTES + header[0], at), 0, MAGIC)


def file_name(seal: int, level: int) -> str:
    """The name of a file in the folder of its day."""
    return f"{seal:08d}-{level}.chunks"


def parse_name(path: Path) -> tuple[int, int]:
    """The number of the sealing and the level of a file. Raises ValueError for another name."""
    seal, level = path.stem.split("-")
    return int(seal), int(level)


def mask_of(series: Codes, wanted: Bools) -> Bools:
    """Which of the series are wanted; numbers beyond the mask are not."""
    if len(series) and int(series.max()) < len(wanted):
        return np.asarray(wanted[series])
    inside = series < len(wanted)
    return np.asarray(wanted[np.where(inside, series, 0)] & inside) if len(wanted) else inside


def pack_names(names: Sequence[tuple[int, Labels]]) -> bytes:
    """Series numbers with their label sets: each label pair once, each series as the places of its pairs."""
    pairs: dict[tuple[str, str], int] = {}
    rows = [[number, *(pairs.setdefault(pair, len(pairs)) for pair in labels)] for number, labels in names]
    return bytes(cramjam.zstd.compress(orjson.dumps([list(pairs), rows]), 3))


def unpack_names(data: bytes) -> list[tuple[int, Labels]]:
    """The names that were packed."""
    listed, rows = orjson.loads(bytes(cramjam.zstd.decompress(data)))
    pairs = [(name, value) for name, value in listed]
    return [(row[0], tuple([pairs[place] for place in row[1:]])) for row in rows]


def pack_sections(sections: Sequence[bytes]) -> bytes:
    """Byte strings one after the other, each with its length."""
    return b"".join([_LENGTH.pack(len(section)) + section for section in sections])


def unpack_sections(data: bytes) -> list[bytes]:
    """The byte strings that were packed."""
    sections = []
    at = 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        sections.append(data[at : at + length])
        at += length
    return sections


def series_of(payload: bytes) -> Codes:
    """The series of a `V` frame."""
    _, _, _, length, _ = CHUNK.unpack_from(payload)
    return unpack_numbers(payload[CHUNK.size : CHUNK.size + length]).astype(np.int32)


def _times(payload: bytes) -> Arrays:
    return unpack_times(payload[BATCH.size :])


def _values(payload: bytes) -> Arrays:
    """The series of a `V` frame, their groups and their values."""
    _, _, _, names, groups = CHUNK.unpack_from(payload)
    at = CHUNK.size + names
    group = unpack_numbers(payload[at : at + groups]).astype(np.int32)
    return series_of(payload), group, unpack_values(payload[at + groups :])


def _piece(frame: Arrays, stamps: Ints, rows: Ints, wanted: Bools) -> Piece:
    series, group, values = frame
    mine = mask_of(series, wanted)
    if not mine.all():
        series, group, values = series[mine], group[mine], values[:, mine]
    return Piece(series, group, rows, stamps, values)


def _about_of(payload: bytes) -> About:
    seal, level, created_ms, replaces = orjson.loads(payload[1:])
    return About(seal, level, created_ms, replaces)


def _index_of(payload: bytes) -> Index:
    columns = [unpack_numbers(section) for section in unpack_sections(payload[1:])]
    offset, slot, low, high, at, batch, aspect, count, series, named = columns[:_INDEX_COLUMNS]
    first = np.concatenate([[0], np.cumsum(count)])
    return Index(
        offset, slot, low, high, at, batch, aspect, first, series.astype(np.int32), named.astype(np.int32)
    )


def _rebuilt(data: bytes) -> Index:
    """The index of what is sound in a file whose own is not."""
    frames, damaged = scan(data, MAGIC)
    batches: dict[int, tuple[int, int, int, int]] = {}
    chunks: list[tuple[int, int, int]] = []
    series: list[Codes] = []
    named: list[int] = []
    for at, payload in frames:
        if payload[:1] == b"T":
            _, number, slot, low, high = BATCH.unpack_from(payload)
            batches[number] = (at, slot, low, high)
        elif payload[:1] == b"V":
            _, batch, aspect, _, _ = CHUNK.unpack_from(payload)
            if batch in batches:
                chunks.append((at, batch, aspect))
                series.append(series_of(payload))
        elif payload[:1] == b"N":
            named += [number for number, _ in unpack_names(payload[1:])]
    numbers = {number: place for place, number in enumerate(sorted(batches))}
    table = np.array([batches[number] for number in numbers], np.int64).reshape(-1, 4)
    where = np.array([(at, numbers[batch], aspect) for at, batch, aspect in chunks], np.int64).reshape(-1, 3)
    first = np.concatenate([[0], np.cumsum([len(part) for part in series], dtype=np.int64)])
    flat = np.concatenate([np.empty(0, np.int32), *series])
    offset, slot, low, high = table.T
    chunk, batch, aspect = where.T
    return Index(
        offset,
        slot,
        low,
        high,
        chunk,
        batch,
        aspect,
        first,
        flat,
        np.array(named, np.int32),
        damaged or [len(data)],
    )
