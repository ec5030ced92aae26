"""The JSON API of discovery: scans, proposals and changes, with the scope and permissions of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from dashboards.api.declare import Declaration, declare, json_body, paging
from dashboards.api.routes import answer, page
from dashboards.console.discovery import may_scan, start_as_caller
from dashboards.scope import backend, current, requires, scope, signed_in
from monitor.discovery.approval import Wish
from monitor.discovery.interface import DEFAULT_RATE
from monitor.discovery.proposals import STATES
from monitor.errors import InputError
from monitor.identity.roles import Permission

blueprint = Blueprint("api_discovery", __name__, url_prefix="/api/v1/discovery")

_MAX_LISTED = 10_000
_WISH_KEYS = frozenset({"device", "name", "kind", "site", "credential", "address"})


@blueprint.get("/scans")
@requires(Permission.VIEW)
@declare(Declaration("Scans, newest first", "Scan", paged=True, query={"site": "string", "open": "boolean"}))
def scans() -> ResponseReturnValue:
    """Scans."""
    offset, limit = paging()
    only_open = request.args.get("open", "") in {"1", "true"}
    found = backend().discovery.scans.scans(
        scope(), site=request.args.get("site", ""), only_open=only_open, limit=_MAX_LISTED
    )
    return page([asdict(s) for s in found[offset : offset + limit]], len(found), offset, limit)


@blueprint.get("/scans/<int:scan_id>")
@requires(Permission.VIEW)
@declare(Declaration("One scan with its progress", "Scan"))
def scan(scan_id: int) -> ResponseReturnValue:
    """One scan."""
    return answer(asdict(backend().discovery.scans.get(scope(), scan_id)))


@blueprint.post("/scans")
@requires(Permission.INVENTORY_EDIT)
@declare(
    Declaration(
        "Queue a scan of ranges; `credentials` are names of the site's set, all of it when empty",
        "Done",
        body={
            "site!": "string", "ranges!": "array", "credentials": "array", "port": "integer", "rate": "number",
            "keep": "boolean", "weekly": "boolean",
        },
    )
)  # fmt: skip
def start() -> ResponseReturnValue:
    """Queue a scan."""
    body = json_body()
    rate = body.get("rate", DEFAULT_RATE)
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise InputError("rate must be a number", zh="rate 须为数字")
    number = start_as_caller(
        _text(body, "site"),
        _texts(body, "ranges"),
        _texts(body, "credentials"),
        _whole(body, "port", 161),
        float(rate),
        keep=body.get("keep") is True or body.get("weekly") is True,
        weekly=body.get("weekly") is True,
    )
    return answer({"id": number})


@blueprint.post("/scans/<int:scan_id>/cancel")
@signed_in
@declare(Declaration("End a scan", "Scan"))
def cancel(scan_id: int) -> ResponseReturnValue:
    """End a scan."""
    may_scan()
    return answer(asdict(backend().discovery.scans.cancel(scope(), scan_id, current().name)))


@blueprint.post("/sites/<site_id>/scan")
@signed_in
@declare(Declaration("Scan the known ranges of a site again", "Scans"))
def scan_site(site_id: str) -> ResponseReturnValue:
    """Scan what is known."""
    may_scan()
    return answer({"scans": backend().discovery.scans.start_known(scope(), site_id, current().name)})


@blueprint.get("/ranges")
@requires(Permission.VIEW)
@declare(Declaration("Known ranges of the sites", "Range", paged=True, query={"site": "string"}))
def ranges() -> ResponseReturnValue:
    """Known ranges."""
    offset, limit = paging()
    found = backend().discovery.scans.ranges(scope(), request.args.get("site", ""))
    return page([asdict(r) for r in found[offset : offset + limit]], len(found), offset, limit)


@blueprint.get("/proposals")
@requires(Permission.VIEW)
@declare(
    Declaration(
        "Devices that were found, newest first",
        "Proposal",
        paged=True,
        query={"state": "string", "site": "string", "scan": "integer"},
    )
)
def proposals() -> ResponseReturnValue:
    """Proposals."""
    offset, limit = paging()
    args = request.args
    states = [state for state in args.get("state", "").split(",") if state]
    if unknown := [state for state in states if state not in STATES]:
        allowed = ", ".join(STATES)
        raise InputError(f"state {unknown[0][:20]!r}: one of {allowed}", zh=f"state 只能是 {allowed}")
    number = args.get("scan", "")
    found = backend().discovery.proposals.list(
        scope(),
        states=states,
        site=args.get("site", ""),
        scan=int(number) if number.isascii() and number.isdigit() and len(number) < 12 else 0,
    )
    return page([asdict(p) for p in found[offset : offset + limit]], len(found), offset, limit)


@blueprint.get("/proposals/<int:proposal_id>")
@requires(Permission.VIEW)
@declare(Declaration("One device that was found", "Proposal"))
def proposal(proposal_id: int) -> ResponseReturnValue:
    """One proposal."""
    return answer(asdict(backend().discovery.proposals.get(scope(), proposal_id)))


@blueprint.post("/proposals/approve")
@requires(Permission.INVENTORY_EDIT)
@declare(
    Declaration(
        "Add proposals to the inventory, all or none; each of `wishes` has `id` and, where it shall differ from the"
        " proposal, device, name, kind, site, credential, address",
        "Devices",
        body={"wishes!": "array"},
    )
)
def approve() -> ResponseReturnValue:
    """Approve."""
    wishes = json_body().get("wishes")
    if not isinstance(wishes, list):
        raise InputError("wishes must be a list", zh="wishes 须为列表")
    made = backend().discovery.approval.approve(scope(), [_wish(item) for item in wishes], current().name)
    return answer({"devices": made})


@blueprint.post("/proposals/dismiss")
@requires(Permission.INVENTORY_EDIT)
@declare(
    Declaration(
        "Set proposals aside until they change", "Numbers", body={"ids!": "array", "reason!": "string"}
    )
)
def dismiss() -> ResponseReturnValue:
    """Dismiss."""
    body = json_body()
    given = body.get("ids")
    numbers = (
        [n for n in given if isinstance(n, int) and not isinstance(n, bool)]
        if isinstance(given, list)
        else []
    )
    backend().discovery.proposals.dismiss(scope(), numbers, current().name, _text(body, "reason"))
    return answer({"ids": numbers})


@blueprint.get("/changes")
@requires(Permission.VIEW)
@declare(
    Declaration(
        "What changed on polled devices, newest first",
        "Change",
        paged=True,
        query={"site": "string", "device": "string"},
    )
)
def changes() -> ResponseReturnValue:
    """Changes."""
    offset, limit = paging()
    found = backend().discovery.journal.changes(
        scope(),
        site=request.args.get("site", ""),
        device=request.args.get("device", ""),
        limit=_MAX_LISTED,
    )
    return page([asdict(c) for c in found[offset : offset + limit]], len(found), offset, limit)


def _wish(item: object) -> Wish:
    if not isinstance(item, Mapping):
        raise InputError("a wish must be an object", zh="wishes 的每一项须为对象")
    number = item.get("id")
    if not isinstance(number, int) or isinstance(number, bool):
        raise InputError("a wish needs the id of its proposal", zh="wishes 的每一项须有发现项编号 id")
    return Wish(number, **{key: str(item[key])[:200] for key in _WISH_KEYS if item.get(key)})


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"{name} must be a text", zh=f"{name} 须为文本")
    return value[:500]


def _texts(body: Mapping[str, object], name: str) -> list[str]:
    value = body.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{name} must be a list of texts", zh=f"{name} 须为文本列表")
    return value[:1000]


def _whole(body: Mapping[str, object], name: str, default: int) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{name} must be a whole number", zh=f"{name} 须为整数")
    return value
