"""Frames of the log as requests: named, in order, no longer than a request may be. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.metrics.interface import Bools, Codes, Ints, Labels, SampleBlock
from monitor.metrics.journal import Entry
from monitor.metrics.piece import NEVER

LabelsOf = Callable[[Iterable[int]], Sequence[Labels]]
_SPAN = 1 << 44


@dataclass(frozen=True, slots=True)
class Part:
    """One request.

    `splits` is how often it was halved because the back end refused it. `again`: it may have been taken before,
    without an answer; `known`: it was taken before, and is sent again in case the back end lost it.
    """

    block: SampleBlock
    splits: int = 0
    again: bool = False
    known: bool = False

    @property
    def size(self) -> int:
        """Samples."""
        return len(self.block.timestamps)


class Names:
    """Label sets by the numbers of the log: what the frames say where that differs from the store, else the store's.

    They differ when the store had to give a logged series another number on its way back up.
    """

    def __init__(self, labels_of: LabelsOf) -> None:
        self._labels_of = labels_of
        self._other: dict[int, Labels] = {}

    def learn(self, entry: Entry) -> None:
        """Note the new series of a frame."""
        known = self._labels_of([number for number, _ in entry.new])
        for (number, labels), present in zip(entry.new, known, strict=True):
            if labels == present:
                self._other.pop(number, None)
            else:
                self._other[number] = labels

    def of(self, numbers: Codes) -> list[Labels]:
        """The label sets of series, () where none is known."""
        found = list(self._labels_of(numbers.tolist()))
        if self._other:
            found = [
                self._other.get(number, labels)
                for number, labels in zip(numbers.tolist(), found, strict=True)
            ]
        return found


class Order:
    """The newest time stamp sent of each series, to tell what would arrive out of order."""

    def __init__(self) -> None:
        self._newest = np.empty(0, np.int64)

    def late(self, series: Codes, timestamps: Ints) -> Bools:
        """Which samples are not newer than all those of their series before them; then they count as sent."""
        size = int(series.max(initial=-1)) + 1
        if size > len(self._newest):
            grown = np.full(max(size, 2 * len(self._newest)), -NEVER, np.int64)
            grown[: len(self._newest)] = self._newest
            self._newest = grown
        by_series = np.argsort(series, kind="stable")
        _, rank = np.unique(series[by_series], return_inverse=True)
        base = rank.astype(np.int64) * _SPAN
        keys = base + np.clip(timestamps[by_series], 0, _SPAN - 2) + 1
        before = np.maximum.accumulate(np.concatenate([np.zeros(1, np.int64), keys[:-1]]))
        sent = base + np.clip(self._newest[series[by_series]], -1, _SPAN - 2) + 1
        late = np.empty(len(series), np.bool_)
        late[by_series] = keys <= np.maximum(before, sent)
        np.maximum.at(self._newest, series, timestamps)
        return late


def parts_of(entries: Sequence[Entry], names: Names, order: Order, most: int) -> tuple[list[Part], int]:
    """Requests of at most `most` samples that carry the entries, and how many samples have no name.

    Late samples come in requests of their own at the end: a back end that takes none refuses only those.
    """
    series = np.concatenate([entry.series for entry in entries])
    times = np.concatenate([entry.timestamps for entry in entries])
    values = np.concatenate([entry.values for entry in entries])
    numbers, codes = np.unique(series, return_inverse=True)
    labels = names.of(numbers.astype(np.int32))
    named = np.array([bool(label_set) for label_set in labels], np.bool_)[codes]
    late = order.late(series, times)
    block = SampleBlock(labels, codes.astype(np.int32), times, values)
    parts = []
    for wanted in (named & ~late, named & late):
        rows = np.flatnonzero(wanted)
        parts += [Part(_rows(block, rows[at : at + most])) for at in range(0, len(rows), most)]
    return parts, int((~named).sum())


def halves(part: Part) -> list[Part]:
    """A part as two, in order."""
    middle = part.size // 2
    rows = np.arange(part.size)
    return [
        replace(part, block=_rows(part.block, half), splits=part.splits + 1)
        for half in (rows[:middle], rows[middle:])
    ]


def _rows(block: SampleBlock, rows: Ints) -> SampleBlock:
    return SampleBlock(block.labels, block.series[rows], block.timestamps[rows], block.values[rows])
