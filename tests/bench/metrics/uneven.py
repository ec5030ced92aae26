"""The rule group over data with holes, jitter and mixed intervals, in sides of its own."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from monitor.clock import ManualClock
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.store import LocalStore
from tests.bench.measure import Measure
from tests.bench.metrics import rules, sides
from tests.bench.metrics.city import append, bulk, say
from tests.bench.metrics.data import Size, uneven
from tests.bench.metrics.wire import Writer

MINUTES = 75  # what the longest range of the rules looks back, and some


def measures(folder: Path, size: Size, end: int) -> list[Measure]:
    """All peers hold the same; answers are compared first."""
    data = uneven(size.devices, end - MINUTES * 60_000, end)
    with ExitStack() as stack:
        store = LocalStore(folder / "own", ManualClock(end))
        stack.callback(store.close)
        peers = sides.start(stack, folder, sides.available()[1:], end)
        say(f"loading {data.samples:,} uneven samples into {', '.join(peers)}")
        if peers:
            sides.load(peers.values(), bulk(data, Writer(data.labels), data.start_ms, end))
        append(store, data, data.start_ms, end)
        note = (
            f"{size} with 2 % holes, jitter of 50 ms and intervals of 15, 30, 60 and 300 s;"
            f" {len(rules.RULES)} rules, warm, engine against HTTP"
        )
        return rules.measures(
            PromqlEngine(store), peers, end, "typical rules, uneven data", 80, note, even=False
        )
