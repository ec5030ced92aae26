"""The JSON API of the console: the same data, the same scope, the same permissions as the pages."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import orjson
from flask import Blueprint, Response, current_app, make_response, request
from flask.typing import ResponseReturnValue

from dashboards.api.declare import Declaration, declare, json_body, paging
from dashboards.api.openapi import document
from dashboards.condition import condition
from dashboards.console.desk import perform
from dashboards.console.findings import move_as_caller
from dashboards.console.jobs import NEEDED, visible
from dashboards.scope import backend, current, public, requires, scope, signed_in
from dashboards.states import device_states, site_states
from dashboards.topology.maps import site_map
from monitor.errors import InputError
from monitor.identity.roles import Permission
from monitor.model import Device, Severity
from playbooks.interface import FindingState
from rules.alerting.interface import AlertFilter, AlertState

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")

_OPEN_STATES = (AlertState.ACTIVE, AlertState.ACKED, AlertState.RETURNED, AlertState.SHELVED)


@blueprint.get("/openapi.json")
@public
def openapi() -> ResponseReturnValue:
    """The OpenAPI 3.1 document of this API."""
    return answer(document(current_app))


@blueprint.get("/me")
@signed_in
@declare(Declaration("Who is calling, and what they may do", "Caller"))
def me() -> ResponseReturnValue:
    """The caller."""
    caller = current()
    sites = None if caller.scope.sites is None else sorted(caller.scope.sites)
    return answer(
        {
            "name": caller.name,
            "display": caller.display,
            "role": caller.user.role if caller.user else "token",
            "permissions": sorted(caller.permissions),
            "sites": sites,
        }
    )


@blueprint.get("/sites")
@requires(Permission.VIEW)
@declare(
    Declaration("Sites with their state", "Site", paged=True, query={"region": "string", "grade": "string"})
)
def sites() -> ResponseReturnValue:
    """Sites in inventory order."""
    region, grade = request.args.get("region", ""), request.args.get("grade", "")
    found = [
        s
        for s in backend().directory.sites(scope())
        if (not region or s.region == region) and (not grade or s.grade == grade)
    ]
    offset, limit = paging()
    shown = found[offset : offset + limit]
    states = site_states(shown, scope())
    items = [{**asdict(s), "state": states[s.id][0], "alerts": states[s.id][1]} for s in shown]
    return page(items, len(found), offset, limit)


@blueprint.get("/devices")
@requires(Permission.VIEW)
@declare(
    Declaration(
        "Devices with their state",
        "Device",
        paged=True,
        query={"site": "string", "kind": "string", "q": "string"},
    )
)
def devices() -> ResponseReturnValue:
    """Devices in inventory order."""
    kind, text = request.args.get("kind", ""), request.args.get("q", "").lower()
    found = [
        d
        for d in backend().directory.devices(scope(), request.args.get("site", ""))
        if (not kind or d.kind == kind) and (not text or text in f"{d.id}\0{d.name}\0{d.address}".lower())
    ]
    offset, limit = paging()
    shown = found[offset : offset + limit]
    return page(_devices(shown), len(found), offset, limit)


@blueprint.get("/devices/<device_id>")
@requires(Permission.VIEW)
@declare(Declaration("One device with what its modules last said", "Device"))
def device(device_id: str) -> ResponseReturnValue:
    """One device."""
    found = backend().directory.device(scope(), device_id)
    modules = [asdict(status) for status in backend().directory.statuses(scope(), found.id)]
    return answer({**_devices([found])[0], "modules": modules})


@blueprint.get("/topology")
@requires(Permission.VIEW)
@declare(
    Declaration(
        "The map of one site, or of every visible site, as a graph", "Topology", query={"site": "string"}
    )
)
def topology() -> ResponseReturnValue:
    """Nodes, links and contradictions."""
    asked = request.args.get("site", "")
    sites = [backend().directory.site(scope(), asked)] if asked else backend().directory.sites(scope())
    graphs = [site_map(site.id).graph for site in sites]
    nodes = {name: node for graph in graphs for name, node in graph.nodes.items()}
    links = {link.id: link for graph in graphs for link in graph.links}
    return answer(
        {
            "nodes": [asdict(node) for _, node in sorted(nodes.items())],
            "links": [asdict(link) for _, link in sorted(links.items())],
            "conflicts": [asdict(conflict) for graph in graphs for conflict in graph.conflicts],
        }
    )


@blueprint.get("/alerts")
@requires(Permission.VIEW)
@declare(
    Declaration(
        "Alerts, the worst first",
        "Alert",
        paged=True,
        query={
            "state": "string",
            "severity": "string",
            "site": "string",
            "device": "string",
            "q": "string",
            "roots_only": "boolean",
            "sort": "string",
        },
    )
)
def alerts() -> ResponseReturnValue:
    """Open alerts unless `state` says otherwise."""
    args = request.args
    offset, limit = paging()
    states = _members(AlertState, args.get("state", ""), "state") or _OPEN_STATES
    wanted = AlertFilter(
        states=states,
        severities=_members(Severity, args.get("severity", ""), "severity"),
        site=args.get("site", ""),
        device=args.get("device", ""),
        text=args.get("q", ""),
        roots_only=args.get("roots_only", "") in {"1", "true"},
        sort=args.get("sort", "-severity"),
        offset=offset,
        limit=limit,
    )
    found, total = backend().desk.alerts(scope(), wanted)
    return page([asdict(a) for a in found], total, offset, limit)


@blueprint.get("/alerts/<int:alert_id>")
@requires(Permission.VIEW)
@declare(Declaration("One alert with its timeline", "Alert"))
def alert(alert_id: int) -> ResponseReturnValue:
    """One alert."""
    found = backend().desk.alert(scope(), alert_id)
    timeline = [asdict(entry) for entry in backend().desk.timeline(scope(), alert_id)]
    return answer({**asdict(found), "timeline": timeline})


@blueprint.post("/alerts/<int:alert_id>/ack")
@requires(Permission.DESK)
@declare(Declaration("Acknowledge", "Alert", body={"note": "string"}))
def ack(alert_id: int) -> ResponseReturnValue:
    """Acknowledge an alert."""
    return _act("ack", alert_id)


@blueprint.post("/alerts/<int:alert_id>/assign")
@requires(Permission.DESK)
@declare(Declaration("Give to somebody", "Alert", body={"owner!": "string", "note": "string"}))
def assign(alert_id: int) -> ResponseReturnValue:
    """Assign an alert."""
    return _act("assign", alert_id)


@blueprint.post("/alerts/<int:alert_id>/note")
@requires(Permission.DESK)
@declare(Declaration("Write into the timeline", "Alert", body={"note!": "string"}))
def note(alert_id: int) -> ResponseReturnValue:
    """Add a note to an alert."""
    return _act("note", alert_id)


@blueprint.post("/alerts/<int:alert_id>/silence")
@requires(Permission.DESK)
@declare(Declaration("Shelve for some hours", "Alert", body={"hours!": "number", "note!": "string"}))
def silence(alert_id: int) -> ResponseReturnValue:
    """Silence an alert."""
    return _act("silence", alert_id)


@blueprint.get("/assessments")
@requires(Permission.COMPLIANCE_VIEW)
@declare(Declaration("Assessments, newest first", "Assessment", paged=True, query={"site": "string"}))
def assessments() -> ResponseReturnValue:
    """Assessments."""
    offset, limit = paging()
    found = backend().register.assessments(scope(), request.args.get("site", ""), 100_000)
    return page([asdict(a) for a in found[offset : offset + limit]], len(found), offset, limit)


@blueprint.get("/findings")
@requires(Permission.PLAYBOOK_VIEW)
@declare(
    Declaration(
        "Findings, the worst first",
        "Finding",
        paged=True,
        query={"state": "string", "site": "string", "device": "string"},
    )
)
def findings() -> ResponseReturnValue:
    """Findings."""
    args = request.args
    offset, limit = paging()
    states = _members(FindingState, args.get("state", ""), "state")
    found = backend().office.findings(scope(), states, args.get("site", ""), args.get("device", ""))
    return page([asdict(f) for f in found[offset : offset + limit]], len(found), offset, limit)


@blueprint.post("/findings/<int:finding_id>/move")
@requires(Permission.FINDING_MOVE)
@declare(
    Declaration(
        "One life-cycle step of a finding",
        "Done",
        body={"to!": "string", "owner": "string", "note": "string", "days": "integer"},
    )
)
def move_finding(finding_id: int) -> ResponseReturnValue:
    """Move a finding."""
    move_as_caller(finding_id, json_body())
    return answer({"id": finding_id})


@blueprint.get("/engagements")
@requires(Permission.PLAYBOOK_VIEW)
@declare(Declaration("Engagements, newest window first", "Engagement", paged=True))
def engagements() -> ResponseReturnValue:
    """Engagements."""
    offset, limit = paging()
    found = backend().office.engagements(scope())
    return page([asdict(e) for e in found[offset : offset + limit]], len(found), offset, limit)


@blueprint.get("/jobs")
@signed_in
@declare(Declaration("Long work the caller may know of, newest first", "Job", paged=True))
def jobs() -> ResponseReturnValue:
    """Jobs."""
    offset, limit = paging()
    found = [
        job
        for job in backend().jobs.list(scope(), limit=1000)
        if (needed := NEEDED.get(job.kind)) is not None and current().may(needed)
    ]
    return page([asdict(job) for job in found[offset : offset + limit]], len(found), offset, limit)


@blueprint.get("/jobs/<int:job_id>")
@signed_in
@declare(Declaration("One job", "Job"))
def job(job_id: int) -> ResponseReturnValue:
    """One job."""
    return answer(asdict(visible(job_id)))


@blueprint.get("/platform")
@requires(Permission.SYSTEM_VIEW)
@declare(
    Declaration("How this platform itself is; `report` is null while the core does not answer", "Condition")
)
def platform() -> ResponseReturnValue:
    """What needs attention, the worst first, in the reader's language, and the figures behind it."""
    found = condition()
    return answer({"notices": found.notices, "report": found.report})


def answer(value: object) -> Response:
    """JSON with an ETag; 304 when the caller has it already."""
    body = orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS)
    response = make_response(body)
    response.headers["Content-Type"] = "application/json"
    response.headers["Cache-Control"] = "private, no-cache"
    if request.method == "GET":
        response.set_etag(hashlib.sha256(body).hexdigest()[:32])
        response.make_conditional(request)
    return response


def page(items: Sequence[Mapping[str, Any]], total: int, offset: int, limit: int) -> Response:
    """One page of a list; `next` is the offset of the following page or null."""
    following = offset + limit if offset + limit < total else None
    return answer({"items": items, "total": total, "next": following})


def _plain(value: object) -> object:
    if isinstance(value, frozenset | set):
        return sorted(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(type(value).__name__)


def _act(name: str, alert_id: int) -> Response:
    backend().desk.alert(scope(), alert_id)
    perform(name, [alert_id], json_body())
    return answer(asdict(backend().desk.alert(scope(), alert_id)))


def _devices(found: Sequence[Device]) -> list[dict[str, Any]]:
    states = device_states(found)
    return [
        {
            **asdict(d),
            "state": states[d.id].name,
            "alerts": states[d.id].alerts,
            "checked_at": states[d.id].checked_at,
        }
        for d in found
    ]


def _members(kind: Any, text: str, name: str) -> tuple[Any, ...]:
    """Comma-separated members of an enumeration."""
    try:
        return tuple(kind(part) for part in text.split(",") if part)
    except ValueError:
        allowed = ", ".join(member.value for member in kind)
        raise InputError(f"{name}: one of {allowed}", zh=f"{name} 只能是 {allowed}") from None
