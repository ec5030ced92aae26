"""`zhishou collect` as a process: a real host over SSH and a probe, a killed collector, a clean stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from collectors.cli import collect
from collectors.outbox import MAGIC
from monitor.errors import InputError
from monitor.model import Device, DeviceId, Kind, Probe, SiteId, SshAccess
from tests.collectors.fake_core import TOKEN, FakeCore
from tests.real.sshd import LoopbackSshd, free_port


@pytest.fixture
def core() -> Iterator[FakeCore]:
    made = FakeCore()
    made.start()
    yield made
    made.cut()


def start(core: FakeCore, folder: Path, *more: str) -> subprocess.Popen[str]:
    token = folder / "token"
    token.write_text(TOKEN + "\n")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ZHISHOU_")}
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "monitor.cli",
        "collect",
        "--core",
        core.url,
        "--id",
        "core",
    ]
    return subprocess.Popen(
        [*command, "--token-file", str(token), "--data", str(folder / "data"), *more],
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop(process: subprocess.Popen[str]) -> tuple[int, float, str]:
    """Exit code, seconds it took, and what it logged."""
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=15)
    return process.returncode, time.monotonic() - started, said


def test_a_host_is_polled_and_the_process_stops_cleanly(core: FakeCore, tmp_path: Path) -> None:
    with LoopbackSshd(tmp_path) as sshd:
        access = SshAccess("k", port=sshd.port, host_key=sshd.host_key_fingerprint, interval=1)
        probe = Probe("tcp", "ssh", port=sshd.port, interval=1)
        device = Device(
            DeviceId("HIS"), SiteId("H001"), "HIS", Kind.SERVER, "127.0.0.1", ssh=access, probes=(probe,)
        )
        core.assign("1", [device], {"k": {"kind": "ssh", "user": sshd.user, "private_key": sshd.private_key}})
        own = f"127.0.0.1:{free_port()}"
        process = start(core, tmp_path, "--metrics-listen", own)
        arrived = core.wait(
            lambda: bool(core.series("device_cpu_ratio")) and bool(core.series("probe_success")), 20
        )
        page = urllib.request.urlopen(f"http://{own}/metrics", timeout=5).read().decode() if arrived else ""
        code, seconds, said = stop(process)
        assert arrived, said
    assert (code, seconds < 5) == (0, True)
    assert 'collector_polls_total{module="ssh",outcome="up"}' in page
    ups = {(dict(labels)["job"], values[0][1]) for labels, values in core.series("up").items()}
    assert ups == {("node", 1.0), ("probe", 1.0), ("collector", 1.0)}
    assert {dict(labels)["instance"] for labels in core.series("node_load1")} == {f"127.0.0.1:{sshd.port}"}
    assert "PRIVATE KEY" not in said
    assert TOKEN not in said


def test_kill_nine_with_a_cut_uplink_loses_no_poll(core: FakeCore, tmp_path: Path) -> None:
    probe = Probe("tcp", "p", port=free_port(), interval=0.2)
    device = Device(DeviceId("D"), SiteId("H001"), "d", Kind.SERVER, "127.0.0.1", probes=(probe,))
    core.assign("1", [device], {})
    process = start(core, tmp_path)
    assert core.wait(lambda: bool(core.series("probe_success")), 20)
    core.cut()
    spool = tmp_path / "data/collectors/core/spool/metrics"

    def frames() -> int:
        return sum(path.read_bytes().count(MAGIC) for path in spool.glob("*.seg"))

    before = frames()
    while frames() < before + 5:  # one of them may be the collector's own metrics
        time.sleep(0.05)
    process.kill()
    process.communicate()
    cut_off = time.time() * 1000
    sent = {at for values in core.series("probe_success").values() for at, _ in values}
    core.start()
    process = start(core, tmp_path)
    later = core.wait(
        lambda: any(at > cut_off for values in core.series("probe_success").values() for at, _ in values), 20
    )
    stop(process)
    times = {at for values in core.series("probe_success").values() for at, _ in values}
    assert later
    assert len([at for at in times - sent if at < cut_off]) >= 2, (
        "what was spooled before the kill came later"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--core", "core:8080", "--id", "a"], "http(s)://HOST"),
        (["--core", "http://127.0.0.1:1", "--id", "../a"], "no collector id"),
        (["--core", "http://127.0.0.1:1", "--id", "a", "--token-file", "/none"], "token create"),
        (["--core", "http://127.0.0.1:1", "--id", "a", "--metrics-listen", "x"], "HOST:PORT"),
        (["--id", "a"], "core"),
    ],
)
def test_wrong_usage_is_explained(tmp_path: Path, arguments: list[str], said: str) -> None:
    with pytest.raises((InputError, click.UsageError)) as caught:
        collect.main(["--data", str(tmp_path / "data"), *arguments], standalone_mode=False)
    assert caught.value.exit_code == 2
    assert said in str(caught.value)
    assert not (tmp_path / "data").exists(), "nothing is written before the arguments are right"
