"""Compaction: once a day is two days old its files become one, with chunks of the whole day, and two rollups.

New files are complete and on disk before they take the place of the old ones, which are deleted when their last reader
is done; a crash in between leaves files that say they replace others. Samples that came late for a day that was
compacted before are a reason to do it again. What is damaged is left out, and the file it was in kept in `quarantine`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import structlog

from monitor.clock import to_datetime
from monitor.metrics.chunk_file import About, ChunkFile, file_name
from monitor.metrics.chunk_writer import ChunkWriter
from monitor.metrics.chunks import DAY_MS, ChunkStore
from monitor.metrics.frames import Disk
from monitor.metrics.history import FIVE_MINUTES_MS, HOUR_MS, History
from monitor.metrics.index import SeriesIndex
from monitor.metrics.interface import Bools, Codes
from monitor.metrics.layers import stack
from monitor.metrics.piece import Piece, is_present
from monitor.metrics.rollup import rollups

_SETTLED_MS = 3_600_000
_MOST_FILES = 32
_NIGHT = (1, 5)
_SERIES_AT_ONCE = 2048
_log = structlog.get_logger(__name__)


def due_day(chunks: ChunkStore, now_ms: int) -> int | None:
    """The oldest day that is at least two days old, not compacted, and at rest for an hour.

    At night by the machine's clock; by day only what is a day behind already.
    """
    night = _NIGHT[0] <= to_datetime(now_ms).astimezone().hour < _NIGHT[1]
    limit = now_ms // DAY_MS * DAY_MS - (2 if night else 3) * DAY_MS
    for day in sorted(chunks.files):
        files = chunks.files[day]
        if day > limit or not any(file.level == 0 for file in files):
            continue
        newest = max(_created(file) for file in files)
        if len(files) > _MOST_FILES or newest <= now_ms - _SETTLED_MS:
            return day
    return None


def _created(file: ChunkFile) -> int:
    try:
        return file.about().created_ms
    except OSError:
        # Reported by whoever reads samples from it; here it only means that there is no reason to wait.
        return 0


@dataclass(slots=True)
class _Outputs:
    """The three files being written, coarsest last."""

    raw: ChunkWriter
    rolled: dict[int, ChunkWriter]
    samples: int = 0

    def add(self, day_ms: int, piece: Piece, index: SeriesIndex, lasting: Bools) -> None:
        """All samples of some series on one day."""
        metric = [index.metric[number] for number in piece.series.tolist()]
        self.raw.add(day_ms, piece, metric)
        self.samples += int(is_present(piece.values).sum())
        kept = np.flatnonzero(
            (piece.series < len(lasting)) & lasting[np.minimum(piece.series, len(lasting) - 1)]
        )
        some = Piece(
            piece.series[kept], piece.group[kept], piece.rows, piece.timestamps, piece.values[:, kept]
        )
        for step, rolled in rollups(some, [metric[at] for at in kept.tolist()], list(self.rolled)):
            self.rolled[step].add(day_ms, rolled.piece, rolled.metric, rolled.aspect)


def compact(
    history: History, day_ms: int, index: SeriesIndex, lasting: Bools, now_ms: int, disk: Disk
) -> int:
    """Compact and roll up one day; the number of its samples. Raises OSError; then the day is as it was.

    `lasting` says by series number which live long enough to be rolled up: those that come and go within a day are
    not, for their names would have to be kept for years.
    """
    files = history.raw.files.get(day_ms, ())
    if not any(file.level == 0 for file in files):
        return 0
    seal = max(file.seal for file in files)
    about = About(seal, 1, now_ms, _others(files, file_name(seal, 1)))
    steps = {FIVE_MINUTES_MS: history.five_minutes, HOUR_MS: history.hours}
    with ExitStack() as held:
        raw = held.enter_context(ChunkWriter(history.raw.path(day_ms) / file_name(seal, 1), about, disk))
        rolled = {
            step: held.enter_context(
                ChunkWriter(store.path(day_ms) / file_name(seal, 1), _replacing(about, store, day_ms), disk)
            )
            for step, store in steps.items()
        }
        outputs = _Outputs(raw, rolled)
        for numbers in _portions(history.raw, files):
            wanted = np.zeros(int(numbers.max()) + 1, np.bool_)
            wanted[numbers] = True
            layers = history.raw.read({day_ms: files}, wanted, day_ms - 1, day_ms + DAY_MS - 1)
            if layers:
                outputs.add(day_ms, stack(layers), index, lasting)
        _set_aside(history.raw, files)
        for step, writer in rolled.items():
            if not writer.empty:
                _finish(writer, index)
                steps[step].replace(day_ms, steps[step].files.get(day_ms, ()), writer.path)
        _finish(raw, index)
        history.raw.replace(day_ms, files, raw.path)
    _log.info("a day of samples was compacted", day=raw.path.parent.name, samples=outputs.samples)
    return outputs.samples


def _others(files: Sequence[ChunkFile], own: str) -> list[str]:
    """The names of the files a new one replaces; never its own, though it may take the place of its namesake."""
    return [file.path.name for file in files if file.path.name != own]


def _replacing(about: About, store: ChunkStore, day_ms: int) -> About:
    own = file_name(about.seal, about.level)
    return About(about.seal, about.level, about.created_ms, _others(store.files.get(day_ms, ()), own))


def _finish(writer: ChunkWriter, index: SeriesIndex) -> None:
    numbers = writer.series.tolist()
    writer.name([(number, index.labels[number]) for number in numbers if index.labels[number]])
    writer.finish()


def _portions(chunks: ChunkStore, files: Sequence[ChunkFile]) -> Iterator[Codes]:
    """The series of a day, some at a time, those of a device together as the newest file has them."""
    orders = []
    for file in reversed(files):
        index = chunks.index(file)
        if index is not None:
            batch = np.repeat(index.batch, np.diff(index.first))
            orders.append(index.series[np.argsort(batch, kind="stable")])
    series = np.concatenate([np.empty(0, np.int32), *orders])
    _, first = np.unique(series, return_index=True)
    ordered = series[np.sort(first)]
    for at in range(0, len(ordered), _SERIES_AT_ONCE):
        yield ordered[at : at + _SERIES_AT_ONCE]


def _set_aside(chunks: ChunkStore, files: Sequence[ChunkFile]) -> None:
    """Keep the files in which something is damaged; compacting leaves that out for good."""
    for file in files:
        if chunks.is_damaged(file):
            aside = chunks.folder.parent / "quarantine" / f"{file.path.parent.name}-{file.path.name}"
            aside.parent.mkdir(exist_ok=True)
            if not aside.exists():
                try:
                    os.link(file.path, aside)
                except OSError:
                    shutil.copyfile(file.path, aside)
