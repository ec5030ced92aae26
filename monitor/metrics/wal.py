"""The write-ahead log: frames in segment files, on disk within a second or when somebody waits for it.

A frame is a 16-byte header (magic, payload length, CRC-32 of the payload, CRC-32 of the header so far; little
endian) and a Snappy-compressed payload. The reader cuts a torn tail (an append that never finished, so never
acknowledged), skips a damaged frame by looking for the next sound one, and keeps a damaged segment aside in
`quarantine/` before it writes the sound frames back.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cramjam
import structlog

from monitor.metrics.errors import StorageError

_MAGIC = b"ZWAL"
_HEADER = struct.Struct("<4sIII")
_MAX_PAYLOAD = 1 << 30
HEADER_BYTES = _HEADER.size
SEGMENT_BYTES = 64 << 20
_log = structlog.get_logger(__name__)


class Disk(Protocol):
    """What the log asks of the operating system; tests hand in one that fails."""

    def write(self, descriptor: int, data: bytes) -> int:
        """os.write"""
        ...

    def sync(self, descriptor: int) -> None:
        """os.fdatasync"""
        ...


class SystemDisk:
    """The real one."""

    __slots__ = ()

    def write(self, descriptor: int, data: bytes) -> int:
        """os.write"""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """os.fdatasync"""
        os.fdatasync(descriptor)


@dataclass(slots=True)
class Segment:
    """One file of the log. `newest_ms` is the newest time stamp in it: it may go when all of that is sealed."""

    path: Path
    size: int = 0
    newest_ms: int = -(2**62)


@dataclass(frozen=True, slots=True)
class Reading:
    """The sound payloads of one segment, the bytes that are not, and how many damaged stretches there are."""

    payloads: list[bytes]
    torn_bytes: int
    damaged: int


def frame(payload: bytes) -> bytes:
    """The bytes of one frame."""
    packed = bytes(cramjam.snappy.compress_raw(payload))
    start = _HEADER.pack(_MAGIC, len(packed), zlib.crc32(packed), 0)[:12]
    return start + zlib.crc32(start).to_bytes(4, "little") + packed


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
            return Reading(payloads, torn, damaged + (not _is_torn(data, at)))
        damaged += 1
        at = onward
    return Reading(payloads, 0, damaged)


def header_at(data: bytes, at: int) -> tuple[int, int] | None:
    """Payload length and CRC of the header at an offset, None when there is no sound header."""
    if at + _HEADER.size > len(data) or data[at : at + 4] != _MAGIC:
        return None
    _, length, crc, check = _HEADER.unpack_from(data, at)
    if zlib.crc32(data[at : at + 12]) != check or length > _MAX_PAYLOAD:
        return None
    return length, crc


def frame_at(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The payload at an offset and the offset after it, None when it is not sound."""
    header = header_at(data, at)
    if header is None:
        return None
    length, crc = header
    start = at + _HEADER.size
    packed = data[start : start + length]
    if len(packed) != length or zlib.crc32(packed) != crc:
        return None
    return bytes(cramjam.snappy.decompress_raw(packed)), start + length


def next_sound(data: bytes, at: int) -> int | None:
    """The offset of the first sound frame at or after an offset."""
    at = data.find(_MAGIC, at)
    while at >= 0:
        if frame_at(data, at) is not None:
            return at
        at = data.find(_MAGIC, at + 1)
    return None


def _is_torn(data: bytes, at: int) -> bool:
    """Whether what is left is an append cut short (or never written blocks) and not damage."""
    if len(data) - at < _HEADER.size or not any(data[at:]):
        return True
    header = header_at(data, at)
    return header is not None and at + _HEADER.size + header[0] > len(data)


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
        self._failed: OSError | None = None
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
                _replace(segment.path, b"".join(map(frame, reading.payloads)))
                segment.size = segment.path.stat().st_size
            yield segment, reading

    def _set_aside(self, segment: Segment, data: bytes) -> None:
        aside = self._folder / "quarantine"
        aside.mkdir(exist_ok=True)
        _replace(aside / f"{segment.path.stem}-{zlib.crc32(data):08x}.seg", data)

    def start(self) -> None:
        """Open a new segment and start the flusher."""
        self._rotate()
        self._thread.start()

    def append(self, payload: bytes, newest_ms: int) -> None:
        """Write one frame; it is on disk after `wait`. Raises StorageError, and then nothing was appended."""
        data = frame(payload)
        with self._state:
            if self._failed is not None:
                raise _storage_error(self._failed, self._folder)
            if self.segments[-1].size >= SEGMENT_BYTES:
                self._rotate()
            segment = self.segments[-1]
            try:
                self._write(data)
            except OSError as error:
                self._undo(segment)
                raise _storage_error(error, segment.path) from error
            segment.size += len(data)
            segment.newest_ms = max(segment.newest_ms, newest_ms)
            self._written += len(data)

    def _write(self, data: bytes) -> None:
        done = 0
        while done < len(data):
            done += self._disk.write(self._file, data[done:])

    def _undo(self, segment: Segment) -> None:
        """Take back a half-written frame; if not even that works nothing more is accepted."""
        try:
            os.ftruncate(self._file, segment.size)
            os.lseek(self._file, segment.size, os.SEEK_SET)
        except OSError as error:
            _log.error("cannot cut a half-written frame", segment=segment.path.name, error=str(error))
            self._failed = error

    def rotate(self) -> None:
        """Go on in a new segment, so that the present one can be removed some day."""
        with self._state:
            if self.segments and self.segments[-1].size:
                self._rotate()

    def _rotate(self) -> None:
        path = self._folder / f"{self._last + 1:08d}.seg"
        if self._file >= 0:
            self._failed = self._failed or self._sync(os.dup(self._file))
            if self._failed is not None:
                raise _storage_error(self._failed, self._folder)
            self._synced = self._written
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            sync_folder(self._folder)
        except OSError as error:
            raise _storage_error(error, path) from error
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        self._last += 1
        self.segments.append(Segment(path))

    def _flush_loop(self) -> None:
        """Sync once a second, or at once when somebody waits: all who wait meanwhile share the next sync."""
        while True:
            with self._state:
                if not self._closing and (self._failed is not None or self._wanted <= self._synced):
                    self._state.wait(self._sync_seconds)
                if self._closing:
                    return
                target = self._written
                if target <= self._synced or self._failed is not None:
                    continue
                descriptor = os.dup(self._file)
            failure = self._sync(descriptor)
            with self._state:
                if failure is None:
                    self._synced = max(self._synced, target)
                else:
                    # What the kernel could not write it may forget, so nothing after it can be promised.
                    self._failed = failure
                self._state.notify_all()

    def _sync(self, descriptor: int) -> OSError | None:
        try:
            self._disk.sync(descriptor)
        except OSError as error:
            _log.error("the metric log cannot be synced", error=str(error))
            return error
        finally:
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

    def remove_before(self, boundary_ms: int) -> None:
        """Retire the segments, oldest first, whose samples are all older than a boundary; not the open one.

        `retire` deletes them unless somebody who still has to read them was put in its place.
        """
        with self._state:
            keep = [s for s in self.segments[:-1] if s.newest_ms >= boundary_ms]
            for segment in self.segments[:-1]:
                if segment.newest_ms < boundary_ms:
                    self.retire(segment.path)
            self.segments = [*keep, self.segments[-1]]

    def close(self) -> None:
        """Sync and release. Raises StorageError when the last sync failed."""
        try:
            self.wait(self._written)
        finally:
            with self._state:
                self._closing = True
                self._state.notify_all()
            self._thread.join()
            os.close(self._file)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names created in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storage_error(error: OSError, path: Path) -> StorageError:
    return StorageError(
        f"cannot write the metric log: {error.strerror or error}",
        where=str(path),
        hint="free disk space or replace the disk; senders keep their samples until then",
        zh=f"{path}：指标日志写入失败（{error.strerror or error}）；请清理磁盘空间或更换磁盘，采集端会保留数据并重试",
    )
