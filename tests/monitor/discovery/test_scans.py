"""Scans in the database: who may start what, what a collector is told, what its progress does, what ends them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from monitor.clock import ManualClock
from monitor.directory import Directory
from monitor.discovery.interface import PROGRESS
from monitor.discovery.rooms import Discovery
from monitor.discovery.scans import SILENT_MS, UNTAKEN_MS, WEEK_MS
from monitor.discovery.service import DiscoveryService
from monitor.errors import InputError, NotFoundError
from monitor.events.interface import Event
from monitor.model import WHOLE_CITY, Scope, SiteId
from monitor.service import Runtime
from tests.conftest import NOON

H001 = Scope(frozenset({SiteId("H001")}))
H002 = Scope(frozenset({SiteId("H002")}))
Value = str | int | float | bool | None
Audited = Callable[[], list[tuple[str, str, str]]]


def progress(
    scan: int, state: str = "running", *, at: int = NOON, site: str = "H001", **more: Value
) -> Event:
    told: dict[str, Value] = {
        "done": 3,
        "total": 254,
        "found": 1,
        "packets": 12,
        "speed": 1.5,
        "eta": 160,
        **more,
    }
    return {
        "@timestamp": at,
        "event.dataset": "zhishou.discovery",
        "event.action": PROGRESS,
        "zhishou.site": site,
        "zhishou.scan": scan,
        "zhishou.state": state,
        **{f"zhishou.{key}": value for key, value in told.items()},
    }


def test_a_scan_is_queued_audited_and_told_to_the_sites_collector(
    discovery: Discovery, audited: Audited
) -> None:
    number = discovery.scans.start(H001, "H001", ["10.0.0.0/24"], "wang", port=16100, rate=20)
    view = discovery.scans.get(H001, number)
    assert (view.state, view.total, view.credentials, view.actor) == ("queued", 254, ("ro",), "wang")
    (order,) = discovery.scans.orders({"H001", "H003"})
    assert (order.id, order.site, order.ranges, order.port, order.rate) == (
        number,
        "H001",
        ("10.0.0.0/24",),
        16100,
        20,
    )
    assert discovery.scans.orders({"H002"}) == []
    assert audited()[-1] == ("wang", "discovery.scan", "H001")
    assert discovery.scans.start(H001, "H001", ["10.0.0.0/24"], "li", port=16100) == number  # open still


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ranges": ["10.0.0.0/8"]}, "65536"),
        ({"ranges": []}, "no range"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"rate": 0.5}, "rate"),
        ({"rate": 1001.0}, "rate"),
        ({"credentials": ["two"]}, "two"),  # the secret of another site
        ({"credentials": ["shell"]}, "shell"),
    ],
    ids=str,
)
def test_a_wrong_scan_is_refused(discovery: Discovery, changes: dict[str, object], named: str) -> None:
    values: dict[str, object] = {"ranges": ["10.0.0.0/24"], **changes}
    with pytest.raises(InputError, match=named):
        discovery.scans.start(WHOLE_CITY, "H001", actor="wang", **values)  # type: ignore[arg-type]
    assert discovery.scans.scans(WHOLE_CITY) == []


def test_a_site_without_credentials_needs_one_released(discovery: Discovery, audited: Audited) -> None:
    with pytest.raises(InputError, match="no SNMP credential"):
        discovery.scans.start(WHOLE_CITY, "H003", ["10.0.0.1"], "wang")
    discovery.grants.release(WHOLE_CITY, "H003", "ops", "sec")
    discovery.grants.release(WHOLE_CITY, "H003", "two", "sec")
    assert audited()[-1] == ("sec", "discovery.release", "H003")
    number = discovery.scans.start(WHOLE_CITY, "H003", ["10.0.0.1"], "wang")
    assert discovery.scans.get(WHOLE_CITY, number).credentials == ("ops", "two")  # v3 first
    discovery.grants.withdraw(WHOLE_CITY, "H003", "two", "sec")
    assert discovery.grants.names("H003") == [("ops", "snmp-v3")]
    with pytest.raises(InputError, match="shell"):
        discovery.grants.release(WHOLE_CITY, "H003", "shell", "sec")


def test_a_withdrawn_credential_is_not_handed_out_any_more(discovery: Discovery) -> None:
    discovery.grants.release(WHOLE_CITY, "H001", "ops", "sec")
    discovery.scans.start(WHOLE_CITY, "H001", ["10.0.0.0/24"], "wang")
    assert discovery.scans.orders({"H001"})[0].credentials == ("ops", "ro")
    discovery.grants.withdraw(WHOLE_CITY, "H001", "ops", "sec")
    assert discovery.scans.orders({"H001"})[0].credentials == ("ro",)


def test_an_end_told_by_a_clock_that_was_set_back_counts(discovery: Discovery) -> None:
    number = discovery.scans.start(H001, "H001", ["10.0.0.0/24"], "wang")
    discovery.scans.hear(progress(number))
    discovery.scans.hear(progress(number, "done", at=NOON - 60_000, done=254))
    assert discovery.scans.get(H001, number).state == "done"


def test_nobody_reaches_beyond_his_sites(discovery: Discovery) -> None:
    number = discovery.scans.start(H001, "H001", ["10.0.0.1"], "wang")
    kept = discovery.scans.keep_range(H001, "H001", ["10.0.0.1"], "wang")
    for attempt in (
        lambda: discovery.scans.start(H002, "H001", ["10.0.0.1"], "li"),
        lambda: discovery.scans.get(H002, number),
        lambda: discovery.scans.cancel(H002, number, "li"),
        lambda: discovery.scans.start_known(H002, "H001", "li"),
        lambda: discovery.scans.keep_range(H002, "H001", ["10.0.0.1"], "li"),
        lambda: discovery.scans.forget_range(H002, kept, "li"),
        lambda: discovery.grants.release(H002, "H001", "ops", "li"),
        lambda: discovery.grants.withdraw(H002, "H001", "ops", "li"),
    ):
        with pytest.raises(NotFoundError):
            attempt()
    assert discovery.scans.scans(H002) == []
    assert list(discovery.scans.ranges(H002)) == []
    assert discovery.scans.get(H001, number).state == "queued"


def test_progress_moves_a_scan_and_its_end_ends_it(discovery: Discovery, clock: ManualClock) -> None:
    number = discovery.scans.start(H001, "H001", ["10.0.0.0/24"], "wang")
    skipped = json.dumps([{"address": "10.0.0.5", "device": "ICU", "reason": "生命支持"}])
    discovery.scans.hear(progress(number, skipped=skipped))
    view = discovery.scans.get(H001, number)
    assert (view.state, view.done, view.found, view.eta_seconds) == ("running", 3, 1, 160)
    assert view.skipped[0]["address"] == "10.0.0.5"
    discovery.scans.hear(progress(number, at=NOON - 1, done=1))  # arrived late
    assert discovery.scans.get(H001, number).done == 3
    clock.advance(60)
    discovery.scans.hear(progress(number, "done", at=NOON + 60_000, done=254, eta=None))
    view = discovery.scans.get(H001, number)
    assert (view.state, view.done, view.finished_at, view.eta_seconds) == ("done", 254, NOON + 60_000, None)
    assert view.skipped
    assert discovery.scans.orders({"H001"}) == []
    discovery.scans.hear(progress(number, "failed", at=NOON + 70_000))
    assert discovery.scans.get(H001, number).state == "done"


def test_progress_of_another_site_or_of_no_scan_is_ignored(discovery: Discovery) -> None:
    number = discovery.scans.start(H001, "H001", ["10.0.0.0/24"], "wang")
    discovery.scans.hear(progress(number, "done", site="H002"))
    discovery.scans.hear(progress(number + 7, "done"))
    assert discovery.scans.get(H001, number).state == "queued"


def test_a_failure_comes_with_its_reason(discovery: Discovery) -> None:
    number = discovery.scans.start(H001, "H001", ["10.0.0.0/24"], "wang")
    event = progress(number, "failed", reason_code="time", reason_message="not through", reason_zh="超时")
    discovery.scans.hear(event)
    view = discovery.scans.get(H001, number)
    assert (view.state, view.reason) == ("failed", {"code": "time", "message": "not through", "zh": "超时"})


def test_a_cancelled_scan_leaves_the_orders_and_stays_cancelled(
    discovery: Discovery, audited: Audited
) -> None:
    number = discovery.scans.start(H001, "H001", ["10.0.0.0/24"], "wang")
    discovery.scans.hear(progress(number))
    assert discovery.scans.cancel(H001, number, "li").state == "cancelled"
    assert discovery.scans.orders({"H001"}) == []
    discovery.scans.hear(progress(number, "done", at=NOON + 5, found=4))
    view = discovery.scans.get(H001, number)
    assert (view.state, view.found) == ("cancelled", 4)  # what it found until then counts
    assert audited()[-1] == ("li", "discovery.cancel", "H001")
    entries = len(audited())
    assert discovery.scans.cancel(H001, number, "li").state == "cancelled"
    assert len(audited()) == entries


def test_what_nobody_takes_or_speaks_of_is_given_up(discovery: Discovery, clock: ManualClock) -> None:
    untaken = discovery.scans.start(H001, "H001", ["10.0.0.0/24"], "wang")
    silent = discovery.scans.start(H001, "H001", ["10.0.1.0/24"], "wang")
    discovery.scans.hear(progress(silent))
    clock.advance(SILENT_MS / 1000)
    discovery.scans.expire()
    assert [s.state for s in discovery.scans.scans(H001)] == ["running", "queued"]
    clock.advance(1)
    discovery.scans.expire()
    assert discovery.scans.get(H001, silent).reason["code"] == "silent"
    clock.advance(UNTAKEN_MS / 1000)
    discovery.scans.expire()
    assert discovery.scans.get(H001, untaken).reason["code"] == "untaken"


def test_known_ranges_are_scanned_again_every_week(discovery: Discovery, clock: ManualClock) -> None:
    discovery.scans.keep_range(H001, "H001", ["10.0.0.0/24"], "wang", weekly=True)
    discovery.scans.keep_range(H001, "H001", ["10.0.1.0/24"], "wang")
    (first,) = discovery.scans.start_due()
    assert discovery.scans.get(H001, first).origin == "weekly"
    assert discovery.scans.start_due() == []
    discovery.scans.hear(progress(first, "done", at=clock.now_ms()))
    clock.advance(WEEK_MS / 1000 - 1)
    assert discovery.scans.start_due() == []
    clock.advance(1)
    (second,) = discovery.scans.start_due()
    assert second != first
    assert len(discovery.scans.start_known(H001, "H001", "li")) == 2


def test_a_weekly_scan_that_cannot_start_says_so_once(
    discovery: Discovery, directory: Directory, clock: ManualClock
) -> None:
    discovery.scans.keep_range(H001, "H001", ["10.0.0.0/24"], "wang", weekly=True)
    inventory = directory.inventory()
    directory.replace(replace(inventory, devices={}))
    assert discovery.scans.start_due() == []
    (failed,) = discovery.scans.scans(H001)
    assert failed.state == "failed"
    assert "凭据" in failed.reason["zh"]
    clock.advance(3600)
    assert discovery.scans.start_due() == []
    assert len(discovery.scans.scans(H001)) == 1


def test_a_range_kept_twice_is_one_range(discovery: Discovery) -> None:
    for weekly in (False, True):
        discovery.scans.keep_range(H001, "H001", ["10.0.0.0/24"], "wang", weekly=weekly)
    (kept,) = discovery.scans.ranges(H001)
    assert kept.weekly
    discovery.scans.forget_range(H001, kept.id, "wang")
    assert list(discovery.scans.ranges(H001)) == []
    with pytest.raises(InputError, match="no known range"):
        discovery.scans.start_known(H001, "H001", "wang")


def test_a_site_cannot_pile_up_scans(discovery: Discovery) -> None:
    for number in range(20):
        discovery.scans.start(H001, "H001", [f"10.0.{number}.0/24"], "wang")
    with pytest.raises(InputError, match="20 scans"):
        discovery.scans.start(H001, "H001", ["10.9.0.0/24"], "wang")


def test_the_service_does_its_rounds(runtime: Runtime, discovery: Discovery, clock: ManualClock) -> None:
    service = DiscoveryService(runtime)
    runtime.schedule.start()
    service.start()
    assert {"discovery-tend", "discovery-weekly"} <= set(runtime.schedule.names())
    number = discovery.scans.start(H001, "H001", ["10.0.0.0/24"], "wang")
    clock.advance(UNTAKEN_MS / 1000 + 1)
    service.tend()
    assert discovery.scans.get(H001, number).state == "failed"
    assert list(service.blueprints()) == []
    service.stop()
    runtime.schedule.stop()
