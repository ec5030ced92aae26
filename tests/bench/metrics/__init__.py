"""The metric store against Debian's prometheus and victoria-metrics: same data in, same questions, side by side.

`python -m tests.bench metrics [PART ...]` runs all parts or some. `BENCH_DEVICES` (2000) and `BENCH_HOURS` (3) choose
how much data; BENCH_DEVICES=200 is for a quick look, BENCH_HOURS=24 for the 147 million samples the goals were set on.
The machine's other work changes wall times but not CPU times, and hits all sides, as they take turns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.measure import Measure
from tests.bench.metrics import day, growth, ingest, rules, served, storm, uneven
from tests.bench.metrics.city import City, even_hour, say
from tests.bench.metrics.data import Size
from tests.bench.metrics.sides import PEERS, available

OF_THE_CITY = ("ingest", "rules", "range", "memory", "start", "storm")
PARTS = (*OF_THE_CITY, "uneven", "disk", "growth")


def run(parts: Sequence[str] = ()) -> list[Measure]:
    """The measures of some parts, in the order of PARTS; of all when none is named."""
    size, wanted = Size.chosen(), [part for part in PARTS if part in parts or not parts]
    for peer in PEERS:
        if peer not in available():
            say(f"{peer} is not installed: its figures are missing")
    found: list[Measure] = []
    if set(wanted) & set(OF_THE_CITY):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            found += _of_the_city(City(stack, folder, size, even_hour()), wanted)
    for part in wanted:
        if part not in OF_THE_CITY:
            with tempfile.TemporaryDirectory() as name:
                found += _alone(part, Path(name), size)
    say("done")
    return found


def _of_the_city(city: City, wanted: Sequence[str]) -> list[Measure]:
    found = []
    if "ingest" in wanted:
        found += ingest.measures(city)
    else:
        city.finish()
    city.settle()
    if "rules" in wanted:
        note = f"{city.size} x {city.size.hours} h, {len(rules.RULES)} rules, warm, engine against HTTP"
        found += rules.measures(city.engine, city.sides, city.end, "typical rules", 150, note, even=True)
    for part, measure in (("range", served.ranges), ("memory", served.memory), ("start", served.restart)):
        if part in wanted:
            found += measure(city)
    if "storm" in wanted:  # last: it writes series of its own
        found += storm.measures(city)
    return found


def _alone(part: str, folder: Path, size: Size) -> list[Measure]:
    say(part)
    if part == "uneven":
        return uneven.measures(folder, size, even_hour())
    if part == "disk":
        return day.measures(folder, size, even_hour())
    return growth.measures(size)
