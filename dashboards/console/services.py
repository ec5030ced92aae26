"""业务系统: every service with its state, worst first, and the tree it stands on."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from dashboards.console.desk import impact_tree
from dashboards.console.overview import devices_of
from dashboards.listing import asked
from dashboards.scope import backend, requires, scope
from dashboards.states import ORDER, device_states, service_state
from monitor.identity.roles import Permission

blueprint = Blueprint("services", __name__, url_prefix="/services")


@blueprint.get("")
@requires(Permission.VIEW)
def index() -> ResponseReturnValue:
    """All services the caller sees, with their trees."""
    directory = backend().directory
    site, text = asked("site"), asked("q").lower()
    services = [s for s in directory.services(scope(), site) if not text or text in s.name.lower()]
    needed = set().union(*(devices_of(s) for s in services)) if services else set()
    states = device_states([d for d in directory.devices(scope(), site) if d.id in needed])
    rows = [(s, service_state(s, states)) for s in services]
    rows.sort(key=lambda row: (ORDER.index(row[1]), row[0].name))
    chosen = next((s for s, _state in rows if s.id == asked("sel")), rows[0][0] if rows else None)
    return render_template(
        "services/index.html",
        title=_("业务系统"),
        rows=rows,
        asked=asked,
        site_names={s.id: s.name for s in directory.sites(scope())},
        chosen=chosen,
        tree=impact_tree(chosen, states) if chosen else None,
    )
