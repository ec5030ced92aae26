"""The loaded sides that most parts share: the plain data set in three servers and in a store of this process."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from monitor.clock import ManualClock
from monitor.metrics.chunks import SLOT_MS
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.store import LocalStore
from tests.bench.metrics import sides
from tests.bench.metrics.data import HOUR, MINUTE, Dataset, Size, plain
from tests.bench.metrics.sides import Side
from tests.bench.metrics.wire import Writer

SLOTS_A_REQUEST, DEVICES_A_REQUEST = 15, 40
POLL_DEVICES = 40  # of one request with a sample a series
INGEST_SLOTS = 18  # left for the ingest part to send


class City:
    """All sides and our own store and engine; `end` is when the data ends, an even hour."""

    def __init__(self, stack: ExitStack, folder: Path, size: Size, end: int) -> None:
        self.size, self.end, self.folder = size, end, folder
        self.data = plain(size.devices, end - size.hours * HOUR, end)
        self.writer = Writer(self.data.labels)
        self.clock = ManualClock(self.data.start_ms)
        self.store = LocalStore(folder / "own", self.clock)
        stack.callback(self.store.close)
        self.engine = PromqlEngine(self.store)
        self.sides = sides.start(stack, folder, sides.available(), end)
        self.tail = end - INGEST_SLOTS * MINUTE
        self._load(self.data.start_ms, self.tail)
        self._maintain(end)  # what ingest will send is not ahead of the time

    @property
    def ours(self) -> Side:
        """Our core as a server."""
        return self.sides[sides.OURS]

    def finish(self) -> None:
        """Load what the ingest part would have sent."""
        self._load(self.tail, self.end)

    def settle(self) -> None:
        """What the core does every minute, done at the end of the data. Peers show what they hold."""
        self._maintain(self.end)
        for side in self.sides.values():
            side.flush()

    def _maintain(self, now_ms: int) -> None:
        self.clock.advance((now_ms - self.clock.now_ms()) / 1000)
        self.store.maintain()
        self.ours.request("POST", f"/bench/maintain?now={now_ms}")

    def bodies(self, start_ms: int, end_ms: int, devices: int, *, zeros: bool = True) -> Iterator[bytes]:
        """Requests of one sample a series of so many devices."""
        for columns in self.data.columns(start_ms, end_ms, MINUTE, devices):
            yield self.writer.body(columns, zeros=zeros)

    def _load(self, start_ms: int, end_ms: int) -> None:
        say(
            f"loading {(end_ms - start_ms) // MINUTE} samples of {self.size.series:,} series into {', '.join(self.sides)}"
        )
        for at in range(start_ms // SLOT_MS * SLOT_MS, end_ms, SLOT_MS):  # sealed as it would be by the core
            begin, end = max(at, start_ms), min(at + SLOT_MS, end_ms)
            self._maintain(end)
            sides.load(self.sides.values(), bulk(self.data, self.writer, begin, end))
            append(self.store, self.data, begin, end)


def bulk(data: Dataset, writer: Writer, start_ms: int, end_ms: int) -> Iterator[bytes]:
    """Requests of many samples a series: the quickest way in."""
    for columns in data.columns(start_ms, end_ms, SLOTS_A_REQUEST * MINUTE, DEVICES_A_REQUEST):
        yield writer.body(columns)


def append(store: LocalStore, data: Dataset, start_ms: int, end_ms: int) -> None:
    """The same into a store of this process. RuntimeError when it refuses any."""
    for columns in data.columns(start_ms, end_ms, MINUTE, len(data.labels)):
        result = store.append(data.block(columns))
        if result.accepted != len(columns.series):
            raise RuntimeError(
                f"our store took {result.accepted} samples of {len(columns.series)}: {result.reasons}"
            )


def even_hour() -> int:
    """The last even hour, ms since the epoch."""
    return int(time.time() * 1000) // (2 * HOUR) * (2 * HOUR)


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
