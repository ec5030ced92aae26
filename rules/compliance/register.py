"""Assessments of whole sites: collected over SSH, judged, stored, and exported as evidence.

Collecting runs a few devices at a time; judging is pure. A device that cannot be read is 未核查, never skipped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from monitor.audit import AuditLog
from monitor.clock import Clock
from monitor.credentials import Credentials
from monitor.database import Database
from monitor.devices import FactReader, SshTarget, fact_reader
from monitor.directory import Directory
from monitor.errors import InputError, NotFoundError, ZhishouError
from monitor.facts import FactStore
from monitor.model import Device, Scope, SiteId
from monitor.vault import Vault
from rules.compliance import catalogue
from rules.compliance.check import Check, load_checks
from rules.compliance.collect import collect
from rules.compliance.evidence import Assessed, bundle
from rules.compliance.facts import Fact, Facts
from rules.compliance.interface import AssessmentView, ClassRow, Judgement, Requirement, Verdict
from rules.compliance.judge import by_requirement, judge, unreachable
from rules.compliance.rows import fact_of, fact_row, judgement_of, judgement_row, view
from rules.compliance.scoring import Profile2025, Score, by_class, rate, score_2025
from rules.compliance.signing import Signer, stored_signer
from rules.compliance.tables import AssessmentRow, FactRow, JudgementRow

log = structlog.get_logger(__name__)
Progress = Callable[[int, int, str], bool]
PARALLEL = 4  # devices read at a time
COLLECTOR = "zhishou"


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """One device, collected and judged; no facts when it could not be read."""

    device: Device
    facts: tuple[Fact, ...]
    judgements: tuple[Judgement, ...]


class ComplianceRegister:
    """The register on the state database. Without a directory and credentials it reads only; see interface.Register."""

    def __init__(
        self,
        database: Database,
        facts: FactStore,
        audit: AuditLog,
        clock: Clock,
        directory: Directory | None = None,
        credentials: Credentials | None = None,
        *,
        reader: FactReader | None = None,
        checks: Sequence[Check] | None = None,
    ) -> None:
        self._database = database
        self._facts = facts
        self._audit = audit
        self._clock = clock
        self._directory = directory
        self._credentials = credentials
        self._reader = reader
        self._checks = tuple(checks) if checks is not None else load_checks()

    def catalogue(self, level: int) -> Sequence[Requirement]:
        """All requirements of a level in clause order."""
        return catalogue.load(level)

    def assessments(self, scope: Scope, site: str = "", limit: int = 50) -> list[AssessmentView]:
        """Newest first."""
        wanted = select(AssessmentRow).order_by(AssessmentRow.id.desc()).limit(limit)
        if site:
            wanted = wanted.where(AssessmentRow.site == site)
        if scope.sites is not None:
            wanted = wanted.where(AssessmentRow.site.in_(scope.sites))
        with self._database.session() as session:
            return [view(row) for row in session.scalars(wanted)]

    def latest(self, scope: Scope) -> Mapping[str, AssessmentView]:
        """The newest finished assessment of each site that has one."""
        with self._database.session() as session:
            return {row.site: view(row) for row in _newest(session, scope)}

    def matrix(self, scope: Scope) -> list[ClassRow]:
        """Site by class, from the newest finished assessments."""
        with self._database.session() as session:
            rows = list(_newest(session, scope))
        return [
            ClassRow(
                row.site,
                row.level,
                {name: (cell[0], cell[1], cell[2]) for name, cell in json.loads(row.classes).items()},
                row.rate,
            )
            for row in sorted(rows, key=lambda row: row.site)
        ]

    def judgements(
        self, scope: Scope, assessment_id: int, clause: str = "", item: str = ""
    ) -> list[Judgement]:
        """All judgements of an assessment, or those of one requirement."""
        wanted = select(JudgementRow).where(JudgementRow.assessment == assessment_id)
        if clause:
            wanted = wanted.where(JudgementRow.clause == clause)
        if item:
            wanted = wanted.where(JudgementRow.item == item)
        with self._database.session() as session:
            _visible(session, scope, assessment_id)
            return [judgement_of(row) for row in session.scalars(wanted.order_by(JudgementRow.id))]

    def facts(self, scope: Scope, assessment_id: int) -> Mapping[str, list[Fact]]:
        """The stored facts of an assessment by device; IntegrityError when one was altered since."""
        with self._database.session() as session:
            _visible(session, scope, assessment_id)
            wanted = select(FactRow).where(FactRow.assessment == assessment_id).order_by(FactRow.id)
            rows = list(session.scalars(wanted))
        found: dict[str, list[Fact]] = {}
        for row in rows:
            found.setdefault(row.object, []).append(fact_of(row, self._facts.get(row.blob).decode()))
        return found

    def run(
        self, scope: Scope, site: str, actor: str, progress: Progress | None = None, *, level: int = 0
    ) -> int:
        """Collect and judge all devices of a site that can be read; returns the assessment id. `progress(done,
        total, note)` returns False to cancel. `level` 0 means the protection level of the site.
        """
        directory, _ = self._parts()
        found = directory.site(scope, site)
        devices = [device for device in directory.devices(scope, site) if device.ssh is not None]
        level = level or found.protection_level
        requirements = catalogue.load(level)
        number = self._begin(site, level, actor)
        try:
            status = self._collect(number, devices, level, progress or (lambda *_: True))
        except BaseException:
            self._finish(number, level, requirements, "failed", len(devices))
            raise
        self._finish(number, level, requirements, status, len(devices))
        self._audit.record(actor, "compliance.assess", site, {"assessment": number, "status": status})
        return number

    def assess_device(self, device: Device, level: int) -> DeviceResult:
        """Collect and judge one device; nothing is stored."""
        if device.do_not_probe:
            zh, en = (
                f"已登记禁止探测:{device.do_not_probe}",
                f"registered as not to be probed: {device.do_not_probe}",
            )
            return DeviceResult(device, (), tuple(unreachable(device.id, self._checks, level, zh, en)))
        try:
            reader = self._reader or fact_reader()
            facts = collect(reader, self._target(device), self._checks, level)
        except ZhishouError as error:
            log.warning("device not read", device=device.id, reason=error.message)
            zh, en = f"设备无法读取:{error.zh}", f"the device could not be read: {error.message}"
            return DeviceResult(device, (), tuple(unreachable(device.id, self._checks, level, zh, en)))
        except Exception as error:
            log.exception("collecting failed", device=device.id)
            kind = type(error).__name__
            zh, en = f"采集程序出错({kind})", f"collecting failed ({kind})"
            return DeviceResult(device, (), tuple(unreachable(device.id, self._checks, level, zh, en)))
        return DeviceResult(device, tuple(facts), tuple(judge(device.id, facts, self._checks, level)))

    def rejudge(self, scope: Scope, assessment_id: int) -> list[Judgement]:
        """The stored facts of an assessment under today's checks; nothing is read from devices or stored."""
        with self._database.session() as session:
            level = _visible(session, scope, assessment_id).level
        stored = self.facts(scope, assessment_id)
        return [j for name, facts in stored.items() for j in judge(name, Facts(facts), self._checks, level)]

    def export(self, scope: Scope, assessment_id: int, actor: str) -> bytes:
        """The signed evidence bundle (ZIP) of a finished assessment."""
        with self._database.session() as session:
            row = _visible(session, scope, assessment_id)
        if row.status != "done" or row.finished_at is None:
            raise InputError(
                f"assessment {assessment_id} is not finished",
                zh=f"自查 {assessment_id} 尚未完成,不能导出",
                hint="wait until it is done",
            )
        data = bundle(self._assessed(scope, row, row.finished_at), self._signer())
        digest = hashlib.sha256(data).hexdigest()
        self._audit.record(actor, "evidence.export", row.site, {"assessment": row.id, "sha256": digest})
        return data

    def fingerprint(self) -> str:
        """Fingerprint of the key that signs evidence; the key is made when there is none yet."""
        return self._signer().fingerprint

    def _assessed(self, scope: Scope, row: AssessmentRow, finished_at: int) -> Assessed:
        totals = {Verdict(name): count for name, count in json.loads(row.totals).items()}
        profile = json.loads(row.profile)
        return Assessed(
            subject=row.site,
            number=row.id,
            level=row.level,
            started_at=row.started_at,
            finished_at=finished_at,
            collector=row.collector,
            requirements=catalogue.load(row.level),
            judgements=self.judgements(scope, row.id),
            facts=self.facts(scope, row.id),
            score=Score(profile.get("name", ""), totals, row.rate, row.grade),
            profile=profile,
        )

    def _parts(self) -> tuple[Directory, Credentials]:
        if self._directory is None or self._credentials is None:
            raise InputError(
                "this register has no directory and credentials", hint="it can only be read from"
            )
        return self._directory, self._credentials

    def _vault(self) -> Vault:
        return self._parts()[1].vault

    def _signer(self) -> Signer:
        return stored_signer(self._database, self._vault(), self._clock)

    def _target(self, device: Device) -> SshTarget:
        _, credentials = self._parts()
        if device.ssh is None:
            raise InputError(
                "the device has no SSH access", where=device.id, zh=f"{device.id} 没有登记 SSH 访问方式"
            )
        kind, fields = credentials.get(device.ssh.credential)
        if kind != "ssh":
            raise InputError(f"credential {device.ssh.credential} is {kind}, not ssh", where=device.id)
        return SshTarget(
            host=device.address,
            port=device.ssh.port,
            user=fields.get("user", "root"),
            password="" if fields.get("private_key") else fields.get("password", ""),
            private_key=fields.get("private_key", ""),
            host_key=device.ssh.host_key,
            timeout=device.ssh.timeout,
        )

    def _begin(self, site: str, level: int, actor: str) -> int:
        row = AssessmentRow(
            site=site,
            level=level,
            actor=actor[:64],
            started_at=self._clock.now_ms(),
            status="running",
            totals="{}",
            classes="{}",
            profile="{}",
            grade="",
            high_risks=0,
            objects=0,
            collector=f"{COLLECTOR} {version('zhishou')}",
        )
        left = update(AssessmentRow).where(AssessmentRow.site == site, AssessmentRow.status == "running")
        with self._database.session() as session:
            session.execute(left.values(status="failed"))  # its process ended before it did
            session.add(row)
            session.flush()
            return row.id

    def _collect(self, number: int, devices: Sequence[Device], level: int, progress: Progress) -> str:
        if not progress(0, len(devices), "开始采集"):
            return "cancelled"
        pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="assess")
        try:
            results = pool.map(lambda device: self.assess_device(device, level), devices)
            for done, result in enumerate(results, 1):
                self._store(number, result)
                if not progress(done, len(devices), result.device.name):
                    return "cancelled"
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return "done"

    def _store(self, number: int, result: DeviceResult) -> None:
        blobs = [self._facts.put(fact.text.encode()) for fact in result.facts]
        with self._database.session() as session:
            session.add_all(
                fact_row(number, result.device.id, fact, blob)
                for fact, blob in zip(result.facts, blobs, strict=True)
            )
            session.add_all(judgement_row(number, judgement) for judgement in result.judgements)

    def _finish(
        self, number: int, level: int, requirements: Sequence[Requirement], status: str, objects: int
    ) -> None:
        profile = Profile2025()
        with self._database.session() as session:
            rows = session.scalars(select(JudgementRow).where(JudgementRow.assessment == number))
            judgements = [judgement_of(row) for row in rows]
            verdicts = by_requirement(requirements, judgements)
            risks = {j.high_risk for j in judgements if j.high_risk}
            score = score_2025(verdicts, len(risks), profile)
            row = session.get_one(AssessmentRow, number)
            row.status, row.finished_at, row.objects = status, self._clock.now_ms(), objects
            row.totals = json.dumps({verdict.value: count for verdict, count in score.totals.items()})
            row.profile = json.dumps(asdict(profile))
            row.rate, row.grade, row.high_risks = score.rate, score.grade, len(risks)
            row.classes = json.dumps(_classes(verdicts, judgements, profile.partial))


def _classes(
    verdicts: Mapping[tuple[str, str], Verdict], judgements: Sequence[Judgement], partial: float
) -> dict[str, tuple[float | None, int, int]]:
    risks: dict[str, set[str]] = {}
    for judgement in judgements:
        if judgement.high_risk:
            risks.setdefault(catalogue.class_of(judgement.clause), set()).add(judgement.high_risk)
    return {
        name: (rate(counts, partial), counts[Verdict.NOT_CHECKED], len(risks.get(name, ())))
        for name, counts in by_class(verdicts).items()
    }


def _newest(session: Session, scope: Scope) -> Iterator[AssessmentRow]:
    wanted = select(AssessmentRow).where(AssessmentRow.status == "done").order_by(AssessmentRow.id.desc())
    if scope.sites is not None:
        wanted = wanted.where(AssessmentRow.site.in_(scope.sites))
    seen: set[str] = set()
    for row in session.scalars(wanted):
        if row.site not in seen:
            seen.add(row.site)
            yield row


def _visible(session: Session, scope: Scope, assessment_id: int) -> AssessmentRow:
    row = session.get(AssessmentRow, assessment_id)
    if row is None or not scope.allows(SiteId(row.site)):
        raise NotFoundError(f"no assessment {assessment_id}", zh=f"没有自查 {assessment_id}")
    return row
