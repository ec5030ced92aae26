"""Pages: one module and one template folder per page. `register_pages` mounts their blueprints."""

from __future__ import annotations

from flask import Flask

from dashboards.console import (
    admin,
    auth,
    compliance,
    desk,
    devices,
    discovery,
    events,
    findings,
    jobs,
    overview,
    playbooks,
    search,
    services,
    sites,
    topology,
)


def register_pages(app: Flask) -> None:
    """Mount every page."""
    for module in (
        auth,
        overview,
        desk,
        sites,
        devices,
        discovery,
        services,
        topology,
        events,
        search,
        compliance,
        playbooks,
        findings,
        jobs,
        admin,
    ):
        app.register_blueprint(module.blueprint)
