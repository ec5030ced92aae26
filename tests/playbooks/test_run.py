"""Runs on the loopback against planted services: nothing outside the engagement, everything accounted for inside."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select, update

from monitor.audit import AuditLog
from monitor.clock import ManualClock
from monitor.database import Database
from monitor.directory import Directory, ModuleStatus
from monitor.errors import DeniedError
from monitor.model import Kind, Severity
from playbooks.formats import Limits
from playbooks.gate import Gate, StopSignal
from playbooks.guard import Target, Warrant
from playbooks.interface import FindingState, Outcome
from playbooks.loader import load_engagement
from playbooks.office import SqlOffice
from playbooks.steps.interface import RefusedError
from playbooks.tables import EngagementRow, ResultRow, RunRow
from tests.playbooks.conftest import MakeOffice
from tests.playbooks.world import (
    AT_H012,
    AT_H031,
    CITY,
    H012,
    HOUR,
    NOON,
    Listener,
    approve_all,
    check,
    device,
    engagement,
    inventory,
    listening,
    until,
    window,
)
from tests.real.sshd import free_port

PONG = b"+PONG\r\n"


@contextmanager
def captured(tmp_path: Path, port: int) -> Iterator[list[str]]:
    """Packets of this port on the loopback, one line each, filled in when the block ends.

    A canary datagram before and after proves that the capture was really listening all the while.
    """
    tcpdump = shutil.which("tcpdump")
    if tcpdump is None:
        pytest.skip("tcpdump is not installed")
    path, canary = tmp_path / "lo.pcap", free_port(socket.SOCK_DGRAM)
    wanted = f"port {port} or udp dst port {canary}"
    process = subprocess.Popen(
        [tcpdump, "-Z", "root", "-i", "lo", "-U", "--immediate-mode", "-n", "-w", str(path), wanted],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    if "listening" not in first:
        process.communicate(timeout=5)
        pytest.skip(f"packet capture on lo is not permitted: {first.strip()}")

    def sing(times: int) -> None:
        """Send canaries until one is on disk: then everything before it is, too."""
        before = path.stat().st_size if path.exists() else 24
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bird:
            for _ in range(times):
                bird.sendto(b"canary", ("127.0.0.1", canary))
                if until(lambda: path.exists() and path.stat().st_size > before, 0.1):
                    return
        pytest.fail("the capture does not see the loopback")

    packets: list[str] = []
    sing(50)
    try:
        yield packets
    finally:
        sing(50)
        process.terminate()
        process.communicate(timeout=5)
    read = subprocess.run([tcpdump, "-n", "-r", str(path)], capture_output=True, text=True, check=True)
    packets += [line for line in read.stdout.splitlines() if f".{canary}: UDP" not in line]


def prepared(make_office: MakeOffice, port: int, *devices: object, **changes: object) -> SqlOffice:
    office = make_office({"redis": check("redis", port)}, *(devices or (device("x", "127.0.1.1"),)))
    office.submit(AT_H031, engagement(**changes), "a")
    return office


def outcomes(office: SqlOffice, run: int) -> dict[str, int]:
    view = next(view for view in office.runs(CITY) if view.id == run)
    return {str(k): v for k, v in view.coverage.items() if v}


@pytest.mark.parametrize(
    "why",
    ["nothing signed", "one signature", "before the window", "after the window", "wrong day", "edited", "kill switch",
     "do not probe", "medical", "excluded", "not in scope", "unregistered", "inventory moved", "tampered row"],
)  # fmt: skip
def test_outside_its_engagement_nothing_is_sent(
    why: str,
    make_office: MakeOffice,
    tmp_path: Path,
    clock: ManualClock,
    directory: Directory,
    database: Database,
) -> None:
    with (
        listening(Listener("127.0.1.1", reply=PONG)) as (planted,),
        captured(tmp_path, planted.port) as packets,
    ):
        safe = device("far", "127.0.3.3")  # keeps the engagement from being empty
        world = {
            "do not probe": [safe, device("x", "127.0.1.1", do_not_probe="ventilator")],
            "medical": [safe, device("x", "127.0.1.1", kind=Kind.MEDICAL)],
            "not in scope": [safe, device("x", "127.0.1.1", site="H031")],
            "unregistered": [safe],
        }.get(why, [device("x", "127.0.1.1")])
        scope = {"include": ["site:H012", "127.0.0.0/8"] if why == "unregistered" else ["site:H012"]}
        if why == "excluded":
            scope["exclude"] = ["127.0.1.0/24"]
            world.append(safe)
        when = window(days=["sun"]) if why == "wrong day" else window()
        text = {"scope": scope, "authorisation": {"document_sha256": "ab" * 32, "window": when}}
        office = prepared(make_office, planted.port, *world, **text)
        if why == "one signature":
            office.approve(AT_H012, "E-07", "b", "H012", office.plan(CITY, "E-07").digest)
        elif why != "nothing signed":
            approve_all(office)
        if why in ("before the window", "after the window"):
            clock.advance(3601 if why == "after the window" else -3601)
        if why == "edited":
            office.submit(AT_H031, engagement(**text, title="a little more"), "a")
        if why == "tampered row":
            with database.session() as session:
                session.execute(update(EngagementRow).values(text=engagement(**text, title="a little more")))
        if why == "kill switch":
            office.stop_all("anybody", "drill")
        if why == "inventory moved":
            directory.replace(inventory(device("y", "127.0.1.1")))
        try:
            office.run(CITY, "E-07", "a")
        except DeniedError as error:
            refused = str(error)
        else:
            refused = ""
    assert planted.connections == 0
    assert [line for line in packets if "127.0.1.1." in line] == []
    assert bool(refused) is (
        why not in ("do not probe", "medical", "excluded", "not in scope", "unregistered")
    )


def test_inside_it_finds_the_planted_service_and_stays_below_what_it_counts(
    make_office: MakeOffice, tmp_path: Path, audit: AuditLog
) -> None:
    with listening(Listener("127.0.1.1", reply=PONG)) as (planted,):
        office = prepared(make_office, planted.port)
        plan = office.plan(CITY, "E-07")
        approve_all(office)
        with captured(tmp_path, planted.port) as packets:
            run = office.run(CITY, "E-07", "a")
    view = office.runs(CITY)[0]
    assert (view.id, view.status, view.done, view.total) == (run, "done", 1, 1)
    assert outcomes(office, run) == {"finding": 1}
    ours = [line for line in packets if f"> 127.0.1.1.{planted.port}" in line]
    assert 3 <= len(ours) <= view.packets <= plan.packets <= plan.packet_budget
    assert planted.received == [b"PING\r\n"]
    (found,) = office.findings(AT_H012)
    assert (found.device, found.port, found.state) == ("x", planted.port, FindingState.OPEN)
    assert "+PONG" in found.evidence
    assert audit.verify().ok
    actions = [entry.action for entry in audit.entries()]
    assert {"engagement.submit", "engagement.approve", "run.begin", "run.end", "finding.open"} <= set(actions)


def test_a_real_redis_without_a_password_is_found_and_one_with_it_verifies_the_fix(
    make_office: MakeOffice, tmp_path: Path
) -> None:
    redis = shutil.which("redis-server")
    if redis is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    office = prepared(make_office, port)
    approve_all(office)

    @contextmanager
    def served(*more: str) -> Iterator[None]:
        command = [
            redis,
            "--port",
            str(port),
            "--bind",
            "127.0.1.1",
            "--save",
            "",
            "--dir",
            str(tmp_path),
            *more,
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if "Ready to accept" in line:
                    break
            yield
        finally:
            process.terminate()
            process.communicate(timeout=5)

    with served("--protected-mode", "no"):
        office.run(CITY, "E-07", "a")
    (found,) = office.findings(CITY)
    office.move_finding(AT_H012, found.id, FindingState.FIXED_CLAIMED, "b", note="password set")

    office.run(CITY, "E-07", "a")  # nothing listens: that proves nothing
    assert office.findings(CITY)[0].state is FindingState.FIXED_CLAIMED
    with listening(Listener("127.0.1.1", port=port, reply=b"HTTP/1.1 400\r\n")):
        office.run(CITY, "E-07", "a")  # something else listens: neither does that
    assert office.findings(CITY)[0].state is FindingState.FIXED_CLAIMED
    with served("--requirepass", "s3cret"):
        office.run(CITY, "E-07", "a")
    assert office.findings(CITY)[0].state is FindingState.VERIFIED
    with served("--protected-mode", "no"):
        office.run(CITY, "E-07", "a")
    assert [f.state for f in office.findings(CITY)] == [FindingState.REOPENED]


def test_a_run_with_another_scope_closes_nothing(make_office: MakeOffice) -> None:
    with listening(Listener("127.0.1.1", reply=PONG)) as (planted,):
        office = prepared(make_office, planted.port, device("x", "127.0.1.1"), device("y", "127.0.1.2"))
        approve_all(office)
        office.run(CITY, "E-07", "a")
        before = office.findings(CITY)
        planted.reply = b"-NOAUTH\r\n"
        office.submit(AT_H031, engagement(engagement="E-08", scope={"include": ["device:y"]}), "a")
        approve_all(office, "E-08")
        office.run(CITY, "E-08", "a")
    assert len(before) == 1
    assert office.findings(CITY) == before


def test_silent_refused_and_quiet_hosts_are_never_a_pass(make_office: MakeOffice) -> None:
    with listening(Listener("127.0.1.1"), Listener("127.0.1.2", reply=b"-NOAUTH\r\n")) as (quiet, fine):
        quiet_check = check("quiet", quiet.port, timeout=0.2, inputs=[{"data": "x"}])
        office = make_office(
            {"quiet": quiet_check, "fine": check("fine", fine.port), "closed": check("closed", free_port())},
            device("x", "127.0.1.1"),
            device("y", "127.0.1.2"),
        )
        office.submit(AT_H031, engagement(), "a")
        approve_all(office)
        run = office.run(CITY, "E-07", "a")
    assert outcomes(office, run) == {"pass": 1, "not_tested": 1, "not_applicable": 4}


def slow_office(make_office: MakeOffice, planted: Listener, **changes: object) -> SqlOffice:
    """Many hosts whose services keep everybody waiting for 4 s."""
    text = check("slow", planted.port, timeout=4, inputs=[{"data": "PING\r\n"}])
    office = make_office({"slow": text}, *(device(f"d{n}", "127.0.1.1") for n in range(6)))
    limits = {"pps": 2000, "per_host_pps": 200, "concurrent_hosts": 2, "max_packets": 10_000}
    office.submit(AT_H031, engagement(limits=limits, **changes), "a")
    approve_all(office)
    return office


@pytest.mark.parametrize(
    "how", ["kill switch", "file by hand", "window end", "cancel", "stop one", "device down", "alert"]
)
def test_everything_stops_within_two_seconds_and_does_not_resume(
    how: str, make_office: MakeOffice, tmp_path: Path, clock: ManualClock, directory: Directory
) -> None:
    alerting = {Severity.CRITICAL: 1}
    stops = {"device down": ["device_down_in_scope"], "alert": ["alert_severity: critical"]}
    cancelled = threading.Event()
    with listening(Listener("127.0.1.1")) as (planted,):
        office = slow_office(make_office, planted, stop_if=stops.get(how, []))
        office._alerts = lambda _scope: dict(alerting)

        def pull() -> None:
            until(lambda: len(planted.received) >= 2)  # both hosts now wait 4 s for an answer
            begun.append(time.monotonic())
            match how:
                case "kill switch":
                    office.stop_all("anybody", "smoke")
                case "file by hand":
                    (tmp_path / "run").mkdir(exist_ok=True)
                    (tmp_path / "run" / "playbooks.stop").touch()
                case "window end":
                    clock.advance(3600)
                case "cancel":
                    cancelled.set()
                case "stop one":
                    office.stop(AT_H012, "E-07", "b", "smoke")
                case "device down":
                    down = ModuleStatus(device("d1", "").id, "snmp", False, NOON, NOON, (), {}, {})
                    directory.record_statuses([down])
                case "alert":
                    alerting[Severity.CRITICAL] += 1

        begun: list[float] = []
        thread = threading.Thread(target=pull)
        thread.start()
        run = office.run(CITY, "E-07", "a", lambda *_: not cancelled.is_set())
        stopped = time.monotonic()
        thread.join()
        assert stopped - begun[0] < 2.0
        before = planted.connections
        view = office.runs(CITY)[0]
        assert (view.id, view.status) == (run, "stopped")
        assert view.reason
        assert before == 2
        assert outcomes(office, run) == {"not_tested": 6}
        if how == "kill switch":
            office.release_stop("anybody", "over")
        (tmp_path / "run" / "playbooks.stop").unlink(missing_ok=True)
        if how == "window end":
            clock.advance(-3600)
        with pytest.raises(DeniedError, match=r"stopped|kill switch"):
            office.run(CITY, "E-07", "a")
        assert planted.connections == before


def test_loss_among_services_that_answered_before_stops_the_run(make_office: MakeOffice) -> None:
    with listening(Listener("127.0.1.1", reply=PONG)) as (planted,):
        names = {f"c{n:02}": check(f"c{n:02}", planted.port) for n in range(40)}
        office = make_office(names, device("x", "127.0.1.1"))
        office.submit(AT_H031, engagement(stop_if=["loss_over: 2%"]), "a")
        approve_all(office)
        closer = threading.Thread(target=lambda: until(lambda: planted.connections >= 12) and planted.close())
        closer.start()
        run = office.run(CITY, "E-07", "a")
        closer.join()
    view = office.runs(CITY)[0]
    assert (view.id, view.status, view.reason) == (run, "stopped", "stop condition loss_over: 2%")
    assert view.coverage[Outcome.PASS] == 0
    assert view.coverage[Outcome.NOT_TESTED] > 0


def test_the_packet_budget_is_hard(make_office: MakeOffice, tmp_path: Path) -> None:
    limits = {"pps": 2000, "per_host_pps": 200, "concurrent_hosts": 8, "max_packets": 20}
    with listening(Listener("127.0.1.1", reply=PONG)) as (planted,):
        names = {f"c{n}": check(f"c{n}", planted.port) for n in range(8)}
        office = make_office(names, device("x", "127.0.1.1"))
        office.submit(AT_H031, engagement(limits=limits), "a")
        approve_all(office)
        with captured(tmp_path, planted.port) as packets:
            run = office.run(CITY, "E-07", "a")
    view = office.runs(CITY)[0]
    assert (view.status, view.reason) == ("stopped", "packet budget used up")
    assert len([line for line in packets if f"> 127.0.1.1.{planted.port}" in line]) <= 20
    assert outcomes(office, run) == {"finding": 2, "not_tested": 6}


def test_the_rate_is_kept_on_the_wire(make_office: MakeOffice) -> None:
    limits = {"pps": 20, "per_host_pps": 200, "concurrent_hosts": 8, "max_packets": 500}
    with listening(Listener("127.0.1.1", reply=PONG)) as (planted,):
        office = prepared(
            make_office, planted.port, *(device(f"d{n}", "127.0.1.1") for n in range(4)), limits=limits
        )
        approve_all(office)
        begun = time.monotonic()
        office.run(CITY, "E-07", "a")
        seconds = time.monotonic() - begun
    spent = office.runs(CITY)[0].packets
    assert spent == 32
    assert seconds >= (spent - 2) / 20


def test_two_hosts_at_once_and_no_more(make_office: MakeOffice) -> None:
    with listening(Listener("127.0.1.1", delay=0.2, reply=PONG)) as (planted,):
        office = slow_office(make_office, planted)
        begun = time.monotonic()
        run = office.run(CITY, "E-07", "a")
        assert time.monotonic() - begun >= 0.6
    assert outcomes(office, run) == {"finding": 6}


def test_a_dead_process_s_run_resumes_without_its_finished_hosts(
    make_office: MakeOffice, database: Database
) -> None:
    with listening(Listener("127.0.1.1", reply=PONG), Listener("127.0.1.2", reply=PONG)) as (first, second):
        office = make_office(
            {"one": check("one", first.port), "two": check("two", second.port)},
            device("x", "127.0.1.1"),
            device("y", "127.0.1.2"),
        )
        office.submit(AT_H031, engagement(), "a")
        digest = approve_all(office)
        with database.session() as session:
            session.add(
                RunRow(id=5, engagement="E-07", digest=digest, actor="a", started_at=NOON, beat_at=0, finished_at=None,
                       status="running", reason="", packets=16, done=2, total=4)
            )  # fmt: skip
            session.flush()
            for name in ("one", "two"):
                session.add(
                    ResultRow(
                        run=5,
                        site="H012",
                        device="x",
                        address="127.0.1.1",
                        check=name,
                        outcome="pass",
                        reason="",
                    )
                )
        assert office.run(CITY, "E-07", "a") == 5
    view = office.runs(CITY)[0]
    assert (view.status, view.done, view.total) == ("done", 4, 4)
    assert view.packets > 16
    assert first.connections == 0
    assert second.connections == 1
    assert outcomes(office, 5) == {"pass": 2, "finding": 1, "not_applicable": 1}


def test_a_dead_process_s_run_that_was_stopped_does_not_resume(
    make_office: MakeOffice, database: Database
) -> None:
    with listening(Listener("127.0.1.1", reply=PONG)) as (planted,):
        office = prepared(make_office, planted.port)
        digest = approve_all(office)
        with database.session() as session:
            session.add(
                RunRow(engagement="E-07", digest=digest, actor="a", started_at=NOON, beat_at=0, finished_at=None,
                       status="running", reason="", packets=0, done=0, total=1)
            )  # fmt: skip
        office.stop_all("c", "smoke")
        office.release_stop("c", "over")
        with pytest.raises(DeniedError, match="was stopped"):
            office.run(CITY, "E-07", "a")
        assert planted.connections == 0
        office.submit(AT_H031, engagement(), "a")
        with pytest.raises(DeniedError, match="no consent"):
            office.run(CITY, "E-07", "a")
        approve_all(office)
        office.run(CITY, "E-07", "a")
    assert planted.connections == 1


def test_a_run_in_progress_is_not_begun_twice(make_office: MakeOffice) -> None:
    with listening(Listener("127.0.1.1")) as (planted,):
        office = slow_office(make_office, planted)
        thread = threading.Thread(target=lambda: office.run(CITY, "E-07", "a"))
        thread.start()
        assert until(lambda: planted.connections >= 2)
        with pytest.raises(DeniedError, match="running already"):
            office.run(CITY, "E-07", "a")
        with pytest.raises(DeniedError, match="is running"):
            office.submit(AT_H031, engagement(title="other"), "a")
        office.stop_all("b", "enough")
        thread.join(5)
    assert not thread.is_alive()


def test_an_alert_condition_that_nobody_can_watch_refuses_the_run(
    make_office: MakeOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("playbooks.office.alert_counts", lambda *_: None)
    with listening(Listener("127.0.1.1", reply=PONG)) as (planted,):
        office = prepared(make_office, planted.port, stop_if=["alert_severity: critical"])
        approve_all(office)
        with pytest.raises(DeniedError, match="cannot be watched"):
            office.run(CITY, "E-07", "a")
    assert planted.connections == 0


def gate(tmp_path: Path, clock: ManualClock, target: Target, port: int, answers: list[list[str]]) -> Gate:
    text = yaml.safe_load(engagement())
    warrant = Warrant(
        load_engagement(json.dumps(text), "e.yml").window,
        frozenset({(str(target.device), target.address)}),
        frozenset({("tcp", port)}),
    )

    async def resolver(_name: str) -> list[str]:
        return answers.pop(0)

    return Gate(warrant, Limits(), clock, StopSignal(tmp_path / "stop"), resolver)


@pytest.mark.parametrize("answer", [["127.0.1.2"], [], ["garbage"]])
def test_a_name_that_answers_otherwise_at_the_gate_is_refused(
    answer: list[str], tmp_path: Path, clock: ManualClock
) -> None:
    async def no_attempt(_account: str) -> str:
        return "no"

    async def connect(planted: Listener) -> None:
        target = Target(device("x", "").id, H012, Kind.SERVER, "web.local", "127.0.1.1")
        door = gate(tmp_path, clock, target, planted.port, [["127.0.1.1"], answer]).door(target, no_attempt)
        await door.connect(planted.port, 1)
        with pytest.raises(RefusedError, match="no longer resolves"):
            await door.connect(planted.port, 1)
        door.close()

    with listening(Listener("127.0.1.1"), Listener("127.0.1.2")) as (right, wrong):
        asyncio.run(connect(right))
        assert until(lambda: right.connections == 1)
        assert wrong.connections == 0


def test_the_gate_asks_again_after_waiting_and_resolving(tmp_path: Path, clock: ManualClock) -> None:
    async def no_attempt(_account: str) -> str:
        return "no"

    async def connect(port: int) -> None:
        target = Target(device("x", "").id, H012, Kind.SERVER, "web.local", "127.0.1.1")
        made = gate(tmp_path, clock, target, port, [])

        async def slow_resolver(_name: str) -> list[str]:
            clock.advance(HOUR / 1000)
            return ["127.0.1.1"]

        made._resolver = slow_resolver
        with pytest.raises(RefusedError, match="window has ended"):
            await made.door(target, no_attempt).connect(port, 1)

    with listening(Listener("127.0.1.1")) as (planted,):
        asyncio.run(connect(planted.port))
        assert planted.connections == 0


def test_another_service_on_the_port_verifies_only_a_claimed_fix(make_office: MakeOffice) -> None:
    with listening(Listener("127.0.1.1", greeting=b"login: ")) as (planted,):
        exposed = check(
            "telnet", planted.port, matchers=[{"type": "word", "words": ["login:"]}], closed="pass"
        )
        office = make_office({"telnet": exposed}, device("x", "127.0.1.1"))
        office.submit(AT_H031, engagement(), "a")
        approve_all(office)
        office.run(CITY, "E-07", "a")
        planted.greeting = b"SSH-2.0-x\r\n"
        run = office.run(CITY, "E-07", "a")
        assert outcomes(office, run) == {"pass": 1}
        (found,) = office.findings(CITY)
        assert found.state is FindingState.OPEN
        office.move_finding(CITY, found.id, FindingState.FIXED_CLAIMED, "b")
        office.run(CITY, "E-07", "a")
    assert office.findings(CITY)[0].state is FindingState.VERIFIED


def test_a_step_cannot_reach_a_port_or_a_protocol_outside_the_suite(
    tmp_path: Path, clock: ManualClock
) -> None:
    async def no_attempt(_account: str) -> str:
        return "no"

    async def reach(planted: Listener) -> None:
        target = Target(device("x", "").id, H012, Kind.SERVER, "127.0.1.1", "127.0.1.1")
        door = gate(tmp_path, clock, target, 1, []).door(target, no_attempt)
        for attempt in (
            door.connect(planted.port, 1),
            door.handshake(planted.port, 1),
            door.datagram(1, b"x", 1),
        ):
            with pytest.raises(RefusedError):
                await attempt

    with listening(Listener("127.0.1.1")) as (planted,):
        asyncio.run(reach(planted))
        assert planted.connections == 0


def test_a_target_that_becomes_protected_in_the_middle_stops_the_run(
    make_office: MakeOffice, directory: Directory, database: Database
) -> None:
    with listening(Listener("127.0.1.1")) as (planted,):
        office = slow_office(make_office, planted)

        def protect() -> None:
            until(lambda: planted.connections >= 2)
            directory.replace(
                inventory(*(device(f"d{n}", "127.0.1.1", do_not_probe="icu") for n in range(6)))
            )

        thread = threading.Thread(target=protect)
        thread.start()
        office.run(CITY, "E-07", "a")
        thread.join()
    with database.session() as session:
        row = session.scalars(select(RunRow)).one()
    assert (row.status, row.reason) == ("stopped", "the inventory changed: a target is no longer one")
    assert planted.connections == 2


def test_the_window_is_asked_between_two_packets_too(make_office: MakeOffice, clock: ManualClock) -> None:
    with listening(Listener("127.0.1.1", reply=PONG)) as (planted,):
        names = {f"c{n}": check(f"c{n}", planted.port) for n in range(3)}
        office = make_office(names, device("x", "127.0.1.1"))
        office.submit(AT_H031, engagement(), "a")
        approve_all(office)
        clock.advance(HOUR / 1000 - 0.001)
        original = planted._serve

        def serve_and_close_the_window(client: object) -> None:
            clock.advance(0.001)
            original(client)  # type: ignore[arg-type]

        planted._serve = serve_and_close_the_window  # type: ignore[method-assign, assignment]
        run = office.run(CITY, "E-07", "a")
    assert planted.connections == 1
    assert office.runs(CITY)[0].reason == "the window has ended"
    assert outcomes(office, run).get("pass") is None
