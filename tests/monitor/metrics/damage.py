"""A store with one flipped byte in a sealed chunk and one in its log."""

from __future__ import annotations

from pathlib import Path

from monitor.clock import ManualClock
from monitor.metrics.chunk_file import ChunkFile
from monitor.metrics.chunks import SLOT_MS
from monitor.metrics.interface import block_of, make_labels
from monitor.metrics.store import LocalStore

DEVICES = 3


def flip(path: Path, at: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def damaged_folder(folder: Path, clock: ManualClock) -> int:
    """Write four hours of `m0` and `m1`, seal three, then damage a chunk and the log; how many samples of m0 were."""
    start = clock.now_ms() // SLOT_MS * SLOT_MS
    clock.advance((start - clock.now_ms()) / 1000 + 4.5 * 3600)
    store = LocalStore(folder, clock)
    minutes = range(0, 240, 5)
    for minute in minutes:
        at = start + minute * 60_000
        labels = [make_labels({"device": f"d{d}"}, f"m{m}") for d in range(DEVICES) for m in range(2)]
        store.append(block_of([(one, at, float(minute)) for one in labels]))
        if minute == 120:
            store.maintain()
    store.close()
    (day,) = (folder / "chunks" / "raw").glob("*/*.chunks")
    # The first chunk: it belongs to m0, as chunks are in the order of their metrics.
    flip(day, int(ChunkFile(day).index().at[0]) + 40)
    log = max((folder / "wal").glob("*.seg"), key=lambda path: path.stat().st_size)
    flip(log, log.stat().st_size // 2)
    return DEVICES * len(minutes)
