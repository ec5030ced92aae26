"""Search over sites, devices, services and open alerts."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from dashboards.listing import asked
from dashboards.scope import backend, requires, scope
from dashboards.titles import device_name, title_here
from monitor.identity.roles import Permission
from rules.alerting.interface import AlertFilter

blueprint = Blueprint("search", __name__, url_prefix="/search")

EACH = 20


@blueprint.get("", endpoint="page")
@requires(Permission.VIEW)
def page() -> ResponseReturnValue:
    """What contains the words."""
    words = asked("q").lower()
    directory, within = backend().directory, scope()
    sites = [s for s in directory.sites(within) if words in f"{s.id}\0{s.name}".lower()] if words else []
    devices = [
        d
        for d in (directory.devices(within) if words else [])
        if words in f"{d.id}\0{d.name}\0{d.address}\0{d.model}\0{d.serial}".lower()
    ]
    services = [s for s in directory.services(within) if words in s.name.lower()] if words else []
    alerts = backend().desk.alerts(within, AlertFilter(text=asked("q"), limit=EACH))[0] if words else []
    return render_template(
        "search/page.html",
        title=_("搜索"),
        words=asked("q"),
        sites=sites[:EACH],
        devices=devices[:EACH],
        services=services[:EACH],
        alerts=alerts,
        title_here=title_here,
        device_name=device_name,
        site_names={s.id: s.name for s in directory.sites(within)},
    )
