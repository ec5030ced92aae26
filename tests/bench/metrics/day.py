"""A whole day of a tenth of the devices: bytes on disk, and one series of a day over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from monitor.clock import ManualClock
from monitor.metrics.store import LocalStore
from tests.bench.measure import ROUNDS, Measure, interleaved, wall_ms
from tests.bench.metrics import sides
from tests.bench.metrics.city import append, bulk, say
from tests.bench.metrics.data import HOUR, MINUTE, Dataset, Size, plain
from tests.bench.metrics.sides import OURS, PROMETHEUS, VICTORIA, Side, seconds
from tests.bench.metrics.wire import Writer

DAY = 24 * HOUR
SLOT = 2 * HOUR
SHARE = 10  # of the devices one in so many: bytes a sample hardly depend on how many there are
DISK = "bytes per sample"
MERGE_SECONDS = 120.0
Sealed = tuple[float, float]  # bytes a sample: two hours, and a day compacted


def measures(folder: Path, size: Size, end: int) -> list[Measure]:
    """Disk first, then the query on what is there. The day is one of the calendar (UTC), as compaction goes by."""
    end = end // DAY * DAY
    small = Size(max(1, size.devices // SHARE), 24)
    data = plain(small.devices, end - DAY, end)
    writer = Writer(data.labels)
    say(f"a day of {small.series:,} series: {data.samples:,} samples")
    ours = _our_disk(folder / OURS, data)
    with ExitStack() as stack:
        peers = sides.start(stack, folder, sides.available()[1:], end)
        disk = {PROMETHEUS: _prometheus_disk(peers[PROMETHEUS], data, writer)} if PROMETHEUS in peers else {}
        if VICTORIA in peers:
            disk[VICTORIA] = _victoria_disk(peers[VICTORIA], data, writer)
        served = sides.start(stack, folder, [OURS], end) | peers
        query = _one_series(served, data)
    note = f"{small} x 24 h"
    two, day = "disk, two hours sealed", "disk, a day compacted"
    prometheus, victoria = disk.get(PROMETHEUS), disk.get(VICTORIA)
    one = "range query, one series, 24 h by minute, over HTTP"
    names_note = f"{note}; names included: Prometheus's in each block, ours and {VICTORIA}'s (after a forced merge) daily"
    return [
        Measure(two, DISK, "lower", ours[0], prometheus and prometheus[0], PROMETHEUS, 1.96, names_note),
        Measure(day, DISK, "lower", ours[1], prometheus and prometheus[1], PROMETHEUS, 1.72, names_note),
        Measure(f"{two}, against {VICTORIA}", DISK, "lower", ours[0], victoria and victoria[0], VICTORIA, None, names_note),
        Measure(f"{day}, against {VICTORIA}", DISK, "lower", ours[1], victoria and victoria[1], VICTORIA, None, names_note),
        Measure(one, "ms", "lower", query[OURS], query.get(PROMETHEUS), PROMETHEUS, 2, note),
        Measure(f"{one}, against {VICTORIA}", "ms", "lower", query[OURS], query.get(VICTORIA), VICTORIA, None, note),
    ]  # fmt: skip


def _our_disk(folder: Path, data: Dataset) -> Sealed:
    clock = ManualClock(data.start_ms + SLOT)
    store = LocalStore(folder, clock)
    found: list[float] = []
    for at in range(data.start_ms, data.end_ms, SLOT):
        append(store, data, at, at + SLOT)
        clock.advance(HOUR / 1000)
        store.maintain()  # as the core does when a slot of two hours is an hour old
        clock.advance((SLOT - HOUR) / 1000)
        if not found:
            found.append(_bytes(folder, data, SLOT))
    store.compact(data.start_ms)
    store.close()
    found.append(_bytes(folder, data, DAY))
    return found[0], found[1]


def _bytes(folder: Path, data: Dataset, length: int) -> float:
    """Bytes a sample of the chunks; of the names, which are stored once, the share of so long in a day."""
    names = sides.size(folder / "catalog") * length / DAY
    return (sides.size(folder / "chunks" / "raw") + names) / (len(data.labels) * length // MINUTE)


def _prometheus_disk(side: Side, data: Dataset, writer: Writer) -> Sealed:
    """Snapshots, which also write the head as a block: after two hours, and when it has compacted what it will."""
    two_hours = data.start_ms + SLOT
    sides.load([side], bulk(data, writer, data.start_ms, two_hours))
    first = _snapshot(side) / (len(data.labels) * SLOT // MINUTE)
    sides.load([side], bulk(data, writer, two_hours, data.end_ms))
    side.wait_until(_settled(side), MERGE_SECONDS)
    return first, _snapshot(side) / data.samples


def _settled(side: Side) -> Callable[[], bool]:
    """True once the blocks were the same for eight seconds and the head has no more to give away."""
    last: list[list[str]] = []

    def settled() -> bool:
        now = sorted(path.parent.name for path in side.folder.glob("*/meta.json"))
        head = (
            side.metric("prometheus_tsdb_head_max_time") - side.metric("prometheus_tsdb_head_min_time")
        ) / HOUR
        last.append(now if head <= 3 else [])
        return len(last) > 40 and bool(now) and all(one == now for one in last[-40:])

    return settled


def _snapshot(side: Side) -> int:
    name = json.loads(side.request("POST", "/api/v1/admin/tsdb/snapshot"))["data"]["name"]
    return sides.size(side.folder / "snapshots" / name)


def _victoria_disk(side: Side, data: Dataset, writer: Writer) -> Sealed:
    two_hours = data.start_ms + SLOT
    sides.load([side], bulk(data, writer, data.start_ms, two_hours))
    first = _merged(side, SLOT) / (len(data.labels) * SLOT // MINUTE)
    sides.load([side], bulk(data, writer, two_hours, data.end_ms))
    return first, _merged(side, DAY) / data.samples


def _merged(side: Side, length: int) -> float:
    """Bytes of the samples and, as of ours, the share of so long in a day of the names."""
    side.request("GET", "/internal/force_merge")
    side.wait_until(lambda: side.metric("vm_active_force_merges") == 0, MERGE_SECONDS)
    return sides.size(side.folder / "data") + sides.size(side.folder / "indexdb") * length / DAY


def _one_series(served: dict[str, Side], data: Dataset) -> dict[str, float]:
    labels = dict(data.labels[len(data.labels) // 2])
    query = f'{labels["__name__"]}{{device="{labels["device"]}",ifName="{labels["ifName"]}"}}'
    grid = {"start": seconds(data.start_ms + MINUTE), "end": seconds(data.end_ms), "step": "60"}
    answers = {}
    for name, side in served.items():
        result = side.ask("query_range", query=query, **grid)["result"]
        answers[name] = [float(value) for _, value in result[0]["values"]]  # type: ignore[index]
    if any(answers[name] != answers[OURS] for name in answers if name != VICTORIA):
        raise RuntimeError(f"{PROMETHEUS} answers {query!r} over a day differently")

    def asker(side: Side) -> Callable[[], float]:
        return lambda: wall_ms(lambda: side.raw("query_range", query=query, **grid))

    return interleaved({name: asker(side) for name, side in served.items()}, 3 * ROUNDS)
