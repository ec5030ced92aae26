"""Through the collectors' door: the work order out, progress, finds and identities in, changes as events."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from flask import Flask
from flask.testing import FlaskClient

from collectors.assignment import parse_assignment
from monitor.clock import ManualClock
from monitor.discovery.rooms import Discovery
from monitor.events.interface import EventQuery
from monitor.ingest import build
from monitor.model import WHOLE_CITY, DeviceId, Scope, SiteId
from monitor.service import Runtime
from tests.conftest import NOON
from tests.monitor.discovery.conftest import FIND

ASSIGNMENT = "/api/v1/collectors/core/assignment"
H001 = Scope(frozenset({SiteId("H001")}))


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    app = Flask("test")
    for blueprint in build(runtime).blueprints():
        app.register_blueprint(blueprint)
    return app.test_client()


def line(key: str, dataset: str, action: str, **more: object) -> str:
    values = {f"zhishou.{name}": value for name, value in more.items()}
    head = {"@timestamp": NOON, "event.dataset": dataset, "event.action": action, "zhishou.site": "H001"}
    return json.dumps({"id": key, "event": {**head, **values}}, ensure_ascii=False)


def poll(
    key: str,
    identity: dict[str, str],
    *,
    at: int = NOON,
    up: bool = True,
    names: str = "",
    errors: str = "[]",
) -> str:
    detail = json.dumps({"interfaces": [{"name": name} for name in names.split()]})
    event = {
        "@timestamp": at, "event.dataset": "zhishou.poll", "event.action": "device.poll", "zhishou.site": "H001",
        "zhishou.device": "D1", "zhishou.module": "snmp", "zhishou.up": up, "zhishou.errors": errors,
        "zhishou.identity": json.dumps(identity), "zhishou.detail": detail,
    }  # fmt: skip
    return json.dumps({"id": key, "event": event})


def send(client: FlaskClient, *lines: str, collector: str = "") -> int:
    headers = {"X-Zhishou-Collector": collector} if collector else {}
    return client.post("/api/v1/ingest/events", data="\n".join(lines), headers=headers).status_code


def test_the_assignment_carries_scans_with_their_secrets_and_no_others(
    client: FlaskClient, discovery: Discovery
) -> None:
    before = client.get(ASSIGNMENT)
    assert before.get_json()["scans"] == []
    discovery.grants.release(WHOLE_CITY, "H001", "ops", "sec")
    number = discovery.scans.start(WHOLE_CITY, "H001", ["10.0.0.0/24"], "wang")
    discovery.scans.start(WHOLE_CITY, "H002", ["10.0.0.0/24"], "wang")
    answer = client.get(ASSIGNMENT, headers={"If-None-Match": before.headers["ETag"]})
    assert answer.status_code == 200
    assignment = parse_assignment(answer.text)
    (order,) = assignment.scans
    assert (order.id, order.site, order.credentials) == (number, "H001", ("ops", "ro"))
    assert set(assignment.credentials) == {"ops", "ro"}
    assert "hidden-two" not in answer.text
    discovery.scans.cancel(WHOLE_CITY, number, "wang")
    assert client.get(ASSIGNMENT).get_json()["scans"] == []


def test_an_assignment_of_an_older_core_has_no_scans(client: FlaskClient) -> None:
    document = client.get(ASSIGNMENT).get_json()
    del document["scans"]
    assert parse_assignment(json.dumps(document)).scans == ()
    document["scans"] = [{"id": "x"}, 7]
    assert parse_assignment(json.dumps(document)).scans == ()


def test_progress_and_finds_are_projected_and_only_the_end_is_history(
    client: FlaskClient, runtime: Runtime, discovery: Discovery
) -> None:
    scan = discovery.scans.start(WHOLE_CITY, "H001", ["10.0.0.0/24"], "wang")
    find = json.dumps(asdict(FIND))
    bodies = [
        line(
            "1", "zhishou.discovery", "scan.progress", scan=scan, state="running", done=5, total=254, found=0
        ),
        line("2", "zhishou.discovery", "scan.find", scan=scan, find=find),
        line("3", "zhishou.discovery", "scan.find", scan=scan, find="{broken"),
        line("4", "zhishou.discovery", "scan.find", scan="one", find=find),
        line(
            "5",
            "zhishou.discovery",
            "scan.progress",
            scan=scan,
            state="done",
            done="many",
            total=[],
            speed="x",
        ),
        line(
            "6", "zhishou.discovery", "scan.progress", scan=scan, state="done", done=254, total=254, found=1
        ),
    ]
    assert send(client, *bodies) == 204
    assert send(client, *bodies) == 204  # the collector did not hear us: it sends again
    assert [(p.address, p.state) for p in discovery.proposals.list(WHOLE_CITY)] == [("10.0.0.9", "new")]
    view = discovery.scans.get(WHOLE_CITY, scan)
    assert (view.state, view.done, view.found) == ("done", 254, 1)
    kept = runtime.events.search(EventQuery(0, NOON + 1, action="scan."), WHOLE_CITY)
    assert {event["event.action"] for event in kept} == {"scan.progress"}
    assert {event["zhishou.state"] for event in kept} == {"done"}


def test_a_bound_collector_reports_its_own_scans_only(client: FlaskClient, discovery: Discovery) -> None:
    scan = discovery.scans.start(WHOLE_CITY, "H001", ["10.0.0.0/24"], "wang")
    body = line("1", "zhishou.discovery", "scan.find", scan=scan, find=json.dumps(asdict(FIND)))
    assert send(client, body, collector="east") == 204
    assert discovery.proposals.list(WHOLE_CITY) == []
    assert send(client, body, collector="core") == 204
    assert len(discovery.proposals.list(WHOLE_CITY)) == 1


def test_a_changed_device_raises_an_event_with_both_languages(
    client: FlaskClient, runtime: Runtime, discovery: Discovery
) -> None:
    first = {"serial": "A1", "version": "5.1", "profile": "vrp"}
    send(client, poll("1", first, at=NOON - 5000))
    send(
        client,
        poll("2", {}, at=NOON - 4000, up=False, errors='[{"code": "timeout", "message": "", "zh": ""}]'),
    )
    send(client, poll("3", first, at=NOON - 3000))
    assert discovery.journal.changes(WHOLE_CITY) == []
    send(client, poll("4", {**first, "serial": "B2", "version": "5.2"}, at=NOON - 2000))
    send(client, poll("4", {**first, "serial": "B2", "version": "5.2"}, at=NOON - 2000))
    changes = discovery.journal.changes(WHOLE_CITY)
    assert {(c.what, c.before, c.after) for c in changes} == {
        ("serial", "A1", "B2"),
        ("version", "5.1", "5.2"),
    }
    query = EventQuery(0, NOON + 1, device=DeviceId("D1"), action="device.changed")
    events = runtime.events.search(query, H001)
    assert {e["event.action"] for e in events} == {"device.changed.serial", "device.changed.version"}
    serial = next(e for e in events if e["zhishou.what"] == "serial")
    assert serial["message"] == "D1 更换硬件，序列号：A1 → B2"
    assert "A1 -> B2" in str(serial["zhishou.message_en"])
    assert serial["event.dataset"] == "zhishou.change"
    assert runtime.events.search(query, Scope(frozenset({SiteId("H002")}))) == []
    assert discovery.journal.changes(Scope(frozenset({SiteId("H002")}))) == []


def test_an_old_status_that_arrives_late_changes_nothing(client: FlaskClient, discovery: Discovery) -> None:
    send(client, poll("1", {"serial": "B2"}, at=NOON - 1000))
    send(client, poll("2", {"serial": "A1"}, at=NOON - 9000))
    assert discovery.journal.changes(WHOLE_CITY) == []


def test_a_fact_that_goes_to_and_fro_is_told_once_an_hour(client: FlaskClient, discovery: Discovery) -> None:
    for number in range(6):
        send(client, poll(str(number), {"serial": "AAAA" if number % 2 else "BBBB"}, at=NOON - 9000 + number))
    assert len(discovery.journal.changes(WHOLE_CITY)) == 2  # once in each direction


def test_interfaces_that_stay_or_stay_away_are_told(
    client: FlaskClient, discovery: Discovery, clock: ManualClock
) -> None:
    at = NOON - 1_000_000
    for names in ("GE1 GE2", "GE1 GE2", "GE1 GE2 GE3", "GE1 GE2 GE3", *["GE1 GE3"] * 6):
        at += 1000
        assert send(client, poll(str(at), {"serial": "A1"}, at=at, names=names)) == 204
    told = [(c.what, c.before, c.after) for c in discovery.journal.changes(WHOLE_CITY, device="D1")]
    assert told == [("interfaces.gone", "GE2", ""), ("interfaces.new", "", "GE3")]


def test_a_half_read_list_of_interfaces_is_no_proof(client: FlaskClient, discovery: Discovery) -> None:
    problem = '[{"code": "timeout", "message": "if-mib", "zh": "接口"}]'
    send(client, poll("0", {"serial": "A1"}, at=NOON - 90_000, names="GE1 GE2"))
    for number in range(1, 8):
        send(
            client,
            poll(str(number), {"serial": "A1"}, at=NOON - 90_000 + number, names="GE1", errors=problem),
        )
    assert discovery.journal.changes(WHOLE_CITY) == []
