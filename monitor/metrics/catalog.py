"""The catalog: names of the series, how far each is sealed, and the number of the last finished sealing.

Two files in one folder. `names` is appended to: frames of new names, frames of series that are gone; it is written
anew when much of it is gone. `state` is replaced as a whole, and that is what makes a sealing count: files of later
sealings are removed when the store is opened again, and the log still has their samples. Nothing here is the only
copy: the day files have the names of their series, so a damaged catalog is kept aside and rebuilt.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import structlog

from monitor.metrics.chunk_file import pack_names, pack_sections, unpack_names, unpack_sections
from monitor.metrics.codec import pack_numbers, unpack_numbers
from monitor.metrics.frames import Disk, payload_at, replace_file, scan, sync_folder, wrap, write_all
from monitor.metrics.interface import Floats, Ints, Labels
from monitor.metrics.wal import is_torn

MAGIC = b"ZCAT"
_NAMES_A_FRAME = 20_000
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Marks:
    """Per series number: the first time stamp ever, the last sealed one, and its value."""

    first_ms: Ints
    last_ms: Ints
    last_value: Floats


@dataclass(frozen=True, slots=True)
class State:
    """Sealing `seal` is the last finished one: what was older than `boundary_ms` and logged in segments before
    `segment` is in the day files. `named` series have names in the catalog.
    """

    seal: int
    boundary_ms: int
    segment: int
    marks: Marks
    named: int = 0


@dataclass(slots=True)
class Loaded:
    """What the catalog says. Without a `state` it must be rebuilt; `damaged` counts stretches of both files."""

    names: dict[int, Labels] = field(default_factory=dict)
    state: State | None = None
    damaged: int = 0
    fresh: bool = False


class Catalog:
    """See the module."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        folder.mkdir(parents=True, exist_ok=True)
        self._names = folder / "names"
        self._state = folder / "state"
        self._live = self._dead = 0

    def load(self) -> Loaded:
        """Read both files; what is damaged is kept aside in `quarantine`."""
        loaded = Loaded(fresh=not self._names.exists() and not self._state.exists())
        if self._names.exists():
            data = self._names.read_bytes()
            frames, damaged = scan(data, MAGIC)
            for _, payload in frames:
                if payload[:1] == b"N":
                    loaded.names.update(unpack_names(payload[1:]))
                else:
                    for number in unpack_numbers(payload[1:]).tolist():
                        self._dead += loaded.names.pop(number, None) is not None
            if damaged and is_torn(data, damaged[-1], MAGIC):
                # An append that was never finished, so it never counted.
                os.truncate(self._names, damaged.pop())
            if damaged:
                self._set_aside(self._names, data, len(damaged))
                loaded.damaged += len(damaged)
        self._live = len(loaded.names)
        if self._state.exists():
            data = self._state.read_bytes()
            state = payload_at(data, 0, MAGIC)
            if state is None:
                self._set_aside(self._state, data, 1)
                loaded.damaged += 1
            else:
                loaded.state = _unpack_state(state)
                if loaded.state.named > len(loaded.names) and not loaded.damaged:
                    _log.error("names are missing in the catalog", named=loaded.state.named)
                    loaded.damaged += 1
        return loaded

    def _set_aside(self, path: Path, data: bytes, damaged: int) -> None:
        aside = self._folder / "quarantine"
        aside.mkdir(exist_ok=True)
        (aside / f"{path.name}-{zlib.crc32(data):08x}").write_bytes(data)
        _log.error("the catalog is damaged and is rebuilt", file=path.name, damaged=damaged)

    def save(self, state: State, new: Sequence[tuple[int, Labels]], gone: Sequence[int]) -> None:
        """Finish a sealing. Raises OSError when the disk does not take it; then nothing counts."""
        frames = _name_frames(new)
        if gone:
            frames.append(b"G" + pack_numbers(np.array(gone, np.int64)))
        if frames:
            self._append(b"".join([wrap(MAGIC, frame) for frame in frames]))
        self._live += len(new) - len(gone)
        self._dead += len(gone)
        replace_file(self._state, wrap(MAGIC, _pack_state(state, self._live)), self._disk)

    def _append(self, data: bytes) -> None:
        created = not self._names.exists()
        descriptor = os.open(self._names, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            try:
                write_all(self._disk, descriptor, data)
                self._disk.sync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if created:
            sync_folder(self._folder)

    @property
    def wasteful(self) -> bool:
        """Whether more names are gone than left."""
        return self._dead > self._live

    def rewrite(self, names: Iterable[tuple[int, Labels]]) -> None:
        """Write the names anew. Raises OSError; then the old file is still there."""
        listed = list(names)
        frames = [wrap(MAGIC, frame) for frame in _name_frames(listed)]
        replace_file(self._names, b"".join(frames), self._disk)
        self._live, self._dead = len(listed), 0


def _name_frames(names: Sequence[tuple[int, Labels]]) -> list[bytes]:
    return [b"N" + pack_names(names[at : at + _NAMES_A_FRAME]) for at in range(0, len(names), _NAMES_A_FRAME)]


def _pack_state(state: State, named: int) -> bytes:
    marks = state.marks
    numbers = orjson.dumps([state.seal, state.boundary_ms, state.segment, named])
    return b"S" + pack_sections(
        (
            numbers,
            pack_numbers(marks.first_ms),
            pack_numbers(marks.last_ms),
            marks.last_value.astype("<f8").tobytes(),
        )
    )


def _unpack_state(payload: bytes) -> State:
    numbers, first, last, value = unpack_sections(payload[1:])
    marks = Marks(unpack_numbers(first), unpack_numbers(last), np.frombuffer(value, "<f8").copy())
    seal, boundary_ms, segment, named = orjson.loads(numbers)
    return State(seal, boundary_ms, segment, marks, named)
