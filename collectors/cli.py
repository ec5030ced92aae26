"""`zhishou collect`: the collector process. (`zhishou poll` is in collectors.snmp.cli.)"""

from __future__ import annotations

import re
import signal
import threading
from importlib.metadata import entry_points
from pathlib import Path

import click
import structlog
from prometheus_client import CollectorRegistry, start_http_server

from collectors.agent import Agent, AgentOptions
from collectors.assignment import AssignmentSource
from collectors.outbox import Outbox
from collectors.pollers import build_pollers
from collectors.snmp.batch.process import FleetOptions, SnmpProcess
from collectors.snmp.batch.targets import Limits
from collectors.snmp.cli import poll
from collectors.telemetry import CollectorMetrics
from collectors.uplink import CoreClient
from monitor.clock import SystemClock
from monitor.errors import InputError, ZhishouError
from monitor.settings import load_settings
from monitor.telemetry import configure_logging, process_registry
from monitor.vault import load_vault

__all__ = ["collect", "poll"]
MEBIBYTE = 1 << 20
COMPANIONS = "zhishou.companions"
# Thousands may be silent at once, each with a request waiting for its timeout; a site's lines are not to be filled.
LIMITS = Limits(flying=4096, site_rate=1000.0)
log = structlog.get_logger(__name__)


@click.command()
@click.option("--core", required=True, metavar="URL", help="Address of the core, http(s)://HOST[:PORT].")
@click.option("--id", "collector", required=True, help="This collector's id, as the inventory names it.")
@click.option(
    "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the ingest token."
)
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder (spool, sealed assignment)."
)
@click.option(
    "--workers", default=32, show_default=True, type=click.IntRange(1, 512), help="Polls at the same time."
)
@click.option(
    "--spool-mib", default=4096, show_default=True, type=click.IntRange(16), help="Room for unsent samples."
)
@click.option(
    "--ca-file", default="", metavar="FILE", help="Certificate authorities to trust besides the system's."
)
@click.option(
    "--metrics-listen", default="", metavar="HOST:PORT", help="Serve this process's own /metrics here."
)
def collect(
    core: str,
    collector: str,
    token_file: Path | None,
    data: Path | None,
    workers: int,
    spool_mib: int,
    ca_file: str,
    metrics_listen: str,
) -> None:
    """Poll the devices of this collector's sites; spool to disk, then push to the core. Ends on SIGTERM."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", collector):
        raise InputError(
            f"{collector!r} is no collector id", hint="letters, digits, dot, dash and underscore"
        )
    client = CoreClient(core, _token(token_file), ca_file=ca_file)
    own_page = _address(metrics_listen) if metrics_listen else None
    settings = load_settings(flags={"data": str(data) if data else None})
    configure_logging(settings.log_level, "collector")
    folder = settings.folder / "collectors" / collector
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = SystemClock()
    registry = process_registry("collector")
    source = AssignmentSource(client, collector, load_vault(settings), folder / "assignment")
    outbox = Outbox(folder / "spool", metric_bytes=spool_mib * MEBIBYTE)
    options = AgentOptions(collector, folder, workers=workers)
    pollers = build_pollers(clock, ca_file=ca_file)
    metrics = CollectorMetrics(registry)
    agent = Agent(options, client, source, pollers, outbox, clock, metrics)
    fleet = FleetOptions(settings.profiles, settings.log_level, limits=LIMITS)
    agent.batch(SnmpProcess(fleet, agent, metrics.show_fleet))
    agent.accompany([entry.load()(agent, settings, registry) for entry in entry_points(group=COMPANIONS)])
    _serve(agent, registry, own_page)


def _serve(agent: Agent, registry: CollectorRegistry, own_page: tuple[str, int] | None) -> None:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    server = None
    if own_page is not None:
        host, port = own_page
        server, _ = start_http_server(port, host, registry=registry)
    agent.start()
    log.info("collector started")
    while not stopping.wait(1.0) and not agent.failed:
        pass
    agent.stop()
    if server is not None:
        server.shutdown()
        server.server_close()
    log.info("collector stopped")
    if agent.failed:
        raise ZhishouError("a part of the collector failed", hint="its log says which and why")


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the token: {error}",
            where=str(file),
            hint="`zhishou token create --scope ingest` makes one",
        ) from error


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"{text!r} is not HOST:PORT", where="--metrics-listen")
    return host.strip("[]"), int(port)
