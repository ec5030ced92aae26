"""What operators see and do: scope, audit, acknowledge, assign, silence, escalate."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from monitor.audit import AuditLog
from monitor.errors import InputError, NotFoundError
from monitor.model import WHOLE_CITY, Scope, Severity, SiteId
from monitor.tables import AuditRow
from rules.alerting.interface import AlertFilter, AlertState, Desk
from rules.alerting.upkeep import RETURNED_KEEP_MS, tend
from tests.rules.alerting.conftest import World

H1, H2, NOTHING = Scope(frozenset({SiteId("H1")})), Scope(frozenset({SiteId("H2")})), Scope(frozenset())
HOUR = 3_600_000


@pytest.fixture
def two(world: World) -> World:
    """DeviceDown at H1 and H2."""
    world.down("H1/a", "H2/b")
    return world


def test_it_is_a_desk(world: World) -> None:
    desk: Desk = world.desk
    assert desk.alerts(WHOLE_CITY, AlertFilter()) == ([], 0)


def test_nobody_sees_or_touches_another_site(two: World) -> None:
    mine, other = two.views()["DeviceDown", "a"].id, two.views()["DeviceDown", "b"].id
    desk = two.desk
    assert [a.id for a in desk.alerts(H1, AlertFilter())[0]] == [mine]
    assert desk.alerts(NOTHING, AlertFilter()) == ([], 0)
    assert dict(desk.worst_by_site(H1)) == {"H1": (Severity.CRITICAL, 1)}
    assert (desk.counts(H2)[Severity.CRITICAL], desk.counts(NOTHING)[Severity.CRITICAL]) == (1, 0)
    assert sum(desk.fired_per_hour(H1, 2)[Severity.CRITICAL]) == 1
    until = two.clock.now_ms() + HOUR
    for forbidden in (
        lambda: desk.alert(H1, other),
        lambda: desk.timeline(H1, other),
        lambda: desk.suppressed_under(H1, other),
        lambda: desk.ack(H1, [mine, other], "li"),
        lambda: desk.assign(H1, [other], "li", "wang"),
        lambda: desk.note(H1, [other], "li", "x"),
        lambda: desk.silence(H1, [other], "li", until, "x"),
        lambda: desk.escalate(H1, [other], "li", "chief"),
        lambda: desk.alert(WHOLE_CITY, 999),
    ):
        with pytest.raises(NotFoundError):
            forbidden()
    assert desk.alert(WHOLE_CITY, mine).state is AlertState.ACTIVE, "all of them or none"


def test_suppressed_alerts_of_another_site_stay_hidden(world: World) -> None:
    world.depends = {"b": ("a",)}
    world.down("H1/a", "H2/b")
    root = world.views()["DeviceDown", "a"].id
    assert world.desk.suppressed_under(H1, root) == []
    assert len(world.desk.suppressed_under(WHOLE_CITY, root)) == 1


def test_acknowledge_assign_note(two: World, audit: AuditLog) -> None:
    alert = two.views()["DeviceDown", "a"]
    two.desk.ack(H1, [alert.id], "li", "正在查看")
    acked = two.desk.alert(H1, alert.id)
    assert (acked.state, acked.acked_by, acked.owner) == (AlertState.ACKED, "li", "li")
    assert acked.acked_at == two.clock.now_ms()
    two.desk.assign(H1, [alert.id], "li", "wang")
    two.desk.note(H1, [alert.id], "wang", "已到现场")
    again = two.desk.alert(H1, alert.id)
    assert (again.owner, again.acked_by) == ("wang", "li")
    lines = [(line.kind, line.actor, line.text) for line in two.desk.timeline(H1, alert.id)][:3]
    assert lines == [("note", "wang", "已到现场"), ("assigned", "li", "wang"), ("acked", "li", "正在查看")]
    with two.database.session() as session:
        entries = [
            (r.actor, r.action, r.target) for r in session.scalars(select(AuditRow).order_by(AuditRow.id))
        ]
    assert entries == [
        (who, f"alert.{act}", alert.number)
        for who, act in (("li", "acked"), ("li", "assigned"), ("wang", "note"))
    ]
    assert audit.verify().ok


def test_a_bulk_act_is_one_audit_entry_with_every_number(two: World) -> None:
    ids = [alert.id for alert in two.views().values()]
    two.desk.ack(WHOLE_CITY, ids, "li")
    with two.database.session() as session:
        row = session.scalars(select(AuditRow)).one()
    assert row.target == "2 alerts"
    assert "AL-20261121-0001" in row.detail
    assert "AL-20261121-0002" in row.detail


def test_assigning_a_returned_alert_closes_it(two: World) -> None:
    alert = two.views()["DeviceDown", "a"].id
    two.round({("up", "H1/a"): 1.0})
    two.desk.assign(H1, [alert], "li", "wang")
    assert two.desk.alert(H1, alert).state is AlertState.CLOSED
    assert two.desk.alerts(H1, AlertFilter()) == ([], 0)


def test_silence_shelves_and_ends_by_itself(two: World) -> None:
    alert = two.views()["DeviceDown", "a"].id
    until = two.clock.now_ms() + HOUR
    two.desk.silence(H1, [alert], "li", until, "检修")
    shelved = two.desk.alert(H1, alert)
    assert (shelved.state, shelved.silenced_until) == (AlertState.SHELVED, until)
    assert two.desk.counts(H1)[Severity.CRITICAL] == 0
    assert tend(two.database, two.clock.now_ms(), {}) is False
    two.clock.advance(3600)
    assert tend(two.database, two.clock.now_ms(), {}) is True
    back = two.desk.alert(H1, alert)
    assert (back.state, back.silenced_until) == (AlertState.ACTIVE, None)
    assert two.desk.timeline(H1, alert)[0].kind == "unsilenced"


def test_a_silence_covers_the_next_firing_too(two: World) -> None:
    alert = two.views()["DeviceDown", "a"].id
    two.desk.silence(H1, [alert], "li", two.clock.now_ms() + HOUR, "检修")
    two.round({("up", "H1/a"): 1.0})
    assert two.desk.alert(H1, alert).state is AlertState.CLOSED
    two.down("H1/a")
    assert two.views()["DeviceDown", "a"].state is AlertState.SHELVED


def test_an_acknowledged_alert_comes_back_acknowledged_from_the_shelf(two: World) -> None:
    alert = two.views()["DeviceDown", "a"].id
    two.desk.ack(H1, [alert], "li")
    two.desk.silence(H1, [alert], "li", two.clock.now_ms() + HOUR, "检修")
    two.clock.advance(3600)
    tend(two.database, two.clock.now_ms(), {})
    assert two.desk.alert(H1, alert).state is AlertState.ACKED


def test_what_the_desk_refuses(two: World) -> None:
    alert, now = two.views()["DeviceDown", "a"].id, two.clock.now_ms()
    for wrong in (
        lambda: two.desk.silence(H1, [alert], "li", now, "x"),
        lambda: two.desk.silence(H1, [alert], "li", now + 8 * 24 * HOUR, "x"),
        lambda: two.desk.silence(H1, [alert], "li", now + HOUR, " "),
        lambda: two.desk.note(H1, [alert], "li", ""),
        lambda: two.desk.assign(H1, [alert], "li", ""),
        lambda: two.desk.escalate(H1, [alert], "li", ""),
        lambda: two.desk.note(H1, [alert], "li", "x" * 3000),
        lambda: two.desk.alerts(H1, AlertFilter(sort="colour")),
    ):
        with pytest.raises(InputError):
            wrong()
    assert [line.kind for line in two.desk.timeline(H1, alert)] == ["fired"]


def test_filters_sorting_and_pages(world: World) -> None:
    world.round({("cpu", "H2/b"): 0.99})
    world.down("H1/a", "H2/c")
    desk = world.desk

    def devices(**wanted: object) -> list[str]:
        return [alert.device for alert in desk.alerts(WHOLE_CITY, AlertFilter(**wanted))[0]]  # type: ignore[arg-type]

    assert devices()[-1] == "b", "the worst first"
    assert devices(sort="severity")[0] == "b"
    assert devices(sort="active_at")[0] == "b"
    assert devices(sort="site")[0] == "a"
    assert devices(severities=(Severity.MINOR,)) == ["b"]
    assert devices(site="H1") == ["a"]
    assert devices(device="c") == ["c"]
    assert devices(text="失联", site="H2") == ["c"]
    assert devices(text="100%") == []
    assert devices(since=world.clock.now_ms()) == []
    world.desk.ack(WHOLE_CITY, [world.views()["DeviceDown", "a"].id], "li")
    assert devices(owner="li") == ["a"]
    assert devices(states=(AlertState.ACKED,)) == ["a"]
    page, total = desk.alerts(WHOLE_CITY, AlertFilter(offset=1, limit=1))
    assert (len(page), total) == (1, 3)


def test_fired_per_hour_counts_in_the_right_hour(two: World) -> None:
    assert list(two.desk.fired_per_hour(WHOLE_CITY, 3)[Severity.CRITICAL]) == [0, 0, 2]
    two.clock.advance(3600)
    assert list(two.desk.fired_per_hour(WHOLE_CITY, 3)[Severity.CRITICAL]) == [0, 2, 0]
    two.clock.advance(3 * 3600)
    assert list(two.desk.fired_per_hour(WHOLE_CITY, 3)[Severity.CRITICAL]) == [0, 0, 0]


def test_the_token_moves_with_every_change_and_only_then(two: World) -> None:
    seen = {two.desk.change_token()}
    assert two.desk.change_token() in seen
    alert = two.views()["DeviceDown", "a"].id
    for act in (
        lambda: two.desk.ack(H1, [alert], "li"),
        lambda: two.desk.note(H1, [alert], "li", "x"),
        lambda: two.round({("up", "H1/a"): 1.0}),
    ):
        act()
        token = two.desk.change_token()
        assert token not in seen
        seen.add(token)
    two.round({("up", "H1/a"): 1.0, ("up", "H2/b"): 0.0})
    assert two.desk.change_token() in seen, "an evaluation that changes nothing wakes nobody"


def test_returned_and_forgotten_is_closed_by_policy(two: World) -> None:
    alert = two.views()["DeviceDown", "a"].id
    two.round({("up", "H1/a"): 1.0})
    two.clock.advance(RETURNED_KEEP_MS / 1000)
    assert tend(two.database, two.clock.now_ms(), {}) is True
    assert two.desk.alert(H1, alert).state is AlertState.CLOSED
