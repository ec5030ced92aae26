"""Progress of long work as a fragment: survives a reload, can be cancelled."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, abort, render_template, send_file
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l

from dashboards.scope import backend, current, requires, scope, signed_in
from monitor.identity.roles import Permission
from monitor.jobs import JobView

blueprint = Blueprint("jobs", __name__, url_prefix="/jobs")

KIND_WORDS = {"assess": _l("合规核查"), "evidence-export": _l("证据包导出"), "playbook-run": _l("安全检查")}
# Who may look at, and cancel, which kind of work.
NEEDED: Mapping[str, Permission] = {
    "assess": Permission.COMPLIANCE_RUN,
    "evidence-export": Permission.EVIDENCE_EXPORT,
    "playbook-run": Permission.PLAYBOOK_RUN,
}


@blueprint.get("/<int:job_id>", endpoint="card")
@signed_in
def card(job_id: int) -> ResponseReturnValue:
    """One job as a card that refreshes itself while it runs."""
    return render_template("jobs/card.html", job=visible(job_id), kind_words=KIND_WORDS)


@blueprint.post("/<int:job_id>/cancel", endpoint="cancel")
@signed_in
def cancel(job_id: int) -> ResponseReturnValue:
    """Ask a job to stop."""
    job = visible(job_id)
    backend().jobs.cancel(scope(), job_id, current().name)
    backend().audit.record(current().name, "job.cancel", str(job_id), {"kind": job.kind, "site": job.site})
    return render_template("jobs/card.html", job=visible(job_id), kind_words=KIND_WORDS)


@blueprint.get("/<int:job_id>/file", endpoint="file")
@requires(Permission.EVIDENCE_EXPORT)
def file(job_id: int) -> ResponseReturnValue:
    """The evidence bundle a finished export wrote."""
    job = visible(job_id)
    if job.kind != "evidence-export" or job.status != "done":
        abort(404)
    folder = backend().settings.folder / "exports"
    path = folder / str(job.result.get("file", ""))
    if path.parent != folder or not path.is_file():
        abort(404)
    backend().audit.record(current().name, "evidence.download", path.name, {"job": job_id})
    return send_file(path.resolve(), mimetype="application/zip", as_attachment=True, download_name=path.name)


def visible(job_id: int) -> JobView:
    """A job of the caller's sites that the caller's role may know of."""
    job = backend().jobs.get(scope(), job_id)
    needed = NEEDED.get(job.kind)
    if needed is None or not current().may(needed):
        abort(404)
    return job
