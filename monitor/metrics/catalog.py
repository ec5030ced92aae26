"""The catalog: names of the series, how far each is sealed, and the number of the last finished sealing.

One SQLite file beside the day files. Saving it is what makes a sealing count: chunks with a higher number are
removed when the store is opened again, and the log still has their samples.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from sqlalchemy import (
    Column,
    Integer,
    LargeBinary,
    MetaData,
    NullPool,
    String,
    Table,
    create_engine,
    delete,
    event,
    insert,
    select,
)
from sqlalchemy.exc import DBAPIError

from monitor.errors import IntegrityError
from monitor.metrics.interface import Floats, Ints, Labels
from monitor.metrics.sqlite import on_connect

_META = MetaData()
_SERIES = Table(
    "series",
    _META,
    Column("number", Integer, primary_key=True),
    Column("labels", String, nullable=False),
)
_STATE = Table(
    "state",
    _META,
    Column("seal", Integer, primary_key=True),
    Column("marks", LargeBinary, nullable=False),
    Column("crc", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Marks:
    """Per series number: the first time stamp ever, the last sealed one, and its value."""

    first_ms: Ints
    last_ms: Ints
    last_value: Floats


class Catalog:
    """See the module. Raises IntegrityError when the file is damaged."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "catalog.db"
        self._engine = create_engine(f"sqlite:///{self._path}", poolclass=NullPool)
        event.listen(self._engine, "connect", on_connect)

    def load(self) -> tuple[int, list[tuple[int, Labels]], Marks]:
        """The last finished sealing (0 = none), the series in order of their numbers, and their marks."""
        try:
            with self._engine.begin() as connection:
                _META.create_all(connection)
                rows = connection.execute(select(_SERIES).order_by(_SERIES.c.number)).all()
                state = connection.execute(select(_STATE).order_by(_STATE.c.seal.desc())).first()
        except DBAPIError as error:
            raise self._damaged(str(error.orig)) from error
        series = [(row.number, tuple(orjson.loads(row.labels).items())) for row in rows]
        if state is None:
            empty = np.empty(0, np.int64)
            return 0, series, Marks(empty, empty, np.empty(0, np.float64))
        if zlib.crc32(state.marks) != state.crc:
            raise self._damaged("checksum does not match")
        table = np.frombuffer(state.marks, "<i8").reshape(3, -1)
        return state.seal, series, Marks(table[0].copy(), table[1].copy(), table[2].copy().view(np.float64))

    def save(self, seal: int, new: Sequence[tuple[int, Labels]], gone: Sequence[int], marks: Marks) -> None:
        """Finish a sealing: one transaction. Raises SQLAlchemy's DBAPIError when the disk does not take it."""
        table = (
            np.stack([marks.first_ms, marks.last_ms, marks.last_value.view(np.int64)]).astype("<i8").tobytes()
        )
        with self._engine.begin() as connection:
            if new:
                rows = [{"number": n, "labels": orjson.dumps(dict(labels)).decode()} for n, labels in new]
                connection.execute(insert(_SERIES), rows)
            for number in gone:
                connection.execute(delete(_SERIES).where(_SERIES.c.number == number))
            connection.execute(delete(_STATE))
            connection.execute(insert(_STATE).values(seal=seal, marks=table, crc=zlib.crc32(table)))

    def _damaged(self, reason: str) -> IntegrityError:
        return IntegrityError(
            f"the catalog of the metric store is damaged: {reason}",
            where=str(self._path),
            hint="restore it from a backup",
            zh=f"{self._path}：指标目录文件损坏（{reason}），请从备份恢复",
        )
