"""Compliance pages over a real assessment: verdicts, the lines that decided, the job card and the bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dashboards.backend import Backend
from monitor.identity.roles import Role
from monitor.model import WHOLE_CITY
from tests.dashboards import cases
from tests.dashboards.test_access import token_of


@pytest.fixture
def officer(as_role: Callable[..., FlaskClient]) -> FlaskClient:
    return as_role(Role.SECURITY_OFFICER)


def test_the_matrix_shows_the_assessed_site_and_says_the_others_are_not_checked(officer: FlaskClient) -> None:
    page = officer.get("/compliance").text
    assert "已核查 1 / 3" in page
    line = page[page.index('title="市第一人民医院"') :]
    assert 'href="/compliance/assessments/1?class=4"' in line
    assert "白鹭镇卫生院 计算环境 未核查" in page


def test_an_assessment_puts_failures_first_and_shows_the_deciding_line(officer: FlaskClient) -> None:
    page = officer.get("/compliance/assessments/1?sel=8.1.4.2:b").text
    detail = page[page.index("<aside") :]
    assert detail.index("不符合") < detail.index("PermitRootLogin yes")
    assert "H001-SRV-1" in detail
    assert "LNX-027" in page
    rows = page[page.index("<tbody>") : page.index("</tbody>")]
    assert rows.index("不符合") < rows.index("未核查")


def test_filters_of_an_assessment(officer: FlaskClient) -> None:
    everything = officer.get("/compliance/assessments/1").text
    failed = officer.get("/compliance/assessments/1?verdict=fail").text
    boundary = officer.get("/compliance/assessments/1?class=3").text
    assert everything.count("?sel=") > failed.count("sel=") > 0
    assert "8.1.3.1" in boundary
    assert ">8.1.4.1" not in boundary


def test_site_staff_of_another_site_find_no_assessment(as_role: Callable[..., FlaskClient]) -> None:
    assert as_role(Role.SITE_STAFF, "H002").get("/compliance/assessments/1").status_code == 404
    assert as_role(Role.SITE_STAFF, "H001").get("/compliance/assessments/1").status_code == 200


def test_an_assessment_is_queued_once_and_its_card_can_cancel_it(
    app: Flask, officer: FlaskClient, stands_on: Backend
) -> None:
    csrf = token_of(officer, app)
    for _again in range(2):
        answer = officer.post("/compliance/assess/H002", data={"csrf": csrf})
        assert answer.location == "/compliance/sites/H002"
    (job,) = stands_on.jobs.list(WHOLE_CITY, "assess")
    assert (job.site, job.status) == ("H002", "queued")
    assert "排队中" in officer.get("/compliance/sites/H002").text
    card = officer.get(f"/jobs/{job.id}").text
    assert f'hx-get="/jobs/{job.id}"' in card
    cancelled = officer.post(f"/jobs/{job.id}/cancel", data={"csrf": csrf}).text
    assert "已取消" in cancelled
    assert "hx-get" not in cancelled


def test_a_finished_bundle_is_downloaded_and_audited(
    app: Flask, officer: FlaskClient, stands_on: Backend, tmp_path: Path
) -> None:
    officer.post("/compliance/assessments/1/export", data={"csrf": token_of(officer, app)})
    (job,) = stands_on.jobs.list(WHOLE_CITY, "evidence-export")
    assert officer.get(f"/jobs/{job.id}/file").status_code == 404
    stands_on.jobs.claim()
    path = cases.add_bundle(tmp_path)
    stands_on.jobs.finish(job.id, result={"file": path.name})
    assert f'href="/jobs/{job.id}/file"' in officer.get("/compliance/assessments/1").text
    answer = officer.get(f"/jobs/{job.id}/file")
    assert answer.data == b"PK bundle"
    answer.close()
    assert path.name in answer.headers["Content-Disposition"]
    assert stands_on.audit.entries(limit=1)[0].action == "evidence.download"


@pytest.mark.parametrize("name", ["../state.db", "/etc/passwd", "", "gone.zip"])
def test_a_job_hands_out_no_file_outside_its_folder(
    officer: FlaskClient, stands_on: Backend, tmp_path: Path, name: str
) -> None:
    cases.add_bundle(tmp_path)
    number = stands_on.jobs.submit("evidence-export", {"assessment": "1"}, "x", "H001")
    stands_on.jobs.claim()
    stands_on.jobs.finish(number, result={"file": name})
    assert officer.get(f"/jobs/{number}/file").status_code == 404
