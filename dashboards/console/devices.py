"""资产: the inventory list, and one device with its facts, charts, interfaces, sensors, alerts and events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort, jsonify, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from dashboards.console.events import find_events
from dashboards.console.overview import devices_of
from dashboards.i18n import KIND_WORDS, ORIGIN_WORDS, SEVERITY_WORDS, STATE_WORDS, stamp
from dashboards.listing import asked, csv_response, make_listing
from dashboards.scope import backend, current, requires, scope
from dashboards.series import CHARTS, RANGES, Chart, chart_data, latest, lines, quote
from dashboards.states import DeviceState, device_states, open_alerts
from dashboards.titles import title_here
from monitor.errors import ZhishouError
from monitor.identity.roles import Permission
from monitor.model import Device, Site

blueprint = Blueprint("devices", __name__, url_prefix="/devices")


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One line of the list."""

    device: Device
    site: Site | None
    state: DeviceState

    @property
    def site_name(self) -> str:
        """The site's name, or its id when the site is gone."""
        return self.site.name if self.site else str(self.device.site)


_SORTS = {
    "name": lambda row: row.device.name,
    "site": lambda row: (row.site_name, row.device.name),
    "kind": lambda row: (row.device.kind, row.device.name),
    "address": lambda row: _address_key(row.device.address),
    "vendor": lambda row: (row.device.vendor, row.device.model),
    "state": lambda row: (row.state.rank, row.site_name, row.device.name),
}


@blueprint.get("")
@requires(Permission.VIEW)
def index() -> ResponseReturnValue:
    """The list, worst first."""
    rows = _wanted_rows()
    listing = make_listing(rows, _SORTS, "state")
    devices = backend().directory.devices(scope())
    return render_template(
        "devices/index.html",
        title=_("资产"),
        listing=listing,
        asked=asked,
        sites=[(site.id, site.name) for site in backend().directory.sites(scope())],
        kinds=list(KIND_WORDS.items()),
        origins=[(key or "none", word) for key, word in ORIGIN_WORDS.items()],
        vendors=[(vendor, vendor) for vendor in sorted({d.vendor for d in devices if d.vendor})],
        states=[*SEVERITY_WORDS.items(), *((k, STATE_WORDS[k]) for k in ("unknown", "stale", "ok"))],
        domestic=_domestic_share([row.device for row in rows]),
    )


@blueprint.get("/export.csv", endpoint="export")
@requires(Permission.VIEW)
def export() -> ResponseReturnValue:
    """The filtered list as CSV."""
    head = [
        _("设备编号"), _("名称"), _("机构"), _("类别"), _("地址"), _("厂商"), _("型号"), _("序列号"),
        _("来源"), _("位置"), _("维保到期"), _("状态"), _("最近采集"),
    ]  # fmt: skip
    rows = [
        [
            d.id, d.name, row.site_name, KIND_WORDS[d.kind], d.address, d.vendor, d.model, d.serial,
            ORIGIN_WORDS.get(d.origin, d.origin), d.location, d.warranty_until, row.state.word,
            stamp(row.state.checked_at),
        ]
        for row in sorted(_wanted_rows(), key=_SORTS["state"])
        for d in (row.device,)
    ]  # fmt: skip
    return csv_response("devices", head, rows)


@blueprint.get("/<device_id>", endpoint="page")
@requires(Permission.VIEW)
def page(device_id: str) -> ResponseReturnValue:
    """One device."""
    directory, within = backend().directory, scope()
    device = directory.device(within, device_id)
    statuses = directory.statuses(within, device.id)
    detail = _merged([status.detail for status in statuses])
    identity = {k: v for status in statuses for k, v in status.identity.items() if v}
    span = asked("range") if asked("range") in RANGES else "1h"
    alerts = [a for a in open_alerts(within, device.site) if a.device == device.id]
    return render_template(
        "devices/page.html",
        title=device.name,
        device=device,
        site=directory.site(within, device.site),
        state=device_states([device])[device.id],
        statuses=statuses,
        silent=bool(statuses) and not any(status.up for status in statuses),
        identity=identity,
        detail=detail,
        interfaces=_interfaces(detail),
        alerts=sorted(alerts, key=lambda a: a.severity.rank),
        title_here=title_here,
        events=find_events(12, device.id),
        charts=_charts_for(device, detail),
        spans=[("1h", _("1 时")), ("6h", _("6 时")), ("24h", _("24 时")), ("7d", _("7 日"))],
        span=span,
        interface=asked("if") or _busiest(device, detail),
        services=[s for s in directory.services(within, device.site) if device.id in devices_of(s)],
        findings=backend().office.findings(within, device=device.id)
        if current().may(Permission.PLAYBOOK_VIEW)
        else [],
    )


@blueprint.get("/<device_id>/charts/<key>", endpoint="chart")
@requires(Permission.VIEW)
def chart(device_id: str, key: str) -> ResponseReturnValue:
    """The numbers of one chart."""
    device = backend().directory.device(scope(), device_id)
    if key not in CHARTS:
        abort(404)
    data = chart_data(CHARTS[key], device, asked("range"), asked("if"))
    data["events"] = [
        {"x": a.fired_at / 1000, "text": title_here(a, device=True), "color": f"--{a.severity.value}"}
        for a in open_alerts(scope(), device.site)
        if a.device == device.id and a.fired_at
    ][:3]
    return jsonify(data)


@blueprint.get("/<device_id>/interfaces", endpoint="interfaces")
@requires(Permission.VIEW)
def interfaces(device_id: str) -> ResponseReturnValue:
    """The interface table with its current rates; loaded after the page, since it asks the metric store."""
    directory, within = backend().directory, scope()
    device = directory.device(within, device_id)
    detail = _merged([status.detail for status in directory.statuses(within, device.id)])
    rows = _interfaces(detail)
    matcher = f"device={quote(device.id)}"
    end = backend().clock.now_ms() // 600_000 * 600
    times = list(range(end - 21_600, end + 1, 600))
    rates: dict[str, dict[str, Any]] = {}
    for key, metric in (("in", "ifHCInOctets"), ("out", "ifHCOutOctets")):
        rates[key] = latest(f"rate({metric}{{{matcher}}}[5m]) * 8", "ifIndex")
        rates[f"{key}_line"] = lines(f"rate({metric}{{{matcher}}}[10m]) * 8", times, "ifIndex")
    rates["errors"] = latest(
        f"rate(ifInErrors{{{matcher}}}[5m]) + rate(ifOutErrors{{{matcher}}}[5m])", "ifIndex"
    )
    rows.sort(key=lambda r: (not r["trouble"], not r["alias"], -rates["in"].get(str(r["index"]), 0.0)))
    everything = asked("all") == "1"
    return render_template(
        "devices/interfaces.html",
        device=device,
        rows=rows if everything else rows[:12],
        total=len(rows),
        everything=everything,
        rates=rates,
    )


def _merged(details: Sequence[Mapping[str, object]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for detail in details:
        for key, value in detail.items():
            if isinstance(value, list):
                found.setdefault(key, []).extend(item for item in value if isinstance(item, dict))
    return found


def _interfaces(detail: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Interfaces with `trouble` (meant to be up and is not) and a drawable `state`."""
    rows = []
    for entry in detail.get("interfaces", []):
        wanted, real = entry.get("admin"), entry.get("oper")
        trouble = wanted == "up" and real is not None and real not in {"up", "dormant"}
        state = "ok" if real == "up" else "off" if wanted == "down" else "minor" if trouble else "unknown"
        rows.append(
            {
                "alias": "",
                "descr": "",
                "speed_bps": None,
                "index": "",
                **entry,
                "trouble": trouble,
                "state": state,
            }
        )
    return rows


def _charts_for(device: Device, detail: Mapping[str, list[dict[str, Any]]]) -> list[Chart]:
    """Only charts that can have data: nothing is drawn for what a device does not report."""
    has = {
        "traffic": bool(detail.get("interfaces")),
        "cpu": bool(detail.get("processors")) or device.ssh is not None,
        "memory": bool(detail.get("memory")) or device.ssh is not None,
        "temperature": any(s.get("class") == "temperature" for s in detail.get("sensors", [])),
    }
    return [chart for key, chart in CHARTS.items() if has[key]]


def _busiest(device: Device, detail: Mapping[str, list[dict[str, Any]]]) -> str:
    """The interface to draw first: the busiest one, else the first that is up."""
    try:
        rates = latest(f"topk(1, rate(ifHCInOctets{{device={quote(device.id)}}}[5m]))", "ifName")
    except ZhishouError:
        rates = {}  # the charts say themselves that the metric store does not answer
    if rates:
        return max(rates, key=lambda name: rates[name])
    up = [r for r in _interfaces(detail) if r["state"] == "ok"]
    return str(up[0].get("name", "")) if up else ""


def _wanted_rows() -> list[DeviceRow]:
    directory = backend().directory
    site, kind, vendor, origin = asked("site"), asked("kind"), asked("vendor"), asked("origin")
    text, wanted = asked("q").lower(), asked("state")
    devices = [
        d
        for d in directory.devices(scope(), site)
        if (not kind or d.kind == kind)
        and (not vendor or d.vendor == vendor)
        and (not origin or (d.origin or "none") == origin)
        and (
            not text
            or text in f"{d.id}\0{d.name}\0{d.address}\0{d.model}\0{d.serial}\0{d.location}\0{d.role}".lower()
        )
    ]
    states = device_states(devices)
    sites = {s.id: s for s in directory.sites(scope())}
    rows = [DeviceRow(d, sites.get(d.site), states[d.id]) for d in devices]
    return [row for row in rows if not wanted or row.state.name == wanted]


def _domestic_share(devices: Sequence[Device]) -> tuple[int, int]:
    return sum(d.origin == "domestic" for d in devices), len(devices)


def _address_key(address: str) -> tuple[tuple[int, int | str], ...]:
    return tuple((0, int(p)) if p.isascii() and p.isdigit() else (1, p) for p in address.split("."))
