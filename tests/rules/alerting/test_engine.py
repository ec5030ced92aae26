"""The engine on a real query engine and database: firing, resolving, restarts, failing rules, series."""

from __future__ import annotations

import pytest
from sqlalchemy import event, text

from monitor.metrics.interface import Vector
from monitor.metrics.promql.engine import PromqlEngine
from monitor.model import WHOLE_CITY, Severity
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
    assert len(statements) < 100
