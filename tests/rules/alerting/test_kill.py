"""kill -9 in the middle of evaluations: what was committed is whole, and the next engine goes on from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy import func, select, text

from monitor.clock import ManualClock
from monitor.database import Database
from monitor.metrics.interface import block_of, make_labels
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.engine import PromqlEngine
from rules.alerting.engine import Engine
from rules.alerting.files import parse_rules
from rules.alerting.journal import Journal
from rules.alerting.states import Phase
from rules.alerting.tables import AlertEventRow, AlertRow
from tests.rules.alerting.engine_child import RULES

CHILD = Path(__file__).with_name("engine_child.py")


def _kill_after(folder: Path, start_ms: int, rounds: int) -> None:
    """Run the child for some rounds, then kill -9."""
    command = [sys.executable, str(CHILD), str(folder), str(start_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        done = 0
        for line in child.stdout:
            done += line[0].isdigit()
            if done >= rounds:
                break
        child.kill()
        child.stdout.close()
        child.wait()
    assert done >= rounds


def test_state_survives_kill_9(tmp_path: Path, database: Database, clock: ManualClock) -> None:
    start = clock.now_ms()
    for kill in range(3):
        _kill_after(tmp_path, start + kill * 1_000_000, rounds=4 + 3 * kill)
        with database.session() as session:
            assert session.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
            rows = list(session.scalars(select(AlertRow)))
            fired = dict(
                session.execute(
                    select(AlertEventRow.alert_id, func.count())
                    .where(AlertEventRow.kind == "fired")
                    .group_by(AlertEventRow.alert_id)
                ).fetchall()  # type: ignore[arg-type]
            )
        odd = [row for row in rows if row.name == "Odd"]
        assert len(odd) == 20
        assert len({row.number for row in odd}) == 20
        assert all(fired[row.id] >= 1 for row in odd), "row and timeline are one transaction"
        (slow,) = [row for row in rows if row.name == "Slow"]
        assert (slow.phase, slow.active_at) == (Phase.PENDING, start + 1000), (
            "pending since the first process"
        )

    store = MemoryStore()
    queries = PromqlEngine(store)
    clock.advance(3601)
    groups, _ = parse_rules(RULES, "child.yml", queries.compile)
    engine = Engine(store, queries, Journal(database, dict), clock)
    engine.load(groups)
    store.append(block_of([(make_labels({"device": "s"}, "slow"), clock.now_ms(), 1.0)]))
    engine.evaluate("child.yml;g")
    with database.session() as session:
        row = session.scalars(select(AlertRow).where(AlertRow.name == "Slow")).one()
    assert (row.phase, row.fired_at) == (Phase.FIRING, clock.now_ms()), "`for` went on through every kill"
