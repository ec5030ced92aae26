"""Copies of a store that is in use, and the check of every checksum in a store or a copy.

A copy is taken from the files alone, so another process can do it. Log first, then catalog, then day files; when the
catalog was replaced meanwhile, or a file went away, everything is taken again. Files that never change are linked.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monitor.errors import InputError
from monitor.metrics import catalog, chunk_file, frames, wal
from monitor.metrics.errors import StorageError
from monitor.metrics.frames import sync_folder

_TRIES = 10


def snapshot(source: Path, destination: Path) -> None:
    """Copy the store in `source` to `destination`, which must not exist or be empty. Everything on disk before the
    call is in the copy. Raises InputError, or StorageError when the disk does not take it.
    """
    if not (source / "catalog").is_dir() and not (source / "wal").is_dir():
        raise InputError(
            "there is no metric store", where=str(source), hint="name the folder `metrics` of a data folder"
        )
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise InputError("the folder is not empty", where=str(destination), hint="name a new folder")
    partial = destination.with_name(f"{destination.name}.partial")
    try:
        for _ in range(_TRIES):
            shutil.rmtree(partial, ignore_errors=True)
            if _copied(source, partial):
                partial.replace(destination)
                sync_folder(destination.parent)
                return
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise StorageError(
            f"cannot copy the metric store: {error.strerror or error}",
            where=str(destination),
            hint="free disk space or name another folder",
            zh=f"{destination}：指标数据备份失败（{error.strerror or error}）；请清理磁盘空间或更换目录",
        ) from error
    shutil.rmtree(partial, ignore_errors=True)
    raise StorageError("the metric store kept changing", where=str(source), hint="try again later")


def _expect_store(folder: Path) -> None:
    if not (folder / "catalog").is_dir() and not (folder / "wal").is_dir():
        raise InputError(
            "there is no metric store", where=str(folder), hint="name the folder `metrics` of a data folder"
        )


def _copied(source: Path, partial: Path) -> bool:
    """Whether a copy was taken that is of one piece."""
    before = _state(source)
    try:
        _copy_log(source / "wal", partial / "wal")
        for name in ("names", "state"):
            path = source / "catalog" / name
            if path.exists():
                _copy(path, partial / "catalog" / name)
        for path in sorted((source / "chunks").glob("*/*/*.chunks")):
            _link(path, partial / path.relative_to(source))
    except FileNotFoundError:
        return False
    (partial / "catalog").mkdir(parents=True, exist_ok=True)
    for folder in (partial, *(path for path in partial.rglob("*") if path.is_dir())):
        sync_folder(folder)
    return _state(source) == before


def _state(source: Path) -> bytes:
    try:
        return (source / "catalog" / "state").read_bytes()
    except FileNotFoundError:
        return b""


def _copy_log(source: Path, destination: Path) -> None:
    segments = sorted(source.glob("*.seg"))
    destination.mkdir(parents=True)
    for path in segments[:-1]:
        _link(path, destination / path.name)
    for path in segments[-1:]:
        _copy(path, destination / path.name)


def _copy(source: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reading, destination.open("wb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.fsync(writing.fileno())


def _link(source: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, destination)
    except FileNotFoundError:
        raise
    except OSError:
        # Another file system, or one without links.
        _copy(source, destination)


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of a file that is not what was written."""

    file: str
    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verified:
    """How much was read, and what is damaged."""

    files: int
    frames: int
    bytes: int
    damage: tuple[Damage, ...]


def verify(folder: Path) -> Verified:
    """Read every checksum of the store in a folder, in use or not. Raises InputError when there is none."""
    if not (folder / "catalog").is_dir() and not (folder / "wal").is_dir():
        raise InputError(
            "there is no metric store", where=str(folder), hint="name the folder `metrics` of a data folder"
        )
    files = count = size = 0
    damage: list[Damage] = []
    for path, magic in _files(folder):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            # Sealed, compacted or outdated since it was listed.
            continue
        found, damaged = frames.scan(data, magic)
        files, count, size = files + 1, count + len(found), size + len(data)
        name = str(path.relative_to(folder))
        # Whoever appends at this moment has not finished the last frame: that is no damage.
        growing = magic in {wal.MAGIC, catalog.MAGIC} and path.name != "state"
        damage.extend(
            Damage(name, at, "checksum does not match")
            for at in damaged
            if not (growing and wal.is_torn(data, at, magic))
        )
        if magic == chunk_file.MAGIC and not damaged and (not found or found[-1][1][:1] != b"E"):
            damage.append(Damage(name, len(data), "the end is missing"))
    return Verified(files, count, size, tuple(damage))


def _files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted((folder / "wal").glob("*.seg")):
        yield path, wal.MAGIC
    for name in ("names", "state"):
        if (folder / "catalog" / name).exists():
            yield folder / "catalog" / name, catalog.MAGIC
    for path in sorted((folder / "chunks").glob("*/*/*.chunks")):
        yield path, chunk_file.MAGIC
