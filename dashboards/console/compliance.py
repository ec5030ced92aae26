"""等保合规: city matrix, one assessment, one requirement with the lines that decided it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, abort, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from dashboards.console.jobs import KIND_WORDS
from dashboards.i18n import GRADE_WORDS
from dashboards.listing import asked, csv_response
from dashboards.scope import backend, current, requires, scope
from monitor.identity.roles import Permission
from monitor.jobs import JobView
from monitor.model import Grade, Site
from rules.compliance.interface import AssessmentView, ClassRow, Judgement, Requirement, Verdict

blueprint = Blueprint("compliance", __name__, url_prefix="/compliance")

CLASSES = (
    ("1", _l("物理环境")),
    ("2", _l("通信网络")),
    ("3", _l("区域边界")),
    ("4", _l("计算环境")),
    ("5", _l("管理中心")),
    ("6", _l("管理制度")),
    ("7", _l("管理机构")),
    ("8", _l("管理人员")),
    ("9", _l("建设管理")),
    ("10", _l("运维管理")),
)
VERDICT_WORDS = {
    Verdict.PASS: ("ok", _l("符合")),
    Verdict.PARTIAL: ("minor", _l("部分符合")),
    Verdict.FAIL: ("critical", _l("不符合")),
    Verdict.NOT_APPLICABLE: ("off", _l("不适用")),
    Verdict.NOT_CHECKED: ("unknown", _l("未核查")),
}
BAD_FIRST = (Verdict.FAIL, Verdict.PARTIAL, Verdict.NOT_CHECKED, Verdict.PASS, Verdict.NOT_APPLICABLE)


@dataclass(frozen=True, slots=True)
class MatrixLine:
    """One site of the matrix: cells are (rate, not checked, high risks) in the order of CLASSES."""

    site: Site
    cells: Sequence[tuple[float | None, int, int] | None]
    total: float | None
    assessment: AssessmentView | None


@dataclass(frozen=True, slots=True)
class RequirementLine:
    """One requirement of an assessment: its worst verdict and how many judgements say which."""

    requirement: Requirement
    verdict: Verdict
    counts: Counter[Verdict]
    high_risk: bool
    objects: int


@blueprint.get("", endpoint="page")
@requires(Permission.COMPLIANCE_VIEW)
def page() -> ResponseReturnValue:
    """The city: figures and the matrix, worst first within each grade."""
    lines = _lines()
    done = [line.assessment for line in lines if line.assessment is not None]
    totals: Counter[Verdict] = Counter()
    for assessment in done:
        totals.update(assessment.totals)
    rates = [a.rate for a in done if a.rate is not None]
    return render_template(
        "compliance/page.html",
        title=_("等保合规"),
        groups=[(word, [x for x in lines if x.site.grade is grade]) for grade, word in GRADE_WORDS.items()],
        classes=CLASSES,
        level=level_of_cell,
        sites=len(lines),
        done=done,
        rate=sum(rates) / len(rates) if rates else None,
        totals=totals,
        words=VERDICT_WORDS,
        high_risks=sum(a.high_risks for a in done),
        jobs=_jobs(),
        kind_words=KIND_WORDS,
    )


@blueprint.get("/export.csv", endpoint="export")
@requires(Permission.COMPLIANCE_VIEW)
def export() -> ResponseReturnValue:
    """The matrix as CSV."""
    head = [_("机构编号"), _("名称"), *(str(word) for _key, word in CLASSES), _("总符合率")]
    rows = [
        [x.site.id, x.site.name, *(_ratio(c[0] if c else None) for c in x.cells), _ratio(x.total)]
        for x in _lines()
    ]
    return csv_response("compliance", head, rows)


@blueprint.post("/assess/<site_id>", endpoint="assess")
@requires(Permission.COMPLIANCE_RUN)
def assess(site_id: str) -> ResponseReturnValue:
    """Queue an assessment of one site."""
    site = backend().directory.site(scope(), site_id)
    backend().jobs.submit("assess", {"site": site.id}, current().name, site.id)
    backend().audit.record(current().name, "compliance.assess", site.id)
    return redirect(url_for("compliance.site", site_id=site.id), 303)


@blueprint.get("/sites/<site_id>", endpoint="site")
@requires(Permission.COMPLIANCE_VIEW)
def site_page(site_id: str) -> ResponseReturnValue:
    """One site: its assessments and what runs now."""
    site = backend().directory.site(scope(), site_id)
    return render_template(
        "compliance/site.html",
        title=site.name,
        site=site,
        assessments=backend().register.assessments(scope(), site.id),
        jobs=[job for job in _jobs() if job.site == site.id],
        kind_words=KIND_WORDS,
        words=VERDICT_WORDS,
    )


@blueprint.get("/assessments/<int:assessment_id>", endpoint="assessment")
@requires(Permission.COMPLIANCE_VIEW)
def assessment_page(assessment_id: int) -> ResponseReturnValue:
    """One assessment: requirements worst first, and the chosen one in full."""
    view = _assessment(assessment_id)
    site = backend().directory.site(scope(), view.site)
    judgements = backend().register.judgements(scope(), view.id)
    lines = _requirement_lines(view.level, judgements)
    wanted = asked("verdict")
    shown = [line for line in lines if not wanted or line.verdict.name.lower() == wanted]
    of_class = asked("class")
    shown = [line for line in shown if not of_class or line.requirement.clause.split(".")[2] == of_class]
    chosen = next((x for x in lines if _key(x) == asked("sel")), shown[0] if shown else None)
    objects = [j for j in judgements if chosen and (j.clause, j.item) == _pair(chosen)]
    objects.sort(key=lambda j: (BAD_FIRST.index(j.verdict), j.object))
    return render_template(
        "compliance/assessment.html",
        title=site.name,
        view=view,
        site=site,
        lines=shown,
        all_lines=len(lines),
        chosen=chosen,
        key=_key,
        objects=objects,
        words=VERDICT_WORDS,
        classes=CLASSES,
        asked=asked,
        counts=Counter(line.verdict for line in lines),
        verdicts=[(v.name.lower(), VERDICT_WORDS[v][1]) for v in BAD_FIRST],
        jobs=[job for job in _jobs() if job.site == site.id and job.kind == "evidence-export"][:1],
        kind_words=KIND_WORDS,
    )


@blueprint.post("/assessments/<int:assessment_id>/export", endpoint="bundle")
@requires(Permission.EVIDENCE_EXPORT)
def bundle(assessment_id: int) -> ResponseReturnValue:
    """Queue the signed evidence bundle."""
    view = _assessment(assessment_id)
    backend().jobs.submit("evidence-export", {"assessment": str(view.id)}, current().name, view.site)
    return redirect(url_for("compliance.assessment", assessment_id=view.id), 303)


def level_of_cell(rate: float) -> str:
    """The colour step of a matrix cell: 90 and above stays uncoloured."""
    for bound, name in ((0.9, "l5"), (0.8, "l4"), (0.7, "l3"), (0.6, "l2")):
        if rate >= bound:
            return name
    return "l1"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _assessment(assessment_id: int) -> AssessmentView:
    found = [
        view for view in backend().register.assessments(scope(), limit=100_000) if view.id == assessment_id
    ]
    if not found:
        abort(404)
    return found[0]


def _jobs() -> list[JobView]:
    recent = backend().clock.now_ms() - 3_600_000
    found = [
        *backend().jobs.list(scope(), "assess", 20),
        *backend().jobs.list(scope(), "evidence-export", 20),
    ]
    kept = [j for j in found if j.finished_at is None or j.finished_at > recent]
    needed = {"assess": Permission.COMPLIANCE_RUN, "evidence-export": Permission.EVIDENCE_EXPORT}
    return sorted((j for j in kept if current().may(needed[j.kind])), key=lambda j: -j.id)


def _lines() -> list[MatrixLine]:
    within = scope()
    rows: dict[str, ClassRow] = {row.site: row for row in backend().register.matrix(within)}
    latest = backend().register.latest(within)
    lines = []
    for site in backend().directory.sites(within):
        row = rows.get(site.id)
        by_class = {key.split(".")[-1]: value for key, value in row.classes.items()} if row else {}
        cells = [by_class.get(key) for key, _word in CLASSES]
        lines.append(MatrixLine(site, cells, row.total if row else None, latest.get(site.id)))
    # Worst first; sites never assessed come after those that were, and say so.
    lines.sort(
        key=lambda x: (list(Grade).index(x.site.grade), 2.0 if x.total is None else x.total, x.site.name)
    )
    return lines


def _requirement_lines(level: int, judgements: Sequence[Judgement]) -> list[RequirementLine]:
    by_requirement: dict[tuple[str, str], list[Judgement]] = {}
    for judgement in judgements:
        by_requirement.setdefault((judgement.clause, judgement.item), []).append(judgement)
    lines = []
    for requirement in backend().register.catalogue(level):
        mine = by_requirement.get((requirement.clause, requirement.item), [])
        counts = Counter(j.verdict for j in mine)
        verdict = next((v for v in BAD_FIRST if counts[v]), Verdict.NOT_CHECKED)
        objects = len({j.object for j in mine})
        lines.append(RequirementLine(requirement, verdict, counts, any(j.high_risk for j in mine), objects))
    lines.sort(key=lambda x: BAD_FIRST.index(x.verdict))
    return lines


def _pair(line: RequirementLine) -> tuple[str, str]:
    return line.requirement.clause, line.requirement.item


def _key(line: RequirementLine) -> str:
    return f"{line.requirement.clause}:{line.requirement.item}"
