"""A process that evaluates one rule as fast as it can until it is killed; prints a line a round."""

from __future__ import annotations

import sys
from pathlib import Path

from monitor.clock import ManualClock
from monitor.database import sqlite_database
from monitor.metrics.interface import block_of, make_labels
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.engine import PromqlEngine
from rules.alerting.engine import Engine
from rules.alerting.files import parse_rules
from rules.alerting.journal import Journal

RULES = """
groups:
  - name: g
    interval: 1s
    rules:
      - alert: Odd
        expr: odd == 1
      - alert: Slow
        expr: slow == 1
        for: 1h
"""


def main(folder: Path, start_ms: int) -> None:
    """Devices go in and out of alarm; `slow` stays pending."""
    clock, store = ManualClock(start_ms), MemoryStore()
    queries = PromqlEngine(store)
    groups, _ = parse_rules(RULES, "child.yml", queries.compile)
    engine = Engine(store, queries, Journal(sqlite_database(folder), dict), clock)
    engine.load(groups)
    turn = 0
    while True:
        turn += 1
        clock.advance(1)
        samples = [
            (make_labels({"device": f"d{i}"}, "odd"), clock.now_ms(), float((turn + i) % 2))
            for i in range(20)
        ]
        samples.append((make_labels({"device": "s"}, "slow"), clock.now_ms(), 1.0))
        store.append(block_of(samples))
        engine.evaluate("child.yml;g")
        sys.stdout.write(f"{turn} {clock.now_ms()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
