"""Evaluates rule groups: queries in, ALERTS series and alert rows out.

One group is evaluated by one thread at a time; groups do not wait for each other. A rule that fails keeps its
alerts and says why; it does not stop its neighbours. (Prometheus forgets the alerts of a rule that exceeds its limit;
a duty desk must not lose what fires because too much else does.) Nothing in memory advances before the journal has
committed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from threading import Lock

import structlog

from monitor.clock import Clock
from monitor.errors import ZhishouError
from monitor.metrics.interface import Labels, Matcher, MatchOp, MetricStore, QueryEngine
from rules.alerting.evaluation import (
    AlertEvaluator,
    AlertOutcome,
    Change,
    Output,
    RecordEvaluator,
    Setting,
    Tracking,
)
from rules.alerting.files import AlertRule, Rule, RuleGroup
from rules.alerting.journal import Entry, Journal
from rules.alerting.states import Tracked
from rules.alerting.trail import Trail, end_series

_log = structlog.get_logger(__name__)

# A restart within this time is no gap; after a longer one a missing series proves nothing for a while.
GAP_MS = 90_000
DOUBT_MS = 120_000
# A value that moves while its alert stays as it is reaches the desk this often.
SAVE_VALUES_MS = 60_000


@dataclass(slots=True)
class RuleStatus:
    """A rule and how it is doing. `health` is ok, err or unknown; `evaluations` and `failures` count up."""

    rule: Rule
    evaluator: AlertEvaluator | RecordEvaluator
    tracked: Tracking = field(default_factory=dict)
    trail: Trail = field(default_factory=Trail)
    unsaved: dict[Labels, None] = field(
        default_factory=dict
    )  # alerts whose value moved since it was recorded
    saved_at: int = 0
    health: str = "unknown"
    last_error: str = ""
    evaluated_at: int = 0
    seconds: float = 0.0
    evaluations: int = 0
    failures: int = 0


@dataclass(slots=True)
class GroupStatus:
    """A group, its rules and its clockwork."""

    group: RuleGroup
    interval_ms: int
    rules: list[RuleStatus]
    evaluated_at: int = 0
    seconds: float = 0.0
    total_seconds: float = 0.0
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
        setting: Setting | None = None,
    ) -> None:
        self._store = store
        self._queries = queries
        self._journal = journal
        self._clock = clock
        self._interval_ms = round(interval * 1000)
        self._setting = setting or Setting()
        self.groups: dict[str, GroupStatus] = {}

    def load(self, groups: Iterable[RuleGroup]) -> None:
        """Take groups over; a second call replaces what the first one loaded.

        Alerts that were pending or firing, when the last process ended or in the rules that are replaced, go on.
        Series of rules that are gone end with a stale marker.
        """
        with ExitStack() as held:
            for status in self.groups.values():
                held.enter_context(status.lock)  # an evaluation that runs ends first
            self._load(groups)

    def _load(self, groups: Iterable[RuleGroup]) -> None:
        restored = self._journal.restore()
        now = self._clock.now_ms()
        doubtful_until = now + DOUBT_MS if restored and self._gap(now) else 0
        written = {
            series for status in self.groups.values() for rule in status.rules for series in rule.trail.labels
        }
        known: set[tuple[str, str]] = set()
        loaded: dict[str, GroupStatus] = {}
        for group in groups:
            status = GroupStatus(group, group.interval_ms or self._interval_ms, [])
            for rule in group.rules:
                entry = RuleStatus(rule, self._evaluator(rule))
                if isinstance(rule, AlertRule):
                    known.add((group.key, rule.key))
                    alerts = restored.get((group.key, rule.key), [])
                    entry.tracked = {alert.labels: _doubted(alert, doubtful_until) for alert in alerts}
                status.rules.append(entry)
            loaded[group.key] = status
        retired = self._journal.retire(known, now)
        kept = self._adopt(loaded)
        end_series(self._store, sorted(written - kept), now)
        self.groups = loaded
        _log.info("rules loaded", groups=len(self.groups), restored=len(restored), retired=retired)

    def _evaluator(self, rule: Rule) -> AlertEvaluator | RecordEvaluator:
        if isinstance(rule, AlertRule):
            return AlertEvaluator(rule, self._queries, self._setting)
        return RecordEvaluator(rule, self._queries)

    def _adopt(self, loaded: dict[str, GroupStatus]) -> set[Labels]:
        """Rules that stay, by group and name, answer for the series of their predecessors; which ones those are."""
        kept: set[Labels] = set()
        for key, status in loaded.items():
            before = self.groups.get(key)
            if before is None:
                continue
            status.evaluated_at, status.missed = before.evaluated_at, before.missed
            left = list(before.rules)
            for rule in status.rules:
                same = next((old for old in left if old.rule.name == rule.rule.name), None)
                if same is not None:
                    left.remove(same)
                    rule.trail.take(same.trail.labels)
                    kept.update(same.trail.labels)
        return kept

    def _gap(self, now: int) -> bool:
        written = [Matcher("__name__", MatchOp.EQ, "ALERTS_FOR_STATE")]
        return len(self._store.window(written, now - GAP_MS, now).labels) == 0

    def evaluate(self, key: str) -> bool:
        """Evaluate a group now; False when it is being evaluated or was, less than half an interval ago.

        What was missed (the machine slept, a slow evaluation) is counted and skipped, never made up for.
        """
        status = self.groups.get(key)
        if status is None or not status.lock.acquire(blocking=False):
            return False
        try:
            if self.groups.get(key) is not status:
                return False  # replaced meanwhile
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
        tracked: list[tuple[RuleStatus, AlertOutcome]] = []
        for rule in status.rules:
            entries += self._rule(status, rule, at, tracked)
        try:
            self._journal.record(entries, at)
        except Exception as error:  # noqa: BLE001 - the database may be away; the rules must go on and catch up later
            _log.error("alerts not recorded", group=status.group.key, error=str(error))
            for rule, _ in tracked:
                rule.health, rule.last_error = "err", f"alert state not recorded: {error}"
                rule.failures += 1
        else:
            for rule, outcome in tracked:
                rule.tracked = outcome.tracked
        status.evaluated_at = now
        status.seconds = time.perf_counter() - began
        status.total_seconds += status.seconds
        status.evaluations += 1

    def _rule(
        self, status: GroupStatus, entry: RuleStatus, at: int, tracked: list[tuple[RuleStatus, AlertOutcome]]
    ) -> list[Entry]:
        began = time.perf_counter()
        entries: list[Entry] = []
        limit = max(status.group.limit, 0)
        entry.evaluations += 1
        try:
            output: Output
            if isinstance(entry.evaluator, AlertEvaluator):
                outcome = entry.evaluator.evaluate(entry.tracked, at, limit=limit)
                output = outcome.output
                tracked.append((entry, outcome))
                entries = _entries(status.group.key, entry, outcome, at)
            else:
                output = entry.evaluator.evaluate(at, limit=limit)
            entry.trail.write(self._store, output, at)
        except Exception as error:  # noqa: BLE001 - any one rule may fail; its alerts stay and the others go on
            known = isinstance(error, ZhishouError)
            entry.health, entry.last_error = "err", str(error)
            entry.failures += 1
            _log.warning(
                "rule failed", group=status.group.key, rule=entry.rule.name, error=str(error), known=known
            )
        else:
            entry.health, entry.last_error = "ok", ""
        entry.evaluated_at, entry.seconds = at, time.perf_counter() - began
        return entries


def _entries(group: str, status: RuleStatus, outcome: AlertOutcome, at: int) -> list[Entry]:
    """What to record: every transition at once, values that merely moved once in a while."""
    rule = status.rule
    assert isinstance(rule, AlertRule)  # only alerting rules have outcomes
    entries = []
    for change in outcome.changes:
        labels = change.tracked.labels
        if change.transition is None and change.tracked.keep_since is None:
            status.unsaved[labels] = None
        else:
            status.unsaved.pop(labels, None)
            entries.append(Entry(group, rule, change))
    if status.unsaved and not 0 <= at - status.saved_at < SAVE_VALUES_MS:
        status.saved_at = at
        moved = [outcome.tracked[labels] for labels in status.unsaved if labels in outcome.tracked]
        entries += [Entry(group, rule, Change(alert, None)) for alert in moved]
        status.unsaved.clear()
    return entries


def _doubted(alert: Tracked, until: int) -> Tracked:
    return replace(alert, doubtful_until=until) if until else alert
