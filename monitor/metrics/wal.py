"""The write-ahead log: frames in segment files, on disk within a second or when somebody waits for it.

A frame is a 16-byte header (magic, payload length, CRC-32 of the payload, CRC-32 of the header so far; little
endian) and a Snappy-compressed payload. The reader cuts a torn tail (an append that never finished, so never
acknowledged), skips a damaged frame by looking for the next sound one, and keeps a damaged segment aside in
`quarantine/` before it writes the sound frames back.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import cramjam
import structlog

from monitor.metrics import frames
from monitor.metrics.errors import StorageError
from monitor.metrics.frames import HEADER_BYTES, Disk, SystemDisk, replace_file, sync_folder, write_all

__all__ = [
    "HEADER_BYTES",
    "Disk",
    "Reading",
    "Segment",
    "SystemDisk",
    "WriteAheadLog",
    "frame",
    "frame_at",
    "header_at",
    "is_torn",
    "next_sound",
    "read_frames",
    "sync_folder",
]

MAGIC = b"ZWAL"
_FIRST_RETRY_SECONDS = 0.2
_LAST_RETRY_SECONDS = 30.0
SEGMENT_BYTES = 16 << 20
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Segment:
    """One file of the log. `newest_ms` is the newest time stamp in it: it may go when all of that is sealed."""

    path: Path
    size: int = 0
    newest_ms: int = -(2**62)

    @property
    def number(self) -> int:
        """Its place in the log."""
        return int(self.path.stem)


@dataclass(frozen=True, slots=True)
class Reading:
    """The sound payloads of one segment, the bytes that are not, and how many damaged stretches there are."""

    payloads: list[bytes]
    torn_bytes: int
    damaged: int


def frame(payload: bytes) -> bytes:
    """The bytes of one frame."""
    return frames.wrap(MAGIC, bytes(cramjam.snappy.compress_raw(payload)))


def read_frames(data: bytes) -> Reading:
    """Every sound frame of a segment, whatever happened to the others."""
    payloads: list[bytes] = []
    damaged = 0
    at = 0
    while at < len(data):
        found = frame_at(data, at)
        if found is not None:
            payload, at = found
            payloads.append(payload)
            continue
        onward = next_sound(data, at + 1)
        if onward is None:
            torn = len(data) - at
            return Reading(payloads, torn, damaged + (not is_torn(data, at)))
        damaged += 1
        at = onward
    return Reading(payloads, 0, damaged)


def header_at(data: bytes, at: int) -> tuple[int, int] | None:
    """Payload length and CRC of the header at an offset, None when there is no sound header."""
    return frames.header_at(data, at, MAGIC)


def frame_at(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The payload at an offset and the offset after it, None when it is not sound."""
    packed = frames.payload_at(data, at, MAGIC)
    if packed is None:
        return None
    return bytes(cramjam.snappy.decompress_raw(packed)), at + HEADER_BYTES + len(packed)


def next_sound(data: bytes, at: int) -> int | None:
    """The offset of the first sound frame at or after an offset."""
    return frames.next_sound(data, at, MAGIC)


def is_torn(data: bytes, at: int, magic: bytes = MAGIC) -> bool:
    """Whether what is left is an append cut short (or never written blocks) and not damage."""
    if len(data) - at < HEADER_BYTES or not any(data[at:]):
        return True
    header = frames.header_at(data, at, magic)
    return header is not None and at + HEADER_BYTES + header[0] > len(data)


@dataclass(frozen=True, slots=True)
class _Unsynced:
    """Frames that are written but not promised; `end` is the position behind them."""

    end: int
    data: bytes
    newest_ms: int
    segment: Segment


class WriteAheadLog:
    """Appends frames and syncs them in groups. `append` is called under the store's lock, waiting is not."""

    def __init__(self, folder: Path, *, disk: Disk | None = None, sync_seconds: float = 1.0) -> None:
        self._folder = folder
        self._disk = disk or SystemDisk()
        self._sync_seconds = sync_seconds
        folder.mkdir(parents=True, exist_ok=True)
        self.segments = [Segment(path, path.stat().st_size) for path in sorted(folder.glob("*.seg"))]
        self._last = int(self.segments[-1].path.stem) if self.segments else 0
        self.retire: Callable[[Path], None] = _unlink
        self._file = -1
        self._written = 0
        self._synced = 0
        self._wanted = 0
        self._unsynced: deque[_Unsynced] = deque()
        self._rotated: list[int] = []
        self._new_name = False
        self._failed: OSError | None = None
        self._retry_at = 0.0
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._closing = False
        self._state = threading.Condition()
        self._thread = threading.Thread(target=self._flush_loop, name="wal-flusher", daemon=True)

    @property
    def size(self) -> int:
        """Size of all segments."""
        return sum(segment.size for segment in self.segments)

    def recover(self) -> Iterator[tuple[Segment, Reading]]:
        """Read every segment, oldest first, mending damaged ones on the way. Before `start`."""
        for segment in list(self.segments):
            if not segment.size:
                # The newest one's number is free again: numbers have no gaps, so that a reader notices a lost segment.
                self._last -= segment is self.segments[-1]
                segment.path.unlink()
                self.segments.remove(segment)
                continue
            data = segment.path.read_bytes()
            reading = read_frames(data)
            if reading.damaged:
                self._set_aside(segment, data)
            if reading.damaged or reading.torn_bytes:
                _log.warning(
                    "wal segment mended",
                    segment=segment.path.name,
                    torn_bytes=reading.torn_bytes,
                    damaged=reading.damaged,
                )
                replace_file(segment.path, b"".join(map(frame, reading.payloads)), SystemDisk())
                segment.size = segment.path.stat().st_size
            yield segment, reading

    def _set_aside(self, segment: Segment, data: bytes) -> None:
        aside = self._folder / "quarantine"
        aside.mkdir(exist_ok=True)
        replace_file(aside / f"{segment.path.stem}-{zlib.crc32(data):08x}.seg", data, SystemDisk())

    def start(self) -> None:
        """Open a new segment and start the flusher."""
        self._rotate()
        self._thread.start()

    def append(self, payload: bytes, newest_ms: int, *more: bytes) -> None:
        """Write one frame, or several; on disk after `wait`. Raises StorageError, and then nothing was appended."""
        data = b"".join([frame(payload), *map(frame, more)])
        with self._state:
            if self._failed is not None:
                raise _storage_error(self._failed, self._folder)
            if self.segments[-1].size >= SEGMENT_BYTES:
                self._rotate()
            segment = self.segments[-1]
            try:
                write_all(self._disk, self._file, data)
            except OSError as error:
                self._undo(segment)
                raise _storage_error(error, segment.path) from error
            segment.size += len(data)
            segment.newest_ms = max(segment.newest_ms, newest_ms)
            self._written += len(data)
            self._unsynced.append(_Unsynced(self._written, data, newest_ms, segment))

    def _undo(self, segment: Segment) -> None:
        """Take back a half-written frame; if not even that works the segment is given up."""
        try:
            os.ftruncate(self._file, segment.size)
            os.lseek(self._file, segment.size, os.SEEK_SET)
        except OSError as error:
            _log.error("cannot cut a half-written frame", segment=segment.path.name, error=str(error))
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        """Refuse everything until the flusher has written what is not yet promised to a new segment."""
        self._failed = error
        self._retry_at = monotonic() + self._retry_seconds
        self._state.notify_all()

    def rotate(self) -> int:
        """Go on in a new segment, so that the present one can be removed some day; the number of the open one.

        Raises StorageError; then the present segment stays the open one.
        """
        with self._state:
            if self._failed is not None:
                raise _storage_error(self._failed, self._folder)
            if self.segments and self.segments[-1].size:
                self._rotate()
            return self._last

    def _rotate(self) -> None:
        """Nobody waits for the disk here: the flusher syncs the old segment and the new name."""
        path = self._next_path()
        try:
            file = _create(path)
        except OSError as error:
            raise _storage_error(error, path) from error
        self._new_name = True
        self._go_on(file, Segment(path))

    def _next_path(self) -> Path:
        return self._folder / f"{self._last + 1:08d}.seg"

    def _go_on(self, file: int, segment: Segment) -> None:
        if self._file >= 0:
            self._rotated.append(self._file)
        self._file = file
        self._last += 1
        self.segments.append(segment)

    def _reopen(self) -> None:
        """After a failure: write every frame that is not promised yet to a new segment.

        What the kernel could not write it may forget while it says all is well from then on, so the old files are
        trusted only as far as they were synced before.
        """
        path = self._next_path()
        file = -1
        try:
            file = _create(path)
            write_all(self._disk, file, b"".join([one.data for one in self._unsynced]))
            self._disk.sync(file)
            sync_folder(self._folder)
        except OSError as error:
            if file >= 0:
                os.close(file)
                path.unlink(missing_ok=True)
            self._retry_seconds = min(2 * self._retry_seconds, _LAST_RETRY_SECONDS)
            self._fail(error)
            return
        self._cut_back()
        size = sum(len(one.data) for one in self._unsynced)
        newest = max((one.newest_ms for one in self._unsynced), default=-(2**62))
        self._go_on(file, Segment(path, size, newest))
        self._close_rotated()
        self._synced = self._written
        self._unsynced.clear()
        self._failed = None
        self._retry_seconds = _FIRST_RETRY_SECONDS
        _log.info("the metric log is written again", segment=path.name)

    def _cut_back(self) -> None:
        """Cut the segments that were given up to what was synced, as far as the disk lets us."""
        for one in self._unsynced:
            one.segment.size -= len(one.data)
        for segment in {one.segment.path: one.segment for one in self._unsynced}.values():
            try:
                os.truncate(segment.path, segment.size)
            except OSError as error:
                _log.warning(
                    "cannot cut a segment that was given up", path=str(segment.path), error=str(error)
                )

    def _close_rotated(self) -> None:
        while self._rotated:
            os.close(self._rotated.pop())

    def _flush_loop(self) -> None:
        """Sync once a second, or at once when somebody waits: all who wait meanwhile share the next sync."""
        while True:
            with self._state:
                if not self._closing and self._failed is not None:
                    self._state.wait(max(self._retry_at - monotonic(), 0.001))
                elif not self._closing and self._wanted <= self._synced:
                    self._state.wait(self._sync_seconds)
                if self._closing:
                    return
                if self._failed is not None:
                    if monotonic() >= self._retry_at:
                        self._reopen()
                        self._state.notify_all()
                    continue
                target = self._written
                if target <= self._synced:
                    continue
                files = [*self._rotated, os.dup(self._file)]
                self._rotated = []
                new_name, self._new_name = self._new_name, False
            failure = self._sync(files, new_name=new_name)
            with self._state:
                if failure is None:
                    self._synced = max(self._synced, target)
                    while self._unsynced and self._unsynced[0].end <= self._synced:
                        self._unsynced.popleft()
                elif target > self._synced:
                    self._fail(failure)
                self._state.notify_all()

    def _sync(self, files: list[int], *, new_name: bool) -> OSError | None:
        """Sync and close descriptors, oldest first, then the names."""
        try:
            for descriptor in files:
                self._disk.sync(descriptor)
            if new_name:
                sync_folder(self._folder)
        except OSError as error:
            _log.error("the metric log cannot be synced", error=str(error))
            return error
        finally:
            for descriptor in files:
                os.close(descriptor)
        return None

    def position(self) -> int:
        """Bytes appended so far; hand it to `wait`."""
        return self._written

    def wait(self, position: int) -> None:
        """Return when everything up to a position is on disk. Raises StorageError when the sync failed."""
        with self._state:
            self._wanted = max(self._wanted, position)
            self._state.notify_all()
            while self._synced < position:
                if self._failed is not None:
                    raise _storage_error(self._failed, self._folder)
                self._state.wait(1.0)

    def remove_before(self, boundary_ms: int, segment: int | None = None) -> None:
        """Retire the segments, oldest first, whose samples are all older than a boundary; not the open one.

        With a `segment` only those with a lower number. `retire` deletes them unless somebody who still has to
        read them was put in its place.
        """
        with self._state:
            closed = self.segments[:-1]
            limit = self._last if segment is None else segment
            done = [s for s in closed if s.newest_ms < boundary_ms and s.number < limit]
            for gone in done:
                self.retire(gone.path)
            self.segments = [*(s for s in closed if s not in done), self.segments[-1]]

    def close(self) -> None:
        """Sync and release. Raises StorageError when the last sync failed."""
        try:
            self.wait(self._written)
        finally:
            with self._state:
                self._closing = True
                self._state.notify_all()
            self._thread.join()
            self._close_rotated()
            os.close(self._file)


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _storage_error(error: OSError, path: Path) -> StorageError:
    return StorageError(
        f"cannot write the metric log: {error.strerror or error}",
        where=str(path),
        hint="free disk space or replace the disk; senders keep their samples until then",
        zh=f"{path}：指标日志写入失败（{error.strerror or error}）；请清理磁盘空间或更换磁盘，采集端会保留数据并重试",
    )
