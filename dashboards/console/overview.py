"""总览: the city in one look. One sentence first, then sites, alerts, services, compliance, collectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from dashboards.condition import condition
from dashboards.i18n import GRADE_WORDS
from dashboards.scope import backend, current, requires, scope
from dashboards.states import COLLECTOR_LOST_MS, ORDER, device_states, service_state, site_states
from dashboards.titles import device_name, headline_of, title_here
from monitor.identity.roles import Permission
from monitor.model import Grade, Region, RegionId, Service, Severity, Site
from rules.alerting.interface import AlertFilter, AlertState, AlertView
from rules.compliance.interface import AssessmentView, Verdict

blueprint = Blueprint("overview", __name__)

NAMED = (Grade.TERTIARY, Grade.SECONDARY)
MANY_SMALL = 8  # quiet small sites of one district; more than this are drawn as cells
HOURS = 24


@dataclass(frozen=True, slots=True)
class Place:
    """A site as a tile or a cell."""

    site: Site
    state: str
    alerts: int


@dataclass(frozen=True, slots=True)
class District:
    """One region: named tiles first; when it has many small sites, the quiet ones as cells."""

    name: str
    count: int
    tiles: Sequence[Place]
    cells: Sequence[Place]


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """All services of one name over the city."""

    name: str
    state: str
    troubled: int
    total: int
    sites: str


@dataclass(frozen=True, slots=True)
class GradeRate:
    """Compliance of one grade of sites."""

    grade: str
    parts: Sequence[tuple[int, str]]
    rate: float | None
    assessed: int
    sites: int


@blueprint.get("/")
@requires(Permission.VIEW)
def page() -> ResponseReturnValue:
    """The overview, or with htmx only its changing body (hx-select takes it out)."""
    directory, within = backend().directory, scope()
    sites = directory.sites(within)
    states = site_states(sites, within)
    roots, open_total = _open_roots()
    fired = backend().desk.fired_per_hour(within, HOURS)
    counts = backend().desk.counts(within)
    shows_rates = current().may(Permission.COMPLIANCE_VIEW)
    return render_template(
        "overview/page.html",
        title=_("总览"),
        sites=sites,
        site_names={site.id: site.name for site in sites},
        districts=_districts(sites, states, directory.inventory().regions),
        state_counts=Counter(state for state, _count in states.values()),
        top=roots[0] if roots else None,
        roots=roots[:5],
        open_total=open_total,
        suppressed=sum(alert.suppressed for alert in roots),
        counts=counts,
        severities=[(s, counts.get(s, 0), fired.get(s, [0] * HOURS)) for s in Severity],
        services=service_rows(directory.services(within)),
        rates=_rates(sites, backend().register.latest(within)) if shows_rates else [],
        collectors=_collectors(sites),
        own_troubles=condition().notices if current().may(Permission.SYSTEM_VIEW) else [],
        headline=headline_of,
        title_here=title_here,
        device_name=device_name,
        hurt=_hurt(roots[0]) if roots else [],
    )


def _open_roots() -> tuple[list[AlertView], int]:
    wanted = AlertFilter(
        states=(AlertState.ACTIVE, AlertState.ACKED), roots_only=True, sort="-severity", limit=500
    )
    found, total = backend().desk.alerts(scope(), wanted)
    # Unacknowledged before acknowledged, then the newest: the first one is the sentence of the page.
    found.sort(key=lambda a: (a.severity.rank, a.state is AlertState.ACKED, -(a.fired_at or a.active_at)))
    return found, total


def _hurt(alert: AlertView) -> list[Service]:
    """The services of the site that are not well and have this device in their tree."""
    services = backend().directory.services(scope(), alert.site)
    return [s for s in services if alert.device and alert.device in devices_of(s)]


def devices_of(service: Service) -> set[str]:
    """Every device a service's tree names."""
    found, waiting = set(), [service.tree]
    while waiting:
        node = waiting.pop()
        waiting.extend(node.children)
        if node.device is not None:
            found.add(str(node.device))
    return found


def _districts(
    sites: Sequence[Site], states: Mapping[str, tuple[str, int]], regions: Mapping[RegionId, Region]
) -> list[District]:
    by_region: dict[RegionId, list[Place]] = {}
    for site in sites:
        state, count = states[site.id]
        by_region.setdefault(site.region, []).append(Place(site, state, count))
    districts = []
    for region, places in by_region.items():
        crowded = sum(p.site.grade not in NAMED for p in places) > MANY_SMALL
        cells = [p for p in places if crowded and p.site.grade not in NAMED and p.state == "ok"]
        tiles = [p for p in places if p not in cells]
        tiles.sort(key=lambda p: (list(Grade).index(p.site.grade), p.site.id))
        cells.sort(key=lambda p: p.site.grade is Grade.PRIVATE)
        known = regions.get(region)
        districts.append(District(known.name if known else str(region), len(places), tiles, cells))
    return districts


def service_rows(services: Sequence[Service]) -> list[ServiceRow]:
    """Services grouped by name, worst first."""
    directory = backend().directory
    needed = set().union(*(devices_of(s) for s in services)) if services else set()
    devices = [d for d in directory.devices(scope()) if d.id in needed]
    states = device_states(devices)
    names = {site.id: site.name for site in directory.sites(scope())}
    groups: dict[str, list[tuple[str, str]]] = {}
    for service in services:
        groups.setdefault(service.name, []).append(
            (service_state(service, states), names.get(service.site, ""))
        )
    rows = []
    for name, found in groups.items():
        found.sort(key=lambda item: ORDER.index(item[0]))
        worst = found[0][0]
        # The word beside the number is that of the worst state, so only sites in that state are counted.
        bad = [] if worst in {"ok", "info"} else [site for state, site in found if state == worst]
        rows.append(ServiceRow(name, worst, len(bad), len(found), _("、").join(bad[:2])))
    return sorted(rows, key=lambda row: ORDER.index(row.state))


def _rates(sites: Sequence[Site], latest: Mapping[str, AssessmentView]) -> list[GradeRate]:
    rows = []
    for grade, word in GRADE_WORDS.items():
        mine = [site for site in sites if site.grade is grade]
        done = [latest[site.id] for site in mine if site.id in latest]
        if not mine:
            continue
        totals: Counter[Verdict] = Counter()
        for assessment in done:
            totals.update(assessment.totals)
        parts = [
            (totals[Verdict.PASS], "ok"),
            (totals[Verdict.PARTIAL], "minor"),
            (totals[Verdict.FAIL], "critical"),
            (totals[Verdict.NOT_CHECKED], "unknown"),
        ]
        rates = [a.rate for a in done if a.rate is not None]
        rows.append(
            GradeRate(str(word), parts, sum(rates) / len(rates) if rates else None, len(done), len(mine))
        )
    return rows


def _collectors(sites: Sequence[Site]) -> dict[str, object]:
    now = backend().clock.now_ms()
    wanted = {str(site.collector) for site in sites}
    heard = [c for c in backend().directory.collectors() if c.id in wanted]
    alive = [c for c in heard if now - c.last_seen <= COLLECTOR_LOST_MS]
    lost = sorted(wanted - {c.id for c in alive})
    waiting = sorted((c for c in heard if c.spooled_samples), key=lambda c: -c.spooled_samples)
    return {"alive": len(alive), "total": len(wanted), "lost": lost, "spooled": waiting[:1]}
