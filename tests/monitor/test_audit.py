"""The audit chain: what an attacker with the database file can and cannot hide."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.audit import AuditLog
from monitor.clock import ManualClock
from monitor.database import Database


def fill(audit: AuditLog, count: int = 5) -> None:
    for number in range(count):
        audit.record(f"user{number}", "alert.ack", f"AL-{number}", {"note": "已处理", "n": number})


def test_a_chain_that_nobody_touched_holds(audit: AuditLog) -> None:
    fill(audit)
    report = audit.verify()
    assert report.ok
    assert report.entries == 5


@pytest.mark.parametrize(
    ("statement", "bad"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE id = 3", 3),
        ("UPDATE audit SET detail = '{}' WHERE id = 2", 2),
        ("UPDATE audit SET at = at + 1 WHERE id = 5", 5),
        ("DELETE FROM audit WHERE id = 3", 4),
        ("DELETE FROM audit WHERE id = 1", 2),
        ("DELETE FROM audit WHERE id = 5", 5),
        ("DELETE FROM audit", 1),
    ],
)
def test_every_alteration_is_found(audit: AuditLog, database: Database, statement: str, bad: int) -> None:
    fill(audit)
    with database.session() as session:
        session.execute(text(statement))
    report = audit.verify()
    assert not report.ok
    assert report.first_bad == bad
    assert report.reason


def test_swapping_two_entries_is_found(audit: AuditLog, database: Database) -> None:
    fill(audit)
    with database.session() as session:
        for statement in (
            "UPDATE audit SET id = 99 WHERE id = 2",
            "UPDATE audit SET id = 2 WHERE id = 3",
            "UPDATE audit SET id = 3 WHERE id = 99",
        ):
            session.execute(text(statement))
    assert audit.verify().first_bad == 2


def test_a_rewritten_chain_differs_from_its_anchors(
    audit: AuditLog, database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    fill(audit)
    with database.session() as session:
        session.execute(text("DELETE FROM audit"))
    forger = AuditLog(database, clock)  # writes no anchors
    fill(forger, 4)
    forger.record("user4", "alert.ack", "another story")
    assert forger.verify().ok
    assert not audit.verify().ok


def test_entries_come_newest_first_and_page(audit: AuditLog) -> None:
    fill(audit, 7)
    first = audit.entries(limit=3)
    assert [entry.id for entry in first] == [7, 6, 5]
    assert [entry.id for entry in audit.entries(limit=3, before=first[-1].id)] == [4, 3, 2]
    assert first[0].detail == {"note": "已处理", "n": 6}
