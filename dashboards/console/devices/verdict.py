"""The sentence on top of a device page: what an operator would say of it on the phone. And its strip of facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flask_babel import gettext as _
from markupsafe import Markup

from dashboards.console.devices import hardware
from dashboards.console.devices.polls import Trouble
from dashboards.console.devices.ports import Port
from dashboards.console.devices.subject import Subject
from dashboards.i18n import ORIGIN_WORDS, percent, since, span
from dashboards.states import ORDER
from dashboards.titles import title_here

HOT, HOTTER = 75.0, 90.0  # degrees Celsius, as the rules TemperatureHigh and TemperatureCritical
ROOM_HOT, ROOM_HOTTER = 30.0, 38.0  # the same for what measures a room


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence, how bad it is, and since when (ms)."""

    mark: str
    text: str
    since: int | None = None
    next: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One cell of the strip. `mark` is empty when the value needs no colour, `late` when it is an old one."""

    name: str
    value: object
    note: object = ""
    mark: str = ""
    late: bool = False


def verdict(subject: Subject, troubles: Sequence[Trouble], ports: Sequence[Port]) -> Verdict:
    """The worst thing that is true of the device now."""
    loud = [alert for alert in subject.alerts if alert.state.value != "shelved"]
    if loud:
        first = loud[0]
        text = title_here(first, device=True)
        if len(loud) > 1:
            text = _("%(t)s，另有 %(n)s 条告警", t=text, n=len(loud) - 1)
        whose = _("%(o)s 处理中", o=first.owner) if first.owner else _("无人认领")
        return Verdict(first.severity.value, text, first.fired_at or first.active_at, whose)
    down = [status for status in subject.statuses if not status.up]
    if subject.silent:
        refused = any(error.get("code") == "auth" for status in down for error in status.errors)
        text = _("设备拒绝了凭据") if refused else _("没有应答")
        if ports or subject.readings.facts:
            text = _("%(t)s，下面是末次读数", t=text)
        return Verdict("unknown", text, min(status.changed_at for status in down))
    if not subject.statuses and subject.checked_at is None:
        return Verdict("unknown", _("从未采集，现状未知"))
    if troubles and troubles[0].mark == "stale":
        return Verdict("stale", troubles[0].title)
    if subject.state.name == "stale":
        return Verdict("stale", _("数据已过期，下面是末次读数"), subject.checked_at)
    found = _own_troubles(subject, ports)
    if down:
        names = _("、").join(status.module for status in down)
        found.append(Verdict("minor", _("%(m)s 没有应答", m=names), down[0].changed_at))
    elif any(status.errors for status in subject.statuses):
        found.append(Verdict("minor", _("应答正常，但读取不完整")))
    if not found:
        return Verdict("ok", _("应答正常，没有未恢复的告警"))
    found.sort(key=lambda one: ORDER.index(one.mark))
    text = found[0].text
    if len(found) > 1:
        text = _("%(t)s，另有 %(n)s 项异常", t=text, n=len(found) - 1)
    return Verdict(found[0].mark, text, found[0].since)


def _own_troubles(subject: Subject, ports: Sequence[Port]) -> list[Verdict]:
    """What the readings themselves say is wrong, whether an alert has been raised for it or not."""
    found = []
    power = hardware.ups(subject)
    if power is not None and power.on_battery:
        left = span(power.runtime) if power.runtime is not None else _("未知")
        found.append(Verdict("critical", _("正用电池供电，预计还能撑 %(t)s", t=left), power.since))
    found += [
        Verdict(part.mark, _("部件 %(n)s %(w)s", n=part.name, w=part.word))
        for part in hardware.components(subject)
        if part.state in ("critical", "warning")
    ]
    for name, space in (("CPU", hardware.processor(subject)), (_("内存"), hardware.memory(subject))):
        if space is not None and space.mark:
            found.append(Verdict("minor", _("%(n)s 已用 %(p)s", n=name, p=percent(space.ratio, 0))))
    if full := [space for space in hardware.spaces(subject) if space.mark]:
        text = _("存储 %(n)s 已用 %(p)s", n=full[0].name, p=percent(full[0].ratio, 0))
        found.append(Verdict(full[0].mark, text))
    if broken := [port for port in ports if port.stand == "broken" and not port.late]:
        more = _("，另有 %(n)s 个", n=len(broken) - 1) if len(broken) > 1 else ""
        text = _("重要接口 %(n)s 断开%(m)s", n=broken[0].name, m=more)
        found.append(Verdict("minor", text))
    return found


def facts(subject: Subject, ports: Sequence[Port], parts: Sequence[hardware.Component]) -> list[Fact]:
    """At most seven, in the order a duty operator asks."""
    readings = subject.readings
    late = readings.late("snmp") and readings.late("node")
    found = [_uptime(subject, late=late)]
    if (power := hardware.ups(subject)) is not None:
        found += _ups(power, late=late)
    if ports:
        up = sum(port.stand == "up" for port in ports)
        broken = sum(port.stand == "broken" for port in ports)
        note = _("%(n)s 个重要接口断开", n=broken) if broken else _("重要接口都通")
        found.append(
            Fact(_("接口"), _("%(u)s / %(n)s 通", u=up, n=len(ports)), note, "minor" if broken else "", late)
        )
    cpu, memory = hardware.processor(subject), hardware.memory(subject)
    if cpu or memory:
        mark = "minor" if (cpu and cpu.mark) or (memory and memory.mark) else ""
        value = f"{percent(cpu.ratio if cpu else None, 0)} / {percent(memory.ratio if memory else None, 0)}"
        found.append(Fact(_("CPU / 内存"), value, _("告警线 90% / 95%"), mark, late))
    if (heat := _heat(subject, late=late)) is not None:
        found.append(heat)
    if parts:
        bad = [part for part in parts if part.state != "ok"]
        note = _("%(n)s 异常", n=bad[0].name) if bad else _("风扇、电源等")
        found.append(
            Fact(
                _("部件"),
                _("%(u)s / %(n)s 正常", u=len(parts) - len(bad), n=len(parts)),
                note,
                bad[0].mark if bad else "",
                late,
            )
        )
    if (sessions := readings.one("device_sessions")) is not None:
        found.append(Fact(_("会话数"), f"{sessions:,.0f}", _("并发"), "", late))
    if late:
        found = [replace(fact, note=_("末次读数"), mark="") if fact.late else fact for fact in found]
    asked = subject.checked_at
    told = since(asked) if asked else _("从未")
    found = [*found[:5], Fact(_("采集"), told, _("采集器 %(id)s", id=subject.site.collector))]
    device = subject.device
    return [
        *found,
        Fact(_("维保"), device.warranty_until or _("未登记"), ORIGIN_WORDS.get(device.origin, device.origin)),
    ]


def _uptime(subject: Subject, *, late: bool) -> Fact:
    readings = subject.readings
    ticks, boot = readings.one("sysUpTime"), readings.one("node_boot_time_seconds")
    at = readings.at("node" if boot is not None else "snmp")
    seconds = at / 1000 - boot if boot is not None and at else ticks / 100 if ticks is not None else None
    if seconds is None:
        return Fact(_("在线"), _("未知"), _("没有读到运行时间"))
    return Fact(
        _("在线"),
        span(seconds),
        _("末次读数") if late else _("自上次启动"),
        "minor" if seconds < 600 else "",
        late,
    )


def _ups(power: hardware.Ups, *, late: bool) -> list[Fact]:
    left = span(power.runtime) if power.runtime is not None else "–"
    charge = _("电量 %(c)s，负载 %(l)s", c=percent(power.charge, 0), l=percent(power.load, 0))
    if power.on_battery is None:
        return [Fact(_("供电"), _("未知"), charge, "unknown", late), Fact(_("续航"), left, "", "", late)]
    word = _("电池供电") if power.on_battery else _("市电")
    note: object = charge
    if power.on_battery and power.since:
        note = Markup("{} {}").format(_("已"), since(power.since))
    return [
        Fact(_("供电"), word, note, "critical" if power.on_battery else "", late),
        Fact(
            _("续航"),
            left,
            charge,
            "critical" if (power.runtime or 1e9) < 600 and power.on_battery else "",
            late,
        ),
    ]


def _heat(subject: Subject, *, late: bool) -> Fact | None:
    """The hottest sensor against the rules' thresholds."""
    samples = subject.readings.facts.get("device_sensor_celsius", ())
    if not samples:
        return None
    labels, value = max(samples, key=lambda sample: sample[1])
    room = subject.device.kind.value == "environment"
    high, higher = (ROOM_HOT, ROOM_HOTTER) if room else (HOT, HOTTER)
    mark = "critical" if value > higher else "major" if value > high else ""
    note = _("%(s)s，告警线 %(t)s °C", s=labels.get("sensor", ""), t=f"{high:g}")
    return Fact(_("最高温度"), f"{value:.3g} °C", note, mark, late)
