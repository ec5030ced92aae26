"""Assessments of sites: stored, scoped, cancelled, exported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from monitor.audit import AuditLog
from monitor.clock import ManualClock
from monitor.credentials import Credentials
from monitor.database import Database
from monitor.devices import FactRequest, RawFact, RootfsTarget, SshTarget
from monitor.directory import Directory
from monitor.errors import InputError, IntegrityError, NotFoundError, UnreachableError
from monitor.facts import FactStore
from monitor.jobs import JobContext
from monitor.model import (
    WHOLE_CITY,
    CollectorId,
    Device,
    DeviceId,
    Grade,
    Inventory,
    Kind,
    Region,
    RegionId,
    Scope,
    Site,
    SiteId,
    SshAccess,
)
from monitor.service import Runtime
from monitor.vault import Vault
from rules.compliance import jobs
from rules.compliance.interface import Register, Verdict
from rules.compliance.register import ComplianceRegister
from rules.compliance.tables import FactRow, SigningKeyRow
from rules.compliance.verifier import verify
from tests.rules.compliance.hardened import FILES, PLANTED, PLANTED_CHECKS

CITY = RegionId("city")


class ScriptedReader:
    """Answers from the hardened tree; the host of each target decides what is planted or whether it answers."""

    def __init__(self) -> None:
        self.targets: list[SshTarget] = []

    def read(self, target: SshTarget | RootfsTarget, requests: Sequence[FactRequest]) -> list[RawFact]:
        assert isinstance(target, SshTarget)
        self.targets.append(target)
        if target.host == "10.0.0.3":
            raise UnreachableError("no answer", where=target.host, zh="没有应答")
        files = {**FILES, **(PLANTED if target.host == "10.0.0.2" else {})}
        return [self._one(files, request) for request in requests]

    def _one(self, files: dict[str, str], request: FactRequest) -> RawFact:
        if request.path:
            text = files.get(request.path, "")
            missing = request.path not in files
            return RawFact(request.id, request.path, text, 0, 5, missing=missing, host_key="SHA256:abc")
        if request.argv[0] == "grep":
            folder = request.argv[-1]
            rows = [
                f"{n}:{line}\n"
                for n, t in files.items()
                if n.startswith(folder + "/")
                for line in t.splitlines()
            ]
            return RawFact(request.id, "grep", "".join(rows), 0 if rows else 2, 5, host_key="SHA256:abc")
        return RawFact(request.id, request.argv[0], "", 127, 5, missing=True, host_key="SHA256:abc")


def device(name: str, site: str, address: str, **more: str) -> Device:
    return Device(
        DeviceId(name),
        SiteId(site),
        name,
        Kind.SERVER,
        address,
        ssh=SshAccess("ops", host_key="SHA256:abc"),
        **more,
    )  # type: ignore[arg-type]


def site(name: str, level: int) -> Site:
    return Site(SiteId(name), name, CITY, Grade.TERTIARY, level, CollectorId("c1"))


@pytest.fixture
def reader() -> ScriptedReader:
    return ScriptedReader()


@pytest.fixture
def directory(database: Database, clock: ManualClock) -> Directory:
    devices = [
        device("good", "h1", "10.0.0.1"),
        device("weak", "h1", "10.0.0.2"),
        device("gone", "h2", "10.0.0.3"),
        device("ct", "h2", "10.0.0.1", do_not_probe="在用影像设备"),
    ]
    switch = Device(DeviceId("switch"), SiteId("h1"), "switch", Kind.NETWORK, "10.0.0.9")
    sites = [site("h1", 3), site("h2", 2)]
    found = Directory(database, clock)
    found.replace(
        Inventory(
            "city",
            {CITY: Region(CITY, "city")},
            {s.id: s for s in sites},
            {d.id: d for d in [*devices, switch]},
        )
    )
    return found


@pytest.fixture
def register(
    database: Database,
    tmp_path: Path,
    audit: AuditLog,
    clock: ManualClock,
    directory: Directory,
    vault: Vault,
    reader: ScriptedReader,
) -> ComplianceRegister:
    credentials = Credentials(database, vault)
    credentials.put("ops", "ssh", {"user": "auditor", "password": "hunter22"})
    store = FactStore(tmp_path / "facts")
    return ComplianceRegister(database, store, audit, clock, directory, credentials, reader=reader)


def test_it_is_a_register(register: ComplianceRegister) -> None:
    seam: Register = register
    assert len(seam.catalogue(3)) == 211
    assert seam.latest(WHOLE_CITY) == {}
    assert seam.matrix(WHOLE_CITY) == []


def test_run_judges_every_ssh_device_of_the_site(
    register: ComplianceRegister, reader: ScriptedReader
) -> None:
    notes: list[tuple[int, int, str]] = []
    number = register.run(WHOLE_CITY, "h1", "zhang", lambda *note: notes.append(note) or True)
    (view,) = register.assessments(WHOLE_CITY)
    assert (view.id, view.site, view.level, view.status, view.objects) == (number, "h1", 3, "done", 2)
    assert sum(view.totals.values()) == 211
    assert view.totals[Verdict.FAIL] == 2
    assert view.high_risks == 2
    assert notes == [(0, 2, "开始采集"), (1, 2, "good"), (2, 2, "weak")]
    assert {(t.user, t.password, t.host_key) for t in reader.targets} == {
        ("auditor", "hunter22", "SHA256:abc")
    }
    found = register.judgements(WHOLE_CITY, number)
    assert [j.check for j in found if j.verdict is Verdict.FAIL and j.object == "weak"] == PLANTED_CHECKS
    assert not [j for j in found if j.verdict is Verdict.FAIL and j.object == "good"]
    only = register.judgements(WHOLE_CITY, number, "8.1.4.2", "b")
    assert {j.check for j in only} == {"LNX-027", "LNX-028"}
    assert next(j for j in only if j.verdict is Verdict.FAIL).lines[0].text == "PermitRootLogin yes"


def test_a_device_that_does_not_answer_and_one_nobody_may_probe(
    register: ComplianceRegister, reader: ScriptedReader
) -> None:
    number = register.run(WHOLE_CITY, "h2", "zhang")
    found = register.judgements(WHOLE_CITY, number)
    assert {j.verdict for j in found} == {Verdict.NOT_CHECKED}
    reasons = {j.object: j.reason for j in found}
    assert "没有应答" in reasons["gone"]
    assert "在用影像设备" in reasons["ct"]
    assert [t.host for t in reader.targets] == ["10.0.0.3"]
    view = register.latest(WHOLE_CITY)["h2"]
    assert (view.rate, view.grade, view.level) == (None, "未评定", 2)
    assert view.totals[Verdict.NOT_CHECKED] == 135


def test_matrix_and_latest(register: ComplianceRegister, clock: ManualClock) -> None:
    register.run(WHOLE_CITY, "h1", "zhang")
    register.run(WHOLE_CITY, "h2", "zhang")
    clock.advance(60)
    newest = register.run(WHOLE_CITY, "h1", "zhang")
    assert register.latest(WHOLE_CITY)["h1"].id == newest
    first, second = register.matrix(WHOLE_CITY)
    assert (first.site, second.site) == ("h1", "h2")
    assert len(first.classes) == 10
    rate, unchecked, risks = first.classes["8.1.4"]
    assert rate is not None
    assert 0 < rate < 1
    assert unchecked > 0
    assert risks == 2
    assert first.classes["8.1.1"] == (None, 22, 0)
    assert second.classes["8.1.10"][0] is None


def test_scope(register: ComplianceRegister) -> None:
    number = register.run(WHOLE_CITY, "h1", "zhang")
    other = Scope(frozenset({SiteId("h2")}))
    assert register.assessments(other) == []
    assert register.latest(other) == {}
    assert register.matrix(other) == []
    for call in (register.judgements, register.facts):
        with pytest.raises(NotFoundError):
            call(other, number)
    with pytest.raises(NotFoundError):
        register.export(other, number, "li")
    with pytest.raises(NotFoundError):
        register.run(other, "h1", "li")


def test_cancelling(register: ComplianceRegister) -> None:
    number = register.run(WHOLE_CITY, "h1", "zhang", lambda done, _total, _note: done < 1)
    assert register.assessments(WHOLE_CITY)[0].status == "cancelled"
    assert register.latest(WHOLE_CITY) == {}
    with pytest.raises(InputError, match="not finished"):
        register.export(WHOLE_CITY, number, "zhang")


def test_nothing_secret_is_stored(register: ComplianceRegister, tmp_path: Path) -> None:
    register.run(WHOLE_CITY, "h1", "zhang")
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"abcdefghijklmnopqrstuvwxyz0123456789" not in stored
    assert b"hunter22" not in stored
    assert b"$6$<masked>" in stored


def test_the_hash_of_the_unmasked_text_is_kept(register: ComplianceRegister, database: Database) -> None:
    register.run(WHOLE_CITY, "h1", "zhang")
    with database.session() as session:
        row = session.scalars(select(FactRow).where(FactRow.fact == "shadow", FactRow.object == "good")).one()
    assert row.raw_sha256 == hashlib.sha256(FILES["/etc/shadow"].encode()).hexdigest()
    assert row.raw_sha256 != row.blob


def test_stored_facts_judge_again_to_the_same(register: ComplianceRegister, reader: ScriptedReader) -> None:
    number = register.run(WHOLE_CITY, "h1", "zhang")
    reads = len(reader.targets)
    assert register.rejudge(WHOLE_CITY, number) == register.judgements(WHOLE_CITY, number)
    assert len(reader.targets) == reads


def test_export_is_signed_repeatable_and_audited(
    register: ComplianceRegister, audit: AuditLog, database: Database, clock: ManualClock
) -> None:
    number = register.run(WHOLE_CITY, "h1", "zhang")
    data = register.export(WHOLE_CITY, number, "li")
    assert verify(data, register.fingerprint()) == ([], register.fingerprint())
    clock.advance(3600)
    assert register.export(WHOLE_CITY, number, "li") == data
    assert [e.action for e in audit.entries()][:3] == [
        "evidence.export",
        "evidence.export",
        "compliance.assess",
    ]
    assert audit.entries()[0].detail["sha256"] == hashlib.sha256(data).hexdigest()
    with database.session() as session:
        key = session.scalars(select(SigningKeyRow)).one()
    assert key.sealed.startswith("v1.")


def test_an_altered_stored_fact_is_not_exported(register: ComplianceRegister, tmp_path: Path) -> None:
    number = register.run(WHOLE_CITY, "h1", "zhang")
    blob = next(p for p in (tmp_path / "facts").rglob("*") if p.is_file() and b"$6$" in p.read_bytes())
    blob.write_bytes(blob.read_bytes() + b"\n")
    with pytest.raises(IntegrityError):
        register.export(WHOLE_CITY, number, "li")


def test_a_register_without_a_directory_only_reads(
    database: Database, tmp_path: Path, audit: AuditLog, clock: ManualClock
) -> None:
    bare = ComplianceRegister(database, FactStore(tmp_path / "facts"), audit, clock)
    assert bare.assessments(WHOLE_CITY) == []
    with pytest.raises(InputError):
        bare.run(WHOLE_CITY, "h1", "zhang")


def test_jobs(
    runtime: Runtime, register: ComplianceRegister, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(jobs, "register_of", lambda _: register)
    context = JobContext(runtime, "zhang", WHOLE_CITY, lambda *_: True)
    result = jobs.assess(context, {"site": "h1"})
    assert result["status"] == "done"
    written = jobs.export(context, {"assessment": str(result["assessment"])})
    path = tmp_path / "exports" / str(written["file"])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == written["sha256"]
    assert verify(path.read_bytes())[0] == []
    assert path.stat().st_mode & 0o077 == 0
    json.dumps([dict(result), dict(written)])
    for broken in ({}, {"assessment": "x"}):
        with pytest.raises(InputError):
            jobs.export(context, broken)


def test_the_register_of_the_core(runtime: Runtime) -> None:
    assert jobs.register_of(runtime).assessments(WHOLE_CITY) == []
