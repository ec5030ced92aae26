"""The Prometheus HTTP API: exact JSON, errors, remote write, and Debian's promtool as a client."""

from __future__ import annotations

import gzip
import math
import shutil
import subprocess
import threading
from collections.abc import Iterator

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import block_of, make_labels
from monitor.metrics.memory import MemoryStore
from monitor.metrics.notation import duration_ms, number, time_ms
from monitor.metrics.service import build
from monitor.service import Runtime

API = "/prometheus/api/v1"
WRITE_HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}


class Alarms:
    def groups(self) -> list[dict[str, object]]:
        return [
            {"name": "g", "rules": [{"type": "alerting", "name": "Down"}, {"type": "recording", "name": "r"}]}
        ]

    def alerts(self) -> list[dict[str, object]]:
        return [{"labels": {"alertname": "Down"}, "state": "firing"}]


@pytest.fixture
def now(runtime: Runtime) -> int:
    return runtime.clock.now_ms()


@pytest.fixture
def app(runtime: Runtime, now: int) -> Flask:
    runtime.store.append(
        block_of(
            (
                make_labels({"device": name, "job": "snmp", "instance": f"10.0.0.{name}"}, "up"),
                now - age,
                float(name),
            )
            for name in "01"
            for age in (120_000, 60_000, 0)
        )
    )
    made = Flask("test")
    for blueprint in build(runtime).blueprints():
        made.register_blueprint(blueprint)
    return made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/prometheus"
    server.shutdown()
    thread.join()
    server.server_close()


def test_instant_json(client: FlaskClient, now: int) -> None:
    answer = client.get(f"{API}/query", query_string={"query": 'up{device="1"}'})
    assert answer.content_type == "application/json"
    assert answer.json == {
        "status": "success",
        "data": {
            "resultType": "vector",
            "result": [
                {
                    "metric": {"__name__": "up", "device": "1", "instance": "10.0.0.1", "job": "snmp"},
                    "value": [now // 1000, "1"],
                }
            ],
        },
    }


def test_the_other_types(client: FlaskClient, now: int) -> None:
    at = now / 1000
    scalar = client.post(f"{API}/query", data={"query": "1/0", "time": str(at)}).json
    assert scalar["data"] == {"resultType": "scalar", "result": [at, "+Inf"]}
    text = client.post(f"{API}/query", data={"query": '"值"', "time": "2026-11-21T12:00:00.5Z"}).json
    assert text["data"] == {"resultType": "string", "result": [at + 0.5, "值"]}
    raw = client.get(f"{API}/query", query_string={"query": 'up{device="1"}[90s]', "time": at}).json
    assert raw["data"]["resultType"] == "matrix"
    assert raw["data"]["result"][0]["values"] == [[at - 60, "1"], [at, "1"]]


def test_range_json(client: FlaskClient, now: int) -> None:
    at = now // 1000
    form = {"query": "sum(up)", "start": at - 60, "end": at + 60, "step": "1m"}
    answer = client.post(f"{API}/query_range", data=form).json
    assert answer["data"] == {
        "resultType": "matrix",
        "result": [{"metric": {}, "values": [[at - 60, "1"], [at, "1"], [at + 60, "1"]]}],
    }


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("query", 400, "bad_data"),
        ("query?query=sum(", 400, "bad_data"),
        ("query?query=up&time=yesterday", 400, "bad_data"),
        ("query?query=up&timeout=1x", 400, "bad_data"),
        ("query?query=topk(NaN,up)", 422, "execution"),
        ("query?query=up&timeout=-1", 503, "timeout"),
        ("query_range?query=up&start=0&end=12000&step=1", 400, "bad_data"),
        ("query_range?query=up&start=0&end=1&step=0", 400, "bad_data"),
        ("series", 400, "bad_data"),
        ("series?match[]=rate(up[5m])", 400, "bad_data"),
        ("series?match[]=up&start=x", 400, "bad_data"),
        ("labels?limit=-1", 400, "bad_data"),
        ("format_query?query=sum(", 400, "bad_data"),
    ],
)
def test_errors(client: FlaskClient, path: str, status: int, kind: str) -> None:
    answer = client.get(f"{API}/{path}")
    assert answer.status_code == status
    assert answer.json["status"] == "error"
    assert answer.json["errorType"] == kind
    assert answer.json["error"]


def test_series_labels_values(client: FlaskClient) -> None:
    series = client.post(f"{API}/series", data={"match[]": ['up{device="0"}', 'up{device="1"}']}).json["data"]
    assert [item["device"] for item in series] == ["0", "1"]
    assert client.get(f"{API}/labels").json["data"] == ["__name__", "device", "instance", "job"]
    assert client.get(f"{API}/label/device/values").json["data"] == ["0", "1"]
    assert client.get(f"{API}/label/device/values?match[]=up{{device!='0'}}").json["data"] == ["1"]
    assert client.get(f"{API}/label/device/values?limit=1").json["data"] == ["0"]
    assert client.get(f"{API}/labels?end=10").json["data"] == []


def test_rules_and_alerts(app: Flask, client: FlaskClient) -> None:
    assert client.get(f"{API}/rules").json["data"] == {"groups": []}
    assert client.get(f"{API}/alerts").json["data"] == {"alerts": []}
    app.extensions["zhishou.rules"] = Alarms()
    assert len(client.get(f"{API}/rules").json["data"]["groups"][0]["rules"]) == 2
    rules = client.get(f"{API}/rules?type=alert").json["data"]["groups"][0]["rules"]
    assert [rule["name"] for rule in rules] == ["Down"]
    assert client.get(f"{API}/alerts").json["data"]["alerts"][0]["state"] == "firing"


def test_targets_metadata_buildinfo_format(client: FlaskClient) -> None:
    targets = client.get(f"{API}/targets").json["data"]["activeTargets"]
    assert [(item["scrapePool"], item["health"]) for item in targets] == [("snmp", "down"), ("snmp", "up")]
    assert client.get(f"{API}/metadata").json["data"] == {}
    assert client.get(f"{API}/status/buildinfo").json["data"]["application"] == "zhishou"
    assert client.get(f"{API}/format_query?query=sum( up )by(job)").json["data"] == "sum by (job) (up)"


def test_long_answers_are_compressed_when_asked(client: FlaskClient, now: int) -> None:
    query = {"query": "up", "start": now // 1000 - 100, "end": now // 1000, "step": "1"}
    plain = client.get(f"{API}/query_range", query_string=query)
    packed = client.get(f"{API}/query_range", query_string=query, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert len(packed.data) < len(plain.data) / 4
    assert gzip.decompress(packed.data) == plain.data


def test_an_unforeseen_failure_is_json(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    def broken(*_: object) -> None:
        raise OSError("/secret/path is gone")

    monkeypatch.setattr(MemoryStore, "window", broken)
    answer = client.get(f"{API}/query?query=up")
    assert answer.status_code == 500
    assert answer.json == {"status": "error", "errorType": "internal", "error": "OSError"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (1e15, "1000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (0.00001, "0.00001"),
        (1e-6, "0.000001"),
        (1e-7, "1e-07"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_numbers_as_go_writes_them(value: float, text: str) -> None:
    assert number(value) == text


def test_times_and_durations() -> None:
    assert time_ms("1.5") == 1500
    assert time_ms("1970-01-01T08:00:01+08:00") == 1000
    assert time_ms("1970-01-01T00:00:01.0019Z") == 1001
    for text in ("1970-01-01T00:00:01", "1970-01-01", "1_0", " 1", "１", "nan", "x" * 10_000):
        with pytest.raises(QueryError, match="time"):
            time_ms(text)
    assert [duration_ms(text) for text in ("15", "0.5", "1h30m", "1m5s10ms")] == [
        15_000,
        500,
        5_400_000,
        65_010,
    ]


def promtool(*arguments: str) -> str:
    done = subprocess.run(
        ["promtool", "query", *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool(address: str, now: int) -> None:
    at = str(now // 1000)
    shown = promtool("instant", f"--time={at}", address, 'up{device="1"}')
    assert shown == f'up{{device="1", instance="10.0.0.1", job="snmp"}} => 1 @[{at}]\n'
    shown = promtool("range", f"--start={int(at) - 60}", f"--end={at}", "--step=60s", address, "sum(up)")
    assert shown == f"{{}} =>\n1 @[{int(at) - 60}]\n1 @[{at}]\n"
    window = (f"--start={int(at) - 600}", f"--end={at}")
    assert promtool("series", "--match=up", *window, address).count('{__name__="up", ') == 2
    assert promtool("labels", *window, address, "device") == "0\n1\n"


def test_the_service_shows_and_keeps_the_store(runtime: Runtime) -> None:
    service = build(runtime)
    service.start()
    families = {family.name: family.samples[0].value for family in runtime.registry.collect()}
    assert families["zhishou_metrics_series"] == 0.0
    service.stop()
    assert list(runtime.registry.collect()) == []
    assert orjson.dumps(service.name) == b'"metrics"'
