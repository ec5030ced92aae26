"""Ingest: samples a CPU second of the server process, all its threads, what it does behind the requests included."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from monitor.metrics.remote_write import CONTENT_TYPE, Decoder
from tests.bench.measure import ROUNDS, Measure, cpu_seconds, per_cpu_second
from tests.bench.metrics.city import POLL_DEVICES, City, say
from tests.bench.metrics.data import MINUTE, WIDTH
from tests.bench.metrics.sides import PROMETHEUS, VICTORIA, Side

UNIT = "samples per CPU second"
BIG_DEVICES = 196
SETTLE_SECONDS = 2.0
TURNS = 1 + ROUNDS  # the first of each shape is not counted: caches warm
SHAPES = (  # name, devices a request, zeros written
    ("", POLL_DEVICES, True),
    (", zeros left out", POLL_DEVICES, False),
    ("", BIG_DEVICES, True),
)


def measures(city: City) -> list[Measure]:
    """Each shape sends six minutes of data, one after the other, to each side in turn."""
    found = []
    at = city.tail
    for name, devices, zeros in SHAPES:
        count = devices * WIDTH
        label = f"remote_write ingest, {count:,} samples a request{name}"
        say(label)
        turns = [
            list(city.bodies(at + turn * MINUTE, at + (turn + 1) * MINUTE, devices, zeros=zeros))
            for turn in range(TURNS)
        ]
        rates = _rates(city, turns)
        note = f"one sample a series, {min(devices, city.size.devices)} devices a request, one connection; {city.size}"
        goals = {PROMETHEUS: 10, VICTORIA: 2}
        for peer, goal in goals.items():
            full = label if peer == PROMETHEUS else f"{label}, against {peer}"
            found.append(Measure(full, UNIT, "higher", rates["ours"], rates.get(peer), peer, goal, note))
        found.append(_alone(city, turns, label))
        at += TURNS * MINUTE
    return found


def _rates(city: City, turns: Sequence[Sequence[bytes]]) -> dict[str, float]:
    marks: dict[str, list[float]] = {name: [] for name in city.sides}
    for bodies in turns:
        for name, side in city.sides.items():
            marks[name].append(cpu_seconds(side.pid))
            _send(side, bodies)
    time.sleep(SETTLE_SECONDS)
    for name, side in city.sides.items():
        marks[name].append(cpu_seconds(side.pid))
    rates = {}
    for name, found in marks.items():
        spent = [after - before for before, after in pairwise(found[1:])]
        rates[name] = city.size.series / statistics.median(spent)
    return rates


def _send(side: Side, bodies: Sequence[bytes]) -> None:
    for body in bodies:
        side.write(body)


def _alone(city: City, turns: Sequence[Sequence[bytes]], label: str) -> Measure:
    """Decoding and appending in this process, without HTTP and without waiting for the disk."""

    decoder = Decoder()

    def take(bodies: Sequence[bytes]) -> None:
        for body in bodies:
            received = decoder.decode(body, content_type=CONTENT_TYPE, content_encoding="snappy")
            city.store.append(received.block)

    rates = [per_cpu_second(city.size.series, 0, partial(take, bodies)) for bodies in turns]
    return Measure(f"{label}: decode and append alone", UNIT, "higher", statistics.median(rates[1:]))
