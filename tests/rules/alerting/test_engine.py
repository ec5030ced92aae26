"""The engine on a real query engine and database: firing, resolving, restarts, failing rules, series."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text

from monitor.metrics.interface import STALE, Vector, block_of, make_labels
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.engine import PromqlEngine
from monitor.model import WHOLE_CITY, Severity
from rules.alerting.evaluation import AlertEvaluator, Tracking
from rules.alerting.files import AlertRule, parse_rules
from rules.alerting.go_format import go_float
from rules.alerting.interface import AlertState
from rules.alerting.rules_api import RulesView
from tests.rules.alerting.conftest import World


def query(world: World, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
    result = PromqlEngine(world.store).instant(expression, world.clock.now_ms())
    assert isinstance(result, Vector)
    return dict(zip(result.labels, result.values.tolist(), strict=True))


def test_pending_firing_returned(world: World) -> None:
    world.round({("up", "H1/a"): 1.0})
    assert world.views() == {}
    world.round({("up", "H1/a"): 0.0})
    began = world.clock.now_ms()
    assert world.views()["DeviceDown", "a"].state is AlertState.PENDING
    world.round({("up", "H1/a"): 0.0})
    world.round({("up", "H1/a"): 0.0})
    alert = world.views()["DeviceDown", "a"]
    assert (alert.state, alert.severity, alert.number) == (
        AlertState.ACTIVE,
        Severity.CRITICAL,
        "AL-20261121-0001",
    )
    assert (alert.active_at, alert.fired_at) == (began, began + 30_000)
    assert alert.annotations["summary"] == "设备 a 失联"
    assert world.desk.counts(WHOLE_CITY)[Severity.CRITICAL] == 1
    world.round({("up", "H1/a"): 1.0})
    alert = world.views()["DeviceDown", "a"]
    assert (alert.state, alert.resolved_at) == (AlertState.RETURNED, world.clock.now_ms())
    assert [line.kind for line in world.desk.timeline(WHOLE_CITY, alert.id)] == ["resolved", "fired"]


def test_pending_that_ends_leaves_nothing(world: World) -> None:
    world.round({("up", "H1/a"): 0.0})
    world.round({("up", "H1/a"): 1.0})
    assert world.views() == {}


def test_fires_again_on_the_same_row_when_nobody_acknowledged(world: World) -> None:
    world.down("H1/a")
    first = world.views()["DeviceDown", "a"]
    world.round({("up", "H1/a"): 1.0})
    world.down("H1/a")
    again = world.views()["DeviceDown", "a"]
    assert (again.id, again.number, again.state) == (first.id, first.number, AlertState.ACTIVE)
    world.desk.ack(WHOLE_CITY, [again.id], "li")
    world.round({("up", "H1/a"): 1.0})
    assert world.desk.alert(WHOLE_CITY, again.id).state is AlertState.CLOSED
    world.down("H1/a")
    assert world.views()["DeviceDown", "a"].number == "AL-20261121-0002"


def test_keep_firing_for(world: World) -> None:
    world.round({("cpu", "H1/a"): 0.99})
    for _ in range(4):
        world.round({("cpu", "H1/a"): 0.1})
        assert world.views()["HighCpu", "a"].state is AlertState.ACTIVE
    world.round({("cpu", "H1/a"): 0.1})
    assert world.views()["HighCpu", "a"].state is AlertState.RETURNED


def test_series_of_alerts_are_written_and_ended(world: World) -> None:
    world.round({("up", "H1/a"): 0.0})
    began = world.clock.now_ms() / 1000
    assert list(query(world, 'ALERTS{alertstate="pending"}').values()) == [1.0]
    world.round({("up", "H1/a"): 0.0})
    world.round({("up", "H1/a"): 0.0})
    assert [dict(k)["alertstate"] for k in query(world, "ALERTS")] == ["firing"]
    assert list(query(world, "ALERTS_FOR_STATE").values()) == [began]
    world.round({("up", "H1/a"): 1.0})
    assert query(world, "ALERTS or ALERTS_FOR_STATE") == {}


def test_restart_in_the_middle_of_pending_keeps_the_clock_running(world: World) -> None:
    world.round({("up", "H1/a"): 0.0})
    began = world.clock.now_ms()
    world.round({("up", "H1/a"): 0.0})
    world.start()
    world.round({("up", "H1/a"): 0.0})
    alert = world.views()["DeviceDown", "a"]
    assert (alert.state, alert.active_at, alert.fired_at) == (AlertState.ACTIVE, began, began + 30_000)


def test_restart_while_firing_fires_only_once(world: World) -> None:
    world.down("H1/a")
    before = world.views()["DeviceDown", "a"]
    world.start()
    world.round({("up", "H1/a"): 0.0})
    after = world.views()["DeviceDown", "a"]
    assert (after.id, after.fired_at) == (before.id, before.fired_at)
    assert [line.kind for line in world.desk.timeline(WHOLE_CITY, after.id)] == ["fired"]


def test_after_a_long_stop_missing_data_does_not_resolve(world: World) -> None:
    world.down("H1/a")
    world.clock.advance(1800)
    world.start()
    world.round({})
    assert world.views()["DeviceDown", "a"].state is AlertState.ACTIVE, "the collector is still catching up"
    world.round({("up", "H1/a"): 1.0}, seconds=121)
    assert world.views()["DeviceDown", "a"].state is AlertState.RETURNED


def test_alerts_of_a_rule_that_is_gone_are_resolved(world: World) -> None:
    world.down("H1/a")
    world.rules = "groups: []"
    world.start()
    assert world.views()["DeviceDown", "a"].state is AlertState.RETURNED


def test_missed_iterations_are_skipped_not_bunched(world: World) -> None:
    world.round({("up", "H1/a"): 1.0})
    assert not world.engine.evaluate("test.yml;g"), "twice at the same time is once"
    world.round({("up", "H1/a"): 1.0}, seconds=150)
    status = world.engine.groups["test.yml;g"]
    assert (status.evaluations, status.missed) == (2, 9)


def test_a_failing_rule_keeps_its_alerts_and_stops_nobody(world: World) -> None:
    world.rules = """
groups:
  - name: g
    interval: 15s
    rules:
      - alert: Clash
        expr: up == 0
        labels: {device: same}
      - record: "site:up:sum"
        expr: sum by (site) (up)
"""
    world.start()
    world.round({("up", "H1/a"): 0.0, ("up", "H1/b"): 1.0})
    assert world.views()["Clash", "same"].state is AlertState.ACTIVE
    world.round({("up", "H1/a"): 0.0, ("up", "H1/b"): 0.0})
    rule = RulesView(world.engine).groups()[0]["rules"][0]
    assert (rule["health"], rule["state"]) == ("err", "firing")
    assert "same labelset" in rule["lastError"]
    assert world.views()["Clash", "same"].state is AlertState.ACTIVE
    assert query(world, "site:up:sum") == {(("__name__", "site:up:sum"), ("site", "H1")): 0.0}
    world.round({("up", "H1/a"): 0.0, ("up", "H1/b"): 1.0})
    assert RulesView(world.engine).groups()[0]["rules"][0]["health"] == "ok"


def test_nothing_advances_when_the_database_is_away(world: World) -> None:
    with world.database.session() as session:
        session.execute(text("ALTER TABLE alert RENAME TO alert_away"))
    world.down("H1/a")
    assert RulesView(world.engine).groups()[0]["rules"][0]["health"] == "err"
    assert RulesView(world.engine).alerts() == []
    with world.database.session() as session:
        session.execute(text("ALTER TABLE alert_away RENAME TO alert"))
    world.down("H1/a")
    assert world.views()["DeviceDown", "a"].state is AlertState.ACTIVE


def test_the_limit_of_a_group(world: World) -> None:
    world.rules = world.rules.replace("interval: 15s", "interval: 15s\n    limit: 1")
    world.start()
    world.round({("up", "H1/a"): 0.0, ("up", "H1/b"): 0.0})
    assert world.views() == {}
    assert "limit of 1" in RulesView(world.engine).groups()[0]["rules"][0]["lastError"]


@pytest.mark.parametrize(
    ("word", "severity"), [("warning", Severity.MINOR), ("page", Severity.CRITICAL), ("", Severity.MINOR)]
)
def test_severities_of_other_scales(world: World, word: str, severity: Severity) -> None:
    world.rules = world.rules.replace("critical", f'"{word}"')
    world.start()
    world.down("H1/a")
    assert world.views()["DeviceDown", "a"].severity is severity


def test_prometheus_shape(world: World) -> None:
    world.down("H1/a")
    group = RulesView(world.engine).groups()[0]
    rule = group["rules"][0]
    assert (group["name"], group["interval"], rule["type"], rule["state"]) == (
        "g",
        15.0,
        "alerting",
        "firing",
    )
    assert (rule["duration"], rule["alerts"][0]["value"], rule["alerts"][0]["state"]) == (30.0, "0", "firing")
    assert rule["alerts"][0]["activeAt"].endswith("Z")
    assert RulesView(world.engine).alerts() == rule["alerts"]


def test_rules_see_what_rules_before_them_wrote(world: World) -> None:
    world.rules = """
groups:
  - name: g
    interval: 15s
    rules:
      - record: one
        expr: sum(up)
        labels: {by: rule, up: ""}
      - record: two
        expr: one * 2
      - alert: Two
        expr: two > 2
"""
    world.start()
    world.round({("up", "H1/a"): 1.0, ("up", "H1/b"): 1.0})
    assert query(world, "one") == {(("__name__", "one"), ("by", "rule")): 2.0}
    assert query(world, "two") == {(("__name__", "two"), ("by", "rule")): 4.0}
    assert [alert["labels"] for alert in RulesView(world.engine).alerts()] == [
        {"alertname": "Two", "by": "rule"}
    ]


def test_series_of_rules_that_vanish_end(world: World) -> None:
    world.rules = """
groups:
  - name: g
    interval: 15s
    rules:
      - record: kept
        expr: sum by (device) (up)
      - record: gone
        expr: sum(up)
  - name: other
    interval: 15s
    rules:
      - record: lost
        expr: count(up)
      - alert: Lost
        expr: up == 0
"""
    world.start()
    world.clock.advance(15)
    world.feed({("up", "H1/a"): 0.0, ("up", "H1/b"): 1.0})
    assert world.engine.evaluate("test.yml;g")
    assert world.engine.evaluate("test.yml;other")
    everything = '{__name__=~"kept|gone|lost|ALERTS.*"}'
    assert len(query(world, everything)) == 6
    world.clock.advance(5)
    groups, errors = parse_rules(
        "groups: [{name: g, interval: 15s, rules: [{record: kept, expr: 'sum by (device) (up)'}]}]",
        "test.yml",
        PromqlEngine(world.store).compile,
    )
    assert errors == []
    world.engine.load(groups)
    assert {dict(labels)["__name__"] for labels in query(world, everything)} == {"kept"}
    assert not world.engine.evaluate("test.yml;other"), "that group is gone"
    assert world.views()["Lost", "a"].state is AlertState.RETURNED
    world.clock.advance(10)
    world.store.append(
        block_of([(make_labels({"site": "H1", "device": "a"}, "up"), world.clock.now_ms(), STALE)])
    )
    assert world.engine.evaluate("test.yml;g")
    assert [dict(labels)["device"] for labels in query(world, "kept")] == ["b"], (
        "the new rule ends what the old one wrote"
    )


def test_a_query_offset_looks_back(world: World) -> None:
    world.rules = """
groups:
  - name: g
    interval: 15s
    query_offset: 30s
    rules:
      - record: late
        expr: sum(up)
"""
    world.start()
    for value in (1.0, 2.0, 3.0, 4.0):
        world.round({("up", "H1/a"): value})
    at = world.clock.now_ms() - 30_000
    assert list(query(world, "late").values()) == [2.0]
    assert list(query(world, "timestamp(late)").values()) == [at / 1000]


def test_the_limit_stops_one_rule_only(world: World) -> None:
    world.rules = """
groups:
  - name: g
    interval: 15s
    limit: 1
    rules:
      - record: many
        expr: up
      - alert: Few
        expr: up == 0
        keep_firing_for: 1h
"""
    world.start()
    world.round({("up", "H1/a"): 0.0, ("up", "H1/b"): 1.0})
    many, few = RulesView(world.engine).groups()[0]["rules"]
    assert "exceeded limit of 1 with 2 series" in many["lastError"]
    assert (few["health"], few["state"]) == ("ok", "firing")
    assert query(world, "many") == {}
    world.round({("up", "H1/a"): 1.0, ("up", "H1/b"): 0.0})
    few = RulesView(world.engine).groups()[0]["rules"][1]
    assert "exceeded limit of 1 with 2 alerts" in few["lastError"], "one is true and one is kept"
    status = world.engine.groups["test.yml;g"].rules
    assert [(rule.evaluations, rule.failures) for rule in status] == [(2, 2), (2, 1)]


def test_a_value_that_moves_reaches_the_desk_within_a_minute(world: World) -> None:
    writes: list[str] = []

    def count(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("UPDATE alert SET"):
            writes.append(statement)

    world.round({("cpu", "H1/a"): 0.91})
    event.listen(world.database.engine, "before_cursor_execute", count)
    for i in range(8):
        world.round({("cpu", "H1/a"): 0.92 + i / 100})
        (alert,) = RulesView(world.engine).alerts()
        assert alert["value"] == go_float(0.92 + i / 100), "the API knows at once"
    event.remove(world.database.engine, "before_cursor_execute", count)
    assert len(writes) == 2
    assert world.views()["HighCpu", "a"].value > 0.93


def test_texts_follow_the_value_and_the_file(world: World) -> None:
    world.rules = """
groups:
  - name: g
    interval: 15s
    rules:
      - alert: HighCpu
        expr: cpu > 0.5
        labels: {level: '{{ if gt $value 0.9 }}high{{ else }}mid{{ end }}'}
        annotations: {text: '{{ $labels.device }} {{ $value | humanizePercentage }}', about: '{{ $labels.device }}'}
"""
    world.start()
    world.round({("cpu", "H1/a"): 0.6})
    world.round({("cpu", "H1/a"): 0.7})
    (alert,) = RulesView(world.engine).alerts()
    assert (alert["annotations"], alert["labels"]["level"]) == ({"text": "a 70%", "about": "a"}, "mid")
    world.round({("cpu", "H1/a"): 0.95})
    (alert,) = RulesView(world.engine).alerts()
    assert (alert["annotations"]["text"], alert["labels"]["level"]) == ("a 95%", "high")
    world.rules = world.rules.replace("about: '", "about: 'new ")
    world.start()
    world.round({("cpu", "H1/a"): 0.95})
    (alert,) = RulesView(world.engine).alerts()
    assert alert["annotations"]["about"] == "new a", "a changed text shows although the value did not"


@given(
    rounds=st.lists(
        st.lists(st.sampled_from([0.0, 0.4, 0.6, 0.7, 0.9, math.nan]), min_size=4, max_size=4), max_size=12
    ),
    for_ms=st.sampled_from([0, 15_000, 40_000]),
    keep_ms=st.sampled_from([0, 20_000]),
    text=st.sampled_from(
        ["{{ $labels.device }}", "{{ $value }}", "{{ query `count(cpu)` | first | value }}"]
    ),
)
def test_what_is_remembered_never_shows(
    rounds: list[list[float]], for_ms: int, keep_ms: int, text: str
) -> None:
    """An evaluator that remembers says the same as a new one every time."""
    store = MemoryStore()
    engine = PromqlEngine(store)
    rule = (
        f"groups: [{{name: g, rules: [{{alert: A, expr: 'cpu > 0.5', for: {for_ms}ms, "
        f"keep_firing_for: {keep_ms}ms, annotations: {{t: '{text}'}}}}]}}]"
    )
    ((group,), errors) = parse_rules(rule, "r.yml", engine.compile)
    (alert,) = group.rules
    assert errors == []
    assert isinstance(alert, AlertRule)
    steady = AlertEvaluator(alert, engine)
    tracked: Tracking = {}
    for i, values in enumerate(rounds, 1):
        at = i * 15_000
        samples = [
            (make_labels({"device": f"d{n}"}, "cpu"), at, STALE if math.isnan(value) else value)
            for n, value in enumerate(values)
        ]
        store.append(block_of(samples))
        new = AlertEvaluator(alert, engine).evaluate(tracked, at)
        old = steady.evaluate(tracked, at)
        assert old.tracked == new.tracked
        assert {(c.tracked.labels, c.transition) for c in old.changes} >= {
            (c.tracked.labels, c.transition) for c in new.changes if c.transition is not None
        }
        assert dict(zip(old.output.labels, old.output.values.tolist(), strict=True)) == dict(
            zip(new.output.labels, new.output.values.tolist(), strict=True)
        )
        tracked = old.tracked


def test_five_thousand_alerts_in_a_steady_state_cost_next_to_nothing(world: World) -> None:
    """CPU time of the engine without the query, the store and the database."""
    world.start()
    storm = {("up", f"H{i % 9}/d{i}"): 0.0 for i in range(5000)}
    for _ in range(4):
        world.round(storm)
    rule = world.engine.groups["test.yml;g"].rules[0]
    assert isinstance(rule.evaluator, AlertEvaluator)
    vector = PromqlEngine(world.store).instant("up == 0", world.clock.now_ms())
    assert isinstance(vector, Vector)

    class Answered:
        """A query engine that has the answer already."""

        def instant(self, *_args: object) -> Vector:
            return Vector(world.clock.now_ms(), list(vector.labels), vector.values)

    evaluator = AlertEvaluator(rule.rule, Answered())  # type: ignore[arg-type]
    tracked = evaluator.evaluate(rule.tracked, world.clock.now_ms()).tracked
    times = []
    for _ in range(5):
        began = time.process_time()
        outcome = evaluator.evaluate(tracked, world.clock.now_ms())
        times.append(time.process_time() - began)
        tracked = outcome.tracked
    assert len(outcome.output.labels) == 10_000
    assert min(times) < 0.02


def test_a_storm_is_a_few_statements_not_thousands(world: World) -> None:
    statements: list[str] = []

    def count(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    storm = {("up", f"H{i % 9}/d{i}"): 0.0 for i in range(500)}
    world.depends = {f"d{i}": (f"d{i // 10}",) for i in range(1, 500)}
    event.listen(world.database.engine, "before_cursor_execute", count)
    for _ in range(3):
        world.round(storm)
    event.remove(world.database.engine, "before_cursor_execute", count)
    views = world.views()
    assert {alert.state for alert in views.values()} == {AlertState.ACTIVE}
    assert len({alert.number for alert in views.values()}) == 500
    root = views["DeviceDown", "d0"]
    assert (root.root, root.suppressed) == (None, 499)
    assert len(statements) < 60
