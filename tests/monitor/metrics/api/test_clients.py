"""Clients people have, unchanged: prometheus-api-client from PyPI and Debian's promtool."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException

from monitor.service import Runtime

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LABELS = {"__name__": "up", "device": "d1", "instance": "10.0.0.1", "job": "snmp"}


@pytest.fixture(params=["GET", "POST"])
def connect(address: str, request: pytest.FixtureRequest) -> Iterator[PrometheusConnect]:
    with PrometheusConnect(url=address, method=request.param, timeout=10) as made:
        yield made


def test_what_is_there(connect: PrometheusConnect) -> None:
    assert connect.check_prometheus_connection()
    assert connect.all_metrics() == [
        "device_poll_duration_seconds",
        "reads_total",
        "up",
        "wait_seconds_bucket",
    ]
    assert connect.get_label_names() == ["__name__", "device", "instance", "job", "le", "module"]
    assert connect.get_label_names({"match[]": "up"}) == ["__name__", "device", "instance", "job"]
    assert connect.get_label_values("device", {"match[]": 'up{job="snmp"}'}) == ["d0", "d1"]
    series = connect.get_series(NOON - timedelta(minutes=5), NOON, {"match[]": ["up", "reads_total"]})
    assert len(series) == 5
    assert LABELS in series


def test_values(connect: PrometheusConnect) -> None:
    now = connect.get_current_metric_value("up", {"device": "d1"})
    assert now == [{"metric": LABELS, "value": [NOON.timestamp(), "1"]}]
    assert connect.custom_query("sum(up)")[0]["value"][1] == "1"
    assert connect.custom_query("up", {"time": (NOON - timedelta(days=1)).timestamp()}) == []
    found = connect.custom_query_range("sum(up)", NOON - timedelta(minutes=4), NOON, "60")
    assert [value for _, value in found[0]["values"]] == ["1", "1", "2", "1", "1"]
    ranged = connect.get_metric_range_data(
        "reads_total", {"device": "d1"}, NOON - timedelta(minutes=5), NOON, chunk_size=timedelta(minutes=1)
    )
    assert sum(len(item["values"]) for item in ranged) == 5
    assert connect.get_metric_aggregation("up", ["sum", "max", "average", "percentile_50"]) == {
        "sum": 1, "max": 1, "average": 0.5, "percentile_50.0": 0.5,
    }  # fmt: skip


def test_targets_and_metadata(connect: PrometheusConnect) -> None:
    assert connect.get_scrape_pools() == ["snmp"]
    assert len(connect.get_targets()["activeTargets"]) == 2
    assert connect.get_targets(state="dropped")["activeTargets"] == []
    assert connect.get_targets(scrape_pool="none")["activeTargets"] == []
    assert connect.get_metric_metadata("up", limit=1, limit_per_metric=1) == [
        {"metric_name": "up", "type": "gauge", "help": "Whether the device answered", "unit": ""}
    ]
    found = connect.get_target_metadata({"instance": "10.0.0.1"}, metric="reads_total")
    assert [(item["type"], item["target"]["instance"]) for item in found] == [("counter", "10.0.0.1")]


def test_mistakes_are_told(connect: PrometheusConnect) -> None:
    with pytest.raises(PrometheusApiClientException, match=r"400.*parse error"):
        connect.custom_query("sum(")
    with pytest.raises(PrometheusApiClientException, match="422"):
        connect.custom_query("topk(NaN, up)")


def promtool(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.usefixtures("app")
class TestPromtool:
    """Every `promtool query` and `promtool check` that talks to a server."""

    def test_queries(self, address: str, runtime: Runtime) -> None:
        at = runtime.clock.now_ms() // 1000
        code, shown = promtool("query", "instant", f"--time={at}", "-o", "json", address, "sum(up)")
        assert (code, shown) == (0, f'[{{"metric":{{}},"value":[{at},"1"]}}]\n')
        window = (f"--start={at - 120}", f"--end={at}")
        code, shown = promtool("query", "range", *window, "--step=1m", address, "1e17*up{device='d1'}")
        assert code == 0
        assert shown.count("100000000000000000 @[") == 3
        code, shown = promtool("query", "series", "--match=up", "--match=reads_total", *window, address)
        assert (code, shown.count("__name__")) == (0, 5)
        assert promtool("query", "labels", *window, address, "job") == (0, "snmp\nssh\n")
        assert promtool("query", "labels", address, "job") == (0, "snmp\nssh\n")
        assert promtool("query", "series", "--match=up", address)[0] == 0

    def test_errors(self, address: str) -> None:
        code, shown = promtool("query", "instant", address, "sum(")
        assert code == 1
        assert "query error: bad_data: invalid parameter" in shown


def test_the_address_ends_with_the_prefix(app: Flask) -> None:
    assert app.test_client().get("/prometheus").status_code in (301, 308)
