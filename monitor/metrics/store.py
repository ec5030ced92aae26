"""The embedded metric store: one folder, one process, any number of threads.

`wal/` is the write-ahead log. Newest hours live in the head (memory).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from monitor.clock import Clock
from monitor.metrics.assemble import Layer, assemble
from monitor.metrics.head import MAX_AHEAD_MS, Head
from monitor.metrics.interface import AppendResult, Codes, Labels, Matcher, SampleBlock, Window
from monitor.metrics.journal import Entry, pack, unpack
from monitor.metrics.wal import Disk, WriteAheadLog

_DAY_MS = 86_400_000
_log = structlog.get_logger(__name__)


class LocalStore:
    """MetricStore on local files.

    `retention_days` is how long samples are kept. Raises StorageError from `append` and `sync` when the disk
    does not take the samples.
    """

    def __init__(
        self, folder: Path, clock: Clock, *, retention_days: int = 30, disk: Disk | None = None
    ) -> None:
        self._clock = clock
        self._retention_ms = retention_days * _DAY_MS
        self._lock = threading.RLock()
        self._head = Head()
        self._logged_series = 0
        self._counts: Counter[str] = Counter()
        folder.mkdir(parents=True, exist_ok=True)
        self._wal = WriteAheadLog(folder / "wal", disk=disk)
        self._replay()
        self._wal.start()

    def _replay(self) -> None:
        """Rebuild the head from the log."""
        head = self._head
        for segment, reading in self._wal.recover():
            self._counts["quarantined"] += reading.damaged
            for payload in reading.payloads:
                entry = unpack(payload)
                for number, labels in entry.new:
                    head.register(labels, max(number, len(head.index)))
                segment.newest_ms = max(segment.newest_ms, int(entry.timestamps.max(initial=-(2**62))))
                known = entry.series < len(head.index)
                known[known] = head.named(entry.series[known])
                self._counts["orphaned_samples"] += int((~known).sum())
                series, times, values = entry.series[known], entry.timestamps[known], entry.values[known]
                newer = times > head.last_ms[series]
                head.store(series[newer], times[newer], values[newer])
        self._logged_series = len(head.index)

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
        return [(number, index.labels[number]) for number in range(self._logged_series, len(index))]

    def _record(self, entry: Entry) -> None:
        self._wal.append(pack(entry), int(entry.timestamps.max()))
        self._logged_series = len(self._head.index)

    def sync(self) -> None:
        """Return when everything appended so far is on disk. Raises StorageError when that cannot be."""
        self._wal.wait(self._wal.position())

    def window(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Window:
        """See MetricStore."""
        with self._lock:
            series = self._in_interval(matchers, start_ms, end_ms)
            labels = [self._head.index.labels[number] for number in series.tolist()]
            layers: list[Layer] = [self._head.extract(series, start_ms, end_ms)]
        return assemble(labels, series, layers)

    def _in_interval(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Codes:
        """Matching series whose first and last sample leave room for one in the interval."""
        series = self._head.index.select(matchers)
        alive = (self._head.last_ms[series] > start_ms) & (self._head.first_ms[series] <= end_ms)
        return series if alive.all() else series[alive]

    def series(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Labels]:
        """See MetricStore."""
        with self._lock:
            numbers = self._in_interval(matchers, start_ms, end_ms)
            return [self._head.index.labels[number] for number in numbers.tolist()]

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
                "quarantined": 0.0,
                **counts,
                **self._head.numbers(),
                "wal_bytes": float(self._wal.size),
            }

    def maintain(self) -> None:
        """Housekeeping; call it every minute."""

    def close(self) -> None:
        """Flush and release. Raises StorageError when the last samples could not be written."""
        self._wal.close()
