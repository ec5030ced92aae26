"""日志事件: search over the event store, within the caller's sites."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from dashboards.i18n import english, stamp
from dashboards.listing import asked, csv_response
from dashboards.scope import backend, requires, scope
from monitor.errors import NotFoundError
from monitor.events.interface import Event, EventQuery
from monitor.identity.roles import Permission
from monitor.model import DeviceId

blueprint = Blueprint("events", __name__, url_prefix="/events")

LIMIT = 200
CSV_LIMIT = 10_000
SPANS = {"1h": (3_600_000, _l("1 小时")), "24h": (86_400_000, _l("24 小时")), "7d": (604_800_000, _l("7 天"))}


@blueprint.get("")
@requires(Permission.VIEW)
def index() -> ResponseReturnValue:
    """Newest first."""
    found = find_events(LIMIT)
    return render_template(
        "events/index.html",
        title=_("日志事件"),
        events=found,
        limit=LIMIT,
        spans=[(key, word) for key, (_ms, word) in SPANS.items()],
        asked=asked,
        site_names={s.id: s.name for s in backend().directory.sites(scope())},
    )


@blueprint.get("/export.csv", endpoint="export")
@requires(Permission.VIEW)
def export() -> ResponseReturnValue:
    """The same search as CSV."""
    head = [_("时间"), _("机构"), _("设备"), _("动作"), _("内容")]
    return csv_response("events", head, [_cells(e) for e in find_events(CSV_LIMIT)])


def find_events(limit: int, device: str = "") -> list[Event]:
    """Events as the URL asks, or those of one device."""
    now = backend().clock.now_ms()
    span = SPANS.get(asked("span"), SPANS["24h"])[0]
    wanted = device or asked("device")
    if wanted:
        try:
            backend().directory.device(scope(), wanted)
        except NotFoundError:
            return []
    query = EventQuery(
        start_ms=now - span,
        end_ms=now,
        device=DeviceId(wanted) if wanted else None,
        action=asked("action"),
        text=asked("q"),
        limit=limit,
    )
    return [_spoken(event) for event in backend().events.search(query, scope())]


def _spoken(event: Event) -> Event:
    """The event with the message of the reader's language, where it has one."""
    said = event.get("zhishou.message_en") if english() else None
    return {**event, "message": said} if said else event


def _cells(event: Event) -> list[object]:
    at = event.get("@timestamp")
    return [
        stamp(at) if isinstance(at, int) else "",
        event.get("zhishou.site"),
        event.get("zhishou.device"),
        event.get("event.action"),
        event.get("message"),
    ]
