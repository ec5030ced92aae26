"""Frames: how every file of the metric store tells sound bytes from damaged ones.

A frame is a 16-byte header (magic of the kind of file, payload length, CRC-32 of the payload, CRC-32 of the header so
far; little endian) and the payload. A reader that meets a damaged frame goes on at the next sound one.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Protocol

HEADER = struct.Struct("<4sIII")
HEADER_BYTES = HEADER.size
MAX_PAYLOAD = 1 << 30


class Disk(Protocol):
    """What the store asks of the operating system when it writes; tests hand in one that fails."""

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


def wrap(magic: bytes, payload: bytes) -> bytes:
    """The bytes of one frame."""
    start = HEADER.pack(magic, len(payload), zlib.crc32(payload), 0)[:12]
    return start + zlib.crc32(start).to_bytes(4, "little") + payload


def header_at(data: bytes, at: int, magic: bytes) -> tuple[int, int] | None:
    """Payload length and CRC of the header at an offset, None when there is no sound header."""
    if at + HEADER_BYTES > len(data) or data[at : at + 4] != magic:
        return None
    _, length, crc, check = HEADER.unpack_from(data, at)
    if zlib.crc32(data[at : at + 12]) != check or length > MAX_PAYLOAD:
        return None
    return length, crc


def payload_at(data: bytes, at: int, magic: bytes) -> bytes | None:
    """The payload of the frame at an offset, None when it is not sound."""
    header = header_at(data, at, magic)
    if header is None:
        return None
    length, crc = header
    start = at + HEADER_BYTES
    payload = data[start : start + length]
    return payload if len(payload) == length and zlib.crc32(payload) == crc else None


def next_sound(data: bytes, at: int, magic: bytes) -> int | None:
    """The offset of the first sound frame at or after an offset."""
    at = data.find(magic, at)
    while at >= 0:
        if payload_at(data, at, magic) is not None:
            return at
        at = data.find(magic, at + 1)
    return None


def scan(data: bytes, magic: bytes) -> tuple[list[tuple[int, bytes]], list[int]]:
    """Every sound frame as (offset, payload), and the offsets where damaged stretches begin."""
    found: list[tuple[int, bytes]] = []
    damaged: list[int] = []
    at = 0
    while at < len(data):
        payload = payload_at(data, at, magic)
        if payload is not None:
            found.append((at, payload))
            at += HEADER_BYTES + len(payload)
            continue
        damaged.append(at)
        onward = next_sound(data, at + 1, magic)
        if onward is None:
            break
        at = onward
    return found, damaged


def write_all(disk: Disk, descriptor: int, data: bytes) -> None:
    """Write everything, however little the system takes at a time. Raises OSError."""
    done = 0
    while done < len(data):
        done += disk.write(descriptor, data[done:] if done else data)


def replace_file(path: Path, data: bytes, disk: Disk) -> None:
    """Put a file in the place of another, on disk and all at once. Raises OSError; then the old one is still there."""
    temporary = path.with_name(f"{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(disk, descriptor, data)
        disk.sync(descriptor)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names created in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
