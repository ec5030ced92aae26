"""`zhishou doctor`: is this installation fit to run, and what to do when it is not."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from monitor.cli.context import State, data_option, opened
from monitor.clock import SystemClock
from monitor.metrics.remote.status import forward_status

MIN_FREE_BYTES = 2 << 30
SILENT_MS = 90_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `remedy` says what to do when it is not fine."""

    subject: str
    fine: bool
    detail: str
    remedy: str = ""


@click.command()
@data_option
@click.option("--json", "as_json", is_flag=True, help="JSON instead of lines.")
def doctor(data: str | None, as_json: bool) -> None:
    """Look at disk, keys, database, audit chain, core and collectors; exit code 1 when something is wrong."""
    with opened(data) as state:
        findings = examine(state)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
    else:
        for finding in findings:
            mark = "ok  " if finding.fine else "FAIL"
            remedy = f"  -> {finding.remedy}" if not finding.fine else ""
            click.echo(f"{mark} {finding.subject}: {finding.detail}{remedy}")
    sys.exit(0 if all(finding.fine for finding in findings) else 1)


def examine(state: State) -> list[Finding]:
    """Every examination, in the order a person would ask."""
    folder = state.settings.folder
    free = shutil.disk_usage(folder).free
    mode = folder.stat().st_mode & 0o777
    report = state.audit.verify()
    return [
        Finding(
            "disk", free > MIN_FREE_BYTES, f"{free / 2**30:.1f} GiB free", "free some space or move --data"
        ),
        Finding("data folder", mode & 0o077 == 0, f"mode {mode:04o}", f"chmod 700 {folder}"),
        Finding(
            "audit chain",
            report.ok,
            f"{report.entries} entries {report.reason}",
            "keep the files as evidence",
        ),
        _inventory(state),
        _core(state.settings.socket_path),
        *_collectors(state),
        *_remote(state),
    ]


def _inventory(state: State) -> Finding:
    inventory = state.directory.inventory()
    detail = f"{len(inventory.sites)} sites, {len(inventory.devices)} devices"
    return Finding("inventory", bool(inventory.devices), detail, "zhishou inventory apply FILE")


def _core(path: Path) -> Finding:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(str(path))
    except OSError as error:
        return Finding("core", False, f"does not answer: {error.strerror or error}", "zhishou up (or serve)")
    return Finding("core", True, f"answers on {path}")


def _collectors(state: State) -> list[Finding]:
    now = SystemClock().now_ms()
    found = []
    for status in state.directory.collectors():
        age = (now - status.last_seen) / 1000
        detail = f"last heard {age:.0f} s ago, {status.spooled_samples} samples waiting"
        found.append(
            Finding(
                f"collector {status.id}", age * 1000 < SILENT_MS, detail, "look at its log and the network"
            )
        )
    return found


def _remote(state: State) -> list[Finding]:
    status = forward_status(state.settings)
    if status is None:
        return []
    return [
        Finding(
            "metrics back end", status.fine, status.detail, "check the remote_* settings and the back end"
        )
    ]
