"""Metadata, targets, rules, status and the parameters all doors share."""

from __future__ import annotations

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from monitor.metrics.interface import block_of, make_labels
from monitor.service import Runtime

API = "/prometheus/api/v1"


def data(client: FlaskClient, path: str) -> object:
    answer = client.get(f"{API}/{path}")
    assert answer.status_code == 200, answer.text
    return answer.get_json()["data"]


class Alarms:
    def groups(self) -> list[dict[str, object]]:
        alert = {
            "type": "alerting",
            "name": "Down",
            "alerts": [{"state": "firing"}],
            "labels": {"severity": "P1"},
        }
        record = {"type": "recording", "name": "site:up:sum", "labels": {"team": "net"}}
        return [
            {"name": "g", "file": "a.yml", "rules": [alert, record]},
            {"name": "h", "file": "b.yml", "rules": [{**alert, "name": "Hot"}]},
        ]

    def alerts(self) -> list[dict[str, object]]:
        return [{"labels": {"alertname": "Down"}, "state": "firing"}]


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("", {"g": ["Down", "site:up:sum"], "h": ["Hot"]}),
        ("type=alert", {"g": ["Down"], "h": ["Hot"]}),
        ("type=record", {"g": ["site:up:sum"]}),
        ("rule_name[]=Hot&rule_name[]=Down", {"g": ["Down"], "h": ["Hot"]}),
        ("rule_group[]=h", {"h": ["Hot"]}),
        ("file[]=a.yml&type=alert", {"g": ["Down"]}),
        ("rule_group[]=none", {}),
        ("match[]={severity='P1'}", {"g": ["Down"], "h": ["Hot"]}),
        ("match[]={severity!~'P.',team='net'}&match[]={x='y'}", {"g": ["site:up:sum"]}),
        ("match[]={severity=~'P'}", {}),
    ],
)
def test_rules_are_filtered(app: Flask, client: FlaskClient, asked: str, shown: dict[str, list[str]]) -> None:
    app.extensions["zhishou.rules"] = Alarms()
    groups = client.get(f"{API}/rules?{asked}").get_json()["data"]["groups"]
    assert {group["name"]: [rule["name"] for rule in group["rules"]] for group in groups} == shown


def test_rules_without_their_alerts(app: Flask, client: FlaskClient) -> None:
    app.extensions["zhishou.rules"] = Alarms()
    for flag, alerts in (("true", []), ("false", [{"state": "firing"}])):
        group = client.get(f"{API}/rules?exclude_alerts={flag}").get_json()["data"]["groups"][1]
        assert group["rules"][0]["alerts"] == alerts
    assert client.get(f"{API}/rules?exclude_alerts=perhaps").status_code == 400
    assert client.get(f"{API}/rules?type=bogus").status_code == 400


def test_rules_come_in_pages(app: Flask, client: FlaskClient) -> None:
    app.extensions["zhishou.rules"] = Alarms()
    first = client.get(f"{API}/rules?group_limit=1").get_json()["data"]
    assert [group["name"] for group in first["groups"]] == ["g"]
    path = f"{API}/rules?group_limit=1&group_next_token={first['groupNextToken']}"
    assert client.get(path).get_json()["data"]["groups"][0]["name"] == "h"
    assert "groupNextToken" not in client.get(path).get_json()["data"]
    assert client.get(f"{API}/rules?group_limit=1&group_next_token=x").status_code == 400
    assert client.get(f"{API}/rules?group_next_token={first['groupNextToken']}").status_code == 400
    assert client.get(f"{API}/rules?group_limit=-1").status_code == 400


def test_metadata(client: FlaskClient) -> None:
    known = data(client, "metadata")
    assert isinstance(known, dict)
    assert known["wait_seconds"] == [{"type": "histogram", "help": "Waiting", "unit": "seconds"}]
    assert set(known) == {"up", "reads_total", "wait_seconds"}
    assert data(client, "metadata?metric=up&limit_per_metric=1") == {"up": known["up"]}
    assert data(client, "metadata?metric=unheard_of") == {}
    assert data(client, "metadata?limit=1") == {"reads_total": known["reads_total"]}
    assert client.get(f"{API}/metadata?limit=many").status_code == 400


def test_metadata_of_targets(client: FlaskClient) -> None:
    found = data(client, 'targets/metadata?match_target={instance="10.0.0.1"}')
    assert isinstance(found, list)
    assert {item["metric"] for item in found} == {"up", "reads_total", "wait_seconds"}
    assert {item["target"]["instance"] for item in found} == {"10.0.0.1"}
    one = data(client, "targets/metadata?metric=wait_seconds&limit=1")
    assert one == [
        {
            "target": {"instance": "10.0.0.0", "job": "snmp"},
            "type": "histogram",
            "help": "Waiting",
            "unit": "seconds",
        }
    ]
    assert data(client, "targets/metadata?metric=unheard_of") == []
    assert client.get(f"{API}/targets/metadata?match_target=rate(x[5m])").status_code == 400


def test_targets(client: FlaskClient) -> None:
    found = data(client, "targets")
    assert isinstance(found, dict)
    down, up = found["activeTargets"]
    assert (down["health"], down["lastError"], up["health"], up["lastError"]) == (
        "down", "the device did not answer", "up", "",
    )  # fmt: skip
    assert up["lastScrape"] == "2026-11-21T12:00:00Z"
    assert up["lastScrapeDuration"] == 0.25
    assert up["labels"] == {"device": "d1", "instance": "10.0.0.1", "job": "snmp"}
    assert data(client, "targets?state=dropped")["activeTargets"] == []  # type: ignore[index]
    assert data(client, "targets?scrapePool=ssh&state=any")["activeTargets"] == []  # type: ignore[index]
    assert data(client, "scrape_pools") == {"scrapePools": ["snmp"]}


def test_status(client: FlaskClient) -> None:
    assert data(client, "status/flags")["storage.tsdb.retention.time"] == "30d"  # type: ignore[index]
    assert data(client, "status/config") == {"yaml": "global:\n  evaluation_interval: 15s\n"}
    assert data(client, "status/runtimeinfo")["startTime"] == "2026-11-21T12:00:00Z"  # type: ignore[index]
    assert data(client, "alertmanagers") == {"activeAlertmanagers": [], "droppedAlertmanagers": []}
    tsdb = data(client, "status/tsdb?limit=1")
    assert isinstance(tsdb, dict)
    assert tsdb["headStats"]["numSeries"] == 9
    assert tsdb["seriesCountByMetricName"] == [{"name": "up", "value": 3}]
    assert tsdb["seriesCountByLabelValuePair"] == [{"name": "job=snmp", "value": 8}]
    assert tsdb["labelValueCountByLabelName"][0] == {"name": "__name__", "value": 4}


def test_probes_and_the_root(client: FlaskClient) -> None:
    for path in ("", "-/healthy", "-/ready"):
        assert client.get(f"/prometheus/{path}").status_code == 200
    assert client.get("/prometheus/none").status_code == 404


def test_limits_truncate_and_say_so(client: FlaskClient) -> None:
    for path in (
        "query?query=up&limit=1",
        "query?query=up[1m]&limit=1",
        "query_range?query=up&start=1795262000&end=1795262400&step=60&limit=1",
        "series?match[]=up&limit=1",
        "labels?limit=1",
        "label/device/values?limit=1",
    ):
        answer = client.get(f"{API}/{path}").get_json()
        found = answer["data"]["result"] if isinstance(answer["data"], dict) else answer["data"]
        assert len(found) == 1, path
        assert answer["warnings"] == ["results truncated due to limit"], path
    assert "warnings" not in client.get(f"{API}/query?query=up&limit=2").get_json()


def test_lookback_stats_and_exemplars(client: FlaskClient, runtime: Runtime) -> None:
    later = runtime.clock.now_ms() // 1000 + 20
    path = f"query?query=up&time={later}"
    assert len(data(client, path)["result"]) == 2  # type: ignore[index]
    assert data(client, path + "&lookback_delta=10s")["result"] == []  # type: ignore[index]
    stats = data(client, path + "&stats=all")["stats"]  # type: ignore[index]
    assert stats["samples"]["totalQueryableSamples"] > 0
    assert stats["timings"]["evalTotalTime"] > 0
    assert data(client, "query_exemplars?query=up&start=1&end=2") == []


def test_label_names_escaped_by_clients(client: FlaskClient, runtime: Runtime) -> None:
    labels = make_labels({"机房.名": "a", "x_y": "b"}, "m")
    runtime.store.append(block_of([(labels, runtime.clock.now_ms(), 1.0)]))
    assert data(client, "label/U___673a__623f__2e__540d_/values") == ["a"]
    assert data(client, "label/U__x__y/values") == ["b"]
    assert data(client, "label/机房.名/values") == ["a"]
    assert client.get(f"{API}/label/U___d800_/values").status_code == 400


def test_the_form_comes_before_the_address(client: FlaskClient) -> None:
    answer = client.post(f"{API}/query?query=2", data={"query": "1"})
    assert answer.get_json()["data"]["result"][1] == "1"
    assert orjson.loads(answer.data)["status"] == "success"
