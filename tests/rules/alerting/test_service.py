"""The service on a whole runtime: the library loads, alerts fire, the APIs answer."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import generate_latest
from werkzeug.serving import make_server

from monitor.clock import ManualClock
from monitor.directory import CollectorStatus
from monitor.errors import InputError
from monitor.metrics.interface import block_of, make_labels
from monitor.model import WHOLE_CITY
from monitor.service import Runtime
from rules.alerting.desk import SqlDesk
from rules.alerting.interface import AlertFilter, AlertState
from rules.alerting.service import EXTENSION, AlertingService, build, external_labels

BASE = "/alertmanager/api/v2"


@pytest.fixture
def service(runtime: Runtime) -> Iterator[AlertingService]:
    made = build(runtime)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(service: AlertingService) -> FlaskClient:
    app = Flask("test")
    for blueprint in service.blueprints():
        app.register_blueprint(blueprint)
    return app.test_client()


def everything(service: AlertingService) -> None:
    for key in service.engine.groups:
        service.engine.evaluate(key)


def break_down(
    runtime: Runtime, service: AlertingService, clock: ManualClock, devices: tuple[str, ...] = ("a",)
) -> None:
    """Let DeviceDown of the library fire."""
    for _ in range(3):
        clock.advance(30)
        labels = {"region": "R", "site": "H1", "kind": "network", "vendor": "h3c", "job": "snmp"}
        samples = [(make_labels(labels | {"device": d}, "up"), clock.now_ms(), 0.0) for d in devices]
        runtime.store.append(block_of(samples))
        everything(service)


def silence(clock: ManualClock, **changes: object) -> dict[str, object]:
    now = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
    body = {
        "matchers": [{"name": "device", "value": "a|x", "isRegex": True, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "li",
        "comment": "检修",
    }
    return body | changes


def test_the_library_loads_and_evaluates_without_a_fault(service: AlertingService) -> None:
    everything(service)
    assert service.faults == []
    rules = [rule for group in service.view.groups() for rule in group["rules"]]
    assert len(rules) >= 30
    assert {rule["health"] for rule in rules} == {"ok"}


def test_device_down_fires_within_two_poll_intervals(
    runtime: Runtime, service: AlertingService, clock: ManualClock
) -> None:
    down_at = clock.now_ms()
    labels = {"region": "R", "site": "H1", "kind": "network", "vendor": "h3c", "job": "snmp", "device": "a"}
    desk = SqlDesk(runtime.database, runtime.audit, clock)
    fired = None
    for second in range(1, 181):
        clock.advance(1)
        if second % 60 == 0:  # the first poll after the failure comes as late as it can
            runtime.store.append(block_of([(make_labels(labels, "up"), clock.now_ms(), 0.0)]))
        if second % 15 == 7:
            everything(service)
            found, _ = desk.alerts(WHOLE_CITY, AlertFilter(device="a"))
            fired = fired or (found[0].fired_at if found else None)
    assert fired is not None
    assert fired - down_at <= 120_000


def test_the_rules_are_offered_to_the_prometheus_endpoints(client: FlaskClient) -> None:
    view = client.application.extensions[EXTENSION]
    assert {group["name"] for group in view.groups()} >= {"devices", "network", "services"}
    assert view.alerts() == []


def test_jobs_are_scheduled_and_removed(runtime: Runtime, service: AlertingService) -> None:
    names = runtime.schedule.names()
    assert len(names) == len(service.engine.groups) + 5
    service.stop()
    assert runtime.schedule.names() == []


def test_extra_rules_and_a_bad_file_beside_them(runtime: Runtime, tmp_path: Path) -> None:
    folder = tmp_path / "extra"
    folder.mkdir()
    (folder / "mine.yml").write_text(
        "groups:\n- name: mine\n  rules:\n  - alert: Mine\n    expr: vector(1)\n"
    )
    (folder / "bad.yml").write_text("groups:\n- name: bad\n  rules:\n  - alert: Bad\n")
    service = build(replace(runtime, settings=replace(runtime.settings, rules_folder=str(folder))))
    service.start()
    names = {group["name"] for group in service.view.groups()}
    service.stop()
    assert "mine" in names
    assert "bad" not in names
    assert ["bad.yml:4" in str(fault) for fault in service.faults] == [True]


def test_rule_files_are_read_again_when_they_change(runtime: Runtime, tmp_path: Path) -> None:
    def rule(name: str) -> str:
        return f"groups:\n- name: {name}\n  rules:\n  - alert: {name}\n    expr: vector(1)\n"

    one, two = tmp_path / "one.yml", tmp_path / "two.yml"
    one.write_text(rule("a"))
    two.write_text(rule("b"))
    service = build(replace(runtime, settings=replace(runtime.settings, rules_folder=str(tmp_path))))
    service.start()

    def loaded() -> set[str]:
        assert {n for n in runtime.schedule.names() if n.startswith("rules:")} == {
            f"rules:{key}" for key in service.engine.groups
        }
        return {status.group.name for status in service.engine.groups.values()} & set("abcd")

    everything(service)
    assert not service.reload_changed()
    one.write_text(rule("c") + "  - alert: wrong\n")
    two.write_text(rule("d").replace("rules:", "limit: 5\n  rules:"))
    assert service.reload_changed()
    assert loaded() == {"a", "d"}, "the file that is wrong stays as it was"
    assert [f"{one}:6" in str(fault) for fault in service.faults] == [True]
    one.unlink()
    assert service.reload_changed()
    assert (loaded(), service.faults) == ({"d"}, [])
    service.stop()


def test_alert_texts_know_the_installation(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text(
        "groups:\n- name: x\n  rules:\n  - alert: X\n    expr: vector(1)\n"
        "    annotations: {text: '{{ externalURL }} {{ $externalURL }} {{ $externalLabels.city }}'}\n"
    )
    settings = replace(
        runtime.settings,
        rules_folder=str(tmp_path),
        external_url="https://noc.example/",
        external_labels="city=杭州, net = wan",
    )
    service = build(replace(runtime, settings=settings))
    service.start()
    everything(service)
    service.stop()
    (alert,) = [alert for alert in service.view.alerts() if alert["labels"]["alertname"] == "X"]
    assert alert["annotations"]["text"] == "https://noc.example https://noc.example 杭州"
    assert "city" not in alert["labels"]
    assert external_labels("") == ()
    with pytest.raises(InputError, match="external_labels"):
        external_labels("a=b,c d=e")


def test_a_folder_that_is_not_there(runtime: Runtime) -> None:
    service = build(replace(runtime, settings=replace(runtime.settings, rules_folder="/nowhere")))
    with pytest.raises(InputError):
        service.start()


def test_collectors_are_judged(runtime: Runtime, service: AlertingService, clock: ManualClock) -> None:
    runtime.directory.record_heartbeat(CollectorStatus("c1", clock.now_ms(), 5, 7))
    for _ in range(8):
        clock.advance(15)
        service.record_collectors()
        everything(service)
    desk = SqlDesk(runtime.database, runtime.audit, clock)
    (alert,), _ = desk.alerts(WHOLE_CITY, AlertFilter())
    assert (alert.name, alert.device, alert.state) == ("CollectorDown", "c1", AlertState.ACTIVE)


def test_own_metrics(runtime: Runtime, service: AlertingService) -> None:
    everything(service)
    text = generate_latest(runtime.registry).decode()
    group = '{group="devices.yml;devices"}'
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("zhishou_rule"))
    assert float(values[f"zhishou_rule_group_failing{group}"]) == 0
    assert float(values[f"zhishou_rule_group_iterations_total{group}"]) == 1
    assert float(values[f"zhishou_rule_group_iterations_missed_total{group}"]) == 0
    rules = float(values[f"zhishou_rule_group_rules{group}"])
    assert rules == float(values[f"zhishou_rule_evaluations_total{group}"]) > 0
    assert float(values[f"zhishou_rule_evaluation_failures_total{group}"]) == 0
    assert float(values[f"zhishou_rule_group_duration_seconds_total{group}"]) > 0
    assert float(values[f"zhishou_rule_group_interval_seconds{group}"]) > 0
    assert 'zhishou_alerts{state="firing"} 0.0' in text


def test_alertmanager_alerts_and_groups(
    runtime: Runtime, service: AlertingService, clock: ManualClock, client: FlaskClient
) -> None:
    assert client.get(f"{BASE}/alerts").json == []
    break_down(runtime, service, clock, ("a", "b"))
    alerts = client.get(f"{BASE}/alerts").json
    assert [(a["labels"]["device"], a["status"]["state"]) for a in alerts] == [
        ("a", "active"),
        ("b", "active"),
    ]
    assert {
        "fingerprint",
        "startsAt",
        "endsAt",
        "updatedAt",
        "annotations",
        "receivers",
        "generatorURL",
    } <= set(alerts[0])
    only = client.get(f"{BASE}/alerts", query_string={"filter": ['device="b"', "site=~H.*"]}).json
    assert [a["labels"]["device"] for a in only] == ["b"]
    assert client.get(f"{BASE}/alerts?receiver=nobody").json == []
    (group,) = client.get(f"{BASE}/alerts/groups").json
    assert (group["labels"], len(group["alerts"])) == ({"alertname": "DeviceDown"}, 2)
    assert client.get(f"{BASE}/alerts", query_string={"filter": "="}).status_code == 400
    assert client.get(f"{BASE}/alerts", query_string={"filter": 'a=~"("'}).status_code == 400
    assert client.post(f"{BASE}/alerts", json=[]).status_code == 405


def test_alertmanager_status_and_receivers(client: FlaskClient) -> None:
    status = client.get(f"{BASE}/status").json
    assert set(status) == {"cluster", "versionInfo", "config", "uptime"}
    assert client.get(f"{BASE}/receivers").json == [{"name": "desk"}]


def test_alertmanager_silences(
    runtime: Runtime, service: AlertingService, clock: ManualClock, client: FlaskClient
) -> None:
    break_down(runtime, service, clock, ("a", "b"))
    desk = SqlDesk(runtime.database, runtime.audit, clock)
    made = client.post(f"{BASE}/silences", json=silence(clock))
    assert made.status_code == 200, made.text
    silence_id = made.json["silenceID"]
    states = {a.device: a.state for a in desk.alerts(WHOLE_CITY, AlertFilter())[0]}
    assert states == {"a": AlertState.SHELVED, "b": AlertState.ACTIVE}
    alerts = {a["labels"]["device"]: a["status"] for a in client.get(f"{BASE}/alerts").json}
    assert alerts["a"] == {"state": "suppressed", "silencedBy": [silence_id], "inhibitedBy": []}
    shown = client.get(f"{BASE}/alerts?silenced=false").json
    assert [a["labels"]["device"] for a in shown] == ["b"]
    assert client.get(f"{BASE}/silence/{silence_id}").json["status"] == {"state": "active"}
    assert [s["id"] for s in client.get(f"{BASE}/silences").json] == [silence_id]
    assert client.get(f"{BASE}/silences", query_string={"filter": 'device="other"'}).json == []

    renewed = client.post(f"{BASE}/silences", json=silence(clock, id=silence_id)).json["silenceID"]
    assert renewed != silence_id
    assert [s["status"]["state"] for s in client.get(f"{BASE}/silences").json] == ["active", "expired"]
    assert client.delete(f"{BASE}/silence/{renewed}").status_code == 200
    assert {a.state for a in desk.alerts(WHOLE_CITY, AlertFilter())[0]} == {AlertState.ACTIVE}
    assert client.delete(f"{BASE}/silence/none").status_code == 404
    assert client.get(f"{BASE}/silence/none").status_code == 404
    assert runtime.audit.verify().entries == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"matchers": []},
        {"matchers": [{"name": "a", "value": ".*", "isRegex": True}]},
        {"matchers": [{"name": "a", "value": "(", "isRegex": True}]},
        {"matchers": [{"name": "", "value": "b"}]},
        {"matchers": ["a=b"]},
        {"endsAt": "2020-01-01T00:00:00Z"},
        {"endsAt": "2027-01-01T00:00:00Z"},
        {"startsAt": "soon"},
        {"comment": ""},
        {"createdBy": ""},
    ],
)
def test_bad_silences_are_refused(
    clock: ManualClock, client: FlaskClient, changes: dict[str, object]
) -> None:
    assert client.post(f"{BASE}/silences", json=silence(clock, **changes)).status_code == 400
    assert client.get(f"{BASE}/silences").json == []


def test_not_json(client: FlaskClient) -> None:
    assert client.post(f"{BASE}/silences", data="{").status_code == 400
    assert (
        client.post(f"{BASE}/silences", data=json.dumps([1]), content_type="application/json").status_code
        == 400
    )


def test_amtool_reads_and_silences(
    runtime: Runtime, service: AlertingService, clock: ManualClock, client: FlaskClient
) -> None:
    break_down(runtime, service, clock)
    server = make_server("127.0.0.1", 0, client.application)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def amtool(*arguments: str) -> str:
        url = f"--alertmanager.url=http://127.0.0.1:{server.port}/alertmanager"
        done = subprocess.run(
            ["amtool", url, *arguments], capture_output=True, text=True, check=False, timeout=20
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        assert "DeviceDown" in amtool("alert", "query", "device=a")
        assert "DeviceDown" not in amtool("alert", "query", "device=b")
        end = datetime.fromtimestamp(clock.now_ms() / 1000 + 3600, UTC).isoformat()
        start = datetime.fromtimestamp(clock.now_ms() / 1000, UTC).isoformat()
        silence_id = amtool(
            "silence", "add", "device=a", "-a", "li", "-c", "x", f"--start={start}", f"--end={end}"
        ).strip()
        assert [s["id"] for s in client.get(f"{BASE}/silences").json] == [silence_id]
        assert "DeviceDown" not in amtool("alert", "query")
        amtool("silence", "expire", silence_id)
        assert "DeviceDown" in amtool("alert", "query")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
