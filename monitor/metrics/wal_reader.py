"""Reading the write-ahead log from outside the store: every sound frame after a position, each once.

A reader falls behind when what it forwards to is down, so segments that the store needs no more are not deleted but
moved to `kept/` inside the folder of the log (`WriteAheadLog.retire` = `WalReader.retire`), where the store does not
replay them. The reader releases them when it has passed them. One process, any thread; the store goes on appending.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from monitor.metrics.wal import HEADER_BYTES, frame_at, header_at, next_sound

KEPT = "kept"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """How far a reader is: behind the frame at `frame` (its CRC is `crc`) of a segment; `offset` is where it ends.

    The CRC tells a segment that was mended or restored meanwhile from the one that was read: reading then starts
    again at the beginning of the segment, so that a frame is read twice rather than never.
    """

    segment: int = 0
    offset: int = 0
    frame: int = 0
    crc: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """A payload and the position behind it."""

    payload: bytes
    after: Position


@dataclass(frozen=True, slots=True)
class KeptSegment:
    """A segment the store is done with. `written_ms` is when it was last appended to."""

    number: int
    size: int
    written_ms: int


class WalReader:
    """Reads one log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept = folder / KEPT
        self._damaged: set[tuple[int, int]] = set()
        self._missing: set[int] = set()

    @property
    def damaged(self) -> int:
        """Stretches that were skipped because they are not sound."""
        return len(self._damaged)

    @property
    def missing(self) -> int:
        """Segments that were gone before they were read."""
        return len(self._missing)

    def retire(self, path: Path) -> None:
        """Move a segment the store is done with to where only readers look. Raises OSError."""
        self._kept.mkdir(exist_ok=True)
        path.replace(self._kept / path.name)

    def frames(self, position: Position) -> Iterator[Frame]:
        """The frames behind a position, oldest first, up to the newest that is written whole."""
        numbers = self._numbers()
        if numbers and position.segment > numbers[-1]:
            _log.warning("the metric log is older than its reader, which starts again", segment=numbers[-1])
            position = Position()
        if numbers and position.segment:
            self._missing.update(set(range(position.segment + 1, numbers[-1])) - set(numbers))
        for number in numbers:
            if number >= position.segment:
                start = self._resume(position) if number == position.segment else Position(number)
                yield from self._segment(start, growing=number == numbers[-1])

    def pending_bytes(self, position: Position) -> int:
        """Size of what is behind a position, compressed."""
        sizes = self._sizes()
        if not sizes or position.segment > max(sizes):
            return sum(sizes.values())
        passed = min(position.offset, sizes.get(position.segment, 0))
        return sum(size for number, size in sizes.items() if number >= position.segment) - passed

    def kept(self) -> list[KeptSegment]:
        """The segments that only readers need, oldest first."""
        found = []
        for path in sorted(self._kept.glob("*.seg")):
            try:
                status = path.stat()
            except FileNotFoundError:
                # Released meanwhile.
                continue
            found.append(KeptSegment(int(path.stem), status.st_size, status.st_mtime_ns // 1_000_000))
        return found

    def release(self, position: Position) -> None:
        """Delete the kept segments before the one of a position."""
        for segment in self.kept():
            if segment.number < position.segment:
                (self._kept / f"{segment.number:08d}.seg").unlink(missing_ok=True)

    def _segment(self, position: Position, *, growing: bool) -> Iterator[Frame]:
        """The frames of one segment. What is not sound is skipped, but for the unfinished end of a growing one."""
        descriptor = self._open(position.segment)
        if descriptor is None:
            return
        try:
            while True:
                found = _frame(descriptor, position)
                if found is None:
                    onward = _onward(descriptor, position.offset, growing=growing)
                    if onward is None:
                        return
                    self._damaged.add((position.segment, position.offset))
                    position = Position(position.segment, onward, onward)
                    continue
                position = found.after
                yield found
        finally:
            os.close(descriptor)

    def _resume(self, position: Position) -> Position:
        """The position, or the start of its segment when that is not the one that was read."""
        if not position.offset:
            return position
        descriptor = self._open(position.segment)
        if descriptor is None:
            return position
        try:
            header = header_at(os.pread(descriptor, HEADER_BYTES, position.frame), 0)
        finally:
            os.close(descriptor)
        if header == (position.offset - position.frame - HEADER_BYTES, position.crc):
            return position
        _log.warning("a segment of the metric log was replaced and is read again", segment=position.segment)
        return Position(position.segment)

    def _open(self, number: int) -> int | None:
        # Kept last: a segment moves there, never back.
        for path in (self._path(number), self._kept / f"{number:08d}.seg"):
            try:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
        return None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.seg"

    def _numbers(self) -> list[int]:
        return sorted(self._sizes())

    def _sizes(self) -> dict[int, int]:
        sizes: dict[int, int] = {}
        for path in (*self._folder.glob("*.seg"), *self._kept.glob("*.seg")):
            try:
                sizes[int(path.stem)] = path.stat().st_size
            except FileNotFoundError:
                # Moved since it was listed; the second list has it.
                continue
        return sizes


def _frame(descriptor: int, position: Position) -> Frame | None:
    """The frame at the offset of a position, None when there is no sound one (yet)."""
    at = position.offset
    header = header_at(os.pread(descriptor, HEADER_BYTES, at), 0)
    if header is None:
        return None
    length, crc = header
    found = frame_at(os.pread(descriptor, HEADER_BYTES + length, at), 0)
    if found is None:
        return None
    payload, size = found
    return Frame(payload, Position(position.segment, at + size, at, crc))


def _onward(descriptor: int, at: int, *, growing: bool) -> int | None:
    """Where reading goes on behind bytes that are no sound frame, None at the end of the segment."""
    size = os.fstat(descriptor).st_size
    if at >= size or (growing and size - at < HEADER_BYTES):
        return None
    found = next_sound(os.pread(descriptor, size - at, at), 1)
    if found is not None:
        return at + found
    return None if growing else size
