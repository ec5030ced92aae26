"""Copies of a store in use, the check of all checksums, and a catalog that is damaged or lost."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.errors import InputError
from monitor.metrics.chunks import DAY_MS
from monitor.metrics.cli import metrics
from monitor.metrics.interface import Labels, Matcher, MatchOp, block_of, make_labels
from monitor.metrics.snapshot import snapshot, verify
from monitor.metrics.store import LocalStore
from tests.monitor.metrics.oracle import Samples, bits_of, contents

NOON = 1_795_262_400_000
SERIES = [make_labels({"job": "snmp", "device": f"d{i % 5}", "x": str(i)}, f"m{i % 3}") for i in range(20)]


def fill(store: LocalStore, clock: ManualClock, hours: int) -> None:
    for step in range(hours * 6):
        now = clock.now_ms()
        store.append(block_of((labels, now, float(step * i)) for i, labels in enumerate(SERIES)))
        if step % 10 == 5:
            late = SERIES[step % 20]
            store.append(block_of([(late, now - 5 * 3_600_000 + 1, 5.0)]))
        store.maintain()
        clock.advance(600)


def everything(folder: Path, clock: ManualClock) -> Samples:
    store = LocalStore(folder, clock)
    try:
        return contents(store.window([], 0, clock.now_ms() * 2))
    finally:
        store.close()


def test_a_snapshot_has_everything_acknowledged_before_it(tmp_path: Path, clock: ManualClock) -> None:
    source, copy = tmp_path / "metrics", tmp_path / "copy"
    store = LocalStore(source, clock)
    fill(store, clock, 60)
    store.compact(NOON)
    expected = contents(store.window([], 0, clock.now_ms()))
    store.snapshot(copy)
    fill(store, clock, 20)
    assert verify(copy).damage == ()
    assert everything(copy, ManualClock(clock.now_ms())) == expected
    # Both go on by themselves.
    store.close()
    assert everything(source, clock).keys() == expected.keys()
    assert verify(source).damage == ()


def test_snapshots_while_others_write(tmp_path: Path, clock: ManualClock) -> None:
    source = tmp_path / "metrics"
    store = LocalStore(source, clock)
    labels: list[Labels] = SERIES[:4]
    start = clock.now_ms()
    stored = [0]
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            at = start + stored[0] * 60_000
            store.append(block_of((one, at, float(stored[0])) for one in labels), durable=True)
            stored[0] += 1
            clock.advance(60)
            if stored[0] % 20 == 0:
                clock.advance(600)
                store.maintain()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for attempt in range(8):
            before = stored[0]
            snapshot(source, tmp_path / str(attempt))
            found = everything(tmp_path / str(attempt), ManualClock(clock.now_ms()))
            for samples in found.values():
                assert samples == [(start + row * 60_000, bits_of(float(row))) for row in range(len(samples))]
                assert len(samples) >= before
    finally:
        done.set()
        writer.join()
        store.close()


def test_a_snapshot_goes_to_a_new_folder(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path / "metrics", clock)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        store.snapshot(tmp_path / "used")
    store.close()
    with pytest.raises(InputError, match="no metric store"):
        snapshot(tmp_path / "nothing", tmp_path / "new")


class Filled:
    """A closed store. No dataclass: Hypothesis would print all of it."""

    def __init__(self, folder: Path, found: Samples, now: int) -> None:
        self.folder, self.found, self.now = folder, found, now

    def __repr__(self) -> str:
        return "Filled"

    def __iter__(self) -> Iterator[Any]:
        return iter((self.folder, self.found, self.now))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A closed store with sealed, compacted, late and logged samples; its contents; the time."""
    folder = tmp_path_factory.mktemp("filled") / "metrics"
    clock = ManualClock(NOON)
    store = LocalStore(folder, clock)
    fill(store, clock, 40)
    store.compact(NOON)
    found = contents(store.window([], 0, clock.now_ms()))
    store.close()
    return Filled(folder, found, clock.now_ms())


@settings(max_examples=40, deadline=None)
@given(which=st.integers(0, 1000), at=st.integers(0, 10_000_000), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_found_counted_and_hides_little(
    tmp_path_factory: pytest.TempPathFactory, filled: Filled, which: int, at: int, bit: int
) -> None:
    source, expected, now = filled
    folder = tmp_path_factory.mktemp("flip") / "metrics"
    shutil.copytree(source, folder)
    assert verify(folder).damage == ()
    paths = sorted(
        p for p in folder.rglob("*") if p.is_file() and p.stat().st_size and "quarantine" not in p.parts
    )
    path = paths[which % len(paths)]
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    report = verify(folder)
    # Only the length in the last header of a log looks like an append that was cut short.
    torn = path.suffix == ".seg" or path.name == "names"
    assert report.damage or torn
    assert {damage.file for damage in report.damage} <= {str(path.relative_to(folder))}
    store = LocalStore(folder, ManualClock(now))
    store._history.raw.names()  # reads every frame there is
    found = contents(store.window([], 0, now))
    stats = store.stats()
    store.close()
    assert set(found) <= set(expected)
    for labels, samples in found.items():
        assert set(samples) <= set(expected[labels])
    if "catalog" in path.parts:
        assert found == expected
        assert stats["quarantined_catalog"] == len(report.damage)
    elif "raw" in path.parts:
        assert stats["quarantined"] >= 1
    again = LocalStore(folder, ManualClock(now))
    assert contents(again.window([], 0, now)) == found
    assert again.stats()["quarantined_catalog"] == again.stats()["quarantined_wal"] == 0
    again.close()


@pytest.mark.parametrize("lost", [["names"], ["state"], ["names", "state"]])
def test_a_lost_catalog_is_rebuilt(tmp_path: Path, filled: Filled, lost: list[str]) -> None:
    source, expected, now = filled
    folder = tmp_path / "metrics"
    shutil.copytree(source, folder)
    for name in lost:
        (folder / "catalog" / name).unlink()
    clock = ManualClock(now)
    assert everything(folder, clock) == expected
    store = LocalStore(folder, clock)
    assert store.append(block_of([(SERIES[0], now, 1.0)])).accepted == 1
    clock.advance(4 * 3600)
    store.maintain()
    found = contents(store.window([], 0, now))
    assert found == {**expected, SERIES[0]: [*expected[SERIES[0]], (now, bits_of(1.0))]}
    store.close()


def test_series_that_come_and_go_leave_nothing_behind(tmp_path: Path, clock: ManualClock) -> None:
    store = LocalStore(tmp_path, clock, retention_days=2, five_minute_days=4, hour_days=5)
    sizes = []
    for hour in range(24 * 12):
        now = clock.now_ms()
        rows = [(SERIES[i], now, 1.0) for i in range(5)]
        rows += [(make_labels({"pod": f"{hour}-{i}", "job": "k"}, "up"), now, 1.0) for i in range(20)]
        assert store.append(block_of(rows)).accepted == len(rows)
        clock.advance(3600)
        store.maintain()
        if hour % 24 == 23:
            sizes.append((store.stats()["series"], (tmp_path / "catalog" / "names").stat().st_size))
    assert sizes[-1][0] <= 5 + 20 * 24 * 4.5
    assert sizes[-1][0] <= sizes[4][0] * 1.1
    assert sizes[-1][1] <= sizes[5][1] * 2.5
    pods = store.label_values("pod", [], 0, clock.now_ms())
    assert len(pods) == sizes[-1][0] - 5
    assert store.series([Matcher("pod", MatchOp.RE, "[01]-.*")], 0, clock.now_ms()) == []
    store.close()
    again = LocalStore(tmp_path, clock, retention_days=2, five_minute_days=4, hour_days=5)
    assert again.stats()["series"] == sizes[-1][0]
    lasting = contents(again.window([], 0, clock.now_ms() - 4 * DAY_MS))
    assert set(lasting) == set(SERIES[:5])
    again.close()


def test_the_commands(tmp_path: Path, filled: Filled) -> None:
    source, expected, now = filled
    shutil.copytree(source, tmp_path / "data" / "metrics")
    run = CliRunner().invoke
    data = ["--data", str(tmp_path / "data")]
    copied = run(metrics, ["snapshot", str(tmp_path / "copy"), *data])
    assert copied.exit_code == 0, copied.output
    assert everything(tmp_path / "copy", ManualClock(now)) == expected
    sound = run(metrics, ["verify", *data])
    assert (sound.exit_code, "no damage" in sound.output) == (0, True)
    path = min((tmp_path / "data" / "metrics" / "chunks" / "raw").rglob("*.chunks"))
    content = bytearray(path.read_bytes())
    content[100] ^= 4
    path.write_bytes(content)
    damaged = run(metrics, ["verify", *data])
    assert damaged.exit_code == 1
    assert path.name in damaged.output
    listed = run(metrics, ["verify", "--json", *data])
    assert listed.exit_code == 1
    assert '"offset"' in listed.output
