"""An engagement from submission to its run, the kill switch and its release, and what people do with findings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dashboards.backend import Backend
from monitor.database import Database
from monitor.identity.roles import Role
from monitor.model import WHOLE_CITY
from playbooks.interface import FindingState
from tests.dashboards import cases
from tests.dashboards.test_access import token_of

SignIn = Callable[..., FlaskClient]


@pytest.fixture
def submitted(stands_on: Backend) -> Backend:
    stands_on.office.submit(WHOLE_CITY, cases.engagement(), "leader-h001")
    return stands_on


@pytest.fixture
def officer(as_role: SignIn) -> FlaskClient:
    return as_role(Role.SECURITY_OFFICER)


@pytest.fixture
def staff(as_role: SignIn) -> FlaskClient:
    return as_role(Role.SITE_STAFF)


def post(client: FlaskClient, app: Flask, path: str, **form: str) -> tuple[int, str]:
    answer = client.post(path, data={"csrf": token_of(client, app), **form})
    return answer.status_code, answer.text


def test_submitting_shows_the_engagement_or_says_why_not_and_keeps_the_text(
    app: Flask, officer: FlaskClient, stands_on: Backend
) -> None:
    status, page = post(officer, app, "/playbooks", text="engagement: [")
    assert status == 400
    assert 'role="alert"' in page
    assert "engagement: [</textarea>" in page
    assert post(officer, app, "/playbooks", text=cases.engagement(cases.OFFICER, "city"))[0] == 303
    assert "E-07" in officer.get("/playbooks").text


def test_the_approver_sees_targets_packets_and_what_is_not_tested(
    submitted: Backend, officer: FlaskClient
) -> None:
    plan = submitted.office.plan(WHOLE_CITY, "E-07")
    page = officer.get("/playbooks/E-07").text
    for shown in ("H001-SRV-1", "10.1.0.10", plan.digest, "redis-unauth", "ab" * 32, "待目标机构同意"):
        assert shown in page
    assert "开始运行" not in page


def test_both_sign_the_same_digest_and_the_run_is_queued_once(
    app: Flask, submitted: Backend, officer: FlaskClient, staff: FlaskClient
) -> None:
    digest = submitted.office.plan(WHOLE_CITY, "E-07").digest
    assert post(staff, app, "/playbooks/E-07/approve", digest=digest, site="H001")[0] == 400
    signed = {"digest": digest, "read": "yes"}
    assert post(staff, app, "/playbooks/E-07/approve", site="H001", **signed)[0] == 303
    form = officer.get("/playbooks/E-07").text
    assert '<option value="city">' in form
    assert post(officer, app, "/playbooks/E-07/approve", site="city", **signed)[0] == 303
    assert submitted.office.engagement(WHOLE_CITY, "E-07").state == "approved"
    assert "批准并签名" not in officer.get("/playbooks/E-07").text
    for _again in range(2):
        assert post(officer, app, "/playbooks/E-07/run")[0] == 303
    (job,) = submitted.jobs.list(WHOLE_CITY, "playbook-run")
    assert (job.site, job.status) == ("H001", "queued")
    assert "排队中" in officer.get("/playbooks/E-07").text


@pytest.mark.parametrize("digest", ["", "0" * 64])
def test_another_digest_is_not_signed(
    app: Flask, submitted: Backend, staff: FlaskClient, digest: str
) -> None:
    status, page = post(staff, app, "/playbooks/E-07/approve", digest=digest, site="H001", read="yes")
    assert status == 400
    assert 'role="alert"' in page
    assert not submitted.office.engagement(WHOLE_CITY, "E-07").approvals


def test_a_site_that_is_no_target_does_not_see_the_engagement(submitted: Backend, as_role: SignIn) -> None:
    assert as_role(Role.SITE_STAFF, "C003").get("/playbooks/E-07").status_code == 404


def test_the_kill_switch_wants_its_word(app: Flask, operator: FlaskClient, submitted: Backend) -> None:
    status, page = post(operator, app, "/playbooks/stop", word="stop it", engagement="E-07")
    assert status == 400
    assert "须输入" in page
    assert submitted.office.standing_stop() is None


def test_a_stop_stands_on_both_pages_until_a_person_who_may_run_releases_it(
    app: Flask, operator: FlaskClient, officer: FlaskClient, submitted: Backend
) -> None:
    assert post(operator, app, "/playbooks/stop", word="急停", reason="HIS <慢>", engagement="E-07")[0] == 303
    stop = submitted.office.standing_stop()
    assert stop is not None
    assert (stop.actor, stop.reason) == ("duty_operator-h001", "HIS <慢>")
    assert stop.at > 0
    for path in ("/playbooks", "/playbooks/E-07"):
        seen = operator.get(path).text
        assert "急停未解除" in seen
        assert "HIS &lt;慢&gt;" in seen
        assert "duty_operator-h001" in seen
        assert "/playbooks/release" not in seen
        assert "/playbooks/release" in officer.get(path).text
    assert post(operator, app, "/playbooks/release", reason="好了")[0] == 403
    assert post(officer, app, "/playbooks/release", reason=" ")[0] == 400
    assert submitted.office.stop_standing()
    assert post(officer, app, "/playbooks/release", reason="HIS 已恢复", engagement="E-07")[0] == 303
    assert not submitted.office.stop_standing()
    assert "急停未解除" not in officer.get("/playbooks/E-07").text
    entry = submitted.audit.entries(limit=1)[0]
    assert (entry.actor, entry.action, entry.detail["reason"]) == (
        cases.OFFICER,
        "run.release_stop",
        "HIS 已恢复",
    )


def test_a_stop_file_made_by_hand_stands_without_a_name(officer: FlaskClient, stands_on: Backend) -> None:
    path = stands_on.settings.folder / "run" / "playbooks.stop"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert "由人直接放置停止文件" in officer.get("/playbooks").text


@pytest.fixture
def findings(stands_on: Backend, database: Database) -> Backend:
    cases.add_findings(database)
    return stands_on


def test_findings_stand_worst_first_and_keep_to_the_callers_sites(
    findings: Backend, officer: FlaskClient, staff: FlaskClient
) -> None:
    page = officer.get("/findings").text
    order = [page.index(name) for name in ("Redis 未授权访问", "Telnet 明文远程管理", "SSH 弱算法")]
    assert order == sorted(order)
    assert "+PONG &lt;b&gt;" in page
    assert cases.REMEDIATION in page
    mine = staff.get("/findings").text
    assert "Redis 未授权访问" in mine
    assert "Telnet" not in mine
    assert "SSH 弱算法" not in officer.get("/findings?severity=critical").text
    assert officer.get("/findings/export.csv").text.count("redis") == 0
    assert officer.get("/findings/export.csv?state=open").text.count("H001-SRV-1") == 1


def test_a_finding_moves_and_the_step_is_audited(app: Flask, findings: Backend, officer: FlaskClient) -> None:
    form = {"to": "assigned", "owner": cases.STAFF, "note": "三天内处理"}
    assert post(officer, app, "/findings/1/move", **form)[0] == 303
    moved = next(f for f in findings.office.findings(WHOLE_CITY) if f.id == 1)
    assert (moved.state, moved.owner, moved.note) == (FindingState.ASSIGNED, cases.STAFF, "三天内处理")
    assert "三天内处理" in officer.get("/findings?sel=1").text
    assert findings.audit.entries(limit=1)[0].action == "finding.assigned"


@pytest.mark.parametrize(
    "form", [{"to": "verified"}, {"to": "reopened"}, {"to": "risk_accepted", "note": "x"}, {"to": "gone"}]
)
def test_a_step_nobody_may_take_by_hand_is_refused(
    app: Flask, findings: Backend, officer: FlaskClient, form: dict[str, str]
) -> None:
    assert post(officer, app, "/findings/1/move", **form)[0] in {400, 403}
    assert next(f for f in findings.office.findings(WHOLE_CITY) if f.id == 1).state is FindingState.OPEN


def test_the_finding_of_another_site_cannot_be_moved(
    app: Flask, findings: Backend, staff: FlaskClient
) -> None:
    status, _page = post(staff, app, "/findings/3/move", to="fixed_claimed", note="x")
    assert status in {403, 404}
    assert next(f for f in findings.office.findings(WHOLE_CITY) if f.id == 3).state is FindingState.OPEN
