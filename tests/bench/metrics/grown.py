"""Our store at one size: `python -m tests.bench.metrics.grown SERIES` stores ten minutes of so many series.

It prints one line of JSON: samples appended a CPU second, CPU milliseconds of the rule group and resident memory in MB.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from monitor.clock import ManualClock
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.store import LocalStore
from tests.bench.measure import ROUNDS, cpu_ms, interleaved, per_cpu_second
from tests.bench.metrics.city import even_hour
from tests.bench.metrics.data import MINUTE, WIDTH, plain
from tests.bench.metrics.growth import SLOTS
from tests.bench.metrics.rules import RULES
from tests.bench.processes import resident_mb


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
            return cpu_ms(lambda: [engine.instant(plan, at) for plan in plans])

        rules()
        took = interleaved({"rules": rules}, ROUNDS)["rules"]
        memory = resident_mb(os.getpid())
        store.close()
    print(json.dumps({"append": rate, "rules": took, "memory": memory}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
