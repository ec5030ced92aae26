"""How our store grows: samples appended and the rule group by CPU time, and memory, by number of series."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.bench.measure import Measure
from tests.bench.metrics.city import say
from tests.bench.metrics.data import Size

SIZES = (125_000, 250_000, 500_000, 1_000_000)
SLOTS = 10


def measures(size: Size) -> list[Measure]:
    """A process for each size, so that no memory is counted twice. A smaller city makes smaller sizes."""
    found = []
    for full in SIZES:
        series = full * size.devices // Size().devices
        line = subprocess.run(
            [sys.executable, "-m", "tests.bench.metrics.grown", str(series)],
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        figures = json.loads(line)
        say(f"{series:,} series: {figures}")
        note = f"{SLOTS} minutes of each series, one sample a minute, in a process of its own"
        found += [
            Measure(
                f"append, {series:,} series", "samples per CPU second", "higher", figures["append"], note=note
            ),
            Measure(f"typical rules, {series:,} series", "CPU ms", "lower", figures["rules"], note=note),
            Measure(f"resident memory, {series:,} series", "MB", "lower", figures["memory"], note=note),
        ]
    return found
