"""安全检查: the library, engagements, one engagement with its plan, approval, runs and the kill switch."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from dashboards.console.jobs import KIND_WORDS
from dashboards.i18n import error_text
from dashboards.scope import backend, current, requires, scope
from monitor.errors import InputError, ZhishouError
from monitor.identity.roles import Permission
from monitor.model import SiteId
from playbooks.interface import Outcome, Plan

blueprint = Blueprint("playbooks", __name__, url_prefix="/playbooks")

STATE_WORDS = {
    "draft": _l("草稿"),
    "awaiting_consent": _l("待目标机构同意"),
    "awaiting_approval": _l("待审批"),
    "approved": _l("已批准"),
    "running": _l("运行中"),
    "done": _l("已完成"),
    "stopped": _l("已停止"),
    "expired": _l("已过期"),
    "refused": _l("已拒绝"),
}
FLOW = ("awaiting_consent", "awaiting_approval", "approved", "running", "done")
OUTCOME_WORDS = {
    Outcome.FINDING: ("critical", _l("发现隐患")),
    Outcome.PASS: ("ok", _l("通过")),
    Outcome.NOT_APPLICABLE: ("off", _l("不适用")),
    Outcome.ERROR: ("minor", _l("出错")),
    Outcome.NOT_TESTED: ("unknown", _l("未测")),
}
SAFETY_WORDS = {
    "passive": _l("被动"),
    "safe": _l("无害"),
    "auth-probe": _l("有限鉴权"),
}
LIMIT_WORDS = {
    "pps": _l("总限速，包/秒"),
    "per_host_pps": _l("每台限速，包/秒"),
    "concurrent_hosts": _l("同时检查，台"),
    "max_packets": _l("包数预算"),
}
KILL_WORD = _l("急停")


@blueprint.get("", endpoint="page")
@requires(Permission.PLAYBOOK_VIEW)
def page() -> ResponseReturnValue:
    """Engagements and the library."""
    return _page()


@blueprint.post("", endpoint="submit")
@requires(Permission.PLAYBOOK_SUBMIT)
def submit() -> ResponseReturnValue:
    """Register an engagement written in YAML; a mistake is shown beside the text, which is kept."""
    text = request.form.get("text", "")[:100_000]
    try:
        engagement = backend().office.submit(scope(), text, current().name)
    except ZhishouError as error:
        return _page(text=text, error=error_text(error)), 400
    return redirect(url_for("playbooks.engagement", engagement_id=engagement), 303)


@blueprint.get("/<engagement_id>", endpoint="engagement")
@requires(Permission.PLAYBOOK_VIEW)
def engagement(engagement_id: str) -> ResponseReturnValue:
    """One engagement."""
    return _engagement_page(engagement_id)


@blueprint.post("/<engagement_id>/approve", endpoint="approve")
@requires(Permission.PLAYBOOK_APPROVE)
def approve(engagement_id: str) -> ResponseReturnValue:
    """Sign the plan whose digest was shown."""
    form = request.form
    try:
        if form.get("read") != "yes":
            raise InputError("confirm what you approve", zh="请先勾选已核对目标、时间窗与不测清单")
        backend().office.approve(
            scope(), engagement_id, current().name, form.get("site", ""), form.get("digest", "")
        )
    except ZhishouError as error:
        return _engagement_page(engagement_id, error=error_text(error)), 400
    return redirect(url_for("playbooks.engagement", engagement_id=engagement_id), 303)


@blueprint.post("/<engagement_id>/run", endpoint="run")
@requires(Permission.PLAYBOOK_RUN)
def run(engagement_id: str) -> ResponseReturnValue:
    """Queue a run; the core refuses it outside its approval and window."""
    view = backend().office.engagement(scope(), engagement_id)
    site = view.target_sites[0] if len(view.target_sites) == 1 else ""
    backend().jobs.submit("playbook-run", {"engagement": view.id}, current().name, site)
    return redirect(url_for("playbooks.engagement", engagement_id=view.id), 303)


@blueprint.post("/stop", endpoint="stop")
@requires(Permission.PLAYBOOK_STOP)
def stop() -> ResponseReturnValue:
    """The kill switch, behind a typed word."""
    back = request.form.get("engagement", "")
    if request.form.get("word", "").strip() not in {str(KILL_WORD), "急停", "STOP"}:
        error = _("没有停止：须输入「%(w)s」", w=KILL_WORD)
        return (_engagement_page(back, error=error) if back else _page(error=error)), 400
    backend().office.stop_all(current().name, request.form.get("reason", "").strip()[:500] or _("操作员急停"))
    target = url_for("playbooks.engagement", engagement_id=back) if back else url_for("playbooks.page")
    return redirect(target, 303)


@blueprint.post("/release", endpoint="release")
@requires(Permission.PLAYBOOK_RUN)
def release() -> ResponseReturnValue:
    """Take the kill switch back, with a reason; stopped runs stay stopped. The office audits it."""
    if scope().sites is not None:
        abort(403)  # the stop holds for the whole city: who sees a part of it cannot judge that it may go on
    back = request.form.get("engagement", "")
    reason = request.form.get("reason", "").strip()[:500]
    if not reason:
        error = _("没有解除：请写明为何可以解除急停")
        return (_engagement_page(back, error=error) if back else _page(error=error)), 400
    backend().office.release_stop(current().name, reason)
    target = url_for("playbooks.engagement", engagement_id=back) if back else url_for("playbooks.page")
    return redirect(target, 303)


def _page(text: str = "", error: str = "") -> str:
    office = backend().office
    return render_template(
        "playbooks/page.html",
        title=_("安全检查"),
        engagements=office.engagements(scope()),
        checks=office.checks(),
        runs=office.runs(scope(), limit=10),
        words=STATE_WORDS,
        outcomes=OUTCOME_WORDS,
        safety=SAFETY_WORDS,
        names={s.id: s.name for s in backend().directory.sites(scope())},
        text=text,
        error=error,
        running=[r for r in office.runs(scope(), limit=50) if r.status == "running"],
        kill_word=KILL_WORD,
        stop=office.standing_stop(),
    )


def _engagement_page(engagement_id: str, error: str = "") -> str:
    office = backend().office
    view = office.engagement(scope(), engagement_id)
    plan: Plan | None = None
    plan_error = ""
    try:
        plan = office.plan(scope(), view.id)
    except ZhishouError as problem:
        plan_error = error_text(problem)
    jobs = [j for j in backend().jobs.list(scope(), "playbook-run", 5) if j.status in {"queued", "running"}]
    runs = office.runs(scope(), limit=50)
    mine = [site for site in view.target_sites if scope().allows(SiteId(site))]
    return render_template(
        "playbooks/engagement.html",
        title=view.title,
        view=view,
        plan=plan,
        plan_error=plan_error,
        error=error,
        runs=[r for r in runs if r.engagement == view.id],
        running=[r for r in runs if r.status == "running"],
        jobs=jobs if current().may(Permission.PLAYBOOK_RUN) else [],
        words=STATE_WORDS,
        flow=FLOW,
        limits=LIMIT_WORDS,
        outcomes=OUTCOME_WORDS,
        safety=SAFETY_WORDS,
        names={s.id: s.name for s in backend().directory.sites(scope())},
        # Whoever sees the whole city signs for it, or gives the consent of a target site.
        sign_sites=[*(["city"] if scope().sites is None else []), *mine],
        signed=any(user == current().name for user, _site, _at in view.approvals),
        kind_words=KIND_WORDS,
        kill_word=KILL_WORD,
        stop=office.standing_stop(),
    )
