"""One sealing: samples of head and late buffer on their way to files, one for each day they are of.

Nothing of it counts before the catalog says so; a sealing that fails removes what it wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np

from monitor.metrics.catalog import Marks
from monitor.metrics.chunk_file import About, file_name
from monitor.metrics.chunk_writer import ChunkWriter
from monitor.metrics.chunks import DAY_MS, SLOT_MS, ChunkStore
from monitor.metrics.frames import Disk
from monitor.metrics.interface import Codes, Labels
from monitor.metrics.late import LateBuffer, Verdict
from monitor.metrics.layers import columns_of, merge, no_columns, piece_of
from monitor.metrics.piece import HOLE, NEVER, Columns, Piece, Slot, is_present

_SERIES_AT_ONCE = 8192


class Sealing:
    """Use as a context; what was not finished is removed at its end. Raises OSError."""

    def __init__(self, chunks: ChunkStore, about: About, marks: Marks, disk: Disk) -> None:
        self._chunks = chunks
        self._about = about
        self._disk = disk
        self._stack = ExitStack()
        self._writers: dict[int, ChunkWriter] = {}
        self.marks = marks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _writer(self, day_ms: int) -> ChunkWriter:
        writer = self._writers.get(day_ms)
        if writer is None:
            path = self._chunks.path(day_ms) / file_name(self._about.seal, self._about.level)
            writer = self._stack.enter_context(ChunkWriter(path, self._about, self._disk))
            self._writers[day_ms] = writer
        return writer

    def add(self, slot: Slot) -> None:
        """Write what the head had in one slot."""
        newest = int(slot.piece.series.max(initial=-1))
        if newest >= len(self.marks.last_ms):
            self.marks = grown(self.marks, newest + 1)
        note(self.marks, slot.piece)
        self._writer(slot.start_ms // DAY_MS * DAY_MS).add(slot.start_ms, slot.piece, slot.metric)

    def add_late(self, late: Columns, metric: Sequence[str]) -> Verdict:
        """Write the late samples that are new; `metric` by series number. What is stored already is only counted."""
        same = conflicting = 0
        kept: list[Columns] = []
        starts = late.timestamps // SLOT_MS * SLOT_MS
        for start in np.unique(starts).tolist():
            inside = starts == start
            part = Columns(late.series[inside], late.timestamps[inside], late.values[inside])
            verdict = self._unknown(part, start)
            same += verdict.same
            conflicting += verdict.conflicting
            if len(verdict.fresh.series):
                piece = piece_of(verdict.fresh)
                self.add(Slot(start, piece, [metric[number] for number in piece.series.tolist()]))
                kept.append(verdict.fresh)
        return Verdict(merge(kept).columns, same, conflicting)

    def _unknown(self, part: Columns, start_ms: int) -> Verdict:
        """Which samples of one slot are not in the files."""
        numbers = np.unique(part.series)
        stored = [
            self._stored(numbers[at : at + _SERIES_AT_ONCE], start_ms)
            for at in range(0, len(numbers), _SERIES_AT_ONCE)
        ]
        known = LateBuffer()
        for columns in stored:
            known.add(columns)
        return known.judge(part)

    def _stored(self, numbers: Codes, start_ms: int) -> Columns:
        wanted = np.zeros(int(numbers[-1]) + 1, np.bool_)
        wanted[numbers] = True
        layers = self._chunks.read(self._chunks.files, wanted, start_ms - 1, start_ms + SLOT_MS - 1)
        return merge([columns_of(layer) for layer in layers]).columns if layers else no_columns()

    def finish(self, labels: Sequence[Labels], new: Sequence[int]) -> list[Path]:
        """Complete the files, on disk; `labels` by series number. Each day gets the names it lacks, the newest day
        also those of the `new` series, so that no name is in the catalog alone.
        """
        newest = max(self._writers, default=0)
        for day, writer in self._writers.items():
            wanted = np.union1d(writer.series, np.array(new if day == newest else [], np.int32))
            numbers = np.setdiff1d(wanted, self._chunks.named(day)).tolist()
            writer.name([(number, labels[number]) for number in numbers if labels[number]])
        for writer in self._writers.values():
            writer.finish()
        return [writer.path for writer in self._writers.values()]


def note(marks: Marks, piece: Piece) -> None:
    """Remember the newest sample of each series."""
    present = is_present(piece.values)
    if not len(present):
        return
    last = len(present) - 1 - present[::-1].argmax(0)
    times = piece.timestamps[last, piece.group]
    newer = (times > marks.last_ms[piece.series]) & present.any(0)
    series = piece.series[newer]
    marks.last_ms[series] = times[newer]
    marks.last_value[series] = piece.values[last, np.arange(len(last))][newer]
    # Each group begins with its first row, which may be before the sample of a series: early enough for a mark.
    first = piece.timestamps[0, piece.group]
    marks.first_ms[piece.series] = np.minimum(marks.first_ms[piece.series], first)


def grown(marks: Marks, count: int) -> Marks:
    """A copy of the marks for so many series."""
    first_ms = np.full(count, NEVER, np.int64)
    last_ms = np.full(count, -NEVER, np.int64)
    last_value = np.full(count, HOLE, np.float64)
    have = min(count, len(marks.last_ms))
    first_ms[:have] = marks.first_ms[:have]
    last_ms[:have] = marks.last_ms[:have]
    last_value[:have] = marks.last_value[:have]
    return Marks(first_ms, last_ms, last_value)
