"""资产: the inventory list, filtered, sorted and paged on the server, and as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from dashboards.console.devices.blueprint import blueprint
from dashboards.i18n import KIND_WORDS, ORIGIN_WORDS, SEVERITY_WORDS, STATE_WORDS, stamp
from dashboards.listing import asked, csv_response, make_listing
from dashboards.scope import backend, requires, scope
from dashboards.states import DeviceState, device_states
from monitor.identity.roles import Permission
from monitor.model import Device, Site


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
