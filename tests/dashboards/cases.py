"""Work that has been done in the invented city: an assessment, an engagement and its findings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from monitor.clock import to_datetime
from monitor.credentials import Credentials
from monitor.database import Database
from monitor.devices import FactRequest, RawFact, RootfsTarget, SshTarget
from monitor.model import WHOLE_CITY, Severity
from playbooks.interface import FindingState
from playbooks.tables import FindingRow
from rules.compliance.register import ComplianceRegister
from tests.conftest import NOON
from tests.rules.compliance.hardened import FILES, PLANTED

HOUR = 3_600_000
OFFICER, STAFF = "security_officer-h001", "site_staff-h001"
REMEDIATION = "绑定内网地址并启用口令"


class WeakHost:
    """Answers as a hardened host on which root may log in and a guest has no password."""

    def read(self, target: SshTarget | RootfsTarget, requests: Sequence[FactRequest]) -> list[RawFact]:
        return [self._one(request) for request in requests]

    def _one(self, request: FactRequest) -> RawFact:
        files = {**FILES, **PLANTED}
        if not request.path and request.argv[0] == "grep":
            folder = request.argv[-1] + "/"
            hits = [
                f"{n}:{line}\n" for n, t in files.items() if n.startswith(folder) for line in t.splitlines()
            ]
            return RawFact(request.id, "grep", "".join(hits), 0 if hits else 2, 5, host_key="SHA256:abc")
        if not request.path:
            return RawFact(request.id, request.argv[0], "", 127, 5, missing=True, host_key="SHA256:abc")
        missing = request.path not in files
        text = files.get(request.path, "")
        return RawFact(request.id, request.path, text, 0, 5, missing=missing, host_key="SHA256:abc")


READER = WeakHost()


def assess(register: ComplianceRegister, credentials: Credentials) -> None:
    """One finished assessment of H001; its number is 1."""
    credentials.put("ops", "ssh", {"user": "auditor", "password": "hunter22"})
    register.run(WHOLE_CITY, "H001", "assessor")


def engagement(requester: str = "leader-h001", site: str = "H002") -> str:
    """A valid engagement on H001 as YAML; nobody approves what they asked for."""
    for_city = "assessor-h001" if requester == OFFICER else OFFICER
    return yaml.safe_dump(
        {
            "engagement": "E-07",
            "kind": "crosscheck",
            "requester": {"user": requester, "site": site},
            "approvers": [{"user": STAFF, "site": "H001"}, {"user": for_city, "site": "city"}],
            "authorisation": {
                "document_sha256": "ab" * 32,
                "window": {
                    "from": to_datetime(NOON - HOUR).isoformat(),
                    "to": to_datetime(NOON + HOUR).isoformat(),
                },
            },
            "scope": {"include": ["site:H001"]},
            "limits": {"pps": 50, "per_host_pps": 5, "concurrent_hosts": 2, "max_packets": 1000},
            "suite": ["exposure-basic"],
        }
    )


def add_findings(database: Database) -> None:
    """Two weaknesses of H001 and one of H002."""
    with database.session() as session:
        session.add(_finding(1, "H001", "H001-SRV-1", Severity.CRITICAL, "Redis 未授权访问"))
        session.add(_finding(2, "H001", "H001-SW-1", Severity.MINOR, "SSH 弱算法"))
        session.add(_finding(3, "H002", "H002-SW-1", Severity.MAJOR, "Telnet 明文远程管理"))


def add_bundle(folder: Path, name: str = "evidence-1.zip") -> Path:
    """A finished evidence bundle where the job leaves it."""
    path = folder / "exports" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"PK bundle")
    return path


def _finding(number: int, site: str, device: str, severity: Severity, name: str) -> FindingRow:
    return FindingRow(
        id=number,
        fingerprint=f"{number:064d}",
        site=site,
        device=device,
        address="10.1.0.10",
        port=6379,
        check="redis-unauth",
        name=name,
        severity=severity.value,
        remediation=REMEDIATION,
        state=FindingState.OPEN.value,
        owner="",
        first_seen=NOON - 48 * HOUR,
        last_seen=NOON - HOUR,
        evidence="+PONG <b>",
        until=None,
        note="",
        run=1,
    )
