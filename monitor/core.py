"""The core process: builds the runtime, the services of every room, and serves them on a Unix socket.

The socket is readable by the core's own user only; the web process checks tokens before it forwards to it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from importlib.metadata import entry_points
from types import FrameType

import structlog
from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from waitress.server import create_server

from monitor.clock import SystemClock
from monitor.directory import Directory
from monitor.events.sqlite import SqliteEvents
from monitor.facts import FactStore
from monitor.jobs import JobRunner, Jobs
from monitor.metrics.cardinality import Cardinality
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.store import LocalStore
from monitor.schedule import Schedule
from monitor.service import Runtime, Service, ServiceFactory
from monitor.settings import Settings
from monitor.state import open_audit, open_database
from monitor.telemetry import process_registry
from monitor.vault import load_vault

log = structlog.get_logger(__name__)
MAX_BODY = 96 << 20
THREADS = 48  # 16 running and 8 waiting queries leave room for writers, events and collectors


def build_runtime(settings: Settings) -> Runtime:
    """Open every store in the data folder."""
    clock = SystemClock()
    database = open_database(settings)
    database.migrate()
    store = LocalStore(
        settings.folder / "metrics",
        clock,
        retention_days=settings.retention_days,
        cardinality=Cardinality(settings.series_limit, settings.series_limit_of_site),
    )
    return Runtime(
        settings=settings,
        clock=clock,
        database=database,
        vault=load_vault(settings),
        audit=open_audit(settings, database, clock),
        schedule=Schedule(),
        directory=Directory(database, clock),
        facts=FactStore(settings.folder / "facts"),
        events=SqliteEvents(settings.folder / "events"),
        store=store,
        queries=PromqlEngine(store),
        registry=process_registry("core"),
    )


def build_services(runtime: Runtime) -> list[Service]:
    """Every installed service; one that cannot be built is reported and left out."""
    built: list[Service] = []
    for entry in sorted(entry_points(group="zhishou.services"), key=lambda e: e.name):
        try:
            factory: ServiceFactory = entry.load()
            built.append(factory(runtime))
        except Exception:
            log.exception("a service cannot be built", service=entry.name)
    return built


def build_app(runtime: Runtime, services: Sequence[Service]) -> Flask:
    """The internal application: every service's endpoints and the core's own metrics."""
    app = Flask("zhishou-core")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    for service in services:
        try:
            for blueprint in service.blueprints():
                app.register_blueprint(blueprint)
        except Exception:
            log.exception("a service's endpoints cannot be mounted", service=service.name)
    app.add_url_rule("/metrics", "metrics", lambda: _exposition(runtime.registry))
    app.add_url_rule("/healthz", "healthz", lambda: {"status": "ok", "services": [s.name for s in services]})
    return app


def _exposition(registry: CollectorRegistry) -> Response:
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def run(settings: Settings) -> None:
    """Run until SIGTERM; every service is stopped and every store flushed before it returns."""
    signal.signal(signal.SIGTERM, _terminate)
    runtime = build_runtime(settings)
    services = build_services(runtime)
    app = build_app(runtime, services)
    jobs = Jobs(runtime.database, runtime.clock)
    jobs.fail_orphans()
    runner = JobRunner(jobs, runtime)
    path = settings.socket_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    server = create_server(
        app, unix_socket=str(path), unix_socket_perms="600", threads=THREADS, max_request_body_size=MAX_BODY,
        clear_untrusted_proxy_headers=True, ident="zhishou",
        channel_request_lookahead=1,  # so that a query learns that its client is gone
    )  # fmt: skip
    os.umask(mask)
    started = _start(services)
    runtime.schedule.every("jobs", 1, runner.tick, first_in=1)
    runtime.schedule.daily("events-retention", 3, 10, lambda: _expire(runtime))
    runtime.schedule.start()
    log.info("core is up", services=[service.name for service in started], socket=str(path))
    try:
        server.run()
    finally:
        server.close()
        runtime.schedule.stop()
        runner.stop()
        for service in reversed(started):
            service.stop()
        runtime.store.close()
        runtime.events.close()
        runtime.database.close()
        path.unlink(missing_ok=True)


def _start(services: Sequence[Service]) -> list[Service]:
    started: list[Service] = []
    for service in services:
        try:
            service.start()
            started.append(service)
        except Exception:
            log.exception("a service does not start", service=service.name)
    return started


def _expire(runtime: Runtime) -> None:
    if isinstance(runtime.events, SqliteEvents):
        runtime.events.expire(runtime.settings.event_retention_days, runtime.clock.now_ms())
