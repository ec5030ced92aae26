"""How the nodes and links of a map are now: from alerts and polls, and from the counters of the ports at both ends."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from dashboards.scope import backend, scope
from dashboards.series import quote
from dashboards.states import DeviceState, device_states, open_alerts, state_word
from dashboards.topology.maps import OLD_MS, SiteMap
from monitor.errors import ZhishouError
from monitor.model import DeviceId
from monitor.topology.graph import Confidence, Graph, Link, LinkKind, Node, NodeKind
from rules.alerting.interface import AlertView

log = structlog.get_logger(__name__)

UP, DOWN = 1.0, 2.0
BUSY, FULL = 0.5, 0.8
FRESH_SECONDS = 2.0
_NAME = "zhishou-map-ports"
CONFIDENCE_WORDS = {
    Confidence.CONFIRMED: _l("两端确认"),
    Confidence.ONE_SIDED: _l("仅一端可见"),
    Confidence.INFERRED: _l("由转发表推断"),
    Confidence.ASSUMED: _l("由 ARP 或台账推定"),
}
KIND_WORDS = {
    LinkKind.LLDP: "LLDP",
    LinkKind.CDP: "CDP",
    LinkKind.STP: _l("生成树"),
    LinkKind.FDB: _l("转发表"),
    LinkKind.ARP: "ARP",
    LinkKind.INVENTORY: _l("资产台账"),
}
LINK_WORDS = {
    "up": _l("正常"),
    "down": _l("中断"),
    "reserve": _l("备用（生成树阻塞）"),
    "unknown": _l("状态未知"),
}
NODE_WORDS = {
    NodeKind.DEVICE: _l("设备"),
    NodeKind.UNKNOWN: _l("未登记"),
    NodeKind.SHARED: _l("未纳管交换机或集线器"),
}
CONFLICT_WORDS = {
    "shared-port": _l("一个端口上有多个邻居，中间应有未纳管的交换机或集线器"),
    "several-places": _l("同一地址出现在多台交换机的接入端口上"),
    "self-loop": _l("端口上看到设备自己，可能有环路"),
    "same-address": _l("多台设备声称同一 MAC 地址"),
    "identity": _l("邻居的机箱标识与管理地址指向不同设备"),
}


@dataclass(frozen=True, slots=True)
class NodeMark:
    """How a node is: a state, its word, its alerts; `part` is root, hit or empty in the root cause of now."""

    state: str
    word: str
    alerts: int = 0
    part: str = ""
    checked_at: int | None = None


@dataclass(frozen=True, slots=True)
class LinkMark:
    """How a link is: up, down, reserve or unknown; `load` is the busier direction of the busier end, 0..1."""

    state: str
    word: str
    load: float | None = None
    old: bool = False


@dataclass(frozen=True, slots=True)
class Marks:
    """How everything on a map is. `roots`: alerts that explain others, with how many."""

    nodes: Mapping[str, NodeMark]
    links: Mapping[str, LinkMark]
    roots: Sequence[AlertView]
    measured: bool


@dataclass(frozen=True, slots=True)
class _Ports:
    """Operation and load by (device, ifIndex). `measured` is False when the metric store did not answer."""

    oper: Mapping[tuple[str, str], float]
    load: Mapping[tuple[str, str], float]
    measured: bool = True


def marks_of(shown: SiteMap) -> Marks:
    """The marks of a site's map."""
    states = device_states(list(shown.devices.values()))
    alerts = open_alerts(scope(), shown.site)
    parts = root_parts(alerts)
    ports = _ports(shown.site)
    now = backend().clock.now_ms()
    asked = {str(one.device.id): one.at_ms for one in shown.asked}
    nodes = {
        name: _node_mark(node, states, parts.get(name, ""), now) for name, node in shown.graph.nodes.items()
    }
    links = {link.id: _link_mark(link, ports, nodes, _is_old(link, asked, now)) for link in shown.graph.links}
    roots = [alert for alert in alerts if alert.suppressed and alert.root is None]
    return Marks(nodes, links, roots, ports.measured)


def root_parts(alerts: Sequence[AlertView]) -> dict[str, str]:
    """Devices that are a root cause, and devices that one explains."""
    explained = {alert.root for alert in alerts if alert.root is not None}
    parts = {alert.device: "hit" for alert in alerts if alert.root is not None and alert.device}
    return parts | {alert.device: "root" for alert in alerts if alert.id in explained and alert.device}


def down_ends(graph: Graph, down: Mapping[tuple[str, str], float]) -> int:
    """How many links are lost or have an end that is down."""
    return sum(
        bool(link.lost_ms) or any((end.node, str(end.port)) in down for end in (link.a, link.b))
        for link in graph.links
    )


def ports_down() -> dict[tuple[str, str], float] | None:
    """Ports of network and security devices that should be up and are not; None without an answer."""
    try:
        return _by_port(
            f"{_selected('ifOperStatus')} == 2 and on(device, ifIndex) {_selected('ifAdminStatus')} == 1"
        )
    except ZhishouError as error:
        log.warning("no-port-states", error=str(error))
        return None


def _node_mark(node: Node, states: Mapping[DeviceId, DeviceState], part: str, now_ms: int) -> NodeMark:
    if node.device is not None and node.device in states:
        state = states[node.device]
        return NodeMark(state.name, state.word, state.alerts, part, state.checked_at)
    if node.kind is NodeKind.UNKNOWN:
        old = now_ms - node.heard_at > OLD_MS
        return NodeMark("stale" if old else "unknown", str(NODE_WORDS[node.kind]))
    return NodeMark("unknown", str(NODE_WORDS.get(node.kind, state_word("unknown"))))


def _link_mark(link: Link, ports: _Ports, nodes: Mapping[str, NodeMark], old: bool) -> LinkMark:
    ends = [(end.node, str(end.port)) for end in (link.a, link.b) if end.port]
    known = [ports.oper[end] for end in ends if end in ports.oper]
    loads = [ports.load[end] for end in ends if end in ports.load]
    load = max(loads) if loads else None
    if link.lost_ms or any(value == DOWN for value in known):
        return LinkMark("down", str(LINK_WORDS["down"]), None, old)
    state = "unknown" if not known else "reserve" if link.blocked else "up"
    return LinkMark(state, str(LINK_WORDS[state]), load, old)


def _is_old(link: Link, asked: Mapping[str, int], now_ms: int) -> bool:
    return link.kind is not LinkKind.INVENTORY and now_ms - link.at_ms > OLD_MS


def _ports(site: str) -> _Ports:
    """The ports of a site, asked for by everybody's pages together once in FRESH_SECONDS."""
    kept: dict[str, tuple[float, _Ports]] = current_app.extensions.setdefault(_NAME, {})
    found = kept.get(site)
    if found is None or time.monotonic() - found[0] > FRESH_SECONDS:
        kept[site] = found = (time.monotonic(), _ask_ports(site))
    return found[1]


def _ask_ports(site: str) -> _Ports:
    at = f"site={quote(site)}"
    speed = f"({_selected('ifHighSpeed', at)} * 1000000 > 0)"
    loads = [
        f"rate({_selected(metric, at)}[5m]) * 8 / on(device, ifIndex) {speed}"
        for metric in ("ifHCInOctets", "ifHCOutOctets")
    ]
    try:
        oper = _by_port(_selected("ifOperStatus", at))
        load: dict[tuple[str, str], float] = {}
        for expression in loads:
            for port, value in _by_port(expression).items():
                load[port] = max(value, load.get(port, 0.0))
    except ZhishouError as error:
        log.warning("no-port-states", site=site, error=str(error))
        return _Ports({}, {}, measured=False)
    return _Ports(oper, load)


def _selected(metric: str, *matchers: str) -> str:
    inside = ",".join(('kind=~"network|security"', *matchers))
    return f"{metric}{{{inside}}}"


def _by_port(expression: str) -> dict[tuple[str, str], float]:
    return {
        (labels.get("device", ""), labels.get("ifIndex", "")): value
        for labels, value in backend().metrics.instant(expression)
        if math.isfinite(value)
    }


def load_word(load: float | None) -> str:
    """A load in whole percent; less than one is said so."""
    if load is None:
        return ""
    return "<1%" if load < 0.01 else f"{round(load * 100)}%"


def summary(shown: SiteMap, marks: Marks) -> str:
    """The sentence above the map: what is wrong on it, or that nothing is."""
    down = sum(mark.state == "down" for mark in marks.links.values())
    strangers = sum(node.kind is NodeKind.UNKNOWN for node in shown.graph.nodes.values())
    ill = sum(mark.state in {"critical", "major"} for mark in marks.nodes.values())
    said = []
    if marks.roots:
        said.append(_("根因 %(n)s 处", n=len(marks.roots)))
    if down:
        said.append(_("中断链路 %(n)s 条", n=down))
    if ill:
        said.append(_("告警设备 %(n)s 台", n=ill))
    if strangers:
        said.append(_("未登记邻居 %(n)s 个", n=strangers))
    if not marks.measured:
        said.append(_("指标库没有应答，链路状态未知"))
    return str(_("，").join(said)) if said else str(_("没有中断的链路，也没有未登记的邻居"))
