"""Login, first password, logout, language, lock-out."""

from __future__ import annotations

import re

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient

from dashboards.backend import Backend
from monitor.clock import ManualClock
from monitor.identity.roles import Role
from tests.dashboards.conftest import PASSWORD


def csrf(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


def log_in(client: FlaskClient, name: str, password: str, **more: str) -> object:
    token = csrf(client.get("/login").text)
    return client.post("/login", data={"csrf": token, "name": name, "password": password, **more})


@pytest.fixture
def client(app: Flask, stands_on: Backend) -> FlaskClient:
    stands_on.users.create("lin", Role.DUTY_OPERATOR, PASSWORD, display="林嘉禾", must_change=False)
    return app.test_client()


def test_a_login_leads_to_the_page_asked_for(client: FlaskClient) -> None:
    assert client.get("/devices?kind=network").location == "/login?next=/devices?kind%3Dnetwork"
    answer = log_in(client, "lin", PASSWORD, next="/devices?kind=network")
    assert answer.location == "/devices?kind=network"  # type: ignore[attr-defined]
    assert "林嘉禾" in client.get("/").text


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "evil", "javascript:1"]
)
def test_a_login_never_leads_elsewhere(client: FlaskClient, target: str) -> None:
    assert log_in(client, "lin", PASSWORD, next=target).location == "/"  # type: ignore[attr-defined]


def test_a_wrong_password_says_so_and_five_lock(client: FlaskClient, clock: ManualClock) -> None:
    for _ in range(5):
        answer = log_in(client, "lin", "wrong")
        assert answer.status_code == 401  # type: ignore[attr-defined]
        assert "账号或口令不正确" in answer.text  # type: ignore[attr-defined]
    locked = log_in(client, "lin", PASSWORD)
    assert locked.status_code == 429  # type: ignore[attr-defined]
    assert "账号已锁定" in locked.text  # type: ignore[attr-defined]
    clock.advance(15 * 60 + 1)
    assert log_in(client, "lin", PASSWORD).status_code == 302  # type: ignore[attr-defined]


def test_a_one_time_code_is_asked_for_and_good_once(
    client: FlaskClient, stands_on: Backend, clock: ManualClock
) -> None:
    uri = stands_on.users.enroll_otp("lin", actor="lin")
    code = pyotp.parse_uri(uri).at(clock.now_ms() // 1000)  # type: ignore[union-attr]
    assert "请输入动态口令" in log_in(client, "lin", PASSWORD).text  # type: ignore[attr-defined]
    assert log_in(client, "lin", PASSWORD, otp=code).status_code == 302  # type: ignore[attr-defined]
    client.delete_cookie("zs_session")
    assert log_in(client, "lin", PASSWORD, otp=code).status_code == 401  # type: ignore[attr-defined]


def test_a_new_account_can_only_change_its_password(app: Flask, stands_on: Backend) -> None:
    stands_on.users.create("new", Role.DUTY_OPERATOR, PASSWORD)
    client = app.test_client()
    assert log_in(client, "new", PASSWORD).location == "/password"  # type: ignore[attr-defined]
    assert client.get("/desk").location == "/password"
    assert client.get("/api/v1/sites").status_code == 403
    token = csrf(client.get("/password").text)
    form = {"csrf": token, "old": PASSWORD, "new": "Better-Night-2027", "again": "Better-Night-2027"}
    assert client.post("/password", data={**form, "again": "other"}).status_code == 400
    assert client.post("/password", data={**form, "old": "wrong"}).status_code == 400
    assert client.post("/password", data={**form, "new": "short", "again": "short"}).status_code == 400
    assert client.post("/password", data=form).location == "/"
    assert client.get("/desk").status_code == 200


def test_an_idle_session_ends_and_background_requests_do_not_keep_it(
    client: FlaskClient, clock: ManualClock
) -> None:
    log_in(client, "lin", PASSWORD)
    for _ in range(11):
        clock.advance(60)
        client.get("/desk/list", headers={"X-Background": "1"})
    assert client.get("/desk").status_code == 302


def test_logging_out_ends_the_session_on_the_server(client: FlaskClient) -> None:
    log_in(client, "lin", PASSWORD)
    cookie = client.get_cookie("zs_session")
    assert cookie is not None
    token = csrf(client.get("/desk").text)
    assert client.post("/logout", data={"csrf": token}).location == "/login"
    client.set_cookie("zs_session", cookie.value)
    assert client.get("/desk").status_code == 302


def test_the_language_is_remembered(client: FlaskClient) -> None:
    log_in(client, "lin", PASSWORD)
    page = client.get("/devices").text
    assert "资产" in page
    client.post("/language", data={"csrf": csrf(page), "language": "en", "next": "/devices"})
    page = client.get("/devices").text
    assert "Devices" in page
    assert "资产" not in page
