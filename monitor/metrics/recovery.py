"""Opening a store: names and marks from the catalog, or from the day files when it is damaged, samples from the log.

The log is replayed in large portions. A sample is taken when it is newer than what its series has sealed; one that
came late when the last finished sealing does not cover it. What is replayed twice is there once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog

from monitor.metrics.catalog import Catalog, Marks, State
from monitor.metrics.chunks import ChunkStore
from monitor.metrics.head import Head
from monitor.metrics.history import History
from monitor.metrics.interface import Bools, Codes, Floats, Ints, Labels
from monitor.metrics.journal import Entry, unpack
from monitor.metrics.late import LateBuffer
from monitor.metrics.layers import merge
from monitor.metrics.piece import NEVER, Columns
from monitor.metrics.sealing import grown, note
from monitor.metrics.wal import WriteAheadLog

_PORTION = 1 << 20
_MOST_ROUNDS = 256
_REMEMBERED_ROUNDS = 32
_SERIES_AT_ONCE = 8192
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    """What the catalog said, or would have said; `rebuilt` when it has to be written anew."""

    state: State
    damaged: int
    rebuilt: bool


def restore(head: Head, catalog: Catalog, history: History) -> Restored:
    """Bring back the series and how far they are sealed. Raises OSError when the files cannot be read."""
    loaded = catalog.load()
    names = loaded.names
    rebuilt = bool(loaded.damaged) or (loaded.state is None and any(s.files for s in history.stores))
    if loaded.state is not None:
        history.raw.forget_after(loaded.state.seal)
    for store in history.stores:
        if rebuilt:
            names = {**store.names(), **names}
        if store is not history.raw or loaded.state is None:
            store.forget_after(NEVER)
    for number in sorted(names):
        head.register(names[number], max(number, len(head.index)))
    state = loaded.state or _rebuilt_state(history.raw, len(head.index))
    if rebuilt:
        _log.warning("the catalog was rebuilt from the day files", series=len(names), seal=state.seal)
    _mark(head, state.marks)
    return Restored(state, loaded.damaged, rebuilt)


def _mark(head: Head, marks: Marks) -> None:
    count = min(len(head.index), len(marks.last_ms))
    head.first_ms[:count] = marks.first_ms[:count]
    head.last_ms[:count] = marks.last_ms[:count]
    head.last_value[:count] = marks.last_value[:count]


def _rebuilt_state(chunks: ChunkStore, count: int) -> State:
    """What the day files tell: every file counts, and nothing is known about the log."""
    marks = grown(Marks(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)), count)
    seal = 0
    for day in sorted(chunks.files, reverse=True):
        files = chunks.files[day]
        seal = max([seal, *(file.seal for file in files)])
        numbers = chunks.series_in(files)
        numbers = numbers[numbers < count]
        unknown = numbers[marks.last_ms[numbers] == -NEVER]
        for at in range(0, len(unknown), _SERIES_AT_ONCE):
            wanted = np.zeros(count, np.bool_)
            wanted[unknown[at : at + _SERIES_AT_ONCE]] = True
            for layer in chunks.read({day: files}, wanted, -NEVER, NEVER - 1):
                for piece in layer:
                    note(marks, piece)
        marks.first_ms[numbers] = np.minimum(marks.first_ms[numbers], day)
    return State(seal, -NEVER, 0, marks)


@dataclass(slots=True)
class Replay:
    """Reads the log into the head and the late buffer."""

    head: Head
    late: LateBuffer
    state: State
    counts: Counter[str]
    aliases: dict[int, int] = field(default_factory=dict)
    _fresh: list[tuple[Codes, Ints, Floats]] = field(default_factory=list)
    _held: int = 0
    _rounds: dict[bytes, Codes] = field(default_factory=dict)

    def run(self, wal: WriteAheadLog) -> None:
        """Read every segment, oldest first."""
        for segment, reading in wal.recover():
            self.counts["quarantined_wal"] += reading.damaged
            for payload in reading.payloads:
                entry = unpack(payload)
                if len(entry.timestamps):
                    segment.newest_ms = max(segment.newest_ms, int(entry.timestamps.max()))
                self._take(entry, segment.number < self.state.segment)
        self._flush()

    def _take(self, entry: Entry, before: bool) -> None:
        if entry.new:
            self._register(entry.new)
        series = entry.series
        if self.aliases:
            series = series.copy()
            for number, given in self.aliases.items():
                series[entry.series == number] = given
        if entry.late:
            self._take_late(Columns(series, entry.timestamps, entry.values), before)
            return
        self._fresh.append((series, entry.timestamps, entry.values))
        self._held += len(series)
        if self._held >= _PORTION:
            self._flush()

    def _register(self, new: Sequence[tuple[int, Labels]]) -> None:
        head = self.head
        for number, labels in new:
            given = head.register(labels, max(number, len(head.index)))
            if given != number:
                self.aliases[number] = given

    def _take_late(self, columns: Columns, before: bool) -> None:
        self._flush()
        known = self._known(columns.series)
        if before:
            known &= columns.timestamps >= self.state.boundary_ms
        fresh = Columns(columns.series[known], columns.timestamps[known], columns.values[known])
        self.late.add(fresh)
        remember(self.head, fresh)

    def _known(self, series: Codes) -> Bools:
        known = series < len(self.head.index)
        known[known] = self.head.named(series[known])
        self.counts["orphaned_samples"] += int((~known).sum())
        return known

    def _flush(self) -> None:
        """Store a portion: of each series what is newer than all before, in order of time."""
        if not self._fresh:
            return
        series, times, values = (np.concatenate(column) for column in zip(*self._fresh, strict=True))
        self._fresh.clear()
        self._held = 0
        kept = self._known(series)
        kept[kept] = times[kept] > self.head.last_ms[series[kept]]
        self._store(series[kept], times[kept], values[kept])

    def _store(self, series: Codes, times: Ints, values: Floats) -> None:
        """Store samples in the order they were logged: the first of every series, the second of every series ...

        The head is fastest with whole rounds of the same series, which most of the log consists of.
        """
        order = np.argsort(series, kind="stable")
        series, times, values = series[order], times[order], values[order]
        same = series[1:] == series[:-1]
        if (same & (times[1:] <= times[:-1])).any():
            merged = merge([Columns(series, times, values)]).columns
            series, times, values = merged.series, merged.timestamps, merged.values
        starts = np.flatnonzero(np.diff(series, prepend=-1))
        rank = np.arange(len(series)) - np.repeat(starts, np.diff(starts, append=len(series)))
        rounds = int(rank.max(initial=-1)) + 1
        if rounds > _MOST_ROUNDS:
            self.head.store(series, times, values)
            return
        by_round = np.argsort(rank.astype(np.uint16), kind="stable")
        ends = np.cumsum(np.bincount(rank, minlength=rounds)).tolist()
        for start, end in zip([0, *ends], ends, strict=False):
            some = by_round[start:end]
            of_round = series[some]
            if len(self._rounds) >= _REMEMBERED_ROUNDS:
                self._rounds.clear()
            known = self._rounds.setdefault(of_round.tobytes(), of_round)
            self.head.store(known, times[some], values[some])


def remember(head: Head, late: Columns) -> None:
    """Widen what the head knows about the life of its series by late samples (sorted by series and time)."""
    if not len(late.series):
        return
    np.minimum.at(head.first_ms, late.series, late.timestamps)
    newer = np.flatnonzero(late.timestamps > head.last_ms[late.series])
    for at in newer.tolist():
        if late.timestamps[at] > head.last_ms[late.series[at]]:
            head.last_ms[late.series[at]] = late.timestamps[at]
            head.last_value[late.series[at]] = late.values[at]
