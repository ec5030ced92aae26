"""`zhishou doctor`: is this installation fit to run, and what to do when it is not."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import orjson

from monitor.cli.context import State, data_option, opened
from monitor.clock import SystemClock
from monitor.core_socket import ask_core
from monitor.documents import from_document
from monitor.errors import InputError, UnreachableError
from monitor.metrics.condition import ADDRESS, StoreReport, Trouble, troubles
from monitor.metrics.remote.status import forward_status
from monitor.settings import Settings

MIN_FREE_BYTES = 2 << 30
SILENT_MS = 90_000
CORE_SECONDS = 10.0
_FREE = "free disk space or replace the disk"
# Detail and remedy of each trouble of the metric store; a back end that fails is told by `_remote`.
_TROUBLES: Mapping[Trouble, tuple[str, str]] = {
    Trouble.REFUSING: ("the disk takes no samples: {writing}", _FREE),
    Trouble.DAMAGED: (
        "damaged pieces: {pieces} ({kinds}); everything else is served",
        "zhishou metrics verify; to get them back stop the core and restore a snapshot or backup",
    ),
    Trouble.SEALING: ("samples cannot be moved to files: {sealing}", _FREE),
    Trouble.DISK_FULL: ("{free} free where the samples are", "free disk space or lower retention_days"),
    Trouble.REMOTE_DROPPED: (
        "{dropped} samples of the last hour will never be in the back end",
        "check the remote_* settings and the back end",
    ),
    Trouble.REMOTE_BEHIND: ("the back end is {lag} behind", "check the network and the back end"),
    Trouble.SERIES_REFUSED: (
        "new series refused in the last hour (by site: {sites})",
        "look for labels whose values change with time",
    ),
    Trouble.QUERIES_REFUSED: (
        "{queries} queries refused in the last hour: too many at a time",
        "let dashboards refresh less often, or raise query_concurrency",
    ),
}


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
    """Look at disk, keys, database, audit chain, core, metrics and collectors; exit code 1 when something is wrong."""
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
        *_store(state.settings),
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


def _store(settings: Settings) -> list[Finding]:
    """What the core says of its metric store; nothing without a core, which is a finding of its own."""
    try:
        answer = orjson.loads(ask_core(settings.socket_path, ADDRESS, seconds=CORE_SECONDS))
        report = from_document(StoreReport, answer, ADDRESS)
    except UnreachableError:
        return []
    except InputError:
        return [Finding("metric store", False, "the core is of another version", "restart it: zhishou up")]
    found = [_TROUBLES[trouble] for trouble in troubles(report) if trouble in _TROUBLES]
    if not found:
        size = (report.chunk_bytes + report.wal_bytes) / 2**30
        return [Finding("metric store", True, f"{report.series} series, {size:.1f} GiB, no damage found")]
    values = _values(report)
    return [Finding("metric store", False, detail.format(**values), remedy) for detail, remedy in found]


def _values(report: StoreReport) -> Mapping[str, object]:
    """What the details of _TROUBLES name."""
    return {
        "pieces": report.pieces,
        "kinds": ", ".join(f"{kind.name} {kind.count}" for kind in report.damaged),
        "free": f"{report.free_bytes / 2**30:.1f} GiB",
        "writing": report.writing.text if report.writing else "",
        "sealing": report.sealing.text if report.sealing else "",
        "sites": ", ".join(f"{site.name or '(none)'} {site.count}" for site in report.series_refused),
        "queries": report.queries_refused,
        "dropped": report.remote.dropped if report.remote else 0,
        "lag": f"{report.remote.lag_seconds:.0f} s" if report.remote else "",
    }


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
