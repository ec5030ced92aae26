"""The console's WSGI application: `create_app()` for gunicorn, `create_app(settings, backend)` for tests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from flask import Flask, g, request
from werkzeug.routing import IntegerConverter, Map

from dashboards import core, health, i18n, live, proxy, scope, security
from dashboards.api.discovery import blueprint as api_discovery
from dashboards.api.routes import blueprint as api
from dashboards.backend import Backend, build_backend
from dashboards.console import register_pages
from dashboards.drawing import bar_segments, spark_path
from dashboards.navigation import navigation
from monitor.settings import Settings, load_settings
from monitor.telemetry import configure_logging

MAX_BODY = 64 * 1024 * 1024
STATIC_AGE = 31_536_000  # seconds; every address carries the digest of its content


def create_app(settings: Settings | None = None, backend: Backend | None = None) -> Flask:
    """Build the application. Refuses to start when a route declares no permission."""
    if backend is None:
        settings = settings or load_settings()
        # Left to itself the logger prints the local variables of every frame: passwords typed into a form among them.
        configure_logging(settings.log_level, "web")
        backend = build_backend(settings)
    app = Flask("dashboards", static_folder="static", template_folder="templates")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = STATIC_AGE
    app.extensions["zhishou"] = backend
    app.url_map.converters["int"] = _RowNumber
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    i18n.install(app)
    _template_globals(app)
    app.before_request(scope.identify)
    app.before_request(security.check_csrf)
    app.before_request(scope.guard)
    app.after_request(security.set_headers)
    security.install_errors(app)
    register_pages(app)
    app.register_blueprint(api)
    app.register_blueprint(api_discovery)
    app.register_blueprint(health.blueprint)
    live.install(app, backend)
    core.install(app, backend)
    proxy.install(app)
    scope.check_routes(app)
    return app


class _RowNumber(IntegerConverter):
    """A number in an address; one that no row can have is an address that does not exist."""

    def __init__(self, map: Map) -> None:
        super().__init__(map, max=2**63 - 1)


def _template_globals(app: Flask) -> None:
    folder = Path(app.static_folder or "")
    digests = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:10]
        for path in folder.rglob("*")
        if path.is_file()
    }
    manifest = folder / "vendor" / "manifest.json"
    integrity = json.loads(manifest.read_text("utf-8")) if manifest.exists() else {}

    def asset(name: str) -> str:
        return f"/static/{name}?v={digests[name]}" if name in digests else f"/static/{name}"

    def sri(name: str) -> str:
        return str(integrity.get(name, ""))

    app.jinja_env.globals.update(
        asset=asset,
        sri=sri,
        ICONS=asset("icons.svg"),
        spark_path=spark_path,
        bar_segments=bar_segments,
        csrf_token=security.csrf_token,
        navigation=navigation,
    )

    @app.context_processor
    def _page_context() -> dict[str, object]:
        caller = getattr(g, "caller", None)
        return {
            "caller": caller,
            "url_rules": app.view_functions,
            "city": scope.backend().directory.inventory().city if caller else "",
            "server_ms": scope.backend().clock.now_ms(),
            "fragment": request.headers.get("HX-Request") == "true"
            and request.headers.get("HX-History-Restore-Request") != "true",
        }
