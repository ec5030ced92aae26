"""/healthz: the process answers. /readyz: the state database and the core answer. /metrics: both processes' numbers."""

from __future__ import annotations

import socket

import structlog
from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from dashboards import live
from dashboards.core import ASK_SECONDS
from dashboards.exposition import Merged
from dashboards.proxy import machine_caller_ok
from dashboards.scope import backend, public
from dashboards.security import problem
from monitor.core_socket import ask_core
from monitor.errors import UnreachableError
from monitor.telemetry import process_registry

log = structlog.get_logger(__name__)

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@public
def healthz() -> ResponseReturnValue:
    """This process is alive."""
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/readyz")
@public
def readyz() -> ResponseReturnValue:
    """Whether pages can be answered truly: database readable, core listening."""
    checks = {"database": _database_ok(), "core": core_listens()}
    return jsonify(checks), 200 if all(checks.values()) else 503


def _database_ok() -> bool:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        backend().directory.version()
    except SQLAlchemyError:
        return False
    return True


def core_listens() -> bool:
    """Whether the core accepts connections on its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(backend().settings.socket_path))
        except OSError:
            return False
    return True


@blueprint.get("/metrics")
@public
def metrics() -> ResponseReturnValue:
    """The numbers of the web process and of the core, for a caller with a read token."""
    if not machine_caller_ok("read"):
        return problem(401, "a token with the scope read is needed")
    core = _core_families()
    own = process_registry("web")
    streams = Gauge("zhishou_web_live_streams", "Open live streams of this process", registry=own)
    streams.set(live.open_streams())
    up = Gauge("zhishou_core_up", "1 when the core answered with its own numbers", registry=own)
    up.set(core is not None)
    everything = CollectorRegistry()
    everything.register(Merged(("web", _families(generate_latest(own))), ("core", core or ())))
    return Response(generate_latest(everything), content_type=CONTENT_TYPE_LATEST)


def _core_families() -> list[Metric] | None:
    """The core's metrics, None when it does not give them."""
    try:
        return _families(ask_core(backend().settings.socket_path, "/metrics", seconds=ASK_SECONDS))
    except (UnreachableError, ValueError) as error:
        log.warning("no-metrics-of-the-core", error=str(error))
        return None


def _families(exposition: bytes) -> list[Metric]:
    """The families as a scraper names them: the registry has other names for some. Raises ValueError."""
    return list(text_string_to_metric_families(exposition.decode()))
