"""Names and addresses on the map as people read them."""

from __future__ import annotations

from collections.abc import Iterable

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from dashboards.topology.layout import Band
from monitor.topology.graph import End, Node, NodeKind

_BANDS = {
    Band.EXIT: _l("出口"),
    Band.CORE: _l("核心"),
    Band.AGGREGATION: _l("汇聚"),
    Band.ACCESS: _l("接入"),
    Band.HOSTS: _l("终端"),
    Band.LOOSE: _l("无连接"),
}
_CAPABILITIES = {
    "bridge": _l("交换"),
    "router": _l("路由"),
    "wlan": _l("无线接入点"),
    "phone": _l("电话"),
    "station": _l("主机"),
    "repeater": _l("中继"),
    "docsis": "DOCSIS",
    "other": _l("其他"),
}


def band_word(band: Band) -> str:
    """What a band of the map is called."""
    return str(_BANDS[band])


def capability_words(names: Iterable[str]) -> str:
    """What a neighbour says it can do."""
    return str(_("、")).join(str(_CAPABILITIES[name]) for name in names if name in _CAPABILITIES)


def node_name(node: Node | None, fallback: str) -> str:
    """What a node is called: never empty."""
    if node is None:
        return fallback
    if node.kind is NodeKind.SHARED:
        return str(_("未纳管设备"))
    return node.name or mac_text(node.chassis) or fallback


def mac_text(chassis: str) -> str:
    """`mac:00e0fc123456` as 00:e0:fc:12:34:56; other identities without their kind."""
    kind, _sep, value = chassis.partition(":")
    if kind == "mac" and len(value) == 12:
        return ":".join(value[at : at + 2] for at in range(0, 12, 2))
    return value


def port_text(end: End) -> str:
    """The port of an end: its name, else its number, else that it is not known."""
    return end.name or (f"ifIndex {end.port}" if end.port else "")


def short_name(text: str, width: float) -> str:
    """Text cut to a width in pixels at 12 px: Chinese characters are as wide as high, others about half."""
    room = width
    for position, character in enumerate(text):
        room -= 12 if ord(character) > 0x2E7F else 7 if character.isupper() or character in "MWmw@%" else 6.3
        if room < 0:
            return text[: max(1, position - 1)].rstrip() + "\u2026"
    return text
