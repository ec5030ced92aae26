"""Who sees, signs and moves what; the command line, the job and the packet capture."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.audit import AuditLog
from monitor.clock import ManualClock, SystemClock
from monitor.database import Database
from monitor.directory import Directory
from monitor.errors import DeniedError, InputError, NotFoundError, ZhishouError
from monitor.jobs import JobContext
from monitor.model import Scope, SiteId
from monitor.service import Runtime
from playbooks import jobs
from playbooks.capture import host_capture
from playbooks.cli import playbook
from playbooks.interface import FindingState, FindingView, Office, Outcome
from playbooks.office import SqlOffice
from tests.playbooks.conftest import MakeOffice
from tests.playbooks.world import (
    AT_H012,
    AT_H031,
    CITY,
    HOUR,
    NOON,
    Listener,
    approve_all,
    check,
    device,
    engagement,
    inventory,
    listening,
    plant_suite,
    window,
)
from tests.real.sshd import free_port

ELSEWHERE = Scope(frozenset({SiteId("H099")}))
PONG = b"+PONG\r\n"


@pytest.fixture
def office(make_office: MakeOffice) -> SqlOffice:
    return make_office(
        {"redis": check("redis", free_port())}, device("x", "127.0.1.1"), device("y", "127.0.1.2")
    )


@pytest.fixture
def submitted(office: SqlOffice) -> SqlOffice:
    office.submit(AT_H031, engagement(), "a")
    return office


def test_the_office_is_what_the_seam_says(office: SqlOffice) -> None:
    seam: Office = office
    assert {view.id for view in seam.checks()} >= {"redis-unauth", "tls-weak", "redis"}


def test_states_from_submission_to_the_end(submitted: SqlOffice, clock: ManualClock) -> None:
    def state() -> str:
        return submitted.engagement(CITY, "E-07").state

    assert state() == "awaiting_consent"
    digest = submitted.plan(CITY, "E-07").digest
    submitted.approve(AT_H012, "E-07", "b", "H012", digest)
    assert state() == "awaiting_approval"
    submitted.approve(CITY, "E-07", "c", "city", digest)
    assert state() == "approved"
    submitted.run(CITY, "E-07", "a")
    assert state() == "done"
    clock.advance(2 * HOUR / 1000)
    assert state() == "done"
    submitted.submit(AT_H031, engagement(), "a")
    assert state() == "expired"


def test_an_engagement_without_targets_is_a_draft(office: SqlOffice) -> None:
    office.submit(AT_H031, engagement(scope={"include": ["site:H031"]}), "a")
    assert office.engagement(CITY, "E-07").state == "draft"
    with pytest.raises(DeniedError):
        office.run(CITY, "E-07", "a")


def test_only_sites_it_concerns_see_it(submitted: SqlOffice) -> None:
    for scope in (CITY, AT_H012, AT_H031):
        assert [view.id for view in submitted.engagements(scope)] == ["E-07"]
    assert submitted.engagements(ELSEWHERE) == []
    calls: list[Callable[[], object]] = [
        lambda: submitted.engagement(ELSEWHERE, "E-07"),
        lambda: submitted.plan(ELSEWHERE, "E-07"),
        lambda: submitted.run(ELSEWHERE, "E-07", "a"),
        lambda: submitted.stop(ELSEWHERE, "E-07", "a", "x"),
        lambda: submitted.runs(ELSEWHERE, "E-07"),
        lambda: submitted.approve(ELSEWHERE, "E-07", "b", "H012", ""),
        lambda: submitted.engagement(CITY, "E-99"),
    ]
    for call in calls:
        with pytest.raises(NotFoundError):
            call()


@pytest.mark.parametrize(
    ("scope", "actor", "site", "says"),
    [
        (CITY, "a", "city", "nobody approves what they asked for"),
        (AT_H031, "a", "H031", "nobody approves what they asked for"),
        (AT_H012, "z", "H012", "not an approver"),
        (CITY, "c", "H012", "not an approver"),
        (AT_H031, "b", "H012", "does not act for H012"),
        (AT_H012, "c", "city", "does not act for city"),
    ],
)
def test_who_may_not_sign(submitted: SqlOffice, scope: Scope, actor: str, site: str, says: str) -> None:
    digest = submitted.plan(CITY, "E-07").digest
    with pytest.raises(DeniedError, match=says):
        submitted.approve(scope, "E-07", actor, site, digest)
    assert submitted.engagement(CITY, "E-07").approvals == ()


def test_nobody_signs_twice_or_a_stale_plan(submitted: SqlOffice, directory: Directory) -> None:
    digest = submitted.plan(CITY, "E-07").digest
    submitted.approve(AT_H012, "E-07", "b", "H012", digest)
    with pytest.raises(DeniedError, match="signed already"):
        submitted.approve(AT_H012, "E-07", "b", "H012", digest)
    directory.replace(inventory(device("x", "127.0.1.1")))
    with pytest.raises(DeniedError, match="plan has changed"):
        submitted.approve(CITY, "E-07", "c", "city", digest)
    assert submitted.engagement(CITY, "E-07").approvals == ()  # b signed another list of targets
    approve_all(submitted)
    assert submitted.engagement(CITY, "E-07").state == "approved"


def test_nobody_asks_in_another_s_name_or_site_or_edits_another_s(submitted: SqlOffice) -> None:
    with pytest.raises(DeniedError, match="in the name of"):
        submitted.submit(CITY, engagement(engagement="E-08"), "mallory")
    with pytest.raises(DeniedError, match="does not act for"):
        submitted.submit(AT_H012, engagement(engagement="E-08"), "a")
    theirs = engagement(requester={"user": "m", "site": "H031"})
    with pytest.raises(DeniedError, match="is a's"):
        submitted.submit(AT_H031, theirs, "m")


def test_a_plan_says_exactly_what_will_happen(submitted: SqlOffice) -> None:
    plan = submitted.plan(AT_H012, "E-07")
    assert plan.targets == (("x", "127.0.1.1"), ("y", "127.0.1.2"))
    (row,) = plan.rows
    assert (row.check, row.targets, row.packets, plan.packets) == ("redis", 2, 16, 16)
    assert plan.seconds > 0
    approve_all(submitted)
    submitted.run(CITY, "E-07", "a")
    assert submitted.runs(CITY)[0].packets <= plan.packets


def test_an_engagement_whose_suite_is_gone_hides_no_other(
    submitted: SqlOffice,
    tmp_path: Path,
    database: Database,
    directory: Directory,
    audit: AuditLog,
    clock: ManualClock,
) -> None:
    submitted.submit(AT_H031, engagement(engagement="E-08", suite=["exposure-basic"]), "a")
    (tmp_path / "playbooks" / "suites" / "planted.yml").unlink()
    again = SqlOffice(database, directory, audit, clock, tmp_path)
    assert [view.id for view in again.engagements(CITY)] == ["E-08"]


@pytest.fixture
def found(make_office: MakeOffice) -> tuple[SqlOffice, FindingView]:
    with listening(Listener("127.0.1.1", reply=PONG)) as (planted,):
        office = make_office({"redis": check("redis", planted.port)}, device("x", "127.0.1.1"))
        office.submit(AT_H031, engagement(), "a")
        approve_all(office)
        office.run(CITY, "E-07", "a")
    return office, office.findings(CITY)[0]


def test_a_finding_s_life_by_hand(
    found: tuple[SqlOffice, FindingView], clock: ManualClock, audit: AuditLog
) -> None:
    office, finding = found
    office.move_finding(AT_H012, finding.id, FindingState.ASSIGNED, "c", owner="b", note="please")
    assert [(f.state, f.owner, f.note) for f in office.findings(AT_H012)] == [
        (FindingState.ASSIGNED, "b", "please")
    ]
    until = NOON + HOUR
    with pytest.raises(DeniedError, match="cannot accept"):
        office.move_finding(
            AT_H012, finding.id, FindingState.RISK_ACCEPTED, "b", until=until, note="old device"
        )
    office.move_finding(AT_H012, finding.id, FindingState.RISK_ACCEPTED, "c", until=until, note="old device")
    assert office.findings(CITY, [FindingState.RISK_ACCEPTED])[0].until == until
    clock.advance(HOUR / 1000)
    assert office.findings(CITY)[0].state is FindingState.OPEN
    assert office.findings(CITY, [FindingState.RISK_ACCEPTED]) == []
    with pytest.raises(DeniedError, match="only a re-check"):
        office.move_finding(CITY, finding.id, FindingState.VERIFIED, "c")
    assert "finding.risk_accepted" in [entry.action for entry in audit.entries()]
    assert audit.verify().ok


def test_findings_stay_inside_the_scope(found: tuple[SqlOffice, FindingView]) -> None:
    office, finding = found
    assert office.findings(AT_H031) == []
    assert office.findings(CITY, site="H031") == []
    assert office.findings(CITY, device="x") == [finding]
    with pytest.raises(NotFoundError):
        office.move_finding(AT_H031, finding.id, FindingState.ASSIGNED, "a", owner="a")


def test_the_job_runs_and_reports(runtime: Runtime, make_office: MakeOffice) -> None:
    with listening(Listener("127.0.1.1", reply=PONG)) as (planted,):
        office = make_office({"redis": check("redis", planted.port)}, device("x", "127.0.1.1"))
        office.submit(AT_H031, engagement(), "a")
        approve_all(office)
        told: list[tuple[int, int]] = []

        def progress(done: int, total: int, note: str) -> bool:
            told.append((done, total))
            return True

        result = jobs.run(JobContext(runtime, "a", CITY, progress), {"engagement": "E-07"})
        assert result["status"] == "done"
        assert result["finding"] == 1
        assert told[-1] == (1, 1)
        with pytest.raises(InputError):
            jobs.run(JobContext(runtime, "a", CITY, progress), {})


def invoke(*arguments: str, code: int) -> str:
    result = CliRunner().invoke(playbook, list(arguments))
    raised = result.exception.exit_code if isinstance(result.exception, ZhishouError) else result.exit_code
    assert raised == code, result.output
    return result.output


def test_lint_runs_the_checks_own_tests(tmp_path: Path) -> None:
    good, bad, broken = tmp_path / "good.yml", tmp_path / "bad.yml", tmp_path / "broken.yml"
    good.write_text(check("good", 1))
    bad.write_text(
        check("bad", 1).replace("+PONG\nexpect: finding", "x").replace("given: +PONG", "given: +PANG")
    )
    broken.write_text("id: [")
    (tmp_path / "e.yml").write_text(engagement())
    assert "good.yml: ok" in invoke("lint", str(good), str(tmp_path / "e.yml"), code=0)
    output = invoke("lint", str(good), str(bad), str(broken), code=1)
    assert "bad.yml:" in output
    assert "expected finding, got pass" in output
    problems = json.loads(invoke("lint", "--json", str(good), str(broken), code=1))
    assert problems[str(good)] == []
    assert "broken.yml:1" in problems[str(broken)][0]


def test_the_command_line_plans_runs_and_stops(
    tmp_path: Path, database: Database, directory: Directory
) -> None:
    clock = SystemClock()
    now = clock.now_ms()
    with listening(Listener("127.0.1.1", reply=PONG)) as (planted,):
        plant_suite(tmp_path, {"redis": check("redis", planted.port)})
        directory.replace(inventory(device("x", "127.0.1.1")))
        office = SqlOffice(
            database, directory, AuditLog(database, clock, tmp_path / "anchors.log"), clock, tmp_path
        )
        when = {"document_sha256": "ab" * 32, "window": window(now - HOUR, now + HOUR)}
        text = engagement(authorisation=when)
        office.submit(AT_H031, text, "a")
        (tmp_path / "e.yml").write_text(text)
        data = ("--data", str(tmp_path))
        plan = json.loads(invoke("plan", str(tmp_path / "e.yml"), "--json", *data, code=0))
        assert plan["targets"] == [["x", "127.0.1.1"]]
        assert "1 targets" in invoke("plan", "E-07", *data, code=0)
        invoke("run", "E-07", *data, code=2)
        assert planted.connections == 0
        approve_all(office)
        invoke("stop", "--all", "--reason", "drill", *data, code=0)
        assert office.stop_standing()
        invoke("run", "E-07", *data, code=2)
        assert planted.connections == 0
        invoke("stop", "--release", *data, code=0)
        shown = invoke("run", "E-07", "--json", *data, code=1)
        assert json.loads(shown[shown.index("{") :])["coverage"]["finding"] == 1
        invoke("stop", "E-07", *data, code=0)
        invoke("stop", code=2)
        invoke("plan", "E-07", "--data", str(tmp_path / "nowhere"), code=2)
    assert planted.connections == 1
    assert AuditLog(database, clock, tmp_path / "audit.anchors").verify().ok


def test_the_kill_switch_works_without_a_database(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("this is no database, " * 100)
    result = CliRunner().invoke(playbook, ["stop", "--all", "--data", str(tmp_path)])
    assert result.exit_code != 0
    assert (tmp_path / "run" / "playbooks.stop").exists()


def pcap_packets(path: Path) -> list[bytes]:
    data, place, packets = path.read_bytes(), 24, []
    while place < len(data):
        size = struct.unpack_from("<I", data, place + 8)[0]
        packets.append(data[place + 16 : place + 16 + size])
        place += 16 + size
    return packets


def test_a_capture_keeps_one_host_s_packets_and_never_more_than_its_bytes(
    make_office: MakeOffice, tmp_path: Path
) -> None:
    with listening(Listener("127.0.1.1", reply=PONG), Listener("127.0.1.2", reply=PONG)) as (first, second):
        office = make_office(
            {"one": check("one", first.port), "two": check("two", second.port)},
            device("x", "127.0.1.1"),
            device("y", "127.0.1.2"),
        )
        office.submit(AT_H031, engagement(capture={"devices": ["x"], "max_bytes": 1000}), "a")
        approve_all(office)
        run = office.run(CITY, "E-07", "a")
    (path,) = (tmp_path / "captures").glob("*")
    assert path.name == f"{run}-127.0.1.1.pcap"
    assert path.stat().st_size <= 1000
    assert path.stat().st_mode & 0o077 == 0
    packets = pcap_packets(path)
    assert packets
    assert all(b"\x7f\x00\x01\x01" in packet[26:34] for packet in packets)
    assert office.runs(CITY)[0].coverage[Outcome.FINDING] == 2


def test_a_capture_that_cannot_start_does_not_stop_the_checks(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = []
    with host_capture("127.0.1.1", tmp_path / "file" / "x.pcap", 1000):
        done.append(1)
    with host_capture("not an address", tmp_path / "x.pcap", 1000):
        done.append(2)
    assert done == [1, 2]


def test_a_finding_at_another_address_is_not_verified_by_a_clean_one(
    make_office: MakeOffice, directory: Directory
) -> None:
    bad = Listener("127.0.1.1", reply=PONG)
    with listening(bad, Listener("127.0.1.2", reply=b"-NOAUTH\r\n", port=bad.port)):
        office = make_office({"redis": check("redis", bad.port)}, device("x", "127.0.1.1"))
        office.submit(AT_H031, engagement(), "a")
        approve_all(office)
        office.run(CITY, "E-07", "a")
        directory.replace(inventory(replace(device("x", "127.0.1.1"), address="127.0.1.2")))
        approve_all(office)
        office.run(CITY, "E-07", "a")
    assert [view.coverage[Outcome.PASS] for view in office.runs(CITY)] == [1, 0]
    assert [finding.state for finding in office.findings(CITY)] == [FindingState.OPEN]
