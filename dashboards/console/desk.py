"""值守台: the live list by root cause, one alert with its impact and timeline, and what an operator does with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from dashboards.console.overview import devices_of
from dashboards.i18n import SEVERITY_WORDS, stamp
from dashboards.listing import asked, csv_response
from dashboards.scope import backend, current, requires, scope
from dashboards.states import DeviceState, device_states, service_state
from dashboards.titles import device_name, title_here, title_of
from monitor.errors import InputError, NotFoundError
from monitor.identity.roles import Permission
from monitor.model import DeviceId, Service, ServiceNode, Severity, Site, SiteId
from rules.alerting.interface import AlertFilter, AlertState, AlertView, TimelineEntry

blueprint = Blueprint("desk", __name__, url_prefix="/desk")

LIMIT = 300
DAY_MS = 86_400_000
STAGES = (
    (AlertState.ACTIVE, _l("待确认")),
    (AlertState.ACKED, _l("处置中")),
    (AlertState.RETURNED, _l("已恢复，未确认")),
    (AlertState.SHELVED, _l("已静默")),
)
STATE_WORDS = {**dict(STAGES), AlertState.PENDING: _l("判定中"), AlertState.CLOSED: _l("已关闭")}
TIMELINE_WORDS = {
    "fired": _l("触发"),
    "acked": _l("确认"),
    "assigned": _l("转派"),
    "note": _l("记录"),
    "silenced": _l("静默"),
    "unsilenced": _l("静默结束"),
    "escalated": _l("升级"),
    "resolved": _l("恢复"),
    "notified": _l("通知"),
    "suppressed": _l("归并"),
    "closed": _l("关闭"),
}
FILTERS = ("q", "severity", "state", "site", "owner", "view")


@dataclass(frozen=True, slots=True)
class Group:
    """A heading of the list and the alerts under it."""

    name: str
    alerts: Sequence[AlertView]


@dataclass(frozen=True, slots=True)
class TreeLine:
    """A node of an impact tree, drawn."""

    name: str
    state: str
    children: Sequence[TreeLine]


@blueprint.get("")
@requires(Permission.VIEW)
def page() -> ResponseReturnValue:
    """The desk with one alert open: the one in the URL, else the first of the list."""
    groups, total, sites = _groups()
    chosen = _chosen(groups)
    return render_template(
        "desk/page.html",
        title=_("值守台"),
        rail=True,
        **{
            **_list_values(groups, total, sites),
            **(_detail_values(chosen) if chosen else {"alert": None}),
        },
        counts=backend().desk.counts(scope()),
        fired=backend().desk.fired_per_hour(scope(), 12),
        people=_people(),
    )


@blueprint.get("/list", endpoint="rows")
@requires(Permission.VIEW)
def rows() -> ResponseReturnValue:
    """The list pane alone, for live updates."""
    groups, total, sites = _groups()
    return render_template("desk/rows.html", **_list_values(groups, total, sites))


@blueprint.get("/alerts/<int:alert_id>", endpoint="detail")
@requires(Permission.VIEW)
def detail(alert_id: int) -> ResponseReturnValue:
    """One alert: the detail pane and the right pane."""
    return render_template("desk/detail.html", **_detail_values(backend().desk.alert(scope(), alert_id)))


@blueprint.get("/export.csv", endpoint="export")
@requires(Permission.VIEW)
def export() -> ResponseReturnValue:
    """The filtered alerts as CSV."""
    found, _total = backend().desk.alerts(scope(), replace(_filter(), limit=20_000))
    names = {site.id: site.name for site in backend().directory.sites(scope())}
    head = [
        _("编号"), _("级别"), _("状态"), _("告警"), _("机构"), _("设备"), _("开始"), _("确认人"),
        _("责任人"), _("抑制"),
    ]  # fmt: skip
    rows = [
        [
            a.number, SEVERITY_WORDS[a.severity], STATE_WORDS[a.state], title_of(a), names.get(SiteId(a.site), a.site),
            a.device, stamp(a.fired_at or a.active_at), a.acked_by, a.owner, a.suppressed,
        ]
        for a in found
    ]  # fmt: skip
    return csv_response("alerts", head, rows)


@blueprint.post("/act", endpoint="act")
@requires(Permission.DESK)
def act() -> ResponseReturnValue:
    """Acknowledge, assign, note, silence or escalate the given alerts."""
    ids = _alert_ids(request.form.getlist("id"))
    perform(request.form.get("act", ""), ids, request.form)
    if request.headers.get("HX-Request"):
        response = make_response(render_template("desk/done.html", count=len(ids), act=request.form["act"]))
        response.headers["HX-Trigger"] = "zs:change"
        return response
    return redirect(url_for("desk.page", sel=ids[0]))


def perform(act: str, ids: Sequence[int], form: object) -> None:
    """Do one act on alerts as the caller. InputError says what is missing. `form` is a mapping of strings."""
    values = {k: str(form.get(k) or "").strip()[:2000] for k in ("note", "owner", "to", "hours")}  # type: ignore[attr-defined]
    desk, within, actor = backend().desk, scope(), current().name
    note = values["note"]
    if act == "ack":
        desk.ack(within, ids, actor, note)
    elif act == "assign":
        desk.assign(within, ids, actor, _required(values["owner"], "owner", "请选择责任人"))
        if note:
            desk.note(within, ids, actor, note)
    elif act == "note":
        desk.note(within, ids, actor, _required(note, "note", "请写下处置内容"))
    elif act == "silence":
        reason = _required(note, "note", "请说明为何可以静默")
        desk.silence(within, ids, actor, backend().clock.now_ms() + _hours_ms(values["hours"]), reason)
    elif act == "escalate":
        desk.escalate(within, ids, actor, _required(values["to"], "to", "请选择升级对象"), note)
    else:
        raise InputError(f"unknown act {act[:20]!r}", zh="不支持的操作")


def event_text(entry: TimelineEntry) -> str:
    """What a timeline entry says; the engine writes the value that fired as `value 2`."""
    before, _found, value = entry.text.partition("value ")
    return _("触发值 %(v)s", v=value) if entry.kind == "fired" and not before and value else entry.text


def _required(value: str, name: str, zh: str) -> str:
    if not value:
        raise InputError(f"{name} is missing", zh=zh)
    return value


def _hours_ms(text: str) -> int:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours <= 168:
        raise InputError("hours must be within 0..168", zh="静默时长须在 0 至 168 小时之间")
    return round(hours * 3_600_000)


def _alert_ids(texts: Sequence[str]) -> list[int]:
    ids = [int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 16]
    if not ids or len(ids) > 500:
        raise InputError("choose between 1 and 500 alerts", zh="请选择 1 至 500 条告警")
    return ids


def _filter() -> AlertFilter:
    states = tuple(s for s, _word in STAGES if not asked("state") or s == asked("state"))
    severities = tuple(s for s in Severity if s == asked("severity"))
    owner = current().name if asked("owner") == "me" else asked("owner")
    return AlertFilter(
        states=states or tuple(s for s, _word in STAGES),
        severities=severities,
        site=asked("site"),
        text=asked("q"),
        owner=owner,
        roots_only=asked("view") != "flat",
        sort="-severity",
        limit=LIMIT,
    )


def _groups() -> tuple[list[Group], int, dict[str, Site]]:
    found, total = backend().desk.alerts(scope(), _filter())
    found.sort(key=lambda a: (a.severity.rank, -(a.fired_at or a.active_at)))
    sites = {str(site.id): site for site in backend().directory.sites(scope())}
    if asked("view") == "site":
        by_site: dict[str, list[AlertView]] = {}
        for alert in found:
            by_site.setdefault(alert.site, []).append(alert)
        groups = [
            Group(sites[s].name if s in sites else s or _("全市"), items) for s, items in by_site.items()
        ]
        return groups, total, sites
    staged = [Group(str(word), [a for a in found if a.state is state]) for state, word in STAGES]
    return [group for group in staged if group.alerts], total, sites


def _chosen(groups: Sequence[Group]) -> AlertView | None:
    if wanted := _selected():
        return backend().desk.alert(scope(), wanted)
    return groups[0].alerts[0] if groups else None


def _selected() -> int:
    text = asked("sel")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _list_values(groups: Sequence[Group], total: int, sites: dict[str, Site]) -> dict[str, object]:
    return {
        "groups": groups,
        "total": total,
        "limit": LIMIT,
        "sites": sites,
        "asked": asked,
        "kept": {k: v for k, v in request.args.items() if k in FILTERS and v},
        "selected": _selected(),
        "title_here": title_here,
        "device_name": device_name,
    }


def _detail_values(alert: AlertView) -> dict[str, object]:
    directory, desk = backend().directory, backend().desk
    try:
        site: Site | None = directory.site(scope(), alert.site) if alert.site else None
    except NotFoundError:
        site = None  # an alert may outlive its site
    device = next((d for d in directory.devices(scope(), alert.site) if d.id == alert.device), None)
    hit = [
        s for s in directory.services(scope(), alert.site) if alert.device and alert.device in devices_of(s)
    ]
    needed = set().union(*(devices_of(s) for s in hit)) if hit else set()
    states = device_states([d for d in directory.devices(scope(), alert.site) if d.id in needed])
    return {
        "alert": alert,
        "site": site,
        "device": device,
        "timeline": desk.timeline(scope(), alert.id),
        "suppressed": desk.suppressed_under(scope(), alert.id) if alert.suppressed else [],
        "impact": [(s, service_state(s, states), impact_tree(s, states)) for s in hit],
        "title_here": title_here,
        "device_name": device_name,
        "event_text": event_text,
        "state_words": STATE_WORDS,
        "timeline_words": TIMELINE_WORDS,
        "similar": _similar(alert),
    }


def _similar(alert: AlertView) -> Sequence[AlertView]:
    wanted = AlertFilter(
        states=(AlertState.CLOSED, AlertState.RETURNED),
        site=alert.site,
        device=alert.device,
        sort="-active_at",
        limit=20,
    )
    found, _total = backend().desk.alerts(scope(), wanted)
    return [a for a in found if a.name == alert.name and a.id != alert.id][:4]


def impact_tree(service: Service, states: Mapping[DeviceId, DeviceState]) -> TreeLine:
    """A service's tree with the state of every node."""
    names = {d.id: d.name for d in backend().directory.devices(scope(), service.site)}

    def line(node: ServiceNode) -> TreeLine:
        part = replace(service, tree=node)
        if node.device is not None:
            name = names.get(node.device, str(node.device))
            return TreeLine(f"{name} {node.probe}".strip(), service_state(part, states), ())
        name = _("任一可用") if node.need == "any" else _("全部须可用")
        return TreeLine(name, service_state(part, states), [line(child) for child in node.children])

    return line(service.tree)


def _people() -> list[tuple[str, str]]:
    return [
        (user.name, user.display)
        for user in backend().users.list()
        if user.may(Permission.DESK) and not user.disabled
    ]
