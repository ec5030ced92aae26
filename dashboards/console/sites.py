"""机构: the list of sites, and one site with its devices, services, alerts, compliance and people."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from dashboards.console.overview import devices_of
from dashboards.i18n import GRADE_WORDS, SEVERITY_WORDS, STATE_WORDS
from dashboards.listing import asked, csv_response, make_listing
from dashboards.scope import backend, current, requires, scope
from dashboards.states import (
    ORDER,
    DeviceState,
    device_states,
    open_alerts,
    service_state,
    site_states,
    state_word,
)
from dashboards.titles import title_here
from monitor.identity.roles import Permission
from monitor.model import Device, Grade, Site
from rules.compliance.interface import AssessmentView

blueprint = Blueprint("sites", __name__, url_prefix="/sites")


@dataclass(frozen=True, slots=True)
class SiteRow:
    """One line of the list."""

    site: Site
    region: str
    state: str
    alerts: int
    devices: int
    assessment: AssessmentView | None


_SORTS = {
    "name": lambda row: row.site.name,
    "region": lambda row: (row.region, row.site.name),
    "grade": lambda row: (list(Grade).index(row.site.grade), row.site.name),
    "state": lambda row: (ORDER.index(row.state), -row.alerts, row.site.name),
    "devices": lambda row: row.devices,
    "rate": lambda row: (
        -1.0 if row.assessment is None or row.assessment.rate is None else row.assessment.rate
    ),
}


@blueprint.get("")
@requires(Permission.VIEW)
def index() -> ResponseReturnValue:
    """The list, worst first."""
    rows = _rows()
    regions = backend().directory.inventory().regions
    return render_template(
        "sites/index.html",
        title=_("机构"),
        listing=make_listing(rows, _SORTS, "state"),
        asked=asked,
        regions=[(r.id, r.name) for r in regions.values() if any(row.site.region == r.id for row in rows)],
        grades=list(GRADE_WORDS.items()),
        states=[*SEVERITY_WORDS.items(), ("unknown", STATE_WORDS["unknown"]), ("ok", STATE_WORDS["ok"])],
        shows_rates=current().may(Permission.COMPLIANCE_VIEW),
    )


@blueprint.get("/export.csv", endpoint="export")
@requires(Permission.VIEW)
def export() -> ResponseReturnValue:
    """The filtered list as CSV."""
    head = [
        _("机构编号"),
        _("名称"),
        _("区域"),
        _("机构级别"),
        _("等保"),
        _("状态"),
        _("告警"),
        _("设备"),
        _("符合率"),
    ]
    return csv_response(
        "sites",
        head,
        [
            [
                r.site.id,
                r.site.name,
                r.region,
                GRADE_WORDS[r.site.grade],
                r.site.protection_level,
                state_word(r.state),
                r.alerts,
                r.devices,
                "" if r.assessment is None or r.assessment.rate is None else f"{r.assessment.rate:.4f}",
            ]
            for r in sorted(_rows(), key=_SORTS["state"])
        ],
    )


@blueprint.get("/<site_id>", endpoint="page")
@requires(Permission.VIEW)
def page(site_id: str) -> ResponseReturnValue:
    """One site."""
    directory, within = backend().directory, scope()
    site = directory.site(within, site_id)
    devices = directory.devices(within, site.id)
    states = device_states(devices)
    alerts = sorted(
        open_alerts(within, site.id), key=lambda a: (a.severity.rank, -(a.fired_at or a.active_at))
    )
    region = directory.inventory().regions.get(site.region)
    return render_template(
        "sites/page.html",
        title=site.name,
        site=site,
        region=region.name if region else site.region,
        state=site_states([site], within)[site.id],
        devices=sorted(((d, states[d.id]) for d in devices), key=_worst_first),
        services=[(s, service_state(s, states), devices_of(s)) for s in directory.services(within, site.id)],
        alerts=[a for a in alerts if a.root is None],
        title_here=title_here,
        collector=next((c for c in directory.collectors() if c.id == site.collector), None),
        assessment=_latest(site) if current().may(Permission.COMPLIANCE_VIEW) else None,
        findings=_findings(site) if current().may(Permission.PLAYBOOK_VIEW) else [],
    )


def _worst_first(item: tuple[Device, DeviceState]) -> tuple[int, str]:
    return item[1].rank, item[0].name


def _latest(site: Site) -> AssessmentView | None:
    return backend().register.latest(scope()).get(site.id)


def _findings(site: Site) -> list[object]:
    return list(backend().office.findings(scope(), site=site.id))


def _rows() -> list[SiteRow]:
    directory, within = backend().directory, scope()
    region, grade, wanted, text = asked("region"), asked("grade"), asked("state"), asked("q").lower()
    sites = [
        s
        for s in directory.sites(within)
        if (not region or s.region == region)
        and (not grade or s.grade == grade)
        and (not text or text in f"{s.id}\0{s.name}".lower())
    ]
    states = site_states(sites, within)
    counts: dict[str, int] = {}
    for device in directory.devices(within):
        counts[device.site] = counts.get(device.site, 0) + 1
    latest = backend().register.latest(within) if current().may(Permission.COMPLIANCE_VIEW) else {}
    regions = directory.inventory().regions
    rows = [
        SiteRow(
            s,
            regions[s.region].name if s.region in regions else str(s.region),
            *states[s.id],
            counts.get(s.id, 0),
            latest.get(s.id),
        )
        for s in sites
    ]
    return [row for row in rows if not wanted or row.state == wanted]
