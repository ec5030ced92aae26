"""Evaluates rule groups: queries in, ALERTS series and alert rows out.

One group is evaluated by one thread at a time; groups do not wait for each other. A rule that fails keeps its
alerts and says why; it does not stop its neighbours. Nothing in memory advances before the journal has committed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

import structlog

from monitor.clock import Clock
from monitor.errors import ZhishouError
from monitor.metrics.interface import (
    STALE,
    Labels,
    Matcher,
    MatchOp,
    MetricStore,
    QueryEngine,
    block_of,
)
from rules.alerting.evaluation import Sample, evaluate_alert, evaluate_record
from rules.alerting.files import AlertRule, Rule, RuleGroup
from rules.alerting.journal import Entry, Journal
from rules.alerting.states import Tracked

_log = structlog.get_logger(__name__)

# A restart within this time is no gap; after a longer one a missing series proves nothing for a while.
GAP_MS = 90_000
DOUBT_MS = 120_000


@dataclass(slots=True)
class RuleStatus:
    """A rule and how it is doing. `health` is ok, err or unknown."""

    rule: Rule
    tracked: dict[Labels, Tracked] = field(default_factory=dict)
    series: frozenset[Labels] = frozenset()
    health: str = "unknown"
    last_error: str = ""
    evaluated_at: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class GroupStatus:
    """A group, its rules and its clockwork."""

    group: RuleGroup
    interval_ms: int
    rules: list[RuleStatus]
    evaluated_at: int = 0
    seconds: float = 0.0
    evaluations: int = 0
    missed: int = 0
    lock: Lock = field(default_factory=Lock)


class Engine:
    """Rule groups on one store. `evaluate` is called by the scheduler, once an interval and group."""

    def __init__(
        self,
        store: MetricStore,
        queries: QueryEngine,
        journal: Journal,
        clock: Clock,
        *,
        interval: float = 15.0,
    ) -> None:
        self._store = store
        self._queries = queries
        self._journal = journal
        self._clock = clock
        self._interval_ms = round(interval * 1000)
        self.groups: dict[str, GroupStatus] = {}

    def load(self, groups: Iterable[RuleGroup]) -> None:
        """Take groups over, with the alerts that were pending or firing when the last process ended."""
        restored = self._journal.restore()
        now = self._clock.now_ms()
        doubtful_until = now + DOUBT_MS if restored and self._gap(now) else 0
        known: set[tuple[str, str]] = set()
        for group in groups:
            status = GroupStatus(group, group.interval_ms or self._interval_ms, [])
            for rule in group.rules:
                entry = RuleStatus(rule)
                if isinstance(rule, AlertRule):
                    known.add((group.key, rule.key))
                    for alert in restored.get((group.key, rule.key), []):
                        entry.tracked[alert.labels] = _doubted(alert, doubtful_until)
                status.rules.append(entry)
            self.groups[group.key] = status
        retired = self._journal.retire(known, now)
        _log.info("rules loaded", groups=len(self.groups), restored=len(restored), retired=retired)

    def _gap(self, now: int) -> bool:
        written = [Matcher("__name__", MatchOp.EQ, "ALERTS_FOR_STATE")]
        return len(self._store.window(written, now - GAP_MS, now).labels) == 0

    def evaluate(self, key: str) -> bool:
        """Evaluate a group now; False when it is being evaluated or was, less than half an interval ago.

        What was missed (the machine slept, a slow evaluation) is counted and skipped, never made up for.
        """
        status = self.groups[key]
        if not status.lock.acquire(blocking=False):
            return False
        try:
            now = self._clock.now_ms()
            since = now - status.evaluated_at
            if status.evaluated_at and 0 <= since < status.interval_ms / 2:
                return False
            if status.evaluated_at and since > 0:
                status.missed += max(0, round(since / status.interval_ms) - 1)
            self._evaluate(status, now)
            return True
        finally:
            status.lock.release()

    def _evaluate(self, status: GroupStatus, now: int) -> None:
        began = time.perf_counter()
        at = now - status.group.offset_ms
        entries: list[Entry] = []
        tracked: list[tuple[RuleStatus, dict[Labels, Tracked]]] = []
        for rule in status.rules:
            entries += self._rule(status, rule, at, tracked)
        try:
            self._journal.record(entries, at)
        except Exception as error:  # noqa: BLE001 - the database may be away; the rules must go on and catch up later
            _log.error("alerts not recorded", group=status.group.key, error=str(error))
            for rule, _ in tracked:
                rule.health, rule.last_error = "err", f"alert state not recorded: {error}"
        else:
            for rule, after in tracked:
                rule.tracked = after
        status.evaluated_at = now
        status.seconds = time.perf_counter() - began
        status.evaluations += 1

    def _rule(
        self,
        status: GroupStatus,
        entry: RuleStatus,
        at: int,
        tracked: list[tuple[RuleStatus, dict[Labels, Tracked]]],
    ) -> list[Entry]:
        began = time.perf_counter()
        entries: list[Entry] = []
        try:
            if isinstance(entry.rule, AlertRule):
                outcome = evaluate_alert(
                    entry.rule, self._queries, entry.tracked, at, limit=status.group.limit
                )
                samples = outcome.samples
                tracked.append((entry, outcome.tracked))
                entries = [Entry(status.group.key, entry.rule, change) for change in outcome.changes]
            else:
                samples = evaluate_record(entry.rule, self._queries, at, limit=status.group.limit)
            self._write(entry, samples, at)
        except Exception as error:  # noqa: BLE001 - any one rule may fail; its alerts stay and the others go on
            known = isinstance(error, ZhishouError)
            entry.health, entry.last_error = "err", str(error)
            _log.warning(
                "rule failed", group=status.group.key, rule=entry.rule.name, error=str(error), known=known
            )
        else:
            entry.health, entry.last_error = "ok", ""
        entry.evaluated_at, entry.seconds = at, time.perf_counter() - began
        return entries

    def _write(self, entry: RuleStatus, samples: Sequence[Sample], at: int) -> None:
        written = frozenset(labels for labels, _ in samples)
        block = [(labels, at, value) for labels, value in samples]
        block += [(labels, at, STALE) for labels in entry.series - written]
        entry.series = written
        if block:
            self._store.append(block_of(block))


def _doubted(alert: Tracked, until: int) -> Tracked:
    return replace(alert, doubtful_until=until) if until else alert
