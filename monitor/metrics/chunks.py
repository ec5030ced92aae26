"""Sealed samples: one SQLite file a day, in it chunks of up to 96 series of one metric over two hours.

A chunk refers to the row of time stamps it shares with the other chunks of its page. Every blob has a CRC-32; a
chunk that fails it is left out, counted and logged, and the rest is served. Every row carries the number of the
sealing that wrote it; rows of a sealing that was not finished (the catalog knows) are removed.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import numpy as np
import structlog
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    NullPool,
    Row,
    String,
    Table,
    create_engine,
    delete,
    event,
    insert,
    select,
)
from sqlalchemy.exc import DBAPIError

from monitor.metrics.codec import pack_times, pack_values, unpack_times, unpack_values
from monitor.metrics.interface import Bools, Ints
from monitor.metrics.piece import HOLE, Piece, Slot
from monitor.metrics.sqlite import on_connect

SLOT_MS = 7_200_000
DAY_MS = 86_400_000
_WIDTH = 96
_CACHED_TIMES = 4096
_MOST_METRICS = 64
_META = MetaData()
_TIMES = Table(
    "times",
    _META,
    Column("id", Integer, primary_key=True),
    Column("seal", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("crc", Integer, nullable=False),
)
_CHUNKS = Table(
    "chunks",
    _META,
    Column("id", Integer, primary_key=True),
    Column("seal", Integer, nullable=False),
    Column("slot_ms", BigInteger, nullable=False),
    Column("metric", String, nullable=False),
    Column("low", Integer, nullable=False),
    Column("high", Integer, nullable=False),
    Column("times", Integer, nullable=False),
    Column("series", LargeBinary, nullable=False),
    Column("groups", LargeBinary, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("crc", Integer, nullable=False),
    Index("chunks_metric_slot", "metric", "slot_ms"),
)
_log = structlog.get_logger(__name__)


class ChunkStore:
    """The day files of one folder. Reading is safe from several threads; writing is the store's turn alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._engines: dict[Path, Engine] = {}
        self._times: OrderedDict[tuple[Path, int], tuple[Ints, Ints]] = OrderedDict()
        self._damaged: set[tuple[str, str, int]] = set()
        self._guard = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self._folder.glob("*.db*"))

    @property
    def damaged(self) -> int:
        """Chunks, rows of time stamps and files found damaged since the store was opened."""
        return len(self._damaged)

    def write(self, seal: int, slots: Iterable[Slot]) -> None:
        """Store slots under a sealing number; one transaction a day file. Raises SQLAlchemy's DBAPIError."""
        by_day: dict[Path, list[Slot]] = {}
        for slot in slots:
            by_day.setdefault(self._path(slot.start_ms), []).append(slot)
        for path, of_day in by_day.items():
            path.touch()
            with self._engine(path).begin() as connection:
                _META.create_all(connection)
                _remove_seals(connection, seal - 1)
                for slot in of_day:
                    _write_slot(connection, seal, slot)

    def forget_after(self, seal: int) -> None:
        """Remove what sealings later than `seal` left behind: they were not finished."""
        for path in sorted(self._folder.glob("*.db")):
            try:
                with self._engine(path).begin() as connection:
                    _META.create_all(connection)
                    _remove_seals(connection, seal)
            except DBAPIError as error:
                self._report(path, "file", 0, str(error.orig))

    def remove_before(self, limit_ms: int) -> None:
        """Delete the files of days that ended before a time."""
        for path in sorted(self._folder.glob("*.db")):
            if _day_start(path) + DAY_MS <= limit_ms:
                with self._guard:
                    self._engines.pop(path, None)
                for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
                    part.unlink(missing_ok=True)

    def read(
        self, wanted: Bools, metrics: Sequence[str], after_ms: int, until_ms: int, seal: int
    ) -> list[list[Piece]]:
        """Layers of samples in (after_ms, until_ms], oldest first, of sealings up to `seal`.

        `wanted` says for each series number whether it is asked for; `metrics` are the names these series have.
        """
        layers: list[list[Piece]] = []
        numbers = np.flatnonzero(wanted)
        if not len(numbers):
            return layers
        query = (
            select(_CHUNKS)
            .where(_CHUNKS.c.slot_ms > after_ms - SLOT_MS, _CHUNKS.c.slot_ms <= until_ms)
            .where(_CHUNKS.c.low <= int(numbers[-1]), _CHUNKS.c.high >= int(numbers[0]))
            .where(_CHUNKS.c.seal <= seal)
            .order_by(_CHUNKS.c.slot_ms, _CHUNKS.c.seal, _CHUNKS.c.times)
        )
        if len(metrics) <= _MOST_METRICS:
            query = query.where(_CHUNKS.c.metric.in_(metrics))
        for path in sorted(self._folder.glob("*.db")):
            if _day_start(path) > until_ms or _day_start(path) + DAY_MS <= after_ms:
                continue
            try:
                with self._engine(path).connect() as connection:
                    rows = connection.execute(query)
                    layers.extend(self._layers(path, connection, rows, wanted, (after_ms, until_ms)))
            except DBAPIError as error:
                if path.exists():
                    self._report(path, "file", 0, str(error.orig))
        return layers

    def _layers(
        self,
        path: Path,
        connection: Connection,
        rows: Iterable[Row[tuple[object, ...]]],
        wanted: Bools,
        interval: tuple[int, int],
    ) -> list[list[Piece]]:
        """Chunks grouped to pieces by their time stamps, pieces to layers by slot and sealing."""
        found: dict[tuple[int, int], dict[int, list[Piece]]] = {}
        for row in rows:
            piece = self._piece(path, connection, row, wanted)
            if piece is not None:
                layer = found.setdefault((row.slot_ms, row.seal), {})
                layer.setdefault(row.times, []).append(piece)
        layers = []
        for pages in found.values():
            clipped = [_clip(_beside(pieces), *interval) for pieces in pages.values()]
            layers.append([piece for piece in clipped if len(piece.values)])
        return layers

    def _piece(
        self, path: Path, connection: Connection, row: Row[tuple[object, ...]], wanted: Bools
    ) -> Piece | None:
        series = np.frombuffer(row.series, "<i4")
        inside = (series >= 0) & (series < len(wanted))
        mine = np.flatnonzero(wanted[np.where(inside, series, 0)] & inside)
        if not len(mine):
            return None
        if _checksum(row.series, row.groups, row.data) != row.crc:
            self._report(path, "chunk", row.id, "checksum does not match")
            return None
        times = self._times_of(path, connection, row.times)
        if times is None:
            return None
        group = np.frombuffer(row.groups, "<i4")[mine]
        values = unpack_values(row.data)
        if len(mine) < len(series):
            values = values[:, mine]
        return Piece(series[mine], group, times[1], times[0], values)

    def _times_of(self, path: Path, connection: Connection, number: int) -> tuple[Ints, Ints] | None:
        key = (path, number)
        with self._guard:
            known = self._times.get(key)
            if known is not None:
                self._times.move_to_end(key)
                return known
        row = connection.execute(select(_TIMES).where(_TIMES.c.id == number)).first()
        if row is None or _checksum(row.data) != row.crc:
            self._report(path, "times", number, "checksum does not match")
            return None
        times = unpack_times(row.data)
        with self._guard:
            self._times[key] = times
            while len(self._times) > _CACHED_TIMES:
                self._times.popitem(last=False)
        return times

    def _report(self, path: Path, what: str, number: int, reason: str) -> None:
        key = (path.name, what, number)
        with self._guard:
            if key in self._damaged:
                return
            self._damaged.add(key)
        _log.error(
            "sealed samples are damaged and left out", file=path.name, part=what, id=number, reason=reason
        )

    def _path(self, at_ms: int) -> Path:
        return self._folder / f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}.db"

    def _engine(self, path: Path) -> Engine:
        with self._guard:
            engine = self._engines.get(path)
            if engine is None:
                # mode=rw: reading a day that was just removed must not create an empty file.
                url = f"sqlite:///file:{quote(str(path))}?mode=rw&uri=true"
                engine = self._engines[path] = create_engine(url, poolclass=NullPool)
                event.listen(engine, "connect", on_connect)
            return engine


def _write_slot(connection: Connection, seal: int, slot: Slot) -> None:
    """One row of time stamps and its chunks, series of a metric side by side."""
    piece = slot.piece
    times = pack_times(piece.timestamps, piece.rows)
    added = connection.execute(insert(_TIMES).values(seal=seal, data=times, crc=_checksum(times)))
    (number,) = added.inserted_primary_key or (0,)
    by_metric: dict[str, list[int]] = {}
    for at in np.argsort(piece.series, kind="stable").tolist():
        by_metric.setdefault(slot.metric[at], []).append(at)
    rows = []
    for metric, members in sorted(by_metric.items()):
        for first in range(0, len(members), _WIDTH):
            part = np.array(members[first : first + _WIDTH])
            series = piece.series[part].astype("<i4")
            groups = piece.group[part].astype("<i4").tobytes()
            data = pack_values(piece.values[:, part])
            rows.append(
                {
                    "seal": seal,
                    "slot_ms": slot.start_ms,
                    "metric": metric,
                    "low": int(series[0]),
                    "high": int(series[-1]),
                    "times": number,
                    "series": series.tobytes(),
                    "groups": groups,
                    "data": data,
                    "crc": _checksum(series.tobytes(), groups, data),
                }
            )
    connection.execute(insert(_CHUNKS), rows)


def _remove_seals(connection: Connection, last: int) -> None:
    for table in (_CHUNKS, _TIMES):
        connection.execute(delete(table).where(table.c.seal > last))


def _checksum(*parts: bytes) -> int:
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc


def _day_start(path: Path) -> int:
    return int(datetime.strptime(path.stem, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) * 1000


def _beside(pieces: Sequence[Piece]) -> Piece:
    """Chunks that share their time stamps as one piece."""
    if len(pieces) == 1:
        return pieces[0]
    return replace(
        pieces[0],
        series=np.concatenate([piece.series for piece in pieces]),
        group=np.concatenate([piece.group for piece in pieces]),
        values=np.concatenate([piece.values for piece in pieces], axis=1),
    )


def _clip(piece: Piece, after_ms: int, until_ms: int) -> Piece:
    """The part of a piece in (after_ms, until_ms]."""
    steps = np.arange(len(piece.timestamps))[:, None]
    there = steps < piece.rows
    low = (there & (piece.timestamps <= after_ms)).sum(0)
    rows = (there & (piece.timestamps <= until_ms)).sum(0) - low
    depth = int(rows[np.unique(piece.group)].max(initial=0))
    if not low.any() and (rows == piece.rows).all():
        return replace(piece, timestamps=piece.timestamps[:depth], values=piece.values[:depth])
    take = np.minimum(low + np.arange(depth)[:, None], len(steps) - 1)
    values = np.take_along_axis(piece.values, take[:, piece.group], 0)
    values[np.arange(depth)[:, None] >= rows[piece.group]] = HOLE
    return replace(piece, rows=rows, timestamps=np.take_along_axis(piece.timestamps, take, 0), values=values)
