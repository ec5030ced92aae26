"""The desk: groups, filters, acts, and what the page says to whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dashboards.backend import Backend
from monitor.database import Database
from monitor.directory import CollectorStatus
from monitor.identity.roles import Role
from monitor.model import WHOLE_CITY, SiteId
from rules.alerting.interface import AlertState
from rules.alerting.tables import AlertRow
from tests.dashboards import city
from tests.dashboards.test_access import token_of


def act(client: FlaskClient, app: Flask, **form: str) -> object:
    return client.post(
        "/desk/act", data={"csrf": token_of(client, app), **form}, headers={"HX-Request": "true"}
    )


def test_alerts_stand_in_their_stages_and_the_worst_is_open(operator: FlaskClient) -> None:
    page = operator.get("/desk").text
    stages = [page.index(word) for word in ("待确认", "处置中", "已恢复，未确认", "已静默")]
    assert stages == sorted(stages)
    assert 'data-alert="1"' in page
    assert "HIS 挂号收费 中断" in page
    assert "顾以宁" in page
    assert "无人认领" in page


@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [
        ("severity=critical", "专网上联中断", "内存将用尽"),
        ("q=内存", "内存将用尽", "证书 21 天后到期"),
        ("site=H002", "接口错误率高", "内存将用尽"),
        ("owner=linjiahe", "内存将用尽", "接口错误率高"),
        ("state=shelved", "接口错误率高", "证书 21 天后到期"),
    ],
)
def test_filters(operator: FlaskClient, query: str, shown: str, hidden: str) -> None:
    page = operator.get(f"/desk/list?{query}").text
    assert shown in page
    assert hidden not in page


def test_an_acknowledged_alert_becomes_the_operators(
    app: Flask, operator: FlaskClient, stands_on: Backend
) -> None:
    answer = act(operator, app, act="ack", id="1", note="已电话院方")
    assert answer.status_code == 200  # type: ignore[attr-defined]
    assert answer.headers["HX-Trigger"] == "zs:change"  # type: ignore[attr-defined]
    alert = stands_on.desk.alert(WHOLE_CITY, 1)
    assert (alert.state, alert.owner) == (AlertState.ACKED, "duty_operator-h001")
    assert "已电话院方" in operator.get("/desk/alerts/1").text


def test_acts_on_several(app: Flask, operator: FlaskClient, stands_on: Backend) -> None:
    token = token_of(operator, app)
    operator.post(
        "/desk/act", data={"csrf": token, "act": "silence", "id": ["1", "2"], "hours": "4", "note": "割接"}
    )
    until = [stands_on.desk.alert(WHOLE_CITY, n).silenced_until for n in (1, 2)]
    assert until == [stands_on.clock.now_ms() + 4 * 3_600_000] * 2


@pytest.mark.parametrize(
    "form",
    [
        {"act": "note", "id": "1"},
        {"act": "assign", "id": "1"},
        {"act": "silence", "id": "1", "hours": "4"},
        {"act": "silence", "id": "1", "hours": "200", "note": "x"},
        {"act": "silence", "id": "1", "hours": "nan", "note": "x"},
        {"act": "escalate", "id": "1"},
        {"act": "ack"},
        {"act": "explode", "id": "1"},
    ],
)
def test_an_incomplete_act_is_refused_with_a_reason(
    app: Flask, operator: FlaskClient, form: dict[str, str]
) -> None:
    answer = act(operator, app, **form)
    assert answer.status_code == 400  # type: ignore[attr-defined]
    assert answer.headers["HX-Retarget"] == "#toasts"  # type: ignore[attr-defined]
    assert 'role="alert"' in answer.text  # type: ignore[attr-defined]


def test_a_leader_sees_and_cannot_act(app: Flask, as_role: Callable[..., FlaskClient]) -> None:
    leader = as_role(Role.LEADER)
    assert "data-act=" not in leader.get("/desk").text.replace('data-act="clear"', "")
    assert act(leader, app, act="ack", id="1").status_code == 403  # type: ignore[attr-defined]


def test_text_of_devices_and_people_is_escaped(app: Flask, operator: FlaskClient) -> None:
    act(operator, app, act="note", id="1", note="<script>alert(1)</script>")
    page = operator.get("/desk/alerts/1").text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_row_says_the_site_once_and_calls_the_device_by_its_name(
    operator: FlaskClient, database: Database
) -> None:
    texts = {
        "summary": "市第一人民医院 的 核心交换机 接口 XGE1/0/1 上联中断",
        "summary_en": "Uplink XGE1/0/1 of 核心交换机 at 市第一人民医院 is down",
    }
    with database.session() as session:
        row = session.get_one(AlertRow, 1)
        row.annotations = json.dumps(texts, ensure_ascii=False)
    page = operator.get("/desk/list").text
    assert "</span>接口 XGE1/0/1 上联中断</b>" in page
    assert '<i class="sp"> </i>核心交换机</span>' in page
    assert "核心交换机 接口 XGE1/0/1 上联中断</h2>" in operator.get("/desk/alerts/1").text
    assert "市第一人民医院 核心交换机 接口 XGE1/0/1 上联中断" in operator.get("/").text
    assert ">接口 XGE1/0/1 上联中断<" in operator.get("/devices/H001-SW-1").text
    operator.set_cookie("zs_lang", "en")
    assert "</span>Uplink XGE1/0/1 is down</b>" in operator.get("/desk/list").text
    assert "Uplink XGE1/0/1 of 核心交换机 at 市第一人民医院 is down" in operator.get("/").text


def test_severities_speak_the_readers_language_whoever_came_first(operator: FlaskClient) -> None:
    assert "紧急" in operator.get("/desk").text
    operator.set_cookie("zs_lang", "en")
    page = operator.get("/desk").text
    assert "Critical" in page
    assert "紧急" not in page


def test_small_sites_are_named_until_a_district_has_many(operator: FlaskClient, stands_on: Backend) -> None:
    assert "白鹭镇卫生院</a>" in operator.get("/").text.replace("\n", "").replace(
        '<span class="sr">正常</span>', ""
    )
    found = city.inventory()
    more = [
        replace(found.sites[SiteId("C003")], id=SiteId(f"C1{n:02d}"), name=f"卫生室 {n}") for n in range(9)
    ]
    stands_on.directory.replace(replace(found, sites={**found.sites, **{s.id: s for s in more}}))
    page = operator.get("/").text
    assert page.count('class="cell"') == 0, "no collector is heard there: unknown is never a quiet cell"
    stands_on.directory.record_heartbeat(CollectorStatus("c2", stands_on.clock.now_ms(), 0, 1))
    assert operator.get("/").text.count('class="cell"') == 10
