"""/healthz: the process answers. /readyz: the state database and the core answer. /metrics: its own numbers."""

from __future__ import annotations

import socket

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from dashboards import live
from dashboards.proxy import machine_caller_ok
from dashboards.scope import backend, public
from dashboards.security import problem

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
    """The web process's own numbers, for a caller with a read token."""
    if not machine_caller_ok("read"):
        return problem(401, "a token with the scope read is needed")
    registry = CollectorRegistry()
    streams = Gauge("zhishou_web_live_streams", "Open live streams of this process", registry=registry)
    streams.set(live.open_streams())
    up = Gauge("zhishou_web_core_up", "1 when the core accepts connections", registry=registry)
    up.set(1 if core_listens() else 0)
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
