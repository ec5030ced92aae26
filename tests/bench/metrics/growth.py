"""How our store grows: `python -m tests.bench.metrics.growth SERIES` stores ten minutes of so many series.

It prints one line of JSON: samples appended a CPU second, milliseconds of the rule group and resident memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from monitor.clock import ManualClock
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.store import LocalStore
from tests.bench.measure import ROUNDS, Measure, interleaved, per_cpu_second, wall_ms
from tests.bench.metrics.city import even_hour, say
from tests.bench.metrics.data import MINUTE, WIDTH, Size, plain
from tests.bench.metrics.rules import RULES
from tests.bench.processes import resident_mb

SIZES = (125_000, 250_000, 500_000, 1_000_000)
SLOTS = 10


def measures(size: Size) -> list[Measure]:
    """A process for each size, so that no memory is counted twice. A smaller city makes smaller sizes."""
    found = []
    for full in SIZES:
        series = full * size.devices // Size().devices
        line = subprocess.run(
            [sys.executable, "-m", "tests.bench.metrics.growth", str(series)],
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
            Measure(f"typical rules, {series:,} series", "ms", "lower", figures["rules"], note=note),
            Measure(f"resident memory, {series:,} series", "MB", "lower", figures["memory"], note=note),
        ]
    return found


def main(series: int) -> None:
    """Measure one size."""
    end = even_hour()
    data = plain(series // WIDTH, end - SLOTS * MINUTE, end)
    with tempfile.TemporaryDirectory() as name:
        store = LocalStore(Path(name), ManualClock(end))
        slots = iter(list(data.columns(data.start_ms, end, MINUTE, len(data.labels))))
        store.append(data.block(next(slots)))  # the series are new: not counted

        def append() -> float:
            columns = next(slots)
            return per_cpu_second(len(columns.series), 0, lambda: store.append(data.block(columns)))

        rate = interleaved({"append": append}, SLOTS - 1)["append"]
        engine = PromqlEngine(store)
        plans = [engine.compile(rule) for rule in RULES.values()]
        times = iter(range(end - 50_000 + 5, end, 1000))

        def rules() -> float:
            at = next(times)
            return wall_ms(lambda: [engine.instant(plan, at) for plan in plans])

        rules()
        took = interleaved({"rules": rules}, ROUNDS)["rules"]
        memory = resident_mb(os.getpid())
        store.close()
    print(json.dumps({"append": rate, "rules": took, "memory": memory}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
