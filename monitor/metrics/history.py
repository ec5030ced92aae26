"""What is sealed, at three resolutions, and how a reader sees it: layers disjoint in time, late samples merged.

A day is read from its raw files; when those are gone, from the five-minute rollup; when that is gone too, from the
hourly one (see rollup). The late samples that are still in memory are merged into whatever they overlap.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from monitor.metrics.chunk_file import RAW
from monitor.metrics.chunks import DAY_MS, ChunkStore, Files
from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Bools
from monitor.metrics.layers import Layer, overlay
from monitor.metrics.piece import Columns

FIVE_MINUTES_MS = 300_000
HOUR_MS = 3_600_000
_MOST_CELLS = 1 << 26


@dataclass(frozen=True, slots=True)
class Kept:
    """For how many days samples and their rollups are kept."""

    raw_days: int = 30
    five_minute_days: int = 180
    hour_days: int = 730

    @property
    def longest_ms(self) -> int:
        """How long anything of a series is kept."""
        return max(self.raw_days, self.five_minute_days, self.hour_days) * DAY_MS


@dataclass(frozen=True, slots=True)
class Past:
    """What a reader takes along when it leaves the lock: everything sealed or late it asked for."""

    history: History
    files: tuple[Files, Files, Files]
    wanted: Bools
    late: Columns
    after_ms: int
    until_ms: int

    @property
    def empty(self) -> bool:
        """Whether there is nothing but what the head has."""
        return not len(self.late.series) and not self.wanted.any()

    def layers(self, newest: Layer) -> list[Layer]:
        """All samples in (after, until] with those of the head: layers disjoint in time, oldest first."""
        sealed = self.history.read(self.files, self.wanted, self.after_ms, self.until_ms)
        return overlay([*sealed, newest], self.late)


class History:
    """The day files of all resolutions."""

    def __init__(self, folder: Path, kept: Kept) -> None:
        self.kept = kept
        self.raw = ChunkStore(folder / "raw")
        self.five_minutes = ChunkStore(folder / "5m")
        self.hours = ChunkStore(folder / "1h")

    @property
    def stores(self) -> tuple[ChunkStore, ChunkStore, ChunkStore]:
        """Finest first."""
        return self.raw, self.five_minutes, self.hours

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(store.size for store in self.stores)

    @property
    def damaged(self) -> Counter[str]:
        """What was found damaged since the store was opened, by kind."""
        return sum((store.damaged for store in self.stores), Counter[str]())

    def files(self) -> tuple[Files, Files, Files]:
        """The files there are now. Take the finest first: a day leaves them in this order."""
        return self.raw.files, self.five_minutes.files, self.hours.files

    def read(
        self,
        files: tuple[Files, Files, Files],
        wanted: Bools,
        after_ms: int,
        until_ms: int,
        aspect: int = RAW,
    ) -> list[Layer]:
        """Layers in (after_ms, until_ms], each day from the finest files it has; an aspect other than RAW (see
        rollup) from the rollups only. Raises QueryError when that would be more than fits in memory.
        """
        if not wanted.any():
            return []
        cells = 0
        found: list[tuple[int, list[Layer]]] = []
        taken: set[int] = set()
        for store, of_store in zip(self.stores, files, strict=True):
            if store is self.raw and aspect != RAW:
                continue
            mine = {day: parts for day, parts in of_store.items() if day not in taken}
            taken.update(mine)
            for day, parts in mine.items():
                if day <= until_ms and day + DAY_MS > after_ms:
                    layers = store.read({day: parts}, wanted, after_ms, until_ms, aspect)
                    cells += sum(piece.values.size for layer in layers for piece in layer)
                    _check(cells)
                    found.append((day, layers))
        return [layer for _, layers in sorted(found, key=lambda part: part[0]) for layer in layers]

    def remove_before(self, now_ms: int) -> None:
        """Delete the days that are too old, each resolution at its time."""
        kept = self.kept
        for store, days in zip(
            self.stores, (kept.raw_days, kept.five_minute_days, kept.hour_days), strict=True
        ):
            store.remove_before(now_ms - days * DAY_MS)


def _check(cells: int) -> None:
    if cells > _MOST_CELLS:
        raise QueryError(
            f"the query would read more than {_MOST_CELLS} samples of past days into memory",
            kind="execution",
            hint="Ask for fewer series or a shorter time.",
        )
