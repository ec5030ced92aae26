"""Writing one file of sealed samples: batches of groups, chunks of one metric, names, index, all at once in place.

A batch has at least eight groups (polled devices) and some hundred series, so that each chunk is worth compressing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import orjson

from monitor.metrics.chunk_file import BATCH, CHUNK, END, MAGIC, RAW, About, pack_names, pack_sections
from monitor.metrics.codec import pack_numbers, pack_times, pack_values
from monitor.metrics.frames import Disk, sync_folder, wrap, write_all
from monitor.metrics.interface import Codes, Ints, Labels
from monitor.metrics.piece import Piece

_BATCH_GROUPS = 8
_BATCH_SERIES = 256
_WIDTH = 128
_NAMES_A_FRAME = 20_000
_BUFFER = 1 << 20


class ChunkWriter:
    """Writes one file under a temporary name; `finish` puts it in place. Every method raises OSError."""

    def __init__(self, path: Path, about: About, disk: Disk) -> None:
        self.path = path
        self._disk = disk
        self._temporary = path.with_name(f"{path.name}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._buffer: list[bytes] = []
        self._buffered = self._size = 0
        self._batches: list[tuple[int, int, int, int]] = []
        self._chunks: list[tuple[int, int, int, int]] = []
        self._series: list[Codes] = []
        self._named: list[int] = []
        self._metrics: dict[str, int] = {}
        fields = (about.seal, about.level, about.created_ms, list(about.replaces))
        self._put(b"M" + orjson.dumps(fields))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was not finished."""
        if self._file >= 0:
            os.close(self._file)
            self._temporary.unlink(missing_ok=True)

    @property
    def empty(self) -> bool:
        """Whether no sample was added."""
        return not self._chunks

    @property
    def series(self) -> Codes:
        """The series that have samples in it, ascending."""
        return np.unique(np.concatenate([np.empty(0, np.int32), *self._series]))

    def _put(self, payload: bytes) -> int:
        data = wrap(MAGIC, payload)
        at = self._size
        self._buffer.append(data)
        self._buffered += len(data)
        self._size += len(data)
        if self._buffered >= _BUFFER:
            self._flush()
        return at

    def _flush(self) -> None:
        write_all(self._disk, self._file, b"".join(self._buffer))
        self._buffer.clear()
        self._buffered = 0

    def add(self, slot_ms: int, piece: Piece, metric: Sequence[str], aspect: int = RAW) -> None:
        """Samples of one slot; metric [m] names the metric of each series."""
        known = self._metrics
        codes = np.array([known.setdefault(name, len(known)) for name in metric], np.int64)
        batch_of, local = _batches(piece)
        batches = batch_of[piece.group]
        order = np.lexsort((piece.series, codes, batches))
        starts = _boundaries(batches[order], codes[order])
        current = number = -1
        depth = 0
        for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
            columns = order[start:end]
            if batches[columns[0]] != current:
                current = int(batches[columns[0]])
                groups = np.flatnonzero(batch_of == current)
                number, depth = self._times(slot_ms, piece, groups)
            self._values(number, aspect, piece, depth, columns, local)

    def _times(self, slot_ms: int, piece: Piece, groups: Ints) -> tuple[int, int]:
        rows = piece.rows[groups]
        depth = int(rows.max(initial=0))
        times = piece.timestamps[:depth, groups]
        there = times[np.arange(depth)[:, None] < rows]
        span = int(there.min(initial=0)), int(there.max(initial=0))
        number = len(self._batches)
        at = self._put(BATCH.pack(b"T", number, slot_ms, *span) + pack_times(times, rows))
        self._batches.append((at, slot_ms, *span))
        return number, depth

    def _values(self, batch: int, aspect: int, piece: Piece, depth: int, columns: Ints, local: Ints) -> None:
        series = piece.series[columns].astype(np.int32)
        names = pack_numbers(series)
        groups = pack_numbers(local[piece.group[columns]])
        head = CHUNK.pack(b"V", batch, aspect, len(names), len(groups))
        at = self._put(head + names + groups + pack_values(piece.values[:depth, columns]))
        self._chunks.append((at, batch, aspect, len(series)))
        self._series.append(series)

    def name(self, series: Sequence[tuple[int, Labels]]) -> None:
        """Note the names of series."""
        for first in range(0, len(series), _NAMES_A_FRAME):
            part = series[first : first + _NAMES_A_FRAME]
            self._put(b"N" + pack_names(part))
            self._named += [number for number, _ in part]

    def finish(self) -> None:
        """Complete the file and put it in its place, on disk."""
        batches = np.array(self._batches, np.int64).reshape(-1, 4)
        chunks = np.array(self._chunks, np.int64).reshape(-1, 4)
        series = np.concatenate([np.empty(0, np.int64), *self._series])
        columns = (*batches.T, *chunks.T, series, np.array(self._named, np.int64))
        at = self._put(b"I" + pack_sections([pack_numbers(column) for column in columns]))
        self._put(END.pack(b"E", at))
        self._flush()
        self._disk.sync(self._file)
        os.close(self._file)
        self._file = -1
        self._temporary.replace(self.path)
        sync_folder(self.path.parent)


def _batches(piece: Piece) -> tuple[Ints, Ints]:
    """The batch of each group (-1 for one without series), and its place in the batch."""
    width = len(piece.rows)
    count = np.bincount(piece.group, minlength=width)
    lowest = np.full(width, np.iinfo(np.int64).max)
    np.minimum.at(lowest, piece.group, piece.series)
    batch_of = np.full(width, -1, np.int64)
    local = np.zeros(width, np.int64)
    batch = members = held = 0
    for group in np.argsort(lowest, kind="stable")[: int((count > 0).sum())].tolist():
        if members >= _BATCH_GROUPS and held >= _BATCH_SERIES:
            batch, members, held = batch + 1, 0, 0
        batch_of[group] = batch
        members += 1
        held += int(count[group])
    order = np.argsort(batch_of, kind="stable")
    begins = np.flatnonzero(np.diff(batch_of[order], prepend=-2))
    local[order] = np.arange(width) - np.repeat(begins, np.diff(begins, append=width))
    return batch_of, local


def _boundaries(batches: Ints, codes: Ints) -> list[int]:
    """Where chunks begin in sorted columns: a new batch or metric, or one that is wide enough."""
    new = np.ones(len(batches), np.bool_)
    new[1:] = (batches[1:] != batches[:-1]) | (codes[1:] != codes[:-1])
    starts = np.flatnonzero(new)
    rank = np.arange(len(batches)) - np.repeat(starts, np.diff(starts, append=len(batches)))
    found: list[int] = np.flatnonzero(rank % _WIDTH == 0).tolist()
    return found
