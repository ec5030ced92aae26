"""The discovery page and its API: start, watch, cancel, approve, dismiss, changes; each within scope and permission."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from dashboards.backend import Backend
from monitor.clock import ManualClock
from monitor.directory import ModuleStatus
from monitor.discovery.interface import PROGRESS, Find
from monitor.identity.roles import Role
from monitor.model import WHOLE_CITY, DeviceId
from tests.conftest import NOON
from tests.dashboards.test_access import token_of

API = "/api/v1/discovery"
FIND = Find("192.0.2.50", 161, "ro", "2c", sys_object_id="1.3.6.1.4.1.2011.2.23", sys_name="acc-50", kind="network",
            vendor="Huawei", hardware="S5735", version="5.170", serial="2102350050", profile="huawei-vrp")  # fmt: skip
As = Callable[..., FlaskClient]


@pytest.fixture(autouse=True)
def scans(stands_on: Backend) -> dict[str, int]:
    """The city's credentials, one more for both sites, a scan of each, and what they found."""
    stands_on.credentials.put("ops", "ssh", {"user": "ops", "password": "hidden-word"})
    for name in ("c", "ro"):
        stands_on.credentials.put(name, "snmp-v2c", {"community": "hidden-word"})
    started = {}
    for site, find in (
        ("H001", FIND),
        ("H002", replace(FIND, sys_name="secret of H002", serial="2102359999")),
    ):
        stands_on.discovery.grants.release(WHOLE_CITY, site, "ro", "sec")
        number = stands_on.discovery.scans.start(WHOLE_CITY, site, ["192.0.2.0/24"], "wang")
        stands_on.discovery.proposals.take(site, number, json.dumps(asdict(find)), NOON)
        started[site] = number
    return started


def progress(stands_on: Backend, scan: int, state: str, **more: str | int) -> None:
    told = {
        "state": state,
        "done": 120,
        "total": 254,
        "found": 4,
        "packets": 300,
        "speed": 8.0,
        "eta": 16,
        **more,
    }
    stands_on.discovery.scans.hear(
        {
            "@timestamp": stands_on.clock.now_ms(),
            "event.action": PROGRESS,
            "zhishou.site": "H001",
            "zhishou.scan": scan,
            **{f"zhishou.{key}": value for key, value in told.items()},
        }
    )


def post(client: FlaskClient, app: Flask, path: str, **form: object) -> TestResponse:
    return client.post(path, data={"csrf": token_of(client, app), **form})


def send(client: FlaskClient, app: Flask, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
    answer = client.post(f"{API}{path}", json=body, headers={"X-CSRF-Token": token_of(client, app)})
    return answer.status_code, answer.get_json()


def numbers(stands_on: Backend) -> dict[str, int]:
    return {p.site: p.id for p in stands_on.discovery.proposals.list(WHOLE_CITY)}


def test_the_page_shows_progress_and_proposals(
    as_role: As, stands_on: Backend, scans: dict[str, int]
) -> None:
    progress(
        stands_on,
        scans["H001"],
        "running",
        skipped='[{"address": "192.0.2.7", "device": "ICU", "reason": "生命支持"}]',
    )
    seen = as_role(Role.SYSTEM_ADMIN).get("/discovery").text
    for words in (
        "120 / 254 个地址",
        "4 个应答",
        "约剩 16 秒",
        "生命支持",
        "192.0.2.50",
        "acc-50",
        "待确认",
        'hx-trigger="every 2s"',
    ):
        assert words in seen, words
    fragment = as_role(Role.DUTY_OPERATOR).get("/discovery/running").text
    assert "扫描中" in fragment
    assert "取消" in fragment
    assert "取消" not in as_role(Role.LEADER).get("/discovery/running").text
    for scan in scans.values():
        stands_on.discovery.scans.cancel(WHOLE_CITY, scan, "li")
    assert "every 2s" not in as_role(Role.SYSTEM_ADMIN).get("/discovery/running").text


def test_a_collector_that_is_away_is_named(as_role: As, clock: ManualClock) -> None:
    assert "离线" not in as_role(Role.SYSTEM_ADMIN).get("/discovery/running").text
    clock.advance(300)
    assert "离线" in as_role(Role.SYSTEM_ADMIN).get("/discovery/running").text


def test_nobody_sees_another_sites_discovery(
    as_role: As, app: Flask, stands_on: Backend, scans: dict[str, int]
) -> None:
    staff = as_role(Role.SITE_STAFF, "H001")
    found = numbers(stands_on)
    for path in ("/discovery", "/discovery/export.csv", "/discovery/running", "/discovery/scans", "/discovery/changes",
                 f"{API}/scans", f"{API}/proposals", f"{API}/changes", f"{API}/ranges"):  # fmt: skip
        seen = staff.get(path).text
        for word in ("secret of H002", "溪西区中医院", '"H002"'):
            assert word not in seen, path
    assert staff.get(f"{API}/scans/{scans['H002']}").status_code == 404
    assert staff.get(f"{API}/proposals/{found['H002']}").status_code == 404
    admin = as_role(Role.SYSTEM_ADMIN)
    assert admin.get(f"{API}/scans/{scans['H002']}").status_code == 200
    assert "secret of H002" in admin.get("/discovery").text


@pytest.mark.parametrize("role", [Role.LEADER, Role.SITE_STAFF, Role.SECURITY_ADMIN, Role.SECURITY_OFFICER])
def test_only_who_keeps_the_inventory_scans_new_ranges_and_approves(
    as_role: As, app: Flask, stands_on: Backend, role: Role
) -> None:
    client = as_role(role)
    proposal = numbers(stands_on)["H001"]
    for path, body in (
        ("/scans", {"site": "H001", "ranges": ["192.0.2.1"]}),
        ("/proposals/approve", {"wishes": [{"id": proposal}]}),
        ("/proposals/dismiss", {"ids": [proposal], "reason": "x"}),
    ):
        assert send(client, app, path, body)[0] == 403
    assert stands_on.discovery.proposals.get(WHOLE_CITY, proposal).state == "new"
    assert len(stands_on.discovery.scans.scans(WHOLE_CITY)) == 2


def test_the_desk_scans_known_ranges_and_cancels(
    as_role: As, app: Flask, stands_on: Backend, scans: dict[str, int]
) -> None:
    stands_on.discovery.scans.keep_range(WHOLE_CITY, "H001", ["192.0.2.64/26"], "wang")
    duty = as_role(Role.DUTY_OPERATOR)
    code, document = send(duty, app, "/sites/H001/scan")
    assert code == 200
    (number,) = document["scans"]
    assert stands_on.discovery.scans.get(WHOLE_CITY, number).actor == "duty_operator-h001"
    assert send(duty, app, f"/scans/{number}/cancel")[1]["state"] == "cancelled"
    leader = as_role(Role.LEADER)
    assert send(leader, app, "/sites/H001/scan")[0] == 403
    assert send(leader, app, f"/scans/{scans['H001']}/cancel")[0] == 403
    code, problem = send(duty, app, "/sites/H002/scan")
    assert (code, "没有登记网段" in str(problem)) == (400, True)


def test_a_token_with_write_follows_a_site(app: Flask, stands_on: Backend) -> None:
    stands_on.discovery.scans.keep_range(WHOLE_CITY, "H001", ["192.0.2.64/26"], "wang")
    client = app.test_client()
    for scope, code in (("read", 403), ("write", 200)):
        token = stands_on.tokens.create(f"t-{scope}", (scope,))
        answer = client.post(f"{API}/sites/H001/scan", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == code


def test_starting_a_scan_from_the_form(as_role: As, app: Flask, stands_on: Backend) -> None:
    admin = as_role(Role.SYSTEM_ADMIN)
    answer = post(admin, app, "/discovery/scans", site="H001", ranges="10.9.0.0/24，10.9.1.5-9", port="16100", rate="80",
                  credential="ro", weekly="1")  # fmt: skip
    assert answer.status_code == 303
    (view,) = [s for s in stands_on.discovery.scans.scans(WHOLE_CITY) if s.port == 16100]
    assert (view.ranges, view.rate, view.credentials, view.total) == (
        ("10.9.0.0/24", "10.9.1.5-9"),
        80.0,
        ("ro",),
        259,
    )
    (kept,) = stands_on.discovery.scans.ranges(WHOLE_CITY)
    assert (kept.weekly, kept.scanned_at) == (True, NOON)
    assert stands_on.discovery.scans.start_due() == []
    page = admin.get("/discovery/scans").text
    assert "10.9.1.5-9" in page
    assert post(admin, app, f"/discovery/ranges/{kept.id}/forget").status_code == 303
    assert list(stands_on.discovery.scans.ranges(WHOLE_CITY)) == []


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"ranges": "10.0.0.0/8"}, "65536"),
        ({"ranges": "nonsense"}, "nonsense 不是有效网段"),
        ({"ranges": "10.9.0.1", "port": "99999"}, "端口"),
        ({"ranges": "10.9.0.1", "port": "abc"}, "端口须为整数"),
        ({"ranges": "10.9.0.1", "rate": "5000"}, "速率"),
        ({"ranges": "10.9.0.1", "credential": "root"}, "root"),
        ({"ranges": "10.9.0.1", "site": "H999"}, "H999"),
    ],
    ids=str,
)
def test_a_mistake_is_said_beside_what_was_typed(
    as_role: As, app: Flask, stands_on: Backend, form: dict[str, str], said: str
) -> None:
    answer = post(as_role(Role.SYSTEM_ADMIN), app, "/discovery/scans", **{"site": "H001", **form})
    assert answer.status_code == 400
    assert said in answer.text
    assert form["ranges"] in answer.text
    assert list(stands_on.discovery.scans.ranges(WHOLE_CITY)) == []


def test_approving_one_as_edited(as_role: As, app: Flask, stands_on: Backend) -> None:
    admin, proposal = as_role(Role.SYSTEM_ADMIN), numbers(stands_on)["H001"]
    seen = admin.get(f"/discovery?sel={proposal}").text
    assert 'value="H001-acc-50"' in seen
    wrong = post(
        admin,
        app,
        f"/discovery/approve?sel={proposal}",
        id=proposal,
        device="H001-SW-1",
        name="新交换机",
        kind="network",
    )
    assert wrong.status_code == 400
    assert "已被使用" in wrong.text
    assert "新交换机" in wrong.text
    right = post(admin, app, "/discovery/approve", id=proposal, device="H001-SW-50", name="新交换机", kind="security",
                 site="H001", credential="ro", back=f"sel={proposal}&state=new")  # fmt: skip
    assert right.location == f"/discovery?sel={proposal}&state=new"
    made = stands_on.directory.device(WHOLE_CITY, "H001-SW-50")
    assert (made.name, made.kind, made.address) == ("新交换机", "security", "192.0.2.50")
    assert "H001-SW-50" in admin.get("/discovery?state=approved").text


def test_many_at_once_and_kinds_that_are_unknown(
    as_role: As, app: Flask, stands_on: Backend, scans: dict[str, int]
) -> None:
    for n in (60, 61):
        find = replace(FIND, address=f"192.0.2.{n}", sys_name=f"box-{n}", serial=f"2102350{n:03}", kind="")
        stands_on.discovery.proposals.take("H001", scans["H001"], json.dumps(asdict(find)), NOON)
    admin = as_role(Role.SYSTEM_ADMIN)
    wanted = [p.id for p in stands_on.discovery.proposals.list(WHOLE_CITY, site="H001")]
    assert post(admin, app, "/discovery/approve", id=wanted).status_code == 400
    assert "H001-box-60" not in stands_on.directory.inventory().devices
    done = post(admin, app, "/discovery/approve", id=wanted, kind_for_unknown="server")
    assert done.status_code == 303
    kinds = {d.id: d.kind for d in stands_on.directory.devices(WHOLE_CITY, "H001")}
    assert (kinds[DeviceId("H001-box-60")], kinds[DeviceId("H001-acc-50")]) == ("server", "network")


def test_dismissing_and_taking_it_back(as_role: As, app: Flask, stands_on: Backend) -> None:
    admin, proposal = as_role(Role.SYSTEM_ADMIN), numbers(stands_on)["H001"]
    assert post(admin, app, "/discovery/dismiss", id=proposal, reason=" ").status_code == 400
    assert post(admin, app, "/discovery/dismiss", id=proposal, reason="备件").status_code == 303
    assert "备件" in admin.get(f"/discovery?sel={proposal}").text
    assert post(admin, app, f"/discovery/proposals/{proposal}/reopen").status_code == 303
    assert stands_on.discovery.proposals.get(WHOLE_CITY, proposal).state == "new"


def test_nobody_is_sent_elsewhere(as_role: As, app: Flask, stands_on: Backend) -> None:
    proposal = numbers(stands_on)["H001"]
    answer = post(
        as_role(Role.SYSTEM_ADMIN), app, "/discovery/dismiss", id=proposal, reason="x", back="//evil.example"
    )
    assert answer.location == "/discovery?//evil.example"


def test_only_the_security_administrator_releases_credentials(
    as_role: As, app: Flask, stands_on: Backend
) -> None:
    stands_on.credentials.put("v3", "snmp-v3", {"user": "ops", "auth_password": "hidden-word"})
    for role, code in ((Role.SYSTEM_ADMIN, 403), (Role.SECURITY_ADMIN, 303)):
        answer = post(
            as_role(role), app, "/discovery/credentials", site="H001", credential="v3", act="release"
        )
        assert answer.status_code == code
    assert ("v3", "snmp-v3") in stands_on.discovery.grants.names("H001")
    security = as_role(Role.SECURITY_ADMIN)
    seen = security.get("/discovery/scans?site=H001").text
    assert "收回" in seen
    assert "hidden-word" not in seen
    post(security, app, "/discovery/credentials", site="H001", credential="v3", act="withdraw")
    assert ("v3", "snmp-v3") not in stands_on.discovery.grants.names("H001")
    assert post(security, app, "/discovery/credentials", site="H001", credential="nope").status_code == 400


def test_filters_sorting_and_csv(as_role: As, stands_on: Backend, scans: dict[str, int]) -> None:
    other = replace(
        FIND, address="192.0.2.9", sys_name="=cmd()", serial="2102350009", kind="storage", vendor="Dell"
    )
    stands_on.discovery.proposals.take("H001", scans["H001"], json.dumps(asdict(other)), NOON)
    twin = replace(other, address="192.0.2.10")
    stands_on.discovery.proposals.take("H001", scans["H001"], json.dumps(asdict(twin)), NOON)
    admin = as_role(Role.SYSTEM_ADMIN)

    def rows(query: str) -> list[list[str]]:
        text = admin.get(f"/discovery/export.csv?{query}").get_data(as_text=True)
        return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))[1:]

    assert len(rows("")) == 3
    assert [row[3] for row in rows("kind=storage")] == ["192.0.2.9"]
    assert [row[3:6] for row in rows("several=1")] == [["192.0.2.9", "192.0.2.10", "'=cmd()"]]
    assert [row[3] for row in rows("q=2102350050")] == ["192.0.2.50"]
    assert rows("state=approved") == []
    assert len(rows("site=H002")) == 1
    page = admin.get("/discovery?sort=address&site=H001").text
    assert page.index("192.0.2.9") < page.index("192.0.2.50")
    page = admin.get("/discovery?sort=-address&site=H001").text
    assert page.index("192.0.2.50") < page.index("192.0.2.9<")


def test_changes_are_listed_in_both_languages(as_role: As, stands_on: Backend, clock: ManualClock) -> None:
    def status(version: str, at: int) -> ModuleStatus:
        return ModuleStatus(DeviceId("H001-SW-1"), "snmp", True, at, at, (), {"version": version}, {})

    stands_on.discovery.journal.take([status("5.170", NOON - 2000)])
    assert stands_on.discovery.journal.take([status("5.200", NOON - 1000)])
    operator = as_role(Role.DUTY_OPERATOR)
    seen = operator.get("/discovery/changes").text
    for words in ("软件版本变化", "5.170", "5.200"):
        assert words in seen
    assert "软件版本变化：5.170 → 5.200" in operator.get("/discovery/changes/export.csv").text
    operator.set_cookie("zs_lang", "en")
    assert "another software version 5.170 -&gt; 5.200" in operator.get(
        "/discovery/changes/export.csv"
    ).text or (
        "another software version 5.170 -> 5.200" in operator.get("/discovery/changes/export.csv").text
    )
    document = operator.get(f"{API}/changes?device=H001-SW-1").get_json()
    assert (document["total"], document["items"][0]["what"]) == (1, "version")
    assert "没有变更" in as_role(Role.LEADER).get("/discovery/changes?what=serial").text
    assert as_role(Role.SITE_STAFF, "H002").get(f"{API}/changes").get_json()["total"] == 0


def test_the_api_from_scan_to_device(as_role: As, app: Flask, stands_on: Backend) -> None:
    admin = as_role(Role.SYSTEM_ADMIN)
    code, document = send(
        admin, app, "/scans", {"site": "H001", "ranges": ["10.9.0.0/30"], "port": 16100, "keep": True}
    )
    assert code == 200
    scan = admin.get(f"{API}/scans/{document['id']}").get_json()
    assert (scan["state"], scan["total"], scan["port"]) == ("queued", 2, 16100)
    assert admin.get(f"{API}/scans?open=1&site=H001").get_json()["total"] == 2
    assert admin.get(f"{API}/ranges").get_json()["items"][0]["ranges"] == ["10.9.0.0/30"]
    listed = admin.get(f"{API}/proposals?site=H001&state=new").get_json()["items"]
    assert [item["address"] for item in listed] == ["192.0.2.50"]
    code, document = send(
        admin, app, "/proposals/approve", {"wishes": [{"id": listed[0]["id"], "device": "SW-50"}]}
    )
    assert (code, document) == (200, {"devices": ["SW-50"]})
    other = numbers(stands_on)["H002"]
    assert send(admin, app, "/proposals/dismiss", {"ids": [other], "reason": "备件"}) == (
        200,
        {"ids": [other]},
    )
    assert admin.get(f"{API}/proposals?state=dismissed").get_json()["total"] == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/scans", {"site": "H001", "ranges": "10.0.0.0/24"}),
        ("/scans", {"site": "H001", "ranges": [1]}),
        ("/scans", {"site": 7, "ranges": []}),
        ("/scans", {"site": "H001", "ranges": ["10.9.0.1"], "port": "161"}),
        ("/scans", {"site": "H001", "ranges": ["10.9.0.1"], "rate": True}),
        ("/scans", [1]),
        ("/proposals/approve", {}),
        ("/proposals/approve", {"wishes": [1]}),
        ("/proposals/approve", {"wishes": [{"id": "1"}]}),
        ("/proposals/approve", {"wishes": []}),
        ("/proposals/dismiss", {"ids": ["1"], "reason": "x"}),
        ("/proposals/dismiss", {"ids": [1], "reason": 5}),
    ],
    ids=str,
)
def test_wrong_bodies_are_problems(as_role: As, app: Flask, path: str, body: object) -> None:
    code, document = send(as_role(Role.SYSTEM_ADMIN), app, path, body)
    assert code == 400
    assert document["status"] == 400


def test_a_state_that_does_not_exist_is_refused(operator: FlaskClient) -> None:
    assert operator.get(f"{API}/proposals?state=maybe").status_code == 400
