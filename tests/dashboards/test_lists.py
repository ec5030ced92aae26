"""Lists filter, sort and page on the server, and leave as CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io

import pytest
from flask.testing import FlaskClient

from dashboards.drawing import bar_segments, spark_path


def rows(client: FlaskClient, path: str) -> list[list[str]]:
    answer = client.get(path)
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.data.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", {"H001-SW-1", "H001-SRV-1", "H002-SW-1", "C003-SW-1"}),
        ("kind=server", {"H001-SRV-1"}),
        ("site=H002", {"H002-SW-1"}),
        ("origin=none", {"C003-SW-1"}),
        ("origin=domestic&vendor=Huawei", {"H001-SW-1"}),
        ("q=10.2.0", {"H002-SW-1"}),
        ("state=critical", {"H001-SW-1"}),
        ("state=unknown", {"H002-SW-1", "C003-SW-1"}),
        ("q=nothing", set()),
    ],
)
def test_devices_are_filtered(operator: FlaskClient, query: str, ids: set[str]) -> None:
    assert {row[0] for row in rows(operator, f"/devices/export.csv?{query}")[1:]} == ids


def test_a_name_that_looks_like_a_formula_is_text(operator: FlaskClient) -> None:
    assert "'=cmd()" in {row[1] for row in rows(operator, "/devices/export.csv")}


def test_devices_are_sorted(operator: FlaskClient) -> None:
    def order(sort: str) -> list[int]:
        page = operator.get(f"/devices?sort={sort}").text
        return [page.index(name) for name in ("10.1.0.1<", "10.1.0.10<", "10.2.0.2<", "10.3.0.10<")]

    assert order("address") == sorted(order("address"))
    assert order("-address") == sorted(order("-address"), reverse=True)
    assert operator.get("/devices?sort=evil&page=999").status_code == 200


def test_the_overview_says_what_is_wrong_and_counts_the_unknown(operator: FlaskClient) -> None:
    page = operator.get("/").text
    assert "1 件紧急" in page
    assert "专网上联中断" in page
    assert "HIS 挂号收费" in page
    assert "另有 1 家机构未知" in page  # the collector of C003 was never heard


def test_a_device_that_does_not_answer_says_why_and_what_to_do(operator: FlaskClient) -> None:
    assert "设备 2 秒内没有应答，请核对团体名与访问控制" in operator.get("/devices/H002-SW-1").text
    operator.set_cookie("zs_lang", "en")
    assert "no answer within 2 s" in operator.get("/devices/H002-SW-1").text


def test_a_device_shows_only_charts_it_can_fill(operator: FlaskClient) -> None:
    page = operator.get("/devices/H001-SW-1").text
    assert "/charts/traffic" in page
    assert "/charts/temperature" in page
    assert "/charts/memory" not in page
    assert "data-chart=" not in operator.get("/devices/H002-SW-1").text


def test_a_chart_is_a_grid_with_gaps(operator: FlaskClient) -> None:
    data = operator.get("/devices/H001-SW-1/charts/cpu?range=1h").get_json()
    assert len(data["xs"]) == 241
    assert data["series"][0]["data"] == [None] * 241
    assert data["thresholds"] == [{"y": 90}]
    assert data["events"][0]["text"] == "专网上联中断"


def test_spark_path_leaves_gaps_and_stays_inside() -> None:
    assert spark_path([None, None], 10, 10) == ""
    assert spark_path([0, None, 4], 10, 10) == "M0.0 8.5 M10.0 1.5"
    assert spark_path([5], 10, 10).startswith("M0.0 ")


def test_bar_segments_are_percents() -> None:
    assert bar_segments([(1, "ok"), (3, "critical")]) == [(25.0, "ok"), (75.0, "critical")]
    assert bar_segments([(0, "ok")]) == []
