"""Small parts of the core: facts, schedule, impact, documents, supervisor, command line."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import program
from monitor.documents import from_document, to_document
from monitor.errors import InputError, IntegrityError, NotFoundError
from monitor.facts import FactStore
from monitor.impact import Health, causes, service_health
from monitor.model import Device, DeviceId, Kind, Probe, Service, ServiceId, ServiceNode, SiteId, SnmpAccess
from monitor.schedule import Schedule

A, B, C = DeviceId("a"), DeviceId("b"), DeviceId("c")


def test_a_fact_is_found_by_its_digest_and_tampering_is_noticed(tmp_path: Path) -> None:
    store = FactStore(tmp_path)
    digest = store.put(b"sshd_config")
    assert store.put(b"sshd_config") == digest
    assert store.get(digest) == b"sshd_config"
    (tmp_path / digest[:2] / digest).write_bytes(b"sshd_confix")
    with pytest.raises(IntegrityError):
        store.get(digest)
    for name in ("0" * 64, "../../etc/passwd", ""):
        with pytest.raises(NotFoundError):
            store.get(name)


def test_a_failing_job_runs_again_and_others_go_on() -> None:
    schedule = Schedule()
    twice, other = threading.Semaphore(0), threading.Event()

    def broken() -> None:
        twice.release()
        raise RuntimeError("broken")

    schedule.every("broken", 0.05, broken, first_in=0)
    schedule.every("other", 0.05, other.set, first_in=0)
    schedule.daily("night", 3, 0, other.set)
    schedule.start()
    assert twice.acquire(timeout=5)
    assert twice.acquire(timeout=5)
    assert other.wait(5)
    assert schedule.names() == ["broken", "night", "other"]
    schedule.remove("other")
    schedule.remove("nothing")
    schedule.stop()


def leaf(device: DeviceId) -> ServiceNode:
    return ServiceNode("leaf", device=device)


@pytest.mark.parametrize(
    ("a", "b", "c", "expected"),
    [
        (Health.OK, Health.OK, Health.OK, Health.OK),
        (Health.OK, Health.DOWN, Health.OK, Health.DEGRADED),
        (Health.OK, Health.DEGRADED, Health.OK, Health.OK),
        (Health.OK, Health.UNKNOWN, Health.OK, Health.DEGRADED),
        (Health.OK, Health.DOWN, Health.DOWN, Health.DOWN),
        (Health.DOWN, Health.OK, Health.OK, Health.DOWN),
        (Health.OK, Health.UNKNOWN, Health.DOWN, Health.UNKNOWN),
        (Health.UNKNOWN, Health.OK, Health.OK, Health.UNKNOWN),
    ],
)
def test_redundancy_degrades_and_loss_of_all_is_down(
    a: Health, b: Health, c: Health, expected: Health
) -> None:
    tree = ServiceNode("all", (leaf(A), ServiceNode("any", (leaf(B), leaf(C)))))
    service = Service(ServiceId("HIS"), "HIS", SiteId("H001"), tree)
    states = {A: a, B: b, C: c}
    assert service_health(service, states) is expected
    assert causes(service, states) == [d for d in (A, B, C) if states[d] is not Health.OK]


def test_a_device_survives_the_trip_through_a_document() -> None:
    device = Device(
        A, SiteId("H1"), "核心", Kind.NETWORK, "192.0.2.1", depends_on=(B,), snmp=SnmpAccess("ro", interval=5),
        probes=(Probe("tcp", "web", port=443),),
    )  # fmt: skip
    assert from_document(Device, to_document(device)) == device
    with pytest.raises(InputError, match="unknown key 'nmae'"):
        from_document(Device, {**to_document(device), "nmae": "x"})
    with pytest.raises(InputError, match=r"snmp\.port"):
        from_document(Device, {**to_document(device), "snmp": {"credential": "ro", "port": "161"}})


def test_a_child_that_dies_is_started_again_and_all_stop_together(tmp_path: Path) -> None:
    code = (
        "import sys; from monitor.supervise import *; "
        f"Supervisor([Child('short', ['sh', '-c', 'echo run >> {tmp_path}/log; exit 3']), "
        f"Child('long', ['sh', '-c', 'echo $$ > {tmp_path}/pid; exec sleep 60']), "
        f"Child('later', ['sh', '-c', 'echo ran > {tmp_path}/later'], after='{tmp_path}/nothing')]).run()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    log = tmp_path / "log"
    for _ in range(100):
        if log.exists() and log.read_text().count("run") >= 2 and (tmp_path / "pid").exists():
            break
        threading.Event().wait(0.1)
    process.terminate()
    assert process.wait(20) == 0
    assert log.read_text().count("run") >= 2
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    assert not (tmp_path / "later").exists()


def test_every_command_has_help() -> None:
    runner = CliRunner()
    listed = program.list_commands(None)  # type: ignore[arg-type]
    assert {"up", "serve", "poll", "query", "assess", "playbook"} <= set(listed)
    for name in listed:
        result = runner.invoke(program, [name, "--help"])
        assert result.exit_code == 0, (name, result.output)


def zhishou(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monitor.cli", *argv], capture_output=True, text=True, check=False
    )


def test_exit_codes_and_messages_of_the_program(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path))
    assert zhishou("no-such-command").returncode == 2
    missing = zhishou("inventory", "validate", *data, str(tmp_path / "nothing.yml"))
    assert missing.returncode == 2
    assert "cannot be read" in missing.stderr
    verified = zhishou("audit", "verify", *data)
    assert (verified.returncode, verified.stdout) == (0, "ok: 0 entries, chain unbroken\n")
    added = zhishou("user", "add", *data, "lin", "--role", "duty_operator")
    assert "one-time password" in added.stdout
    assert "lin" in zhishou("user", "list", *data).stdout
    assert zhishou("doctor", *data).returncode == 1
    refused = zhishou("up", *data, "--listen", "0.0.0.0:8080", "--insecure-local-api")
    assert refused.returncode == 2
    assert "loopback" in refused.stderr


def test_what_the_program_writes_is_its_own_users_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name in ("state.db", "state.db-wal"):
        (tmp_path / name).touch(0o644)
    assert zhishou("user", "add", "--data", str(tmp_path), "lin", "--role", "duty_operator").returncode == 0
    files = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.rglob("*")}
    assert {"state.db", "vault.key", "audit.anchors"} <= set(files)
    assert not any(files.values()), files
