"""The parts of discovery over one state database, as one value: for the core, and for the console."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.audit import AuditLog
from monitor.clock import Clock
from monitor.credentials import Credentials
from monitor.database import Database
from monitor.directory import Directory
from monitor.discovery.approval import Approval
from monitor.discovery.grants import SiteCredentials
from monitor.discovery.journal import Journal
from monitor.discovery.proposals import Proposals
from monitor.discovery.scans import Scans


@dataclass(frozen=True, slots=True)
class Discovery:
    """Scans, what they found, the way into the inventory, and what changed."""

    scans: Scans
    proposals: Proposals
    approval: Approval
    journal: Journal
    grants: SiteCredentials


def open_discovery(
    database: Database, directory: Directory, credentials: Credentials, audit: AuditLog, clock: Clock
) -> Discovery:
    """All of it, over one database."""
    grants = SiteCredentials(database, directory, credentials, audit, clock)
    proposals = Proposals(database, directory, audit, clock)
    return Discovery(
        scans=Scans(database, directory, grants, audit, clock),
        proposals=proposals,
        approval=Approval(proposals, directory, credentials, grants, audit),
        journal=Journal(database, directory),
        grants=grants,
    )
