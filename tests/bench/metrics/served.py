"""What the servers do with the loaded city: a range query, the memory they need, the start after a kill."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from tests.bench.measure import ROUNDS, Measure, interleaved, wall_ms
from tests.bench.metrics.city import City, say
from tests.bench.metrics.data import HOUR, MINUTE
from tests.bench.metrics.rules import same_matrix
from tests.bench.metrics.sides import OURS, PROMETHEUS, VICTORIA, Side, seconds

RANGE = "sum by (site) (rate(ifHCInOctets[5m]))"
FLUSH_SECONDS = 6.0  # victoria-metrics holds what it took for up to five seconds in memory alone


def ranges(city: City) -> list[Measure]:
    """Over HTTP on all sides, as a page asks: an hour by minute."""
    say("range query")
    start, end = city.end - HOUR - 30_000 + 5, city.end - 30_000 + 5
    matrix = city.engine.range(RANGE, start, end, MINUTE)
    for name in (OURS, PROMETHEUS):
        if name in city.sides:
            result = _range(start, end)
            if not same_matrix(matrix, city.sides[name].ask("query_range", **result)["result"]):
                raise RuntimeError(f"{name} answers {RANGE!r} differently")

    def asker(side: Side) -> Callable[[], float]:
        shift = iter(range(0, 1_000_000, 1000))

        def ask() -> float:  # another second each time: no cache of answers helps
            by = next(shift)
            parameters = _range(start - by, end - by)
            return wall_ms(lambda: side.raw("query_range", **parameters))

        ask()
        return ask

    found = interleaved({name: asker(side) for name, side in city.sides.items()}, ROUNDS + 2)
    name, note = "range query, 1 h by minute, sum by (site) of rate, over HTTP", str(city.size)
    return _against_both(name, "ms", found, {PROMETHEUS: 15}, note)


def _range(start: int, end: int) -> dict[str, str]:
    return {"query": RANGE, "start": seconds(start), "end": seconds(end), "step": "60"}


def memory(city: City) -> list[Measure]:
    """Resident memory of the process once it has answered."""
    found: dict[str, list[float]] = {name: [] for name in city.sides}
    for _ in range(ROUNDS):
        for name, side in city.sides.items():
            found[name].append(side.resident_mb)
        time.sleep(0.5)
    note = f"{city.size} x {city.size.hours} h, after the queries of the parts before; a peer's data files may be mapped"
    medians = {name: statistics.median(figures) for name, figures in found.items()}
    return _against_both("resident memory", "MB", medians, {PROMETHEUS: 2.5}, note)


def restart(city: City) -> list[Measure]:
    """From SIGKILL to the first whole answer; of ours no acknowledged sample may be missing afterwards."""
    say("kill and start")
    time.sleep(FLUSH_SECONDS)
    at = city.end - 30_000 + 5

    def starter(side: Side) -> Callable[[], float]:
        def start() -> float:
            before = time.perf_counter()
            side.kill_and_start()
            side.until_answered("count(up)", at, city.size.devices)
            return time.perf_counter() - before

        return start

    found = interleaved({name: starter(side) for name, side in city.sides.items()})
    _nothing_lost(city)
    note = f"{city.size} x {city.size.hours} h; until `count(up)` is whole"
    return _against_both("start after kill -9 to the first answer", "s", found, {}, note)


def _nothing_lost(city: City) -> None:
    query = f"sum(count_over_time(up[{city.size.hours}h]))"
    result = city.ours.ask("query", query=query, time=seconds(city.end - 1))["result"]
    held = int(float(result[0]["value"][1]))  # type: ignore[index]
    expected = city.size.devices * city.size.hours * 60
    if held != expected:
        raise RuntimeError(f"{held} samples of `up` are left of {expected} that were acknowledged")


def _against_both(
    name: str, unit: str, found: dict[str, float], goals: dict[str, float], note: str
) -> list[Measure]:
    return [
        Measure(
            name if peer == PROMETHEUS else f"{name}, against {peer}",
            unit, "lower", found[OURS], found.get(peer), peer, goals.get(peer), note,
        )
        for peer in (PROMETHEUS, VICTORIA)
    ]  # fmt: skip
