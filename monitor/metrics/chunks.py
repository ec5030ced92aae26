"""Sealed samples of one resolution: a folder a day, in it files that are written once (see chunk_file).

Every sealing adds a file to the days it has samples of; compaction puts one file in the place of a day's files. A file
carries the number of the sealing that wrote it. Where files overlap the lower number, stored first, wins. Files that
are replaced or too old are deleted when the last reader is done with them. What is damaged is left out, counted and
logged; the rest is served.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import structlog

from monitor.metrics.bounded import BoundedCache
from monitor.metrics.chunk_file import RAW, ChunkFile, Decoded, Found, Index, mask_of
from monitor.metrics.interface import Bools, Codes, Labels
from monitor.metrics.layers import Layer, columns_of, merge, piece_of, split
from monitor.metrics.piece import Columns

SLOT_MS = 7_200_000
DAY_MS = 86_400_000
_CACHED_BYTES = 48 << 20
_DECODED_BYTES = 32 << 20
_log = structlog.get_logger(__name__)

Files = Mapping[int, tuple[ChunkFile, ...]]


class ChunkStore:
    """The days of one folder. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._indexes: OrderedDict[Path, Index] = OrderedDict()
        self._decoded: Decoded = BoundedCache(
            _DECODED_BYTES, lambda _, arrays: sum(array.nbytes for array in arrays)
        )
        self._damaged: set[tuple[str, str, int]] = set()
        self._guard = threading.Lock()
        self._files: dict[int, tuple[ChunkFile, ...]] = {}
        for path in sorted(folder.glob("*/*.tmp")):
            path.unlink()
        for path in sorted(folder.glob("*/*.chunks")):
            self._add(path)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for files in self._files.values() for file in files)

    @property
    def damaged(self) -> Counter[str]:
        """What was found damaged since the store was opened, by kind: chunk, index, file."""
        with self._guard:
            return Counter(kind for _, kind, _ in self._damaged)

    def is_damaged(self, file: ChunkFile) -> bool:
        """Whether something in a file was found damaged."""
        name = f"{file.path.parent.name}/{file.path.name}"
        with self._guard:
            return any(known == name for known, _, _ in self._damaged)

    @property
    def files(self) -> Files:
        """The files by the beginning of their day, in the order of their sealings; never changed, only replaced."""
        return self._files

    def path(self, day_ms: int) -> Path:
        """The folder of a day."""
        return self.folder / f"{datetime.fromtimestamp(day_ms / 1000, UTC):%Y-%m-%d}"

    def _add(self, path: Path) -> None:
        day = day_of(path)
        with self._guard:
            files = (*self._files.get(day, ()), ChunkFile(path))
            self._files = {
                **self._files,
                day: tuple(sorted(files, key=lambda file: (file.seal, -file.level))),
            }

    def add(self, paths: Iterable[Path]) -> None:
        """Show finished files to readers."""
        for path in paths:
            self._add(path)

    def forget_after(self, seal: int) -> None:
        """Remove what is not valid: files of sealings later than `seal`, and those another file has replaced."""
        for day, files in self._files.items():
            replaced = {
                name
                for file in files
                if file.level
                for name in file.about().replaces
                if name != file.path.name
            }
            self._remove(day, [f for f in files if f.seal > seal or f.path.name in replaced])

    def replace(self, day_ms: int, old: Sequence[ChunkFile], new: Path) -> None:
        """Show one finished file in the place of others, which go."""
        with self._guard:
            files = [file for file in self._files.get(day_ms, ()) if file not in old]
            files = sorted([*files, ChunkFile(new)], key=lambda file: (file.seal, -file.level))
            self._files = {**self._files, day_ms: tuple(files)}
            self._indexes.pop(new, None)
        for file in old:
            if file.path != new:
                self._doom(file)

    def remove_before(self, limit_ms: int) -> None:
        """Delete the files of days that ended before a time."""
        for day, files in self._files.items():
            if day + DAY_MS <= limit_ms:
                self._remove(day, files)

    def _remove(self, day_ms: int, gone: Sequence[ChunkFile]) -> None:
        if gone:
            with self._guard:
                kept = tuple(file for file in self._files[day_ms] if file not in gone)
                others = {day: files for day, files in self._files.items() if day != day_ms}
                self._files = {**others, day_ms: kept} if kept else others
            for file in gone:
                self._doom(file)

    def _doom(self, file: ChunkFile) -> None:
        """Delete a file as soon as nobody reads it any more."""
        with self._guard:
            self._indexes.pop(file.path, None)
        weakref.finalize(file, _unlink, file.path)

    def index(self, file: ChunkFile) -> Index | None:
        """The index of a file, remembered; None when the file cannot be read at all."""
        with self._guard:
            known = self._indexes.get(file.path)
            if known is not None:
                self._indexes.move_to_end(file.path)
                return known
        try:
            index = file.index()
        except OSError as error:
            self._report(file.path, "file", 0, str(error))
            return None
        for at in index.damaged:
            self._report(file.path, "index", at, "checksum does not match; the index was rebuilt")
        with self._guard:
            self._indexes[file.path] = index
            while sum(known.size for known in self._indexes.values()) > _CACHED_BYTES:
                self._indexes.popitem(last=False)
        return index

    def read(
        self, files: Files, wanted: Bools, after_ms: int, until_ms: int, aspect: int = RAW
    ) -> list[Layer]:
        """Layers of samples in (after_ms, until_ms] of the files that were there at some time.

        `wanted` says for each series number whether it is asked for.
        """
        layers: list[Layer] = []
        if wanted.any():
            for day in sorted(files):
                if day <= until_ms and day + DAY_MS > after_ms:
                    found = self._read_day(files[day], wanted, (after_ms, until_ms), aspect)
                    layers.extend(_layers(found))
        return layers

    def _read_day(
        self, files: Sequence[ChunkFile], wanted: Bools, interval: tuple[int, int], aspect: int
    ) -> list[tuple[int, int, Found]]:
        """(length of the slot, sealing, samples) of one day, in the order of the sealings."""
        found = []
        for file in files:
            index = self.index(file)
            if index is None:
                continue
            chunks = index.chunks(wanted, aspect, *interval)
            if not len(chunks):
                continue
            try:
                pieces, damaged = file.read(index, chunks, wanted, interval, self._decoded)
            except OSError as error:
                self._report(file.path, "file", 0, str(error))
                continue
            for at in damaged:
                self._report(file.path, "chunk", at, "checksum does not match")
            length = DAY_MS if file.level else SLOT_MS
            found += [(length, file.seal, piece) for piece in pieces]
        return found

    def series_in(self, files: Iterable[ChunkFile]) -> Codes:
        """The series that have samples in some files."""
        indexes = [index for file in files if (index := self.index(file)) is not None]
        return np.unique(np.concatenate([np.empty(0, np.int32), *(index.series for index in indexes)]))

    def named(self, day_ms: int) -> Codes:
        """The series whose names are in the files of a day."""
        indexes = [index for file in self._files.get(day_ms, ()) if (index := self.index(file)) is not None]
        return np.unique(np.concatenate([np.empty(0, np.int32), *(index.named for index in indexes)]))

    def names(self) -> dict[int, Labels]:
        """Every name in every file, for a catalog that was lost."""
        names: dict[int, Labels] = {}
        for files in self._files.values():
            for file in files:
                try:
                    found, damaged = file.names()
                except OSError as error:
                    self._report(file.path, "file", 0, str(error))
                    continue
                names.update(found)
                if damaged:
                    self._report(file.path, "index", 0, "some frames are damaged")
        return names

    def _report(self, path: Path, kind: str, offset: int, reason: str) -> None:
        key = (f"{path.parent.name}/{path.name}", kind, offset)
        with self._guard:
            if key in self._damaged:
                return
            self._damaged.add(key)
        _log.error(
            "sealed samples are damaged and left out", file=key[0], part=kind, offset=offset, reason=reason
        )


def day_of(path: Path) -> int:
    """The beginning of the day a file is of."""
    return int(datetime.strptime(path.parent.name, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) * 1000


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
    if not any(path.parent.iterdir()):
        path.parent.rmdir()


def _layers(found: Sequence[tuple[int, int, Found]]) -> list[Layer]:
    """The samples of one day as layers: slots that overlap are one stretch, merged where series are in it twice."""
    ordered = sorted(found, key=lambda part: (part[2].slot_ms, -part[0], part[1]))
    stretches: list[list[tuple[int, Found]]] = []
    end = -1
    for length, seal, part in ordered:
        if part.slot_ms >= end:
            stretches.append([])
        stretches[-1].append((seal, part))
        end = max(end, part.slot_ms + length)
    return [layer for stretch in stretches for layer in _stretch(stretch)]


def _stretch(parts: Sequence[tuple[int, Found]]) -> list[Layer]:
    """One stretch of time; series in several pieces get one merged piece, the others keep theirs."""
    pieces = [part.piece for _, part in parts]
    numbers, times = np.unique(np.concatenate([piece.series for piece in pieces]), return_counts=True)
    twice = numbers[times > 1]
    if not len(twice):
        return [pieces]
    wanted = np.zeros(int(numbers[-1]) + 1, np.bool_)
    wanted[twice] = True
    layer: Layer = []
    sources: list[tuple[int, Columns]] = []
    for seal, part in parts:
        doubled, alone = split(part.piece, mask_of(part.piece.series, wanted))
        layer.extend([alone] if alone else [])
        sources.extend([(seal, columns_of([doubled]))] if doubled else [])
    merged = merge([columns for _, columns in sorted(sources, key=lambda source: source[0])])
    return [[*layer, piece_of(merged.columns)]]
