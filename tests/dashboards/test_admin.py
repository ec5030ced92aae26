"""Accounts, tokens, credentials and the audit log, each for the administrator it belongs to."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dashboards.backend import Backend
from monitor.identity.roles import Role
from tests.dashboards.test_access import token_of

SECRET = re.compile(r'<code class="mono b">([^<]+)</code>')


@pytest.fixture
def secadmin(as_role: Callable[..., FlaskClient]) -> FlaskClient:
    return as_role(Role.SECURITY_ADMIN)


def post(client: FlaskClient, app: Flask, path: str, **form: str) -> tuple[int, str]:
    answer = client.post(path, data={"csrf": token_of(client, app), **form})
    return answer.status_code, answer.text


def test_a_new_account_gets_a_password_once_and_must_change_it(
    app: Flask, secadmin: FlaskClient, stands_on: Backend
) -> None:
    form = {"name": "guyining", "display": "顾以宁", "role": "site_staff", "sites": "H001，H002"}
    status, page = post(secadmin, app, "/admin/users", **form)
    assert status == 200
    found = SECRET.search(page)
    assert found is not None
    user = stands_on.users.authenticate("guyining", found[1], "")
    assert (user.role, set(user.sites), user.must_change) == (Role.SITE_STAFF, {"H001", "H002"}, True)
    again = secadmin.get("/admin/users").text
    assert "顾以宁" in again
    assert found[1] not in again


@pytest.mark.parametrize(
    "form",
    [
        {"name": "x1", "role": "king"},
        {"name": "x2", "role": "site_staff", "sites": "H999"},
        {"name": "", "role": "leader"},
        {"name": "leader-h001", "role": "leader"},
    ],
)
def test_a_wrong_account_is_refused_with_a_reason(
    app: Flask, secadmin: FlaskClient, stands_on: Backend, form: dict[str, str]
) -> None:
    before = len(stands_on.users.list())
    status, page = post(secadmin, app, "/admin/users", **form)
    assert status == 400
    assert 'role="alert"' in page
    assert len(stands_on.users.list()) == before


def test_switching_an_account_off_ends_its_sessions(
    app: Flask, secadmin: FlaskClient, operator: FlaskClient
) -> None:
    assert operator.get("/desk").status_code == 200
    assert post(secadmin, app, "/admin/users/duty_operator-h001/disabled", disabled="1")[0] == 303
    assert operator.get("/desk").status_code == 302
    assert "已停用" in secadmin.get("/admin/users").text
    status, page = post(secadmin, app, "/admin/users/security_admin-h001/disabled", disabled="1")
    assert status == 400
    assert "不能停用自己" in page


def test_a_reset_password_is_new_and_ends_sessions(
    app: Flask, secadmin: FlaskClient, operator: FlaskClient, stands_on: Backend
) -> None:
    _status, page = post(secadmin, app, "/admin/users/duty_operator-h001/reset")
    found = SECRET.search(page)
    assert found is not None
    assert stands_on.users.authenticate("duty_operator-h001", found[1], "").must_change
    assert operator.get("/desk").status_code == 302


def test_a_token_is_shown_once_works_and_can_be_revoked(
    app: Flask, secadmin: FlaskClient, stands_on: Backend
) -> None:
    _status, page = post(secadmin, app, "/admin/tokens", name="bi", scope="read")
    found = SECRET.search(page)
    assert found is not None
    assert stands_on.tokens.check(found[1]) is not None
    assert found[1] not in secadmin.get("/admin/users").text
    assert post(secadmin, app, "/admin/tokens/bi/revoke")[0] == 303
    assert stands_on.tokens.check(found[1]) is None
    assert "已吊销" in secadmin.get("/admin/users").text
    actions = [entry.action for entry in stands_on.audit.entries(limit=2)]
    assert actions == ["token.revoke", "token.create"]
    assert post(secadmin, app, "/admin/tokens", name=" ", scope="read")[0] == 400


def test_credentials_show_names_and_never_a_value(secadmin: FlaskClient) -> None:
    page = secadmin.get("/admin/credentials").text
    assert "ops" in page
    assert "hunter22" not in page
    assert "auditor" not in page


def test_the_auditor_reads_filters_and_verifies_the_log(
    as_role: Callable[..., FlaskClient], stands_on: Backend
) -> None:
    auditor = as_role(Role.AUDIT_ADMIN)
    stands_on.audit.record("linjiahe", "desk.ack", "AL-1", {"note": "<b>"})
    page = auditor.get("/admin/audit?actor=linjiahe").text
    assert "desk.ack" in page
    assert "note=&lt;b&gt;" in page
    assert "user.create" not in page
    assert "审计链完整" in auditor.get("/admin/audit?verify=1").text


def test_settings_hide_secrets_and_the_page_says_whether_collectors_are_heard(operator: FlaskClient) -> None:
    page = operator.get("/admin").text
    assert "没有应答" in page
    assert "3 家机构，4 台设备，1 项业务" in page
    assert "在线" in page


INVENTORY = """\
city: 云溪市
regions: [{id: xidong, name: 溪东区}]
sites:
  - {id: H900, name: 新医院, region: xidong, grade: primary, protection_level: 2, collector: core,
     devices: [{id: H900-SW-1, name: 交换机, kind: network, address: 192.0.2.9}]}
"""


def test_an_inventory_is_previewed_before_it_is_applied(
    app: Flask, as_role: Callable[..., FlaskClient], stands_on: Backend
) -> None:
    admin = as_role(Role.SYSTEM_ADMIN)
    status, page = post(admin, app, "/admin/inventory", text=INVENTORY, act="plan")
    assert status == 200
    assert "H900-SW-1" in page
    assert "H900" not in stands_on.directory.inventory().sites
    status, page = post(admin, app, "/admin/inventory", text=INVENTORY, act="apply")
    assert status == 200
    assert list(stands_on.directory.inventory().sites) == ["H900"]
    assert stands_on.audit.entries(limit=1)[0].action == "inventory.apply"
    assert "没有改动" in post(admin, app, "/admin/inventory", text=INVENTORY, act="plan")[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (INVENTORY.replace("primary", "huge"), "inventory.yml:4"),
        ("sites: [", "inventory.yml:1"),
        ("", "inventory.yml:1"),
        (
            INVENTORY + "credentials: {x: {kind: snmp-v2c, community: {file: /etc/passwd}}}\n",
            "inventory.yml:6",
        ),
    ],
)
def test_a_bad_inventory_changes_nothing_and_names_the_line(
    app: Flask, as_role: Callable[..., FlaskClient], stands_on: Backend, text: str, expected: str
) -> None:
    before = stands_on.directory.version()
    status, page = post(as_role(Role.SYSTEM_ADMIN), app, "/admin/inventory", text=text, act="apply")
    assert status == 400
    assert expected in page
    assert "root:" not in page
    assert stands_on.directory.version() == before
