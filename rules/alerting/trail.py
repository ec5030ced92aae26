"""Writes what rules yield into the store, and ends with stale markers what they yield no longer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from monitor.metrics.interface import STALE, Labels, MetricStore, SampleBlock
from rules.alerting.evaluation import Output


class Trail:
    """The series one rule wrote last."""

    def __init__(self) -> None:
        self._labels: tuple[Labels, ...] = ()

    @property
    def labels(self) -> Sequence[Labels]:
        """What was written last."""
        return self._labels

    def write(self, store: MetricStore, output: Output, at_ms: int) -> None:
        """Append an output; series of the last one that are not in it end here."""
        labels, values = output.labels, output.values
        last, self._labels = self._labels, labels
        if last is not labels and last:
            gone = list(set(last).difference(labels))
            if gone:
                values = np.concatenate([values, np.full(len(gone), STALE)])
                labels = (*labels, *gone)
        if labels:
            store.append(_block(labels, values, at_ms))

    def take(self, labels: Iterable[Labels]) -> None:
        """Series that an earlier rule wrote and this one answers for from now on."""
        self._labels = (*self._labels, *labels)


def end_series(store: MetricStore, labels: Sequence[Labels], at_ms: int) -> None:
    """Stale markers for series that nobody writes any more."""
    if labels:
        store.append(_block(labels, np.full(len(labels), STALE), at_ms))


def _block(
    labels: Sequence[Labels], values: np.ndarray[tuple[int], np.dtype[np.float64]], at_ms: int
) -> SampleBlock:
    count = len(labels)
    return SampleBlock(labels, np.arange(count, dtype=np.int32), np.full(count, at_ms, np.int64), values)
