"""What the navigation shows a caller: only pages that exist and that the caller may open."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app, request, url_for
from flask_babel import lazy_gettext as _l

from dashboards.scope import Caller
from monitor.identity.roles import Permission

_PAGES = (
    (
        _l("监视"),
        (
            ("overview.page", "overview", _l("总览"), Permission.VIEW),
            ("desk.page", "desk", _l("值守台"), Permission.VIEW),
        ),
    ),
    (
        _l("资源"),
        (
            ("sites.index", "site", _l("机构"), Permission.VIEW),
            ("devices.index", "device", _l("资产"), Permission.VIEW),
            ("discovery.page", "search", _l("资产发现"), Permission.VIEW),
            ("services.index", "service", _l("业务系统"), Permission.VIEW),
            ("topology.page", "topology", _l("拓扑"), Permission.VIEW),
            ("events.index", "events", _l("日志事件"), Permission.VIEW),
        ),
    ),
    (
        _l("合规与安全"),
        (
            ("compliance.page", "compliance", _l("等保合规"), Permission.COMPLIANCE_VIEW),
            ("playbooks.page", "playbook", _l("安全检查"), Permission.PLAYBOOK_VIEW),
            ("findings.index", "finding", _l("隐患"), Permission.PLAYBOOK_VIEW),
        ),
    ),
    ("", (("admin.page", "admin", _l("系统管理"), Permission.SYSTEM_VIEW),)),
)


@dataclass(frozen=True, slots=True)
class NavItem:
    """One entry of the navigation."""

    url: str
    icon: str
    name: str
    current: bool
    on_phone: bool


def navigation(caller: Caller) -> list[tuple[str, list[NavItem]]]:
    """Groups of entries."""
    here = (request.endpoint or "").partition(".")[0]
    groups = []
    for title, pages in _PAGES:
        items = [
            NavItem(
                url_for(endpoint),
                icon,
                str(name),
                endpoint.partition(".")[0] == here,
                endpoint in {"overview.page", "desk.page", "sites.index", "compliance.page"},
            )
            for endpoint, icon, name, permission in pages
            if endpoint in current_app.view_functions and caller.may(permission)
        ]
        if items:
            groups.append((str(title), items))
    return groups
