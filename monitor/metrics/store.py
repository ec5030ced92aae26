"""The embedded metric store: one folder, one process, any number of threads.

Newest hours live in the head (memory) and in `wal/`, the write-ahead log. Every two hours of them are sealed into
`chunks/raw/`, a folder a day of files that never change; `catalog/` remembers the series and how far they are sealed.
Samples that come late wait in a buffer, and in the log, and are sealed into the days they belong to. A sealing copies
the samples, writes the files, then the catalog, then forgets what it copied, then removes log segments: a crash
between any two steps loses and doubles nothing. Once a day is two days old it is compacted and rolled up (compaction).
Reading merges all of it without the reader noticing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import structlog

from monitor.clock import Clock
from monitor.metrics.assemble import assemble
from monitor.metrics.cardinality import Cardinality
from monitor.metrics.catalog import Catalog, State
from monitor.metrics.chunk_file import About
from monitor.metrics.chunks import DAY_MS, SLOT_MS
from monitor.metrics.compaction import compact, due_day
from monitor.metrics.errors import StorageError
from monitor.metrics.frames import Disk, SystemDisk
from monitor.metrics.head import Head
from monitor.metrics.history import History, Kept, Past
from monitor.metrics.interface import (
    AppendResult,
    Bools,
    Codes,
    Labels,
    Matcher,
    SampleBlock,
    Selection,
    Window,
)
from monitor.metrics.journal import Entry, pack
from monitor.metrics.judging import MAX_AHEAD_MS, Judged
from monitor.metrics.late import NOTHING, LateBuffer, Verdict
from monitor.metrics.layers import no_columns, stack
from monitor.metrics.piece import NEVER, Columns, Piece, Slot
from monitor.metrics.recovery import Replay, remember, restore
from monitor.metrics.sealing import Sealing, grown
from monitor.metrics.selection import of_piece
from monitor.metrics.series import Dictionary
from monitor.metrics.snapshot import snapshot
from monitor.metrics.wal import WriteAheadLog

_GRACE_MS = 3_600_000
_LATE_SEAL_MS = 600_000
_MOST_LATE = 1 << 22
_log = structlog.get_logger(__name__)


class LocalStore:
    """MetricStore on local files.

    `retention_days` is how long samples are kept, the other two how long their rollups are; `cardinality` limits the
    series. Call `maintain` once a minute. Raises StorageError from `append`, `sync` and `maintain` when the disk does
    not take the samples.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        retention_days: int = 30,
        five_minute_days: int = 180,
        hour_days: int = 730,
        disk: Disk | None = None,
        cardinality: Cardinality | None = None,
    ) -> None:
        self._clock = clock
        self._kept = Kept(retention_days, five_minute_days, hour_days)
        self._retention_ms = retention_days * DAY_MS
        self._folder = folder
        self._disk = disk or SystemDisk()
        self._lock = threading.RLock()
        self._upkeep = threading.Lock()
        self._compacting = threading.Lock()
        self._head = Head(cardinality)
        self._late = LateBuffer()
        self._leaving = no_columns()
        self._counts: Counter[str] = Counter()
        self._gone: list[int] = []
        self._sealed_at_ms = self._sealed_until_ms = self._sealing_before = -NEVER
        folder.mkdir(parents=True, exist_ok=True)
        self._catalog = Catalog(folder / "catalog", self._disk)
        self._history = History(folder / "chunks", self._kept)
        restored = restore(self._head, self._catalog, self._history)
        self._state = restored.state
        self._counts["quarantined_catalog"] = restored.damaged
        self._sealed_newest = State(-1, 0, 0, self._state.marks), -NEVER
        self._catalogued = len(self._head.index)
        if restored.rebuilt:
            self._catalog.rewrite(self._named(range(self._catalogued)))
            self._catalog.save(self._state, [], [])
        self._wal = WriteAheadLog(folder / "wal", disk=self._disk)
        Replay(self._head, self._late, self._state, self._counts).run(self._wal)
        self._logged = len(self._head.index)
        self._wal.start()

    def append(self, block: SampleBlock, *, durable: bool = False) -> AppendResult:
        """See MetricStore; late samples are accepted as long as samples are kept.

        Raises StorageError when the disk does not take it; then nothing was stored.
        """
        with self._lock:
            now = self._clock.now_ms()
            judged = self._head.judge(block, now - self._retention_ms, now + MAX_AHEAD_MS)
            fresh, late = self._parted(judged)
            verdict = self._late.judge(late) if len(late.series) else NOTHING
            self._record(fresh, verdict.fresh)
            self._head.store(fresh.series, fresh.timestamps, fresh.values)
            self._late.add(verdict.fresh)
            remember(self._head, verdict.fresh)
            result = _result(judged, len(late.series), verdict)
            self._counts["samples_late"] += len(verdict.fresh.series)
            self._counts["samples_appended"] += result.accepted
            self._counts["samples_duplicate"] += result.duplicate
            self._counts["samples_rejected"] += result.rejected
            position = self._wal.position()
            crowded = len(self._late) > _MOST_LATE
        if durable:
            self._wal.wait(position)
        if crowded:
            self._seal_late()
        return result

    def _parted(self, judged: Judged) -> tuple[Columns, Columns]:
        """What goes to the head, and what is late: also what belongs to hours that are being sealed just now."""
        fresh = Columns(judged.series, judged.timestamps, judged.values)
        before = self._sealing_before
        if before == -NEVER or not len(fresh.series) or int(fresh.timestamps.min()) >= before:
            return fresh, judged.late
        order = np.lexsort((fresh.timestamps, fresh.series))
        fresh = Columns(fresh.series[order], fresh.timestamps[order], fresh.values[order])
        behind = fresh.timestamps < before
        late = judged.late
        joined = Columns(
            np.concatenate([late.series, fresh.series[behind]]),
            np.concatenate([late.timestamps, fresh.timestamps[behind]]),
            np.concatenate([late.values, fresh.values[behind]]),
        )
        return Columns(fresh.series[~behind], fresh.timestamps[~behind], fresh.values[~behind]), joined

    def _named(self, numbers: Iterable[int]) -> list[tuple[int, Labels]]:
        labels = self._head.index.labels
        return [(number, labels[number]) for number in numbers if labels[number]]

    def _record(self, fresh: Columns, late: Columns) -> None:
        """Log samples and the names that are new; all of it or, when the disk refuses, nothing."""
        payloads: list[bytes] = []
        newest = -NEVER
        for columns in (fresh, late):
            if len(columns.series):
                new = [] if payloads else self._named(range(self._logged, len(self._head.index)))
                is_late = columns is late
                payloads.append(pack(Entry(new, columns.series, columns.timestamps, columns.values, is_late)))
                newest = max(newest, int(columns.timestamps.max()))
        if payloads:
            self._wal.append(payloads[0], newest, *payloads[1:])
            self._logged = len(self._head.index)

    def sync(self) -> None:
        """Return when everything appended so far is on disk. Raises StorageError when that cannot be."""
        self._wal.wait(self._wal.position())

    @property
    def cardinality(self) -> Cardinality:
        """How many series there are of each site, and how many were refused."""
        return self._head.cardinality

    @property
    def dictionary(self) -> Dictionary:
        """See MetricStore."""
        return self._head.dictionary

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """See MetricStore: views of the head as long as the interval has nothing that is sealed or late."""
        with self._lock:
            if self._all_in_head(matchers, start_ms, end_ms):
                return self._head.select(matchers, start_ms, end_ms)
            series, labels, past, newest = self._layers(matchers, start_ms, end_ms)
        piece = stack(past.layers(newest))
        return of_piece(piece, [labels[at] for at in np.searchsorted(series, piece.series).tolist()])

    def _all_in_head(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> bool:
        if self._sealed_newest[0] is not self._state:
            self._sealed_newest = self._state, int(self._state.marks.last_ms.max(initial=-NEVER))
        if self._sealed_newest[1] > start_ms:
            return False
        late = [*self._late.runs, self._leaving]
        if not any(((one.timestamps > start_ms) & (one.timestamps <= end_ms)).any() for one in late):
            return True
        asked = np.zeros(len(self._head.index), np.bool_)
        asked[self._head.index.select(matchers)] = True
        return not any(asked[one.series[one.timestamps > start_ms]].any() for one in late)

    def window(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Window:
        """See MetricStore."""
        with self._lock:
            series, labels, past, newest = self._layers(matchers, start_ms, end_ms)
        return assemble(labels, series, past.layers(newest))

    def _layers(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> tuple[Codes, Sequence[Labels], Past, list[Piece]]:
        """Under the lock: the series of an interval, their names, what is sealed or late, what the head holds."""
        series, labels = self._in_interval(matchers, start_ms, end_ms)
        newest = self._head.extract(series, start_ms, end_ms)
        return series, labels, self._past(series, start_ms, end_ms), newest

    def _past(self, series: Codes, start_ms: int, end_ms: int) -> Past:
        """Under the lock: what is sealed or late of some series in (start, end]; read it without the lock."""
        count = len(self._head.index)
        asked = np.zeros(count, np.bool_)
        asked[series] = True
        wanted = self._sealed(series, start_ms)
        late = self._late.within(asked, start_ms, end_ms)
        if len(self._leaving.series):
            leaving = LateBuffer()
            leaving.add(self._leaving)
            leaving.add(late)
            late = leaving.within(asked, start_ms, end_ms)
        return Past(self._history, self._history.files(), wanted, late, start_ms, end_ms)

    def _sealed(self, series: Codes, start_ms: int) -> Bools:
        """By series number: whether it is asked for and has sealed samples after a time."""
        wanted = np.zeros(len(self._head.index), np.bool_)
        last_ms = self._state.marks.last_ms
        marked = series[series < len(last_ms)]
        wanted[marked[last_ms[marked] > start_ms]] = True
        return wanted

    def rollup(self, aspect: int, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Window:
        """One aspect of the rollups (see rollup: LOWEST, HIGHEST, NOT_ONE) in (start, end], finest first."""
        with self._lock:
            series, labels = self._in_interval(matchers, start_ms, end_ms)
            wanted, files = self._sealed(series, start_ms), self._history.files()
        return assemble(labels, series, self._history.read(files, wanted, start_ms, end_ms, aspect))

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
        """See MetricStore. `quarantined` is the sum of the quarantined_<kind> since the store was opened."""
        with self._lock:
            counts = Counter(self._counts)
            counts.update({f"quarantined_{kind}": n for kind, n in self._history.damaged.items()})
            damaged = sum(n for name, n in counts.items() if name.startswith("quarantined_"))
            return {
                "samples_appended": 0.0,
                **{name: float(count) for name, count in counts.items()},
                **self._head.numbers(),
                "late_samples_waiting": float(len(self._late) + len(self._leaving.series)),
                "quarantined": float(damaged),
                "wal_bytes": float(self._wal.size),
                "chunk_bytes": float(self._history.size),
                "seals": float(self._state.seal),
            }

    def held_from_ms(self) -> int:
        """Since when samples are held at full resolution, to the day for sealed ones; NEVER when there are none."""
        with self._lock:
            return min([self._head.oldest_ms(), *self._history.raw.files])

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
        """Seal what is old enough, compact a day that is due, delete what is too old; call it every minute.

        Raises StorageError when the disk does not take the files; the samples stay in memory and in the log, and it
        is tried again the next time.
        """
        now = self._clock.now_ms()
        if not self._upkeep.acquire(blocking=False):
            return
        try:
            boundary = (now - _GRACE_MS) // SLOT_MS * SLOT_MS
            if self._has_before(boundary) and (
                boundary > self._sealed_until_ms or now - self._sealed_at_ms >= _LATE_SEAL_MS
            ):
                self._seal(boundary, now)
                self._sealed_until_ms, self._sealed_at_ms = boundary, now
        except OSError as error:
            raise self._refused(error) from error
        finally:
            self._upkeep.release()
        self._compact_due(now)

    def _has_before(self, boundary_ms: int) -> bool:
        with self._lock:
            return min(self._head.oldest_ms(), self._late.oldest_ms()) < boundary_ms

    def _seal_late(self) -> None:
        """Seal at once because there are too many late samples to keep; somebody else may be at it already."""
        if self._upkeep.acquire(blocking=False):
            try:
                now = self._clock.now_ms()
                self._seal((now - _GRACE_MS) // SLOT_MS * SLOT_MS, now)
            except (OSError, StorageError) as error:
                # The samples are safe in the log; maintain tries again and tells.
                _log.warning("late samples cannot be sealed", error=str(error))
            finally:
                self._upkeep.release()

    def _seal(self, boundary_ms: int, now_ms: int) -> None:
        """Move the samples older than the boundary from head, late buffer and log to files."""
        self.sync()  # so that closing the segment has little left to write while everybody waits
        with self._lock:
            segment = self._wal.rotate()
            self._leaving = self._late.take_before(boundary_ms)
            self._sealing_before = boundary_ms
            slots = self._head.slots(boundary_ms, SLOT_MS)
            late = self._leaving
        seal = self._state.seal + 1
        try:
            marks = grown(self._state.marks, len(self._head.index))
            with Sealing(self._history.raw, About(seal, 0, now_ms), marks, self._disk) as sealing:
                while (slot := self._next_slot(slots)) is not None:
                    sealing.add(slot)
                verdict = sealing.add_late(late, self._head.index.metric)
                index = self._head.index
                new = [n for n in range(self._catalogued, len(index)) if index.labels[n]]
                paths = sealing.finish(index.labels, new)
            state = State(seal, boundary_ms, segment, sealing.marks)
            gone = self._forget(now_ms)
            self._catalog.save(state, self._named(new), gone)
        except OSError:
            self._take_back()
            raise
        with self._lock:
            self._history.raw.add(paths)
            self._state = state
            self._head.drop_before(boundary_ms)
            self._leaving = no_columns()
            self._sealing_before = -NEVER
            self._gone = []
            self._catalogued = max(self._catalogued, new[-1] + 1 if new else 0)
            self._counts["samples_late_duplicate"] += verdict.same
            self._counts["samples_late_conflicting"] += verdict.conflicting
        self._wal.remove_before(boundary_ms, segment)
        if self._catalog.wasteful:
            self._catalog.rewrite(self._named(range(self._catalogued)))

    def _next_slot(self, slots: Iterator[Slot]) -> Slot | None:
        """The next copy; only for that long readers and writers wait."""
        with self._lock:
            return next(slots, None)

    def _take_back(self) -> None:
        """A sealing failed: the late samples wait on."""
        with self._lock:
            waiting = LateBuffer()
            waiting.add(self._leaving)
            waiting.add(self._late.columns())
            self._late = waiting
            self._leaving = no_columns()
            self._sealing_before = -NEVER

    def _forget(self, now_ms: int) -> list[int]:
        """Series of which nothing is left; those too short-lived for rollups go when their samples do."""
        with self._lock:
            head = self._head
            count = len(head.index)
            first, last = head.first_ms[:count], head.last_ms[:count]
            brief = (last < now_ms - self._retention_ms - DAY_MS) & (last - first < DAY_MS)
            last[brief] = -NEVER
            self._gone += head.forget(now_ms - self._kept.longest_ms - DAY_MS)
            return list(self._gone)

    def _compact_due(self, now_ms: int) -> None:
        if not self._compacting.acquire(blocking=False):
            return
        try:
            day = due_day(self._history.raw, now_ms)
            if day is not None:
                self._compact(day)
            self._history.remove_before(now_ms)
        except OSError as error:
            raise self._refused(error) from error
        finally:
            self._compacting.release()

    def compact(self, day_ms: int) -> None:
        """Put a day's files into one and roll it up; `day_ms` is any time of the day. Raises StorageError."""
        with self._compacting:
            try:
                self._compact(day_ms // DAY_MS * DAY_MS)
            except OSError as error:
                raise self._refused(error) from error

    def _compact(self, day_ms: int) -> None:
        head = self._head
        with self._lock:
            count = len(head.index)
            first, last = head.first_ms[:count], head.last_ms[:count]
            lasting = (last > first) & (last - first >= DAY_MS)
        done = compact(self._history, day_ms, head.index, lasting, self._clock.now_ms(), self._disk)
        with self._lock:
            self._counts["samples_compacted"] += done

    def snapshot(self, folder: Path) -> None:
        """Copy the store, as it is now, to a new folder, which opens as a store with everything acknowledged so far.

        Files that never change are linked when the folder is on the same file system. Raises StorageError when the
        disk does not take it, InputError when the folder is not empty.
        """
        self.sync()
        with self._upkeep:
            snapshot(self._folder, folder)

    def _refused(self, error: OSError) -> StorageError:
        reason = error.strerror or str(error)
        return StorageError(
            f"cannot seal samples: {reason}",
            where=str(self._folder),
            hint="free disk space or replace the disk; the samples are still in the log",
            zh=f"{self._folder}：指标数据归档失败（{reason}）；请清理磁盘空间或更换磁盘，数据仍保留在日志中",
        )

    def close(self) -> None:
        """Flush and release. Raises StorageError when the last samples could not be written."""
        self._wal.close()


def _result(judged: Judged, late: int, verdict: Verdict) -> AppendResult:
    """What became of a block of which `late` samples were judged late; some of them were accepted as fresh before."""
    result = judged.result
    if not late:
        return result
    refused = len(judged.late.series)
    reasons = Counter(result.reasons)
    reasons.update(out_of_order=-refused, conflicting=verdict.conflicting)
    reasons = +reasons
    return AppendResult(
        result.accepted - (late - refused) + len(verdict.fresh.series),
        result.duplicate + verdict.same,
        result.rejected - refused + verdict.conflicting,
        dict(reasons),
        {reason: labels for reason, labels in result.examples.items() if reason in reasons},
    )
