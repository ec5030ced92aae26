"""kill -9 at any moment, also while samples are sealed and days compacted, loses nothing that was acknowledged."""

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
from monitor.metrics.snapshot import verify
from monitor.metrics.store import LocalStore

START = SystemClock().now_ms() - 20 * 86_400_000
STEP = 600_000
LATE = 5 * 3_600_000 - 1
WRITER = f"""
import os, sys, time
from pathlib import Path
import numpy as np
from monitor.clock import ManualClock
from monitor.metrics.interface import SampleBlock, make_labels
from monitor.metrics.store import LocalStore

class SlowDisk:
    def write(self, descriptor, data):
        return os.write(descriptor, data)

    def sync(self, descriptor):
        time.sleep(0.004)
        os.fdatasync(descriptor)

folder, first = Path(sys.argv[1]), int(sys.argv[2])
labels = tuple(make_labels({{"job": "snmp", "device": f"d{{i % 7}}", "i": str(i)}}, "m") for i in range(50))
late = (make_labels({{"job": "snmp", "device": "far"}}, "late"),)
one = np.zeros(1, np.int32)
codes = np.arange(50, dtype=np.int32)
clock = ManualClock({START} + first * {STEP})
store = LocalStore(folder, clock, disk=SlowDisk())
for row in range(first, 10_000_000):
    now = {START} + row * {STEP}
    newest = SampleBlock(late, one, np.array([now]), np.array([-1.0]))
    store.append(newest)
    store.append(SampleBlock(late, one, np.array([now - {LATE}]), np.array([float(row)])))
    store.append(SampleBlock(labels, codes, np.full(50, now), codes + float(row)), durable=True)
    print("stored", row, flush=True)
    clock.advance({STEP} / 1000)
    if row % 7 == 0:
        print("seal", flush=True)
        store.maintain()
    if row % 20 == 10:
        print("compact", flush=True)
        store.compact(now - 86_400_000 // 2)
"""


def run_until_killed(folder: Path, first: int, seconds: float, during: str) -> int:
    """Write from row `first` on, kill -9 a while after something begins; the last acknowledged row, first - 1 if none."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(first)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        rows = [child.stdout.readline()]
        while during != rows[-1].split()[0]:
            rows.append(child.stdout.readline())
        time.sleep(seconds)
        child.kill()
        rows += child.stdout.readlines()
    acknowledged = [int(row.split()[1]) for row in rows if row.startswith("stored ") and row.endswith("\n")]
    return acknowledged[-1] if acknowledged else first - 1


def named(name: str) -> list[Matcher]:
    return [Matcher("__name__", MatchOp.EQ, name)]


def check(folder: Path, acknowledged: int) -> int:
    """Every acknowledged row is there, whole and in order; the number of rows found."""
    began = time.process_time()
    store = LocalStore(folder, SystemClock())
    assert time.process_time() - began < 5
    found = store.window(named("m"), START - 1, START + 10_000_000 * STEP)
    late = store.window(named("late"), START - LATE - 1, START + 10_000_000 * STEP)
    assert store.stats()["quarantined"] == 0
    store.close()
    rows = len(found.values)
    assert rows >= acknowledged + 1
    assert found.present.all()
    assert found.values.shape[1] == 50
    assert (found.values == np.arange(rows)[:, None] + np.arange(50)).all()
    assert (found.timestamps[:, found.group] == (START + np.arange(rows) * STEP)[:, None]).all()
    came = late.values[late.values >= 0]
    assert len(came) >= acknowledged + 1
    assert (came == np.arange(len(came))).all()
    assert (late.timestamps[late.values[:, 0] >= 0, 0] == START + np.arange(len(came)) * STEP - LATE).all()
    return rows


def torture(folder: Path, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    rows = 0
    for number in range(rounds):
        during = ("stored", "seal", "compact")[number % 3]
        acknowledged = run_until_killed(folder, rows, chance.uniform(0.0, 0.08), during)
        rows = check(folder, acknowledged)
    assert rows > rounds
    assert verify(folder).damage == ()
    assert any((folder / "chunks" / "raw").glob("*/*-1.chunks"))


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    torture(tmp_path, 6, 1)


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_in_many_crashes(tmp_path: Path) -> None:
    torture(tmp_path, 50, 2)
