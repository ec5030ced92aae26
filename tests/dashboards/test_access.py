"""Who may open what: every route declares it, every role is held to it, no site sees another."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dashboards.app import create_app
from dashboards.backend import Backend
from dashboards.scope import PUBLIC, SIGNED_IN, access_of, check_routes
from dashboards.security import csrf_token
from monitor.identity.roles import Permission, Role, permissions_of

VALUES = {
    "device_id": "H001-SW-1", "site_id": "H001", "alert_id": "1", "key": "cpu", "job_id": "1", "name": "nobody",
    "finding_id": "1", "engagement_id": "E1", "assessment_id": "1", "scan_id": "1", "range_id": "1", "proposal_id": "1", "rest": "x", "filename": "app.css",
}  # fmt: skip


def address(rule: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda match: VALUES[match[1]], rule)


def token_of(client: FlaskClient, app: Flask) -> str:
    cookie = client.get_cookie("zs_session")
    assert cookie is not None
    with app.test_request_context(headers={"Cookie": f"zs_session={cookie.value}"}):
        return csrf_token()


def test_a_route_without_a_declaration_stops_the_start(app: Flask) -> None:
    app.view_functions["naked"] = lambda: "x"
    app.url_map._remap = True
    from werkzeug.routing import Rule

    app.url_map.add(Rule("/naked", endpoint="naked"))
    with pytest.raises(RuntimeError, match="/naked"):
        check_routes(app)


def test_public_routes_are_these_only(app: Flask) -> None:
    public = {rule.endpoint for rule in app.url_map.iter_rules() if access_of(app, rule.endpoint) == PUBLIC}
    assert public == {
        "static", "auth.login", "auth.do_login", "auth.language", "health.healthz", "health.readyz",
        "health.metrics", "machine.forward", "api.openapi",
    }  # fmt: skip


@pytest.mark.parametrize("role", list(Role))
def test_every_route_with_every_role(app: Flask, as_role: Callable[..., FlaskClient], role: Role) -> None:
    client = as_role(role)
    csrf = token_of(client, app)
    for rule in app.url_map.iter_rules():
        access = access_of(app, rule.endpoint)
        if access in {PUBLIC, SIGNED_IN} or rule.rule == "/":
            continue
        method = "POST" if "POST" in (rule.methods or ()) else "GET"
        answer = client.open(address(rule.rule), method=method, headers={"X-CSRF-Token": csrf})
        allowed = Permission(str(access)) in permissions_of(role)
        assert (answer.status_code == 403) == (not allowed), (role, method, rule.rule, answer.status_code)
        assert answer.status_code < 500 or rule.rule.endswith("/stop"), (rule.rule, answer.text[:300])


def test_without_a_session_pages_go_to_the_login_and_the_api_says_401(app: Flask) -> None:
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        if access_of(app, rule.endpoint) == PUBLIC or "GET" not in (rule.methods or ()):
            continue
        answer = client.get(address(rule.rule))
        if rule.rule.startswith("/api/"):
            assert answer.status_code == 401
            assert answer.content_type == "application/problem+json"
        else:
            assert answer.status_code == 302
            assert answer.location.startswith("/login?next=/")


FOREIGN = [
    "/sites/H002", "/devices/H002-SW-1", "/devices/H002-SW-1/interfaces", "/devices/H002-SW-1/charts/cpu",
    "/desk/alerts/3", "/desk?sel=3", "/compliance/sites/H002", "/api/v1/devices/H002-SW-1", "/api/v1/alerts/3",
]  # fmt: skip


@pytest.mark.parametrize("path", FOREIGN)
def test_site_staff_find_nothing_of_another_site(as_role: Callable[..., FlaskClient], path: str) -> None:
    assert as_role(Role.SITE_STAFF, "H001").get(path).status_code == 404
    assert as_role(Role.DUTY_OPERATOR).get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/desk", "/desk/export.csv", "/sites", "/sites/export.csv", "/devices", "/devices/export.csv", "/events", "/events/export.csv",
             "/services", "/compliance", "/search?q=H002", "/api/v1/sites", "/api/v1/devices", "/api/v1/alerts"],
)  # fmt: skip
def test_no_list_shows_another_site(as_role: Callable[..., FlaskClient], path: str) -> None:
    seen = as_role(Role.SITE_STAFF, "H001").get(path).text
    for word in ("溪西区中医院", "H002-SW-1", "白鹭镇卫生院", "secret of H002", "接口错误率高"):
        assert word not in seen


def test_site_staff_cannot_touch_an_alert_of_another_site(
    app: Flask, stands_on: Backend, as_role: Callable[..., FlaskClient]
) -> None:
    staff = as_role(Role.SITE_STAFF, "H001")
    answer = staff.post("/desk/act", data={"csrf": token_of(staff, app), "act": "ack", "id": "3"})
    assert answer.status_code == 403


def test_headers_forbid_inline_code_and_framing(operator: FlaskClient) -> None:
    headers = operator.get("/desk").headers
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in headers


def test_with_tls_cookies_are_secure_and_transport_is_strict(stands_on: Backend) -> None:
    from dataclasses import replace

    backend = replace(stands_on, settings=replace(stands_on.settings, tls_certificate="c.pem"))
    answer = create_app(backend=backend).test_client().get("/login")
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
    cookie = answer.headers["Set-Cookie"]
    assert "Secure" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


@pytest.mark.parametrize("given", ["", "0" * 64, "错"])
def test_a_changing_request_needs_the_token(operator: FlaskClient, stands_on: Backend, given: str) -> None:
    answer = operator.post("/desk/act", data={"act": "ack", "id": "1", "csrf": given})
    assert answer.status_code == 400
    from monitor.model import WHOLE_CITY

    assert stands_on.desk.alert(WHOLE_CITY, 1).acked_by == ""


HUGE = "9" * 30


@pytest.mark.parametrize(
    "path",
    [f"/desk/alerts/{HUGE}", f"/api/v1/alerts/{HUGE}", f"/jobs/{HUGE}", f"/compliance/assessments/{HUGE}", f"/api/v1/jobs/{2**63}"],
)  # fmt: skip
def test_a_number_no_row_can_have_is_not_found(operator: FlaskClient, path: str) -> None:
    assert operator.get(path).status_code == 404


def test_huge_numbers_in_forms_and_queries_are_no_failure(
    app: Flask, operator: FlaskClient, as_role: Callable[..., FlaskClient]
) -> None:
    act = {"csrf": token_of(operator, app), "act": "ack", "id": HUGE}
    assert operator.post("/desk/act", data=act).status_code == 400
    assert operator.get(f"/devices?page={'9' * 5000}").status_code == 200
    assert as_role(Role.AUDIT_ADMIN).get(f"/admin/audit?before={HUGE}").status_code == 200


def test_cancelling_a_job_is_in_the_audit_log(
    app: Flask, stands_on: Backend, as_role: Callable[..., FlaskClient]
) -> None:
    job = stands_on.jobs.submit("assess", {"site": "H001"}, "somebody", "H001")
    other = as_role(Role.SITE_STAFF, "H002")
    assert other.post(f"/jobs/{job}/cancel", data={"csrf": token_of(other, app)}).status_code == 404
    assert stands_on.audit.entries(limit=1)[0].action != "job.cancel"
    officer = as_role(Role.SECURITY_OFFICER)
    assert officer.post(f"/jobs/{job}/cancel", data={"csrf": token_of(officer, app)}).status_code == 200
    entry = stands_on.audit.entries(limit=1)[0]
    assert (entry.action, entry.target, entry.detail["site"]) == ("job.cancel", str(job), "H001")


def test_an_officer_of_one_site_cannot_release_the_stop_of_the_city(
    app: Flask, stands_on: Backend, as_role: Callable[..., FlaskClient]
) -> None:
    stands_on.office.stop_all("somebody", "an emergency")
    limited = as_role(Role.SECURITY_OFFICER, "H002")
    form = {"csrf": token_of(limited, app), "reason": "fine again"}
    assert limited.post("/playbooks/release", data=form).status_code == 403
    assert stands_on.office.standing_stop() is not None
