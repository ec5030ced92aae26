"""The collectors' door: batches in, assignments out."""

from __future__ import annotations

import json

import pytest
from flask import Flask
from flask.testing import FlaskClient

from monitor.credentials import Credentials
from monitor.document import parse_document
from monitor.documents import from_document
from monitor.events.interface import EventQuery
from monitor.ingest import build
from monitor.inventory.file import check_inventory
from monitor.inventory.plan import apply
from monitor.model import WHOLE_CITY, Device, Scope, SiteId
from monitor.service import Runtime
from tests.conftest import NOON
from tests.monitor.test_inventory import TEXT


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    file = check_inventory(parse_document(TEXT, "city.yml"))
    apply(file, runtime.directory, Credentials(runtime.database, runtime.vault), runtime.audit, "test")
    app = Flask("test")
    for blueprint in build(runtime).blueprints():
        app.register_blueprint(blueprint)
    return app.test_client()


def poll(key: str, *, up: bool = True, errors: str = "[]", at: int = NOON, **more: str) -> str:
    event = {
        "@timestamp": at, "event.dataset": "zhishou.poll", "event.action": "device.poll", "zhishou.site": "H001",
        "zhishou.device": "H001-SW-1", "zhishou.module": "snmp", "zhishou.up": up, "zhishou.errors": errors, **more,
    }  # fmt: skip
    return json.dumps({"id": key, "event": event}, ensure_ascii=False)


def test_the_assignment_carries_devices_and_credentials_once(client: FlaskClient) -> None:
    answer = client.get("/api/v1/collectors/core/assignment")
    document = answer.get_json()
    devices = [from_document(Device, body) for body in document["devices"]]
    assert [d.id for d in devices] == ["H001-SW-1", "H001-HIS-1"]
    assert document["credentials"] == {"ro": {"kind": "snmp-v2c", "community": "hidden-word"}}
    assert document["regions"] == {"H001": "xidong"}
    assert answer.headers["Cache-Control"] == "no-store"
    again = client.get(
        "/api/v1/collectors/core/assignment", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304
    assert client.get("/api/v1/collectors/other/assignment").get_json()["devices"] == []


def test_polls_become_statuses_and_changes_become_events(client: FlaskClient, runtime: Runtime) -> None:
    error = json.dumps([{"code": "timeout", "message": "no answer", "zh": "设备无响应"}], ensure_ascii=False)
    bodies = [
        poll("1", **{"zhishou.identity": '{"os": "VRP"}'}),
        poll("2", at=NOON + 1),
        poll("3", up=False, errors=error, at=NOON + 2),
        poll("4", up=False, errors=error, at=NOON + 3),
        poll("5", at=NOON + 4),
    ]
    for body in bodies:
        assert client.post("/api/v1/ingest/events", data=body).status_code == 204
    status = runtime.directory.statuses(WHOLE_CITY, "H001-SW-1")[0]
    assert (status.up, status.checked_at, status.identity) == (True, NOON + 4, {"os": "VRP"})
    stored = runtime.events.search(EventQuery(0, NOON + 10), WHOLE_CITY)
    assert [e["@timestamp"] for e in stored] == [NOON + 4, NOON + 2]


def test_heartbeats_are_projected_and_not_kept(client: FlaskClient, runtime: Runtime) -> None:
    event = {"@timestamp": NOON, "event.dataset": "zhishou.collector", "zhishou.collector": "core",
             "zhishou.spooled_samples": 7, "zhishou.devices": 2}  # fmt: skip
    client.post("/api/v1/ingest/events", data=json.dumps({"id": "h", "event": event}))
    assert runtime.directory.collectors()[0].spooled_samples == 7
    assert runtime.events.search(EventQuery(0, NOON + 10), WHOLE_CITY) == []


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        '{"id": 1, "event": {}}',
        '{"id": "a", "event": {}}',
        '{"id": "a", "event": {"@timestamp": "now"}}',
        poll("x", errors="[") ,
        poll("x", **{"zhishou.detail": "[]"}),
        "[" * 5000,
        poll("x", errors="[" * 100_000),
        poll("x", at=10**30),
        poll("x", at=-1),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_and_nothing_of_the_batch_is_stored(
    client: FlaskClient, runtime: Runtime, line: str
) -> None:
    answer = client.post("/api/v1/ingest/events", data="\n".join([poll("1", up=False), line]))
    assert answer.status_code == 400
    assert "line 2" in answer.get_data(as_text=True)
    assert runtime.directory.statuses(WHOLE_CITY) == []


def test_a_bound_collector_speaks_for_its_own_sites_only(client: FlaskClient, runtime: Runtime) -> None:
    beat = {"@timestamp": NOON, "event.dataset": "zhishou.collector", "zhishou.collector": "core"}
    body = "\n".join([poll("1"), json.dumps({"id": "h", "event": beat})])
    other = {"X-Zhishou-Collector": "other"}
    assert client.post("/api/v1/ingest/events", data=body, headers=other).status_code == 204
    assert runtime.directory.statuses(WHOLE_CITY) == []
    assert runtime.directory.collectors() == []
    own = {"X-Zhishou-Collector": "core"}
    assert client.post("/api/v1/ingest/events", data=body, headers=own).status_code == 204
    assert len(runtime.directory.statuses(WHOLE_CITY)) == len(runtime.directory.collectors()) == 1


def test_a_clock_ahead_does_not_freeze_a_status(client: FlaskClient, runtime: Runtime) -> None:
    client.post("/api/v1/ingest/events", data=poll("1", at=NOON + 86_400_000))
    client.post("/api/v1/ingest/events", data=poll("2", up=False, at=NOON))
    status = runtime.directory.statuses(WHOLE_CITY, "H001-SW-1")[0]
    assert (status.up, status.checked_at) == (False, NOON)


def test_what_concerns_no_site_is_taken_from_the_collector_it_names(
    client: FlaskClient, runtime: Runtime
) -> None:
    event = {"@timestamp": NOON, "event.dataset": "zhishou.trap", "zhishou.collector": "core", "message": "m"}
    for sender, key in (("other", "a"), ("core", "b")):
        body = json.dumps({"id": key, "event": event})
        client.post("/api/v1/ingest/events", data=body, headers={"X-Zhishou-Collector": sender})
    assert len(runtime.events.search(EventQuery(0, NOON + 10), WHOLE_CITY)) == 1
    assert runtime.events.search(EventQuery(0, NOON + 10), Scope(frozenset({SiteId("H001")}))) == []
