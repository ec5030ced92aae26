"""Forwarding to Debian's VictoriaMetrics and Prometheus while they, and we, are killed again and again."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.metrics.remote.cursor import load_cursor
from tests.monitor.metrics.remote.servers import Found, Prometheus, Server, VictoriaMetrics

SERVERS = [
    pytest.param(kind, id=kind.name, marks=pytest.mark.skipif(not kind.installed(), reason="not installed"))
    for kind in (VictoriaMetrics, Prometheus)
]
PROGRAM = """
import sys, threading
from pathlib import Path
import numpy as np
import structlog
from monitor.clock import SystemClock
from monitor.metrics.interface import SampleBlock, make_labels
from monitor.metrics.remote.backend import Access, Backend
from monitor.metrics.remote.forwarder import Forwarder
from monitor.metrics.remote.interface import Keep
from monitor.metrics.store import LocalStore
from monitor.metrics.wal_reader import WalReader

structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
folder, url, first, last, start = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6])
store = LocalStore(folder, SystemClock())
reader = WalReader(folder / "wal")
store.keep_log(reader.retire)
forwarder = Forwarder(
    reader, store.labels_of, Backend(Access(url), reopen=False), folder / "remote", SystemClock(), Keep()
)
thread = threading.Thread(target=forwarder.run)
thread.start()
codes = np.arange(40, dtype=np.int32)
pause = threading.Event()
for row in range(first, last):
    # New series keep turning up: their names are in the log long before their numbers are used.
    labels = tuple(make_labels({"device": f"d{i}", "n": str(i + row // 20)}, "forwarded") for i in range(40))
    block = SampleBlock(labels, codes, np.full(40, start + row * 250), codes + row / 4)
    assert store.append(block, durable=True).rejected == 0
    print(row, flush=True)
    pause.wait(0.01)
while forwarder.state().pending_bytes:
    pause.wait(0.02)
forwarder.stop()
thread.join()
store.close()
"""


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    made: Server = request.param(tmp_path / "server")
    made.start()
    try:
        yield made
    finally:
        made.kill()


def expected(rows: int, start: int) -> Found:
    return {
        (
            (("__name__", "forwarded"), ("device", f"d{i}"), ("n", str(i + row // 20))),
            start + row * 250,
        ): i + row / 4
        for row in range(rows)
        for i in range(40)
    }


def begin(folder: Path, server: Server, rows: tuple[int, int], start: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(folder), server.url + server.write_path]
    return subprocess.Popen(
        [*command, str(rows[0]), str(rows[1]), str(start)], stdout=subprocess.PIPE, text=True
    )


def torture(folder: Path, server: Server, rounds: int, seed: int) -> None:
    """Write rows, killing one of the two sides every round; then wait until all is forwarded, and compare."""
    chance = random.Random(seed)
    start = int(time.time()) * 1000 - 600_000
    row = 0
    for turn in range(rounds):
        with begin(folder, server, (row, row + 10_000), start) as child:
            assert child.stdout is not None
            seen = [child.stdout.readline()]
            time.sleep(chance.uniform(0.3, 0.9))
            if turn % 2:
                server.kill()
                time.sleep(chance.uniform(0.2, 0.6))
                server.start()
                time.sleep(chance.uniform(0.1, 0.8))
            child.kill()
            seen += child.stdout.readlines()
        row = int([line for line in seen if line.endswith("\n")][-1]) + 1
        row += 1  # the next one may have been stored without a word; leave it alone
    with begin(folder, server, (row, row + 5), start) as child:
        child.communicate(timeout=60)
        assert child.returncode == 0
    row += 5
    found = read(server, start + row * 250, row // 4 + 10, row)
    wanted = expected(row, start)
    silent = {at for _, at in wanted} - {at for _, at in found}
    assert len(silent) <= rounds  # only the rows that were left alone and not stored
    assert found == {key: value for key, value in wanted.items() if key[1] not in silent}
    cursor = load_cursor(folder / "remote")
    assert cursor.sent + sum(cursor.dropped.values()) >= len(found)
    assert set(cursor.dropped) <= {"refused_again"}, json.dumps(dict(cursor.dropped))


def read(server: Server, end_ms: int, seconds: int, rows: int) -> Found:
    """What the server has, once it shows the last row."""
    end = time.monotonic() + 10
    while True:
        server.flush()
        found = server.samples("forwarded", end_ms, seconds)
        if len({at for _, at in found if at == end_ms - 250}) or time.monotonic() > end:
            return found
        time.sleep(0.2)


def test_nothing_is_missing_after_kills_on_both_sides(server: Server, tmp_path: Path) -> None:
    torture(tmp_path / "metrics", server, 2, 1)


@pytest.mark.slow
def test_nothing_is_missing_after_many_kills_on_both_sides(server: Server, tmp_path: Path) -> None:
    torture(tmp_path / "metrics", server, 12, 2)
