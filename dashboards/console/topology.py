"""拓扑: the state of every site's network, and the map of one site with its links, neighbours, contradictions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, abort, jsonify, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from dashboards.i18n import stamp
from dashboards.listing import asked, csv_response, make_listing
from dashboards.scope import backend, requires, scope
from dashboards.states import ORDER, open_alerts, site_states, state_word
from dashboards.titles import title_here
from dashboards.topology.layout import Band
from dashboards.topology.maps import SiteMap, drawing_of, kept_map, site_map, topology_statuses
from dashboards.topology.marks import (
    BUSY,
    CONFIDENCE_WORDS,
    CONFLICT_WORDS,
    FULL,
    KIND_WORDS,
    LINK_WORDS,
    NODE_WORDS,
    LinkMark,
    Marks,
    down_ends,
    load_word,
    marks_of,
    ports_down,
    summary,
)
from dashboards.topology.words import band_word, capability_words, mac_text, node_name, port_text, short_name
from monitor.identity.roles import Permission
from monitor.model import Site
from monitor.topology.graph import Link, LinkKind, Node, NodeKind

blueprint = Blueprint("topology", __name__, url_prefix="/topology")

BUILD_SECONDS = 1.5  # of maps for one look at the city; the rest follows when the page looks again
SHOWN = ("trouble", "unknown", "doubtful")


@dataclass(frozen=True, slots=True)
class SiteRow:
    """One line of the city's list; None where the map is still being worked out."""

    site: Site
    region: str
    state: str
    alerts: int
    asked: int
    answered: int
    links: int | None = None
    down: int | None = None
    unknown: int | None = None
    doubtful: int | None = None
    conflicts: int | None = None
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class LinkRow:
    """One line of a site's list of links."""

    link: Link
    mark: LinkMark
    a: str
    b: str


_SITE_SORTS = {
    "name": lambda row: row.site.name,
    "state": lambda row: (ORDER.index(row.state), -row.alerts, row.site.name),
    "links": lambda row: row.links or 0,
    "down": lambda row: (-(row.down or 0), -(row.unknown or 0), ORDER.index(row.state), row.site.name),
    "unknown": lambda row: (-(row.unknown or 0), row.site.name),
    "doubtful": lambda row: (-(row.doubtful or 0), row.site.name),
}
_STATE_ORDER = ("down", "unknown", "up", "reserve")
_LINK_SORTS = {
    "state": lambda row: (_STATE_ORDER.index(row.mark.state), -(row.mark.load or 0), row.a, row.b),
    "a": lambda row: (row.a, row.b),
    "b": lambda row: (row.b, row.a),
    "confidence": lambda row: (-row.link.confidence.rank, row.a, row.b),
    "load": lambda row: (-(row.mark.load or -1.0), row.a),
}


@blueprint.get("")
@requires(Permission.VIEW)
def page() -> ResponseReturnValue:
    """The city; a caller of one site goes straight to its map."""
    sites = backend().directory.sites(scope())
    if len(sites) == 1:
        return redirect(url_for("topology.site", site_id=sites[0].id))
    rows = _site_rows(sites)
    return render_template(
        "topology/city.html",
        title=_("拓扑"),
        listing=make_listing(_wanted(rows), _SITE_SORTS, "down"),
        rows=rows,
        waiting=sum(row.links is None and row.answered > 0 for row in rows),
        asked=asked,
        shows=[("trouble", _("有中断链路")), ("unknown", _("有未登记邻居")), ("doubtful", _("有待确认链路"))],
    )


@blueprint.get("/export.csv", endpoint="export")
@requires(Permission.VIEW)
def export() -> ResponseReturnValue:
    """The city's list."""
    head = [_("机构编号"), _("名称"), _("状态"), _("链路"), _("中断链路"), _("未登记邻居"), _("待确认链路"),
            _("矛盾"), _("已采集设备"), _("应采集设备"), _("最早采集时间")]  # fmt: skip
    rows = sorted(_wanted(_site_rows(backend().directory.sites(scope()))), key=_SITE_SORTS["down"])
    return csv_response(
        "topology",
        head,
        [
            [r.site.id, r.site.name, state_word(r.state), r.links, r.down, r.unknown, r.doubtful, r.conflicts,
             r.answered, r.asked, stamp(r.at_ms)]
            for r in rows
        ],
    )  # fmt: skip


@blueprint.get("/<site_id>", endpoint="site")
@requires(Permission.VIEW)
def site(site_id: str) -> ResponseReturnValue:
    """One site, as a map or as lists."""
    known = backend().directory.site(scope(), site_id)
    shown = site_map(known.id)
    marks = marks_of(shown)
    listed = asked("view") == "list"
    chosen = asked("sel")
    lit = _lit(shown, marks)
    return render_template(
        "topology/site.html",
        title=known.name,
        rail=True,
        site=known,
        sites=backend().directory.sites(scope()),
        shown=shown,
        marks=marks,
        lit=lit,
        state=site_states([known], scope())[known.id],
        summary=summary(shown, marks),
        listed=listed,
        drawing=None if listed else drawing_of(shown),
        cut_last=lambda lines: sorted(lines, key=lambda line: marks.links[line.link].state == "down"),
        links=_links(shown, marks, lit),
        strangers=_strangers(shown, lit),
        listing=make_listing(_links(shown, marks, lit), _LINK_SORTS, "state") if listed else None,
        old=shown.old(backend().clock.now_ms()),
        silent=[one for one in shown.asked if not one.up],
        chosen=_panel(shown, marks, chosen) if chosen else None,
        asked=asked,
        shows=[("trouble", _("中断与告警")), ("unknown", _("未登记邻居")), ("doubtful", _("待确认链路"))],
        kinds=[(kind.value, word) for kind, word in KIND_WORDS.items()],
        **_vocabulary(shown),
    )


@blueprint.get("/<site_id>/state", endpoint="state")
@requires(Permission.VIEW)
def state(site_id: str) -> ResponseReturnValue:
    """How everything on the map is now; the page puts it in place without moving anything."""
    known = backend().directory.site(scope(), site_id)
    shown = site_map(known.id)
    marks = marks_of(shown)
    return jsonify(
        version=shown.version,
        summary=summary(shown, marks),
        nodes={name: [m.state, m.word, m.alerts, m.part] for name, m in marks.nodes.items()},
        links={name: [m.state, m.word, load_word(m.load), _weight(m)] for name, m in marks.links.items()},
    )


@blueprint.get("/<site_id>/panel", endpoint="panel")
@requires(Permission.VIEW)
def panel(site_id: str) -> ResponseReturnValue:
    """What is known of one node or link."""
    known = backend().directory.site(scope(), site_id)
    shown = site_map(known.id)
    chosen = _panel(shown, marks_of(shown), asked("sel"))
    if chosen is None:
        abort(404)
    return render_template(
        "topology/panel.html", site=known, chosen=chosen, shown=shown, asked=asked, **_vocabulary(shown)
    )


@blueprint.get("/<site_id>/links.csv", endpoint="links")
@requires(Permission.VIEW)
def links_csv(site_id: str) -> ResponseReturnValue:
    """The links as filtered."""
    known = backend().directory.site(scope(), site_id)
    shown = site_map(known.id)
    marks = marks_of(shown)
    head = [_("本端"), _("本端端口"), _("对端"), _("对端端口"), _("状态"), _("利用率"), _("可信度"), _("依据"),
            _("聚合成员"), _("最近采集")]  # fmt: skip
    rows = sorted(_links(shown, marks, _lit(shown, marks)), key=_LINK_SORTS["a"])
    return csv_response(
        f"links-{known.id}",
        head,
        [
            [r.a, port_text(r.link.a), r.b, port_text(r.link.b), r.mark.word, load_word(r.mark.load),
             CONFIDENCE_WORDS[r.link.confidence], " ".join(str(KIND_WORDS[k]) for k in r.link.kinds),
             len(r.link.members) or 1, stamp(r.link.at_ms)]
            for r in rows
        ],
    )  # fmt: skip


@blueprint.get("/<site_id>/neighbours.csv", endpoint="neighbours")
@requires(Permission.VIEW)
def neighbours_csv(site_id: str) -> ResponseReturnValue:
    """The neighbours that nobody registered."""
    known = backend().directory.site(scope(), site_id)
    shown = site_map(known.id)
    head = [_("名称"), _("机箱标识"), _("说明"), _("地址"), _("能力"), _("接在"), _("最近采集")]
    return csv_response(
        f"neighbours-{known.id}",
        head,
        [
            [n.name, mac_text(n.chassis), n.descr, " ".join(n.addresses), capability_words(n.capabilities),
             " ".join(f"{device} {port}" for device, port in n.heard_on), stamp(n.heard_at)]
            for n in _strangers(shown, None)
        ],
    )  # fmt: skip


# -- what is shown ---------------------------------------------------------------------------------------------------


def _vocabulary(shown: SiteMap) -> dict[str, object]:
    """Words and helpers of the templates."""
    return {
        "KINDS": KIND_WORDS,
        "by_link": {link.id: link for link in shown.graph.links},
        "CONFIDENCES": CONFIDENCE_WORDS,
        "CONFLICTS": CONFLICT_WORDS,
        "LINK_WORDS": LINK_WORDS,
        "NODE_KINDS": NODE_WORDS,
        "name_of": lambda name: node_name(shown.graph.nodes.get(name), name),
        "short_name": short_name,
        "band_word": lambda band: band_word(Band(band)),
        "port_text": port_text,
        "mac_text": mac_text,
        "capability_words": capability_words,
        "load_word": load_word,
        "weight": _weight,
        "title_here": title_here,
    }


def _weight(mark: LinkMark) -> str:
    """How heavily a link is drawn."""
    if mark.state != "up" or mark.load is None:
        return "w0"
    return "w2" if mark.load >= FULL else "w1" if mark.load >= BUSY else "w0"


def _site_rows(sites: Sequence[Site]) -> list[SiteRow]:
    statuses, states = topology_statuses(), site_states(sites, scope())
    down = ports_down()
    regions = backend().directory.inventory().regions
    until = time.monotonic() + BUILD_SECONDS
    rows = []
    for one in sites:
        said = statuses.get(one.id, [])
        shown = kept_map(one.id, said) if said else None
        if shown is None and said and time.monotonic() < until:
            shown = site_map(one.id)
        region = regions[one.region].name if one.region in regions else str(one.region)
        answered = sum(status.up for status in said)
        plain = SiteRow(one, region, *states[one.id], len(said), answered)
        rows.append(plain if shown is None else _counted(plain, shown, down))
    return rows


def _counted(row: SiteRow, shown: SiteMap, down: Mapping[tuple[str, str], float] | None) -> SiteRow:
    graph = shown.graph
    return SiteRow(
        row.site,
        row.region,
        row.state,
        row.alerts,
        len(shown.asked),
        sum(one.up for one in shown.asked),
        len(graph.links),
        None if down is None else down_ends(graph, down),
        sum(node.kind is NodeKind.UNKNOWN for node in graph.nodes.values()),
        len(shown.doubtful),
        len(graph.conflicts),
        shown.at_ms,
    )


def _wanted(rows: Sequence[SiteRow]) -> list[SiteRow]:
    text, show = asked("q").lower(), asked("show")
    counts = {"trouble": "down", "unknown": "unknown", "doubtful": "doubtful"}
    return [
        row
        for row in rows
        if (not text or text in f"{row.site.id}\0{row.site.name}\0{row.region}".lower())
        and (show not in counts or getattr(row, counts[show]))
    ]


def _lit(shown: SiteMap, marks: Marks) -> frozenset[str] | None:
    """What the filters of the address leave bright; None when there are none."""
    text, show, kind = asked("q").lower(), asked("show"), asked("kind")
    if not text and show not in SHOWN and kind not in {k.value for k in LinkKind}:
        return None
    graph, doubtful = shown.graph, shown.doubtful
    lit: set[str] = set()
    for link in graph.links:
        ends = [graph.nodes[end.node] for end in (link.a, link.b)]
        fits = (
            (not kind or kind in {k.value for k in link.kinds})
            and (not text or any(text in _searched(shown, node) for node in ends) or text in _ports_searched(link))
            and _shows(show, marks.links[link.id].state == "down", link.id in doubtful,
                       any(node.kind is NodeKind.UNKNOWN for node in ends))
        )  # fmt: skip
        if fits:
            lit |= {link.id, link.a.node, link.b.node}
    for node in graph.nodes.values():
        ill = marks.nodes[node.id].state in {"critical", "major"} or bool(marks.nodes[node.id].part)
        if (
            not kind
            and (not text or text in _searched(shown, node))
            and _shows(show, ill, False, node.kind is NodeKind.UNKNOWN)
        ):
            lit.add(node.id)
    return frozenset(lit)


def _shows(show: str, trouble: bool, doubtful: bool, unknown: bool) -> bool:
    return {"trouble": trouble, "doubtful": doubtful, "unknown": unknown}.get(show, True)


def _searched(shown: SiteMap, node: Node) -> str:
    device = shown.devices.get(node.device) if node.device is not None else None
    more = (device.address, device.role, device.model, device.location) if device is not None else ()
    return "\0".join((node.id, node.name, node.chassis, node.descr, *node.addresses, *more)).lower()


def _ports_searched(link: Link) -> str:
    return f"{link.a.name}\0{link.b.name}".lower()


def _links(shown: SiteMap, marks: Marks, lit: frozenset[str] | None) -> list[LinkRow]:
    nodes = shown.graph.nodes
    return [
        LinkRow(
            link,
            marks.links[link.id],
            node_name(nodes.get(link.a.node), link.a.node),
            node_name(nodes.get(link.b.node), link.b.node),
        )
        for link in shown.graph.links
        if lit is None or link.id in lit
    ]


def _strangers(shown: SiteMap, lit: frozenset[str] | None) -> list[Node]:
    found = [node for node in shown.graph.nodes.values() if node.kind is NodeKind.UNKNOWN]
    return [node for node in found if lit is None or node.id in lit]


def _panel(shown: SiteMap, marks: Marks, name: str) -> dict[str, object] | None:
    """What the panel says of a node or a link; None when there is no such thing."""
    graph = shown.graph
    node = graph.nodes.get(name)
    if node is not None:
        device = shown.devices.get(node.device) if node.device is not None else None
        own = open_alerts(scope(), device.site) if device is not None else []
        return {
            "node": node,
            "device": device,
            "mark": marks.nodes[node.id],
            "alerts": [alert for alert in own if device is not None and alert.device == device.id],
            "asked": next((one for one in shown.asked if one.device.id == node.device), None),
            "links": [(link, marks.links[link.id]) for link in graph.links_of(node.id)],
            "conflicts": [c for c in graph.conflicts if c.node == node.id],
        }
    link = next((one for one in graph.links if one.id == name), None)
    return None if link is None else {"link": link, "mark": marks.links[link.id]}
