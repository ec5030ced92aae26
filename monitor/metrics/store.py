"""The embedded metric store: one folder, one process, any number of threads.

Newest hours live in the head (memory) and in `wal/`, the write-ahead log; every two hours of them are sealed into
`chunks/`, one SQLite file a day, and `catalog.db` remembers the series and how far they are sealed. A sealing
writes the chunks, then the catalog, then forgets the samples in the head, then removes log segments: a crash
between any two steps loses and doubles nothing. Reading merges both without the reader noticing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import structlog
from sqlalchemy.exc import DBAPIError

from monitor.clock import Clock
from monitor.metrics.assemble import Layer, assemble
from monitor.metrics.catalog import Catalog, Marks
from monitor.metrics.chunks import DAY_MS, SLOT_MS, ChunkStore
from monitor.metrics.errors import StorageError
from monitor.metrics.head import MAX_AHEAD_MS, Head
from monitor.metrics.interface import AppendResult, Bools, Codes, Labels, Matcher, SampleBlock, Window
from monitor.metrics.journal import Entry, pack, unpack
from monitor.metrics.piece import HOLE, NEVER, Slot, is_present
from monitor.metrics.wal import Disk, WriteAheadLog

_GRACE_MS = 3_600_000
_LATE_SEAL_MS = 600_000
_log = structlog.get_logger(__name__)


class LocalStore:
    """MetricStore on local files.

    `retention_days` is how long samples are kept. Call `maintain` once a minute. Raises StorageError from
    `append`, `sync` and `maintain` when the disk does not take the samples, IntegrityError on opening when the
    catalog is damaged.
    """

    def __init__(
        self, folder: Path, clock: Clock, *, retention_days: int = 30, disk: Disk | None = None
    ) -> None:
        self._clock = clock
        self._retention_ms = retention_days * DAY_MS
        self._folder = folder
        self._lock = threading.RLock()
        self._head = Head()
        self._counts: Counter[str] = Counter()
        self._sealed_at_ms = self._sealed_until_ms = -NEVER
        folder.mkdir(parents=True, exist_ok=True)
        self._catalog = Catalog(folder)
        self._seal, self._marks = self._load_catalog()
        self._catalogued = len(self._head.index)
        self._chunks = ChunkStore(folder / "chunks")
        self._chunks.forget_after(self._seal)
        self._wal = WriteAheadLog(folder / "wal", disk=disk)
        self._replay()
        self._logged = len(self._head.index)
        self._wal.start()

    def _load_catalog(self) -> tuple[int, Marks]:
        seal, series, marks = self._catalog.load()
        head = self._head
        for number, labels in series:
            head.register(labels, number)
        count = min(len(head.index), len(marks.last_ms))
        head.first_ms[:count] = marks.first_ms[:count]
        head.last_ms[:count] = marks.last_ms[:count]
        head.last_value[:count] = marks.last_value[:count]
        return seal, marks

    def _replay(self) -> None:
        """Rebuild the head from the log."""
        aliases: dict[int, int] = {}
        for segment, reading in self._wal.recover():
            self._counts["quarantined"] += reading.damaged
            for entry in map(unpack, reading.payloads):
                segment.newest_ms = max(segment.newest_ms, int(entry.timestamps.max(initial=-NEVER)))
                self._apply(entry, aliases)

    def _apply(self, entry: Entry, aliases: dict[int, int]) -> None:
        """Store what is new in a logged entry; samples of series whose names were lost are counted."""
        head = self._head
        for number, labels in entry.new:
            given = head.register(labels, max(number, len(head.index)))
            if given != number:
                aliases[number] = given
        series = entry.series.copy()
        for number, given in aliases.items():
            series[entry.series == number] = given
        known = series < len(head.index)
        known[known] = head.named(series[known])
        self._counts["orphaned_samples"] += int((~known).sum())
        series, times, values = series[known], entry.timestamps[known], entry.values[known]
        newer = times > head.last_ms[series]
        head.store(series[newer], times[newer], values[newer])

    def append(self, block: SampleBlock, *, durable: bool = False) -> AppendResult:
        """See MetricStore. Raises StorageError when the disk does not take it; then nothing was stored."""
        with self._lock:
            now = self._clock.now_ms()
            judged = self._head.judge(block, now - self._retention_ms, now + MAX_AHEAD_MS)
            if len(judged.series):
                self._record(Entry(self._unlogged(), judged.series, judged.timestamps, judged.values))
                self._head.store(judged.series, judged.timestamps, judged.values)
            self._counts["samples_appended"] += judged.result.accepted
            self._counts["samples_duplicate"] += judged.result.duplicate
            self._counts["samples_rejected"] += judged.result.rejected
            position = self._wal.position()
        if durable:
            self._wal.wait(position)
        return judged.result

    def _unlogged(self) -> list[tuple[int, Labels]]:
        index = self._head.index
        return [(number, index.labels[number]) for number in range(self._logged, len(index))]

    def _record(self, entry: Entry) -> None:
        self._wal.append(pack(entry), int(entry.timestamps.max()))
        self._logged = len(self._head.index)

    def sync(self) -> None:
        """Return when everything appended so far is on disk. Raises StorageError when that cannot be."""
        self._wal.wait(self._wal.position())

    def window(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Window:
        """See MetricStore."""
        with self._lock:
            series, labels = self._in_interval(matchers, start_ms, end_ms)
            newest = self._head.extract(series, start_ms, end_ms)
            sealed, metrics = self._sealed(series, start_ms)
            seal = self._seal
        layers: list[Layer] = (
            list(self._chunks.read(sealed, metrics, start_ms, end_ms, seal)) if metrics else []
        )
        return assemble(labels, series, [*layers, newest])

    def _sealed(self, series: Codes, start_ms: int) -> tuple[Bools, list[str]]:
        """Which of the series have sealed samples after a time, and the metrics they are of."""
        wanted = np.zeros(len(self._head.index), np.bool_)
        marked = series[series < len(self._marks.last_ms)]
        marked = marked[self._marks.last_ms[marked] > start_ms]
        wanted[marked] = True
        metric = self._head.index.metric
        return wanted, sorted({metric[number] for number in marked.tolist()})

    def _in_interval(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> tuple[Codes, Sequence[Labels]]:
        """Matching series whose first and last sample leave room for one in the interval."""
        series, labels = self._head.index.selection(matchers)
        alive = (self._head.last_ms[series] > start_ms) & (self._head.first_ms[series] <= end_ms)
        if alive.all():
            return series, labels
        return series[alive], [labels[at] for at in np.flatnonzero(alive).tolist()]

    def series(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Labels]:
        """See MetricStore."""
        with self._lock:
            return list(self._in_interval(matchers, start_ms, end_ms)[1])

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """See MetricStore."""
        return sorted({name for labels in self.series(matchers, start_ms, end_ms) for name, _ in labels})

    def label_values(self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """See MetricStore."""
        found = self.series(matchers, start_ms, end_ms)
        return sorted({value for labels in found for key, value in labels if key == name})

    def stats(self) -> Mapping[str, float]:
        """See MetricStore."""
        with self._lock:
            counts = {name: float(count) for name, count in self._counts.items()}
            return {
                "samples_appended": 0.0,
                **counts,
                **self._head.numbers(),
                "quarantined": float(self._counts["quarantined"] + self._chunks.damaged),
                "wal_bytes": float(self._wal.size),
                "chunk_bytes": float(self._chunks.size),
                "seals": float(self._seal),
            }

    def labels_of(self, numbers: Iterable[int]) -> list[Labels]:
        """The label sets of series by their numbers in the log; () for a number that names none."""
        with self._lock:
            known = self._head.index.labels
            return [known[number] if 0 <= number < len(known) else () for number in numbers]

    def keep_log(self, retire: Callable[[Path], None]) -> Path:
        """Hand segments of the log that the store needs no more to `retire` instead of deleting them.

        Returns the folder of the log. `retire` must move the segment away; see monitor.metrics.wal_reader.
        """
        self._wal.retire = retire
        return self._folder / "wal"

    def maintain(self) -> None:
        """Seal what is old enough and delete what is too old; call it every minute.

        Raises StorageError when the disk does not take the chunks; they stay in the head and the log.
        """
        now = self._clock.now_ms()
        boundary = (now - _GRACE_MS) // SLOT_MS * SLOT_MS
        with self._lock:
            late = now - self._sealed_at_ms >= _LATE_SEAL_MS
            if (boundary > self._sealed_until_ms or late) and self._head.oldest_ms() < boundary:
                self._seal_before(boundary, now)
                self._sealed_until_ms, self._sealed_at_ms = boundary, now
        self._chunks.remove_before(now - self._retention_ms)

    def _seal_before(self, boundary_ms: int, now_ms: int) -> None:
        """Move the samples older than the boundary from head and log to chunks."""
        marks = self._marks_now()
        try:
            self._chunks.write(self._seal + 1, _marking(self._head.slots(boundary_ms, SLOT_MS), marks))
            forgotten = self._head.forget(now_ms - self._retention_ms - DAY_MS)
            index = self._head.index
            new = [(n, index.labels[n]) for n in range(self._catalogued, len(index)) if index.labels[n]]
            self._catalog.save(self._seal + 1, new, forgotten, marks)
        except DBAPIError as error:
            raise StorageError(
                f"cannot seal samples: {error.orig}",
                where=str(self._folder),
                hint="free disk space or replace the disk; the samples are still in the log",
                zh=f"{self._folder}：指标数据归档失败（{error.orig}）；请清理磁盘空间或更换磁盘，数据仍保留在日志中",
            ) from error
        self._seal += 1
        self._marks = marks
        self._catalogued = len(index)
        self._head.drop_before(boundary_ms)
        self._wal.rotate()
        self._wal.remove_before(boundary_ms)

    def _marks_now(self) -> Marks:
        """The marks, grown to the present number of series."""
        count = len(self._head.index)
        last_ms = np.full(count, -NEVER, np.int64)
        last_value = np.full(count, HOLE, np.float64)
        last_ms[: len(self._marks.last_ms)] = self._marks.last_ms
        last_value[: len(self._marks.last_value)] = self._marks.last_value
        return Marks(self._head.first_ms[:count].copy(), last_ms, last_value)

    def close(self) -> None:
        """Flush and release. Raises StorageError when the last samples could not be written."""
        self._wal.close()


def _marking(slots: Iterable[Slot], marks: Marks) -> Iterator[Slot]:
    """Pass slots on, noting the newest sample of each series in the marks."""
    for slot in slots:
        piece = slot.piece
        last = len(piece.values) - 1 - is_present(piece.values)[::-1].argmax(0)
        times = piece.timestamps[last, piece.group]
        newer = times > marks.last_ms[piece.series]
        series = piece.series[newer]
        marks.last_ms[series] = times[newer]
        marks.last_value[series] = piece.values[last, np.arange(len(last))][newer]
        yield slot
