"""The fleet in its own process: what it polls arrives, it is started again, and it does not outlive the collector."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from collectors.interface import Credential
from collectors.snmp.batch.process import FleetOptions, SnmpProcess
from tests.collectors.snmp.batch.fleets import V2, Heard, device
from tests.real.snmpd import LoopbackSnmpd

V3 = Credential(
    "snmp-v3", user="ops", auth_protocol="SHA", auth_password="authpass1", priv_protocol="AES",
    priv_password="privpass1",
)  # fmt: skip


def until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never did"
        time.sleep(0.05)


def children() -> set[int]:
    return {child.pid for child in multiprocessing.active_children() if child.name == "snmp" and child.pid}


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def snmpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSnmpd]:
    folder = tmp_path_factory.mktemp("snmpd")
    with LoopbackSnmpd(folder, user="ops", auth="SHA:authpass1", priv="AES:privpass1") as running:
        yield running


@pytest.mark.slow
def test_polls_arrive_and_a_killed_process_is_started_again(snmpd: LoopbackSnmpd) -> None:
    heard, states = Heard(), list[Mapping[str, float]]()
    before = children()
    process = SnmpProcess(FleetOptions(readers=2), heard, states.append)
    process.start()
    one, two = device(snmpd.port, "one", timeout=2.0), device(snmpd.port, "two", timeout=2.0)
    process.assign([(one, V2), (two, V3)])
    try:
        until(lambda: {name for kind, name, _ in heard.told if kind == "columns"} == {"one", "two"}, 40)
        plain = {(reading.name, reading.labels) for reading in heard.results()[0].readings}
        assert set(heard.columns_of()[0]) == plain
        (child,) = children() - before
        os.kill(child, signal.SIGKILL)
        until(lambda: not alive(child), 5)
        told = len(heard.told)
        until(
            lambda: {name for kind, name, _ in heard.told[told:] if kind == "columns"} == {"one", "two"}, 40
        )
        told = len(heard.told)
        process.poll_soon(one.id)
        until(lambda: any(kind == "result" for kind, _, _ in heard.told[told:]), 10)
        process.assign([])
        time.sleep(0.8)
        told = len(heard.told)
        time.sleep(0.8)
        assert len(heard.told) == told, "nothing is polled any more"
    finally:
        (child,) = children() - before
        started = time.monotonic()
        process.stop()
        assert time.monotonic() - started < 3.0
    until(lambda: not alive(child), 2)
    until(lambda: children() == before, 2)  # it is not started again


def test_stopped_before_it_began() -> None:
    before = children()
    process = SnmpProcess(FleetOptions(), Heard(), lambda _: None)
    process.start()
    process.stop()
    until(lambda: not [one for one in threading.enumerate() if one.name == "snmp-process"], 20)
    assert children() <= before


PARENT = """
import multiprocessing, time
from collectors.snmp.batch.process import FleetOptions, SnmpProcess
from tests.collectors.snmp.batch.fleets import Heard

if __name__ == "__main__":
    process = SnmpProcess(FleetOptions(), Heard(), print)
    process.start()
    while not multiprocessing.active_children():
        time.sleep(0.05)
    print(multiprocessing.active_children()[0].pid, flush=True)
    time.sleep(60)
"""


def test_it_does_not_outlive_a_collector_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT, "utf-8")
    root = Path(__file__).parents[4]
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)}
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
        parent.wait(5)
        until(lambda: not alive(child), 20)
    finally:
        parent.kill()
        parent.wait(5)
        if parent.stdout is not None:
            parent.stdout.close()
