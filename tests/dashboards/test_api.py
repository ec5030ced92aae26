"""The JSON API: one document for all routes, pages, ETags, problems, tokens."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dashboards.backend import Backend
from monitor.model import WHOLE_CITY


def bearer(stands_on: Backend, *scopes: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {stands_on.tokens.create('t-' + '-'.join(scopes), scopes)}"}


def test_the_document_lists_every_route(app: Flask) -> None:
    document = app.test_client().get("/api/v1/openapi.json").get_json()
    assert document["openapi"] == "3.1.0"
    listed = {(m, p) for p, methods in document["paths"].items() for m in methods}
    real = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith(("api.", "api_")) and rule.endpoint != "api.openapi"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert listed == real
    names = set(document["components"]["schemas"])
    assert set(re.findall(r"#/components/schemas/(\w+)", str(document))) <= names


def test_lists_are_paged(operator: FlaskClient) -> None:
    first = operator.get("/api/v1/devices?limit=3").get_json()
    assert (len(first["items"]), first["total"], first["next"]) == (3, 4, 3)
    rest = operator.get(f"/api/v1/devices?limit=3&offset={first['next']}").get_json()
    assert (len(rest["items"]), rest["next"]) == (1, None)
    assert not {d["id"] for d in first["items"]} & {d["id"] for d in rest["items"]}


@pytest.mark.parametrize("query", ["limit=abc", "limit=100000", "offset=-1", "state=odd", "severity=bad"])
def test_a_wrong_query_is_a_problem(operator: FlaskClient, query: str) -> None:
    answer = operator.get(f"/api/v1/alerts?{query}")
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert answer.get_json()["status"] == 400


def test_an_unchanged_answer_is_not_sent_again(operator: FlaskClient) -> None:
    answer = operator.get("/api/v1/sites")
    again = operator.get("/api/v1/sites", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert again.data == b""


def test_alerts_are_acknowledged_with_a_write_token_only(app: Flask, stands_on: Backend) -> None:
    client = app.test_client()
    assert client.post("/api/v1/alerts/1/ack", json={}, headers=bearer(stands_on, "read")).status_code == 403
    assert (
        client.post("/api/v1/alerts/1/ack", json={}, headers=bearer(stands_on, "ingest")).status_code == 401
    )
    answer = client.post(
        "/api/v1/alerts/1/ack", json={"note": "by program"}, headers=bearer(stands_on, "write")
    )
    assert answer.get_json()["state"] == "acked"
    assert stands_on.desk.alert(WHOLE_CITY, 1).acked_by == "token:t-write"


@pytest.mark.parametrize("body", [b"[]", b"{", b'"x"'])
def test_a_body_that_is_no_object_is_refused(app: Flask, stands_on: Backend, body: bytes) -> None:
    headers = {**bearer(stands_on, "write"), "Content-Type": "application/json"}
    assert app.test_client().post("/api/v1/alerts/1/note", data=body, headers=headers).status_code == 400


def test_a_cookie_caller_needs_the_csrf_header(operator: FlaskClient) -> None:
    assert operator.post("/api/v1/alerts/1/ack", json={}).status_code == 400


def test_me(operator: FlaskClient) -> None:
    me = operator.get("/api/v1/me").get_json()
    assert (me["role"], me["sites"]) == ("duty_operator", None)
    assert "desk" in me["permissions"]


def test_errors_say_nothing_about_the_inside(
    app: Flask, operator: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setitem(app.view_functions, "api.me", broken)
    broken.zhishou_access = "signed-in"  # type: ignore[attr-defined]
    answer = operator.get("/api/v1/me")
    assert answer.status_code == 500
    assert "secret" not in answer.text
