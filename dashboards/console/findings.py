"""隐患: weaknesses found at one place each, and the life-cycle steps a person may take."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from dashboards.i18n import SEVERITY_WORDS, stamp
from dashboards.listing import asked, csv_response, make_listing
from dashboards.scope import backend, current, requires, scope
from monitor.errors import InputError
from monitor.identity.roles import Permission
from playbooks.interface import FindingState, FindingView

blueprint = Blueprint("findings", __name__, url_prefix="/findings")

DAY_MS = 86_400_000
STATE_WORDS = {
    FindingState.OPEN: _l("待处理"),
    FindingState.ASSIGNED: _l("已指派"),
    FindingState.FIXED_CLAIMED: _l("自称已修复"),
    FindingState.VERIFIED: _l("复核关闭"),
    FindingState.REOPENED: _l("复发"),
    FindingState.RISK_ACCEPTED: _l("接受风险"),
    FindingState.FALSE_POSITIVE: _l("误报"),
}
# Only a re-check verifies or reopens.
STEPS = (
    FindingState.ASSIGNED,
    FindingState.FIXED_CLAIMED,
    FindingState.RISK_ACCEPTED,
    FindingState.FALSE_POSITIVE,
    FindingState.OPEN,
)
_SORTS = {
    "severity": lambda f: (f.severity.rank, -f.last_seen),
    "state": lambda f: (list(FindingState).index(f.state), f.severity.rank),
    "site": lambda f: (f.site, f.severity.rank),
    "seen": lambda f: f.last_seen,
}


@blueprint.get("")
@requires(Permission.PLAYBOOK_VIEW)
def index() -> ResponseReturnValue:
    """The list, worst first, with one open."""
    found = _wanted()
    listing = make_listing(found, _SORTS, "severity")
    chosen = next(
        (f for f in found if str(f.id) == asked("sel")), listing.items[0] if listing.items else None
    )
    return render_template(
        "findings/index.html",
        title=_("隐患"),
        listing=listing,
        chosen=chosen,
        asked=asked,
        words=STATE_WORDS,
        steps=[(s.value, STATE_WORDS[s]) for s in STEPS],
        states=[(s.value, w) for s, w in STATE_WORDS.items()],
        severities=list(SEVERITY_WORDS.items()),
        names={s.id: s.name for s in backend().directory.sites(scope())},
        people=[u.name for u in backend().users.list() if u.may(Permission.FINDING_MOVE) and not u.disabled],
    )


@blueprint.get("/export.csv", endpoint="export")
@requires(Permission.PLAYBOOK_VIEW)
def export() -> ResponseReturnValue:
    """The filtered list as CSV."""
    head = [
        _("编号"),
        _("级别"),
        _("状态"),
        _("隐患"),
        _("机构"),
        _("设备"),
        _("端口"),
        _("首次"),
        _("最近"),
        _("责任人"),
    ]
    rows = [
        [
            f.id,
            SEVERITY_WORDS[f.severity],
            STATE_WORDS[f.state],
            f.name,
            f.site,
            f.device,
            f.port,
            stamp(f.first_seen),
            stamp(f.last_seen),
            f.owner,
        ]
        for f in _wanted()
    ]
    return csv_response("findings", head, rows)


@blueprint.post("/<int:finding_id>/move", endpoint="move")
@requires(Permission.FINDING_MOVE)
def move(finding_id: int) -> ResponseReturnValue:
    """One life-cycle step."""
    move_as_caller(finding_id, request.form)
    return redirect(url_for("findings.index", sel=finding_id), 303)


def move_as_caller(finding_id: int, form: object) -> None:
    """Move a finding as the caller says. `form` is a mapping of strings: to, owner, note, days."""
    values = {k: str(form.get(k) or "").strip()[:2000] for k in ("to", "owner", "note", "days")}  # type: ignore[attr-defined]
    try:
        to = FindingState(values["to"])
    except ValueError:
        raise InputError(f"no such state {values['to'][:20]!r}", zh="没有这种状态") from None
    days = values["days"]
    until = (
        backend().clock.now_ms() + int(days) * DAY_MS
        if days.isascii() and days.isdigit() and len(days) < 5
        else None
    )
    backend().office.move_finding(
        scope(), finding_id, to, current().name, owner=values["owner"], until=until, note=values["note"]
    )


def _wanted() -> list[FindingView]:
    states = [s for s in FindingState if s == asked("state")]
    found = backend().office.findings(scope(), states, asked("site"))
    severity, text = asked("severity"), asked("q").lower()
    return [
        f
        for f in found
        if (not severity or f.severity == severity)
        and (not text or text in f"{f.name}\0{f.device}\0{f.check}".lower())
    ]
