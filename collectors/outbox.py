"""Store and forward: what was polled lies on disk before it counts as polled, and leaves only when the core has it.

A lane is a folder of append-only segment files of frames, oldest first:

    magic "ZHSP" | payload bytes u32 | entries u32 | CRC-32 of entries and payload u32 | payload     (little endian)

`append` returns when write(2) took the frame, so it survives kill -9 of this process; `sync`, called at most once a
second, makes it survive a power cut. A torn last frame is cut off at start, a damaged one is skipped and counted.
The cursor (first frame not yet acknowledged) is a small file replaced by rename; when it is lost, frames are sent
again, which the store counts as duplicates. A full lane refuses (OutboxFull), it never overwrites.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from monitor.errors import ZhishouError

MAGIC = b"ZHSP"
HEADER = struct.Struct("<4sIII")
MAX_PAYLOAD = 32 << 20
SEGMENT_BYTES = 8 << 20
log = structlog.get_logger(__name__)


class OutboxFull(ZhishouError):  # noqa: N818 - the state is what callers wait for
    """The lane is at its size cap, or the disk is full: the caller must wait, or count what it drops."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a lane: byte `offset` of segment number `segment`."""

    segment: int
    offset: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One stored payload of so many entries (samples or events); `end` is where the next frame begins."""

    payload: bytes
    entries: int
    end: Position


@dataclass(frozen=True, slots=True)
class LaneState:
    """Numbers about a lane. `pending_*` is what was not acknowledged yet."""

    pending_entries: int
    pending_bytes: int
    corrupt_frames: int


class Lane:
    """One ordered queue on disk. Safe for several writers and one reader."""

    def __init__(self, folder: Path, *, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = min(segment_bytes, max(1, max_bytes // 4))
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._corrupt = 0
        self._damage_seen = Position(0, 0)
        self._dirty = False
        self._closed = False
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sizes = self._recover()
        self._cursor = self._load_cursor()
        self._descriptor = self._open_segment(max(self._sizes))
        self._pending_entries = self._count_pending()

    def append(self, payload: bytes, entries: int) -> Position:
        """Store one frame and return its end. OutboxFull when there is no room; nothing is written then."""
        if not payload or len(payload) > MAX_PAYLOAD:
            raise ValueError(f"a frame of {len(payload)} bytes")
        frame = HEADER.pack(MAGIC, len(payload), entries, _checksum(entries, payload)) + payload
        with self._lock:
            if self._closed:
                raise _full(self._folder, "closed")
            if self._pending_bytes() + len(frame) > self._max_bytes:
                raise _full(self._folder, f"at its cap of {self._max_bytes} bytes")
            number = max(self._sizes)
            if self._sizes[number] and self._sizes[number] + len(frame) > self._segment_bytes:
                number = self._next_segment(number)
            self._write(number, frame)
            self._pending_entries += entries
            self._dirty = True
            self._arrived.notify_all()
            return Position(number, self._sizes[number])

    def read(self, *, max_bytes: int, max_entries: int) -> list[Frame]:
        """The oldest unacknowledged frames, at least one when there is any, within both limits."""
        with self._lock:
            limits = dict(self._sizes)
            place = self._cursor
        frames: list[Frame] = []
        size = entries = 0
        while (frame := self._next(place, limits)) is not None:
            size += len(frame.payload)
            entries += frame.entries
            if frames and (size > max_bytes or entries > max_entries):
                break
            frames.append(frame)
            place = frame.end
        if not frames and limits:
            self._skip_unreadable(limits)
        return frames

    def acknowledge(self, frames: Sequence[Frame]) -> None:
        """Forget frames the other side has; they are the oldest ones, as read."""
        if not frames:
            return
        with self._lock:
            self._pending_entries = max(0, self._pending_entries - sum(frame.entries for frame in frames))
            self._move(frames[-1].end)

    def acknowledged(self, position: Position) -> bool:
        """Whether everything before this position was acknowledged."""
        with self._lock:
            return self._cursor >= position

    def wait(self, seconds: float) -> bool:
        """Wait until something is there to read; False when the time is over."""
        with self._lock:
            if self._pending_bytes() == 0:
                self._arrived.wait(seconds)
            return self._pending_bytes() > 0

    def wake(self) -> None:
        """Let a waiting reader return at once."""
        with self._lock:
            self._arrived.notify_all()

    def sync(self) -> None:
        """Make everything appended survive a power cut."""
        with self._lock:
            dirty, self._dirty = self._dirty and not self._closed, False
            descriptor = os.dup(self._descriptor) if dirty else -1
        if dirty:
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def state(self) -> LaneState:
        """Numbers for metrics and heartbeats."""
        with self._lock:
            return LaneState(self._pending_entries, self._pending_bytes(), self._corrupt)

    def close(self) -> None:
        """Flush and release; later appends are refused."""
        self.sync()
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._descriptor)

    # -- files ------------------------------------------------------------------------------------------------

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:016d}.seg"

    def _recover(self) -> dict[int, int]:
        """Sizes by segment; the newest is cut after its last whole frame."""
        sizes = {int(path.stem): path.stat().st_size for path in self._folder.glob("*.seg")}
        if not sizes:
            return {1: 0}
        newest = max(sizes)
        data = self._path(newest).read_bytes()
        whole = _whole_length(data)
        if whole < len(data):
            log.warning("torn end of the spool cut off", segment=newest, bytes=len(data) - whole)
            os.truncate(self._path(newest), whole)
            sizes[newest] = whole
        return sizes

    def _load_cursor(self) -> Position:
        oldest = Position(min(self._sizes), 0)
        try:
            document = json.loads((self._folder / "cursor").read_text("ascii"))
            cursor = Position(int(document["segment"]), int(document["offset"]))
        except FileNotFoundError:
            return oldest
        except (ValueError, KeyError, TypeError, OSError) as error:
            log.warning("the spool cursor is unreadable, everything is sent again", reason=str(error))
            return oldest
        newest = max(self._sizes)
        if cursor.segment > newest or cursor.offset > self._sizes.get(cursor.segment, 0):
            # The last second before a power cut is lost, but was sent: continue after it.
            return Position(newest, self._sizes[newest]) if cursor.segment >= newest else oldest
        return max(cursor, oldest)

    def _count_pending(self) -> int:
        place, total = self._cursor, 0
        while (frame := self._next(place, self._sizes)) is not None:
            total += frame.entries
            place = frame.end
        return total

    def _pending_bytes(self) -> int:
        later = sum(size for number, size in self._sizes.items() if number > self._cursor.segment)
        return later + self._sizes.get(self._cursor.segment, 0) - self._cursor.offset

    def _open_segment(self, number: int) -> int:
        descriptor = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # or a power cut forgets the file's name
        finally:
            os.close(folder)
        return descriptor

    def _next_segment(self, number: int) -> int:
        os.fdatasync(self._descriptor)
        os.close(self._descriptor)
        self._sizes[number + 1] = 0
        self._descriptor = self._open_segment(number + 1)
        return number + 1

    def _write(self, number: int, frame: bytes) -> None:
        start = self._sizes[number]
        try:
            done = 0
            while done < len(frame):
                done += os.write(self._descriptor, frame[done:])
        except OSError as error:
            os.ftruncate(self._descriptor, start)
            raise _full(self._folder, error.strerror or "cannot be written") from error
        self._sizes[number] = start + len(frame)

    def _move(self, place: Position) -> None:
        self._cursor = place
        for number in sorted(self._sizes):
            if number < place.segment:
                self._path(number).unlink(missing_ok=True)
                del self._sizes[number]
        temporary = self._folder / "cursor.new"
        temporary.write_text(json.dumps({"segment": place.segment, "offset": place.offset}), "ascii")
        temporary.replace(self._folder / "cursor")

    # -- reading ----------------------------------------------------------------------------------------------

    def _next(self, place: Position, limits: dict[int, int]) -> Frame | None:
        """The first sound frame at or after a place; damaged ones in between are counted once, at reading."""
        for number in sorted(n for n in limits if n >= place.segment):
            offset = place.offset if number == place.segment else 0
            if offset >= limits[number]:
                continue
            with self._path(number).open("rb") as file:
                found = _sound_frame(file.fileno(), offset, limits[number])
            if found is None:
                self._count_damage(number, offset, limits[number])
                continue
            start, end, entries, payload = found
            if start > offset:
                self._count_damage(number, offset, start)
            return Frame(payload, entries, Position(number, end))
        return None

    def _count_damage(self, number: int, start: int, end: int) -> None:
        """A damaged part is met again at every reading until it is passed; it counts once."""
        if Position(number, start) < self._damage_seen:
            return
        self._damage_seen = Position(number, end)
        self._corrupt += 1
        log.error(
            "damaged part of the spool skipped", lane=self._folder.name, segment=number, start=start, end=end
        )

    def _skip_unreadable(self, limits: dict[int, int]) -> None:
        """When what is left holds no sound frame, go past it, so that it is not counted again."""
        newest = max(limits)
        end = Position(newest, limits[newest])
        with self._lock:
            if self._cursor < end:
                self._move(end)


class Outbox:
    """The two lanes of a collector: metrics and events, each in its own order and with its own share of the room."""

    def __init__(self, folder: Path, *, metric_bytes: int = 4 << 30, event_bytes: int = 512 << 20) -> None:
        self.metrics = Lane(folder / "metrics", max_bytes=metric_bytes)
        self.events = Lane(folder / "events", max_bytes=event_bytes)

    def sync(self) -> None:
        """Make both lanes survive a power cut."""
        self.metrics.sync()
        self.events.sync()

    def close(self) -> None:
        """Flush and release both."""
        self.metrics.close()
        self.events.close()


def _checksum(entries: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(entries.to_bytes(4, "little")))


def _whole_length(data: bytes) -> int:
    """Where the last whole frame ends; damage before it does not matter here."""
    end = place = 0
    while (found := _find(data, place)) is not None:
        end = place = found[1]
    return end


def _find(data: bytes, place: int) -> tuple[int, int, int, bytes] | None:
    """The first sound frame in `data` at or after `place`: start, end, entries, payload."""
    while (start := data.find(MAGIC, place)) >= 0:
        if start + HEADER.size <= len(data):
            _, length, entries, checksum = HEADER.unpack_from(data, start)
            end = start + HEADER.size + length
            payload = data[start + HEADER.size : end]
            if length <= MAX_PAYLOAD and end <= len(data) and _checksum(entries, payload) == checksum:
                return start, end, entries, payload
        place = start + 1
    return None


def _sound_frame(descriptor: int, offset: int, limit: int) -> tuple[int, int, int, bytes] | None:
    """As `_find`, in a file: the header tells how much to read; only after damage the whole rest is searched."""
    head = os.pread(descriptor, HEADER.size, offset)
    if len(head) == HEADER.size:
        magic, length, entries, checksum = HEADER.unpack(head)
        end = offset + HEADER.size + length
        if magic == MAGIC and end <= limit:
            payload = os.pread(descriptor, length, offset + HEADER.size)
            if _checksum(entries, payload) == checksum:
                return offset, end, entries, payload
    found = _find(os.pread(descriptor, limit - offset, offset), 1)
    if found is None:
        return None
    start, end, entries, payload = found
    return offset + start, offset + end, entries, payload


def _full(folder: Path, reason: str) -> OutboxFull:
    return OutboxFull(
        f"the spool is {reason}",
        where=str(folder),
        hint="restore the connection to the core or give the spool more room",
        zh=f"采集缓冲区已满({folder.name});请恢复到中心的连接或扩大缓冲区",
    )
