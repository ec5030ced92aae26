"""One device: overview, interfaces with their own charts, hardware, and how polling goes."""

from __future__ import annotations

from typing import Any

from flask import abort, jsonify, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from dashboards.console.devices import hardware, polls
from dashboards.console.devices.blueprint import blueprint
from dashboards.console.devices.interfaces import Rows, load_ports, load_rows, load_states
from dashboards.console.devices.ports import SATURATED, SHOWS, SORTS, Port, counts, wanted, worth_a_look
from dashboards.console.devices.subject import Subject, subject_of
from dashboards.console.devices.verdict import facts, verdict
from dashboards.console.events import find_events
from dashboards.console.overview import devices_of
from dashboards.i18n import stamp
from dashboards.listing import asked, csv_response, make_listing
from dashboards.scope import backend, current, requires, scope
from dashboards.series import CHARTS, RANGES, Chart, chart_data
from dashboards.states import open_alerts
from dashboards.titles import title_here
from monitor.identity.roles import Permission

FOCUS = 8  # interfaces on the overview
MOST_CHARTS = 4
SLOWEST, FASTEST = 60, 10  # seconds between two refreshes of a page


@blueprint.get("/<device_id>", endpoint="page")
@requires(Permission.VIEW)
def page(device_id: str) -> ResponseReturnValue:
    """The overview: what is wrong, load, the interfaces worth a look, what depends on the device."""
    subject = subject_of(device_id)
    ports = load_ports(subject)
    focus = worth_a_look(ports, FOCUS)
    rows = load_rows(subject, focus)
    device, directory, within = subject.device, backend().directory, scope()
    return _tab(
        "page",
        subject,
        ports,
        refreshed="#live-main,#live-side",
        focus=focus,
        rows=rows,
        port_counts=counts(ports),
        charts=_charts_of(subject, ports),
        span=_span(),
        drawn=_drawn(ports, focus, rows),
        events=find_events(10, device.id),
        spaces=hardware.spaces(subject)[:6],
        cpu=hardware.processor(subject),
        memory=hardware.memory(subject),
        ups=hardware.ups(subject),
        services=[s for s in directory.services(within, device.site) if device.id in devices_of(s)],
        findings=backend().office.findings(within, device=device.id)
        if current().may(Permission.PLAYBOOK_VIEW)
        else [],
    )


@blueprint.get("/<device_id>/interfaces", endpoint="interfaces")
@requires(Permission.VIEW)
def interfaces(device_id: str) -> ResponseReturnValue:
    """Every interface, filtered, sorted and paged; `port` opens one beside the table."""
    subject = subject_of(device_id)
    ports = load_ports(subject)
    listing = make_listing(_wanted_ports(ports), SORTS, "state")
    opened = next((port for port in ports if port.index == asked("port")), None)
    shown = [*listing.items, *([opened] if opened and opened not in listing.items else [])]
    return _tab(
        "interfaces",
        subject,
        ports,
        refreshed="#ports-rows,#ports-shows",
        listing=listing,
        rows=load_rows(subject, shown),
        port_counts=counts(ports),
        shows=SHOWS,
        asked=asked,
        opened=opened,
        opened_alerts=[a for a in subject.alerts if opened and _is_about(a.labels, opened)],
        charts=[CHARTS["port"], CHARTS["errors"]],
        span=_span(),
    )


@blueprint.get("/<device_id>/interfaces.csv", endpoint="interfaces_csv")
@requires(Permission.VIEW)
def interfaces_csv(device_id: str) -> ResponseReturnValue:
    """The filtered interfaces as CSV."""
    subject = subject_of(device_id)
    head = [
        "ifIndex", _("接口"), _("描述"), "ifDescr", "MAC", _("管理状态"), _("运行状态"), _("状态"), _("速率 bit/s"),
        _("入 bit/s"), _("出 bit/s"), _("入利用率"), _("出利用率"), _("错误/秒"), _("丢弃/秒"), _("读数时间"),
    ]  # fmt: skip
    ports = sorted(_wanted_ports(load_ports(subject)), key=SORTS["state"])
    rows = [
        [
            p.index, p.name, p.alias, p.descr, p.mac, p.admin, p.oper, p.word, p.speed, _round(p.rate_in),
            _round(p.rate_out), _round(p.load_in, 4), _round(p.load_out, 4), _round(p.errors, 4),
            _round(p.discards, 4), stamp(p.read_at),
        ]
        for p in ports
    ]  # fmt: skip
    return csv_response(f"interfaces-{subject.device.id}", head, rows)


@blueprint.get("/<device_id>/hardware", endpoint="hardware")
@requires(Permission.VIEW)
def hardware_page(device_id: str) -> ResponseReturnValue:
    """Components worst first, sensors by class with their day, storage, power supply."""
    subject = subject_of(device_id)
    return _tab(
        "hardware",
        subject,
        load_states(subject),
        refreshed="#live-main",
        groups=hardware.grouped(hardware.components(subject, with_since=True)),
        sensors=hardware.sensors(subject, with_day=True),
        spaces=hardware.spaces(subject),
        ups=hardware.ups(subject),
    )


@blueprint.get("/<device_id>/polling", endpoint="polling")
@requires(Permission.VIEW)
def polling(device_id: str) -> ResponseReturnValue:
    """How polling goes: profile, identity, modules, the last day."""
    subject = subject_of(device_id)
    return _tab(
        "polling",
        subject,
        load_states(subject),
        refreshed="#live-main,#live-side",
        jobs=polls.jobs(subject),
        modules=polls.modules(subject),
        recognition=polls.recognition(subject),
    )


@blueprint.get("/<device_id>/charts/<key>", endpoint="chart")
@requires(Permission.VIEW)
def chart(device_id: str, key: str) -> ResponseReturnValue:
    """The numbers of one chart; `if` or `port` (ifIndex) choose an interface, `speed` draws its threshold."""
    device = backend().directory.device(scope(), device_id)
    if key not in CHARTS:
        abort(404)
    port, name, speed = asked("port"), asked("if"), request.args.get("speed", type=float)
    own = {"ifIndex": port} if port else {"ifName": name} if name and key == "traffic" else {}
    data = chart_data(CHARTS[key], device, asked("range"), own, SATURATED * speed if speed else None)
    data["events"] = [
        {"x": a.fired_at / 1000, "text": title_here(a, device=True), "color": f"--{a.severity.value}"}
        for a in open_alerts(scope(), device.site)
        if a.device == device.id and a.fired_at and (not port or a.labels.get("ifIndex", port) == port)
    ][:3]
    return jsonify(data)


def _tab(
    name: str, subject: Subject, ports: list[Port], *, refreshed: str, **context: Any
) -> ResponseReturnValue:
    parts = hardware.components(subject)
    troubles = polls.troubles(subject)
    device = subject.device
    every = min([a.interval for a in (device.snmp, device.ssh) if a is not None], default=float(SLOWEST))
    tabs = [
        ("page", _("概况"), ""),
        ("interfaces", _("接口"), len(ports)),
        (
            "hardware",
            _("部件与传感器"),
            len(parts)
            + sum(len(v) for k, v in subject.readings.facts.items() if k.startswith("device_sensor_")),
        ),
        ("polling", _("采集情况"), ""),
    ]
    return render_template(
        f"devices/{name}.html",
        title=device.name,
        subject=subject,
        device=device,
        site=subject.site,
        identity=subject.identity,
        alerts=subject.alerts,
        ports=ports,
        parts=parts,
        troubles=troubles,
        verdict=verdict(subject, troubles, ports),
        facts=facts(subject, ports, parts),
        late=subject.readings.late("snmp") and subject.readings.late("node"),
        tab=name,
        tabs=[
            (key, word, count, url_for(f"devices.{key}", device_id=device.id)) for key, word, count in tabs
        ],
        refreshed=refreshed,
        every=round(min(max(every, FASTEST), SLOWEST)),
        title_here=title_here,
        spans=[("1h", _("1 时")), ("6h", _("6 时")), ("24h", _("24 时")), ("7d", _("7 日"))],
        **context,
    )


def _wanted_ports(ports: list[Port]) -> list[Port]:
    return wanted(ports, asked("q"), asked("show"), hide_unused=asked("hide") == "1")


def _drawn(ports: list[Port], focus: list[Port], rows: Rows) -> Port | None:
    """The interface to draw first: the one asked for, one cut within the range, else the busiest that matters."""
    now, length = backend().clock.now_ms(), RANGES[_span()][0] * 1000
    cut = [port for port in focus if port.stand == "broken" and now - rows.since.get(port.index, 0) < length]
    busy = sorted(focus, key=lambda port: (not port.matters, -port.traffic))
    named = [
        port for port in ports if port.index == asked("port") or (asked("if") and port.name == asked("if"))
    ]
    return next(iter([*named, *cut, *(port for port in busy if port.traffic), *focus]), None)


def _span() -> str:
    return asked("range") if asked("range") in RANGES else "1h"


def _round(value: float | None, digits: int = 0) -> float | None:
    return None if value is None else round(value, digits)


def _is_about(labels: Any, port: Port) -> bool:
    return labels.get("ifIndex") == port.index or (
        not labels.get("ifIndex") and labels.get("ifName") == port.name
    )


def _charts_of(subject: Subject, ports: list[Port]) -> list[Chart]:
    """Only charts that can have data: nothing is drawn for what a device does not report."""
    detail, told, over_ssh = subject.detail, subject.readings.facts, subject.device.ssh is not None
    has = {
        "traffic": bool(ports),
        "ups": "ups_battery_charge_ratio" in told or "ups_load_ratio" in told,
        "cpu": "device_cpu_ratio" in told or bool(detail.get("processors")) or over_ssh,
        "memory": bool({"device_memory_used_bytes", "device_memory_ratio"} & set(told))
        or bool(detail.get("memory"))
        or over_ssh,
        "sessions": "device_sessions" in told,
        "temperature": "device_sensor_celsius" in told
        or any(s.get("class") == "temperature" for s in detail.get("sensors", ())),
    }
    return [CHARTS[key] for key, there in has.items() if there][:MOST_CHARTS]
