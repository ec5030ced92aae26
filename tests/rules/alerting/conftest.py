"""A small world for alerting tests: one store, one engine, one desk, time moved by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from monitor.audit import AuditLog
from monitor.clock import ManualClock
from monitor.database import Database
from monitor.metrics.interface import block_of, make_labels
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.engine import PromqlEngine
from monitor.model import WHOLE_CITY, Scope
from rules.alerting.desk import SqlDesk
from rules.alerting.engine import Engine
from rules.alerting.files import parse_rules
from rules.alerting.interface import AlertFilter, AlertView
from rules.alerting.journal import Journal

RULES = """
groups:
  - name: g
    interval: 15s
    rules:
      - alert: DeviceDown
        expr: up == 0
        for: 30s
        labels: {severity: critical}
        annotations: {summary: "设备 {{ $labels.device }} 失联", summary_en: "{{ $labels.device }} is down"}
      - alert: HighCpu
        expr: cpu > 0.9
        keep_firing_for: 60s
        labels: {severity: minor}
"""


@dataclass
class World:
    clock: ManualClock
    database: Database
    desk: SqlDesk
    store: MemoryStore = field(default_factory=MemoryStore)
    depends: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rules: str = RULES

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A new engine on the same state, as after a restart."""
        queries = PromqlEngine(self.store)
        groups, errors = parse_rules(self.rules, "test.yml", queries.compile)
        assert errors == []
        self.engine = Engine(self.store, queries, Journal(self.database, lambda: self.depends), self.clock)
        self.engine.load(groups)

    def feed(self, values: Mapping[tuple[str, str], float]) -> None:
        """Samples now: (metric, "SITE/DEVICE") -> value."""
        samples = []
        for (metric, place), value in values.items():
            site, device = place.split("/")
            samples.append(
                (make_labels({"site": site, "device": device}, metric), self.clock.now_ms(), value)
            )
        self.store.append(block_of(samples))

    def round(self, values: Mapping[tuple[str, str], float], seconds: float = 15) -> None:
        """Time passes, samples arrive, rules are evaluated."""
        self.clock.advance(seconds)
        self.feed(values)
        assert self.engine.evaluate("test.yml;g")

    def down(self, *places: str) -> None:
        """Let DeviceDown fire for these places."""
        for _ in range(3):
            self.round({("up", place): 0.0 for place in places})

    def views(self, scope: Scope = WHOLE_CITY) -> dict[tuple[str, str], AlertView]:
        found, _ = self.desk.alerts(scope, AlertFilter(states=(), limit=10_000))
        newest: dict[tuple[str, str], AlertView] = {}
        for alert in sorted(found, key=lambda alert: -alert.id):
            newest.setdefault((alert.name, alert.device), alert)
        return newest


@pytest.fixture
def world(clock: ManualClock, database: Database, audit: AuditLog) -> World:
    return World(clock, database, SqlDesk(database, audit, clock))
