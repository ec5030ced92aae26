"""A small store in memory, for rule tests and for tests of the query engine; same contract as the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import RLock

import numpy as np

from monitor.metrics.interface import (
    AppendResult,
    Labels,
    Matcher,
    SampleBlock,
    Selection,
    Window,
)
from monitor.metrics.matching import predicate
from monitor.metrics.selection import of_window
from monitor.metrics.series import Dictionary


class _Series:
    """One series: time stamps in ms, strictly increasing, and values."""

    __slots__ = ("times", "values")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.values: list[float] = []


class MemoryStore:
    """Implements monitor.metrics.interface.MetricStore on plain lists. Nothing is durable."""

    def __init__(self) -> None:
        self._series: dict[Labels, _Series] = {}
        self._appended = 0
        self._lock = RLock()
        self.dictionary = Dictionary()

    def append(self, block: SampleBlock, *, durable: bool = False) -> AppendResult:
        """Store a block; a sample that is not newer than its series is a duplicate or rejected."""
        accepted = duplicate = 0
        reasons: dict[str, int] = {}
        rows = zip(block.series.tolist(), block.timestamps.tolist(), block.values, strict=True)
        with self._lock:
            for number, at, value in rows:
                series = self._series.setdefault(block.labels[number], _Series())
                if not series.times or at > series.times[-1]:
                    series.times.append(at)
                    series.values.append(value)
                    accepted += 1
                elif at == series.times[-1] and _same(series.values[-1], value):
                    duplicate += 1
                else:
                    reason = "conflicting" if at == series.times[-1] else "out_of_order"
                    reasons[reason] = reasons.get(reason, 0) + 1
            self._appended += accepted
        return AppendResult(accepted, duplicate, sum(reasons.values()), reasons)

    def sync(self) -> None:
        """Nothing to do: there is no disk."""

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """What `window` has, as one part."""
        return of_window(self.window(matchers, start_ms, end_ms))

    def window(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Window:
        """All samples of the matching series in (start_ms, end_ms]."""
        with self._lock:
            found = []
            for labels in self._matching(matchers):
                series = self._series[labels]
                times = np.array(series.times, np.int64)
                inside = slice(*np.searchsorted(times, [start_ms, end_ms], side="right"))
                if inside.start < inside.stop:
                    found.append((labels, times[inside], np.array(series.values[inside], np.float64)))
        depth = max((len(times) for _, times, _ in found), default=0)
        timestamps = np.zeros((depth, len(found)), np.int64)
        values = np.full((depth, len(found)), np.nan)
        present = np.zeros((depth, len(found)), np.bool_)
        for column, (_, times, points) in enumerate(found):
            timestamps[: len(times), column] = times
            values[: len(times), column] = points
            present[: len(times), column] = True
        group = np.arange(len(found), dtype=np.int32)
        return Window([labels for labels, _, _ in found], group, timestamps, values, present)

    def series(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Labels]:
        """The label sets of matching series with a sample in [start_ms, end_ms]."""
        with self._lock:
            return [
                labels
                for labels in self._matching(matchers)
                if any(start_ms <= at <= end_ms for at in self._series[labels].times)
            ]

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """Sorted label names of the matching series."""
        return sorted({name for labels in self.series(matchers, start_ms, end_ms) for name, _ in labels})

    def label_values(self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """Sorted values of one label over the matching series."""
        found = (dict(labels).get(name, "") for labels in self.series(matchers, start_ms, end_ms))
        return sorted({value for value in found if value})

    def stats(self) -> Mapping[str, float]:
        """How many series and samples there are."""
        with self._lock:
            return {"series": float(len(self._series)), "samples_appended": float(self._appended)}

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._series.clear()

    def _matching(self, matchers: Sequence[Matcher]) -> list[Labels]:
        tests = [(matcher.name, predicate(matcher)) for matcher in matchers]
        found = []
        for labels in self._series:
            values = dict(labels)
            if all(test(values.get(name, "")) for name, test in tests):
                found.append(labels)
        return sorted(found)


def _same(a: float, b: float) -> bool:
    return np.float64(a).tobytes() == np.float64(b).tobytes()
