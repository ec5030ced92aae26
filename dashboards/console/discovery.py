"""资产发现: what scans found and its way into the inventory, scans with their progress, and what changed on devices."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from dashboards.i18n import KIND_WORDS, english, error_text, stamp
from dashboards.listing import asked, csv_response, make_listing
from dashboards.scope import backend, current, requires, scope, signed_in
from dashboards.states import COLLECTOR_LOST_MS
from monitor.discovery.approval import Wish
from monitor.discovery.interface import DEFAULT_RATE, MAX_RATE, ChangeView, ProposalView, ScanView
from monitor.discovery.proposals import suggested_id
from monitor.discovery.ranges import MAX_ADDRESSES, split_ranges
from monitor.discovery.scans import OPEN
from monitor.errors import InputError, ZhishouError
from monitor.identity.roles import Permission

blueprint = Blueprint("discovery", __name__, url_prefix="/discovery")

JUST_NOW_MS = 600_000
HISTORY = 200
CHANGE_LIMIT = 10_000
STATE_WORDS = {
    "new": _l("待确认"),
    "known": _l("已在台账"),
    "approved": _l("已批准"),
    "dismissed": _l("已忽略"),
}
SCAN_WORDS = {
    "queued": _l("等待采集器"),
    "running": _l("扫描中"),
    "done": _l("完成"),
    "cancelled": _l("已取消"),
    "failed": _l("失败"),
}
ORIGIN_WORDS = {"manual": _l("人工"), "weekly": _l("每周")}
CHANGE_WORDS = {
    "serial": _l("更换硬件"),
    "sys_object_id": _l("型号标识变化"),
    "hardware": _l("型号变化"),
    "vendor": _l("厂商变化"),
    "os": _l("操作系统变化"),
    "version": _l("软件版本变化"),
    "sys_name": _l("设备改名"),
    "interfaces.new": _l("新增接口"),
    "interfaces.gone": _l("接口消失"),
}
_STATES = tuple(STATE_WORDS)
_SORTS = {
    "state": lambda p: (_STATES.index(p.state), p.site, _number(p.address)),
    "address": lambda p: _number(p.address),
    "name": lambda p: p.sys_name.lower(),
    "site": lambda p: (p.site, _number(p.address)),
    "kind": lambda p: (p.kind, p.vendor),
    "vendor": lambda p: (p.vendor.lower(), p.hardware.lower()),
    "seen": lambda p: p.last_seen,
}
_CHANGE_SORTS = {
    "at": lambda c: (c.at, c.id),
    "device": lambda c: (c.device, -c.at),
    "site": lambda c: (c.site, -c.at),
    "what": lambda c: (c.what, -c.at),
}


@blueprint.get("", endpoint="page")
@requires(Permission.VIEW)
def page() -> ResponseReturnValue:
    """Proposals, those that wait for a decision first, with one open."""
    return _page()


@blueprint.get("/export.csv", endpoint="export")
@requires(Permission.VIEW)
def export() -> ResponseReturnValue:
    """The filtered proposals as CSV."""
    head = [
        _("编号"), _("状态"), _("机构"), _("地址"), _("其他地址"), _("名称"), _("类别"), _("厂商"), _("型号"),
        _("系统"), _("版本"), _("序列号"), _("凭据"), _("设备编号"), _("首次"), _("最近"), _("理由"),
    ]  # fmt: skip
    rows = [
        [
            p.id, STATE_WORDS[p.state], p.site, p.address, " ".join(p.duplicates), p.sys_name, p.kind, p.vendor,
            p.hardware, p.os, p.version, p.serial, p.credential, p.device, stamp(p.first_seen),
            stamp(p.last_seen), p.reason,
        ]
        for p in sorted(_wanted(), key=_SORTS["state"])
    ]  # fmt: skip
    return csv_response("discovery", head, rows)


@blueprint.get("/running", endpoint="running")
@requires(Permission.VIEW)
def running() -> ResponseReturnValue:
    """Open scans and those that ended just now, as a fragment that refreshes itself."""
    return render_template("discovery/running.html", **_running())


@blueprint.post("/approve", endpoint="approve")
@requires(Permission.INVENTORY_EDIT)
def approve() -> ResponseReturnValue:
    """One proposal with what was edited, or many as they are."""
    form = request.form
    numbers = chosen_numbers(form.getlist("id"))
    edited = (
        ("device", "name", "kind", "site", "credential", "address")
        if len(numbers) == 1
        else ("kind_for_unknown",)
    )
    values = {key: form.get(key, "").strip()[:200] for key in edited}
    unknown = values.pop("kind_for_unknown", "")
    try:
        wishes = [Wish(number, **values) for number in numbers]
        if unknown:
            views = [backend().discovery.proposals.get(scope(), number) for number in numbers]
            wishes = [Wish(view.id, kind=view.kind or unknown) for view in views]
        backend().discovery.approval.approve(scope(), wishes, current().name)
    except InputError as error:
        return _page(error=error_text(error)), 400
    return redirect(_back(), 303)


@blueprint.post("/dismiss", endpoint="dismiss")
@requires(Permission.INVENTORY_EDIT)
def dismiss() -> ResponseReturnValue:
    """Set proposals aside, with one reason."""
    try:
        backend().discovery.proposals.dismiss(
            scope(),
            chosen_numbers(request.form.getlist("id")),
            current().name,
            request.form.get("reason", ""),
        )
    except InputError as error:
        return _page(error=error_text(error)), 400
    return redirect(_back(), 303)


@blueprint.post("/proposals/<int:proposal_id>/reopen", endpoint="reopen")
@requires(Permission.INVENTORY_EDIT)
def reopen(proposal_id: int) -> ResponseReturnValue:
    """Take a dismissal back."""
    backend().discovery.proposals.reopen(scope(), proposal_id, current().name)
    return redirect(_back(), 303)


@blueprint.get("/scans", endpoint="scans")
@requires(Permission.VIEW)
def scans() -> ResponseReturnValue:
    """The form for a scan, known ranges, and what was scanned."""
    return _scans_page()


@blueprint.post("/scans", endpoint="start")
@requires(Permission.INVENTORY_EDIT)
def start() -> ResponseReturnValue:
    """Queue a scan; a mistake is shown beside what was typed, which is kept."""
    form = request.form
    try:
        start_as_caller(
            form.get("site", ""),
            split_ranges(form.get("ranges", "")[:10_000]),
            form.getlist("credential"),
            whole(form.get("port", ""), 161, "port", zh="端口"),
            whole(form.get("rate", ""), int(DEFAULT_RATE), "rate", zh="速率"),
            keep=bool(form.get("keep") or form.get("weekly")),
            weekly=bool(form.get("weekly")),
        )
    except ZhishouError as error:
        return _scans_page(error=error_text(error)), 400
    return redirect(url_for("discovery.scans", site=form.get("site", "")), 303)


@blueprint.post("/scans/<int:scan_id>/cancel", endpoint="cancel")
@signed_in
def cancel(scan_id: int) -> ResponseReturnValue:
    """End a scan; for whoever may start one."""
    may_scan()
    backend().discovery.scans.cancel(scope(), scan_id, current().name)
    return render_template("discovery/running.html", **_running())


@blueprint.post("/sites/<site_id>/scan", endpoint="scan_site")
@signed_in
def scan_site(site_id: str) -> ResponseReturnValue:
    """Scan the known ranges of a site again."""
    may_scan()
    try:
        backend().discovery.scans.start_known(scope(), site_id, current().name)
    except InputError as error:
        return _scans_page(error=error_text(error)), 400
    return redirect(url_for("discovery.scans", site=site_id), 303)


@blueprint.post("/ranges/<int:range_id>/forget", endpoint="forget")
@requires(Permission.INVENTORY_EDIT)
def forget(range_id: int) -> ResponseReturnValue:
    """Forget a known range."""
    backend().discovery.scans.forget_range(scope(), range_id, current().name)
    return redirect(url_for("discovery.scans"), 303)


@blueprint.post("/credentials", endpoint="credentials")
@requires(Permission.CREDENTIALS_EDIT)
def credentials() -> ResponseReturnValue:
    """Release a credential to a site's scans, or take that back."""
    form, grants = request.form, backend().discovery.grants
    act = grants.withdraw if form.get("act") == "withdraw" else grants.release
    try:
        act(scope(), form.get("site", ""), form.get("credential", "").strip()[:128], current().name)
    except InputError as error:
        return _scans_page(error=error_text(error)), 400
    return redirect(url_for("discovery.scans", site=form.get("site", "")), 303)


@blueprint.get("/changes", endpoint="changes")
@requires(Permission.VIEW)
def changes() -> ResponseReturnValue:
    """What changed on polled devices, newest first."""
    return render_template(
        "discovery/changes.html",
        title=_("资产发现"),
        tab="changes",
        listing=make_listing(_changes(), _CHANGE_SORTS, "-at"),
        asked=asked,
        names=_site_names(),
        words=CHANGE_WORDS,
        devices={d.id: d.name for d in backend().directory.devices(scope())},
    )


@blueprint.get("/changes/export.csv", endpoint="changes_export")
@requires(Permission.VIEW)
def changes_export() -> ResponseReturnValue:
    """The filtered changes as CSV."""
    head = [_("时间"), _("机构"), _("设备编号"), _("变更"), _("原值"), _("新值"), _("内容")]
    rows = [
        [stamp(c.at), c.site, c.device, CHANGE_WORDS.get(c.what, c.what), c.before, c.after, change_text(c)]
        for c in _changes()
    ]
    return csv_response("changes", head, rows)


def start_as_caller(
    site: str,
    ranges: Sequence[str],
    names: Sequence[str],
    port: int,
    rate: float,
    *,
    keep: bool,
    weekly: bool,
) -> int:
    """Queue a scan for the caller, and keep its ranges when asked to; returns the scan's id."""
    found, within, who = backend().discovery.scans, scope(), current().name
    number = found.start(within, site, ranges, who, credentials=names, port=port, rate=rate)
    if keep:
        kept = found.keep_range(
            within, site, ranges, who, credentials=names, port=port, rate=rate, weekly=weekly
        )
        found.mark_scanned(kept)
    return number


def may_scan() -> None:
    """403 unless the caller may scan known ranges: the desk may, and who keeps the inventory."""
    if not (current().may(Permission.DESK) or current().may(Permission.INVENTORY_EDIT)):
        abort(403)


def chosen_numbers(texts: Sequence[str]) -> list[int]:
    """Ids out of a form; what is no number is dropped."""
    return list(dict.fromkeys(int(t) for t in texts if t.isascii() and t.isdigit() and len(t) < 12))


def whole(text: str, default: int, name: str, zh: str) -> int:
    """A whole number out of a form."""
    text = text.strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise InputError(f"the {name} must be a whole number", zh=f"{zh}须为整数")
    return int(text)


def change_text(change: ChangeView) -> str:
    """A change in the reader's language."""
    return change.message if english() else change.zh


def _page(error: str = "") -> str:
    found = _wanted()
    listing = make_listing(found, _SORTS, "state")
    wanted = asked("sel") or request.form.get("id", "")
    chosen = next((p for p in found if str(p.id) == wanted), None)
    inventory = backend().directory.inventory()
    return render_template(
        "discovery/page.html",
        title=_("资产发现"),
        tab="page",
        error=error,
        listing=listing,
        chosen=chosen,
        suggested=suggested_id(chosen, inventory) if chosen else "",
        credentials=[name for name, _kind in backend().discovery.grants.names(chosen.site)] if chosen else [],
        asked=asked,
        words=STATE_WORDS,
        states=list(STATE_WORDS.items()),
        kinds=[(kind.value, word) for kind, word in KIND_WORDS.items()],
        kind_words={kind.value: word for kind, word in KIND_WORDS.items()},
        names=_site_names(),
        counts={state: sum(p.state == state for p in found) for state in STATE_WORDS},
        **_running(),
    )


def _scans_page(error: str = "") -> str:
    within, found = scope(), backend().discovery
    site = asked("site") or request.form.get("site", "")
    names = _site_names()
    site = site if site in names else next(iter(names), "")
    return render_template(
        "discovery/scans.html",
        title=_("资产发现"),
        tab="scans",
        error=error,
        site=site,
        names=names,
        own=found.grants.names(site) if site else [],
        released=found.grants.released(site) if site else [],
        grantable=[name for name, kind in backend().credentials.names() if kind.startswith("snmp-")]
        if current().may(Permission.CREDENTIALS_EDIT)
        else [],
        ranges=found.scans.ranges(within),
        history=[s for s in found.scans.scans(within, limit=HISTORY) if s.state not in OPEN],
        origins=ORIGIN_WORDS,
        form=request.form,
        asked=asked,
        default_rate=int(DEFAULT_RATE),
        max_rate=int(MAX_RATE),
        max_addresses=MAX_ADDRESSES,
        **_running(),
    )


def _running() -> dict[str, object]:
    now = backend().clock.now_ms()
    views: list[ScanView] = backend().discovery.scans.scans(scope(), limit=HISTORY)
    shown = [v for v in views if v.state in OPEN or now - (v.finished_at or 0) < JUST_NOW_MS]
    sites = backend().directory.inventory().sites
    fresh = {c.id for c in backend().directory.collectors() if now - c.last_seen <= COLLECTOR_LOST_MS}
    waiting = {s.id: s.collector for s in sites.values() if s.collector not in fresh}
    return {
        "scans": shown,
        "open_scans": any(v.state in OPEN for v in shown),
        "scan_words": SCAN_WORDS,
        "site_names": {s.id: s.name for s in sites.values() if scope().allows(s.id)},
        "lost_collectors": waiting,
        "may_cancel": current().may(Permission.DESK) or current().may(Permission.INVENTORY_EDIT),
    }


def _wanted() -> list[ProposalView]:
    states = [state for state in STATE_WORDS if state == asked("state")]
    text, kind = asked("q").lower(), asked("kind")
    found = backend().discovery.proposals.list(scope(), states=states, site=asked("site"))
    return [
        p
        for p in found
        if (not kind or p.kind == kind)
        and (not asked("several") or p.duplicates)
        and (not text or text in _haystack(p))
    ]


def _haystack(p: ProposalView) -> str:
    parts = (
        p.address,
        *p.duplicates,
        *p.addresses,
        p.sys_name,
        p.vendor,
        p.hardware,
        p.serial,
        p.device,
        p.version,
    )
    return "\0".join(parts).lower()


def _changes() -> list[ChangeView]:
    what, text = asked("what"), asked("q").lower()
    found = backend().discovery.journal.changes(
        scope(), site=asked("site"), device=asked("device"), limit=CHANGE_LIMIT
    )
    return [
        c
        for c in found
        if (not what or c.what == what) and (not text or text in f"{c.device}\0{c.message}\0{c.zh}".lower())
    ]


def _site_names() -> dict[str, str]:
    return {s.id: s.name for s in backend().directory.sites(scope())}


def _number(address: str) -> tuple[int, ...]:
    if ":" in address:
        return (6, *address.encode())
    return (4, *(int(part) for part in address.split(".") if part.isdigit()))


def _back() -> str:
    """The list as it was; only our own query is taken over."""
    query = request.form.get("back", "")[:500]
    return url_for("discovery.page") + (f"?{query}" if query.isascii() and "#" not in query and query else "")
