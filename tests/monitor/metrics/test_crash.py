"""kill -9 at any moment loses nothing that was acknowledged."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from monitor.clock import SystemClock
from monitor.metrics.interface import Matcher, MatchOp
from monitor.metrics.store import LocalStore

WRITER = """
import sys
from pathlib import Path
import numpy as np
from monitor.clock import ManualClock
from monitor.metrics.interface import SampleBlock, make_labels
from monitor.metrics.store import LocalStore

folder, first = Path(sys.argv[1]), int(sys.argv[2])
start = {start}
labels = tuple(make_labels({{"job": "snmp", "device": f"d{{i % 7}}", "i": str(i)}}, "m") for i in range(50))
codes = np.arange(50, dtype=np.int32)
clock = ManualClock(start + first * {step})
store = LocalStore(folder, clock)
for row in range(first, 10_000_000):
    block = SampleBlock(labels, codes, np.full(50, start + row * {step}), codes + float(row))
    store.append(block, durable=True)
    print("stored", row, flush=True)
    clock.advance({step} / 1000)
    if row % 7 == 0:
        store.maintain()
"""
START = SystemClock().now_ms() - 20 * 86_400_000
STEP = 600_000


def run_until_killed(folder: Path, first: int, seconds: float) -> int:
    """Write from row `first` on, kill -9 after a while; the last acknowledged row (first - 1 when none)."""
    program = WRITER.format(start=START, step=STEP)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder), str(first)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        rows = [child.stdout.readline()]
        time.sleep(seconds)
        child.kill()
        rows += child.stdout.readlines()
    acknowledged = [int(row.split()[1]) for row in rows if row.startswith("stored ") and row.endswith("\n")]
    return acknowledged[-1] if acknowledged else first - 1


def check(folder: Path, acknowledged: int) -> int:
    """Every acknowledged row is there, whole and in order; the number of rows found."""
    store = LocalStore(folder, SystemClock())
    found = store.window([Matcher("__name__", MatchOp.EQ, "m")], START - 1, START + 10_000_000 * STEP)
    store.close()
    rows = len(found.values)
    assert rows >= acknowledged + 1
    assert found.present.all()
    assert found.values.shape[1] == 50
    assert (found.values == np.arange(rows)[:, None] + np.arange(50)).all()
    assert (found.timestamps[:, found.group] == (START + np.arange(rows) * STEP)[:, None]).all()
    return rows


def torture(folder: Path, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    rows = 0
    for _ in range(rounds):
        acknowledged = run_until_killed(folder, rows, chance.uniform(0.02, 0.25))
        rows = check(folder, acknowledged)
    assert rows > rounds


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    torture(tmp_path, 3, 1)


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_in_many_crashes(tmp_path: Path) -> None:
    torture(tmp_path, 25, 2)
