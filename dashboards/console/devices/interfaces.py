"""Interfaces of a device, read: names and state words from the last poll, every number from the metric store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dashboards.console.devices.ports import ADMIN, OPER, Port
from dashboards.console.devices.reading import Readings, any_of, late_after_ms
from dashboards.console.devices.subject import Subject
from monitor.metrics.client import Series

STATE_METRICS = "ifOperStatus|ifAdminStatus|ifHighSpeed|ifSpeed"
HOUR = 3600
STEP = 120  # seconds between two points of a sparkline
RECENT = (
    ("15m", "10s"),
    ("1d", "1m"),
    ("7d", "15m"),
)  # how far back, and how finely, the end of a state is looked for


@dataclass(frozen=True, slots=True)
class Rows:
    """What the rows on the screen show beyond their values: the last hour, and since when a port is down."""

    ins: Mapping[str, Sequence[float | None]]
    outs: Mapping[str, Sequence[float | None]]
    since: Mapping[str, int]


def load_states(subject: Subject) -> list[Port]:
    """Every interface the device has told of, as it stands: one query, for pages that only count them."""
    readings = subject.readings
    states = readings.instant(f'{{__name__=~"{STATE_METRICS}",{readings.match}}}', readings.at("snmp"))
    late, alerts = readings.late("snmp"), _alerts(subject)
    return [
        replace(port, late=late, alert=alerts.get(port.index, alerts.get(port.name, "")))
        for port in _named(subject, states)
    ]


def load_ports(subject: Subject) -> list[Port]:
    """The same with their current values, and whether they were up within a day."""
    readings = subject.readings
    at = readings.at("snmp")
    ports = load_states(subject)
    seen = readings.by("ifIndex", f"timestamp(ifOperStatus{{{readings.match}}})", at)
    up = readings.by("ifIndex", f"min_over_time(ifOperStatus{{{readings.match}}}[1d])", at)
    rates = {key: readings.by("ifIndex", expression, at) for key, expression in _rates(subject).items()}
    late, oldest = readings.late("snmp"), late_after_ms(_interval(subject))
    found = []
    for port in ports:
        key = port.index
        read_at = round(seen[key] * 1000) if key in seen else readings.answered_at("snmp")
        found.append(
            replace(
                port,
                rate_in=rates["in"].get(key),
                rate_out=rates["out"].get(key),
                errors=_sum(rates["in_errors"].get(key), rates["out_errors"].get(key)),
                discards=_sum(rates["in_discards"].get(key), rates["out_discards"].get(key)),
                was_up=up.get(key) == 1.0,
                read_at=read_at,
                late=late or (read_at is not None and readings.now_ms - read_at > oldest),
            )
        )
    return found


def load_rows(subject: Subject, shown: Iterable[Port]) -> Rows:
    """The sparklines and times of the ports on the screen, each from one query."""
    ports = list(shown)
    if not ports:
        return Rows({}, {}, {})
    readings = subject.readings
    match = f"{readings.match},ifIndex=~{any_of(port.index for port in ports)}"
    end = readings.now_ms // 60_000 * 60
    times = list(range(end - HOUR, end + 1, STEP))
    window = max(240, round(_interval(subject) * 4))
    ins, outs = (
        readings.lines(_octets(direction, match, window), times, "ifIndex") for direction in ("In", "Out")
    )
    down = [port for port in ports if port.stand in ("broken", "down")]
    return Rows(ins, outs, last_times(readings, "ifOperStatus", "ifIndex", 1, [port.index for port in down]))


def last_times(
    readings: Readings, metric: str, label: str, value: int, names: Sequence[str], job: str = "snmp"
) -> dict[str, int]:
    """When each of these series last had a value, in ms: to 10 s, to the minute within a day, to 15 min before."""
    at, found = readings.at(job), dict[str, int]()
    for length, step in RECENT:
        missing = [name for name in names if name not in found]
        if not missing:
            break
        selector = f"{metric}{{{readings.match},{label}=~{any_of(missing)}}}"
        expression = f"max_over_time(timestamp({selector} == {value})[{length}:{step}])"
        times = readings.by(label, expression, at)
        found.update({name: round(seconds * 1000) for name, seconds in times.items()})
    return found


def _interval(subject: Subject) -> float:
    return subject.device.snmp.interval if subject.device.snmp else 60.0


def _octets(direction: str, match: str, window: int) -> str:
    wide, narrow = f"ifHC{direction}Octets", f"if{direction}Octets"
    return f"rate({wide}{{{match}}}[{window}s]) * 8 or rate({narrow}{{{match}}}[{window}s]) * 8"


def _rates(subject: Subject) -> dict[str, str]:
    match, window = subject.readings.match, max(60, round(_interval(subject) * 4))
    rates = {key: _octets(word, match, window) for key, word in (("in", "In"), ("out", "Out"))}
    # Errors are rare: a longer look keeps one burst on the screen long enough to be seen.
    for key, metric in (
        ("in_errors", "ifInErrors"),
        ("out_errors", "ifOutErrors"),
        ("in_discards", "ifInDiscards"),
        ("out_discards", "ifOutDiscards"),
    ):
        rates[key] = f"rate({metric}{{{match}}}[{max(300, window)}s])"
    return rates


def _named(subject: Subject, samples: Iterable[tuple[Series, float]]) -> list[Port]:
    """Ports by ifIndex: those of the last status, corrected and completed by the labels and states of the store."""
    found: dict[str, Port] = {}
    for entry in subject.detail.get("interfaces", ()):
        index = str(entry.get("index", ""))
        found[index] = Port(
            index=index,
            name=str(entry.get("name") or index),
            alias=str(entry.get("alias") or ""),
            descr=str(entry.get("descr") or ""),
            mac=str(entry.get("mac") or ""),
            admin=str(entry.get("admin") or ""),
            oper=str(entry.get("oper") or ""),
            speed=entry.get("speed_bps") or None,
        )
    numbers: dict[str, dict[str, float]] = {}
    for labels, value in samples:
        index, descr = labels.get("ifIndex", ""), labels.get("ifDescr", "")
        numbers.setdefault(index, {})[labels.get("__name__", "")] = value
        port = found.get(index, Port(index, index))
        name = labels.get("ifName") or descr or port.name
        # The labels come with every poll, the status only when it changed.
        found[index] = replace(
            port, name=name, alias=labels.get("ifAlias", port.alias), descr=descr or port.descr
        )
    for index, told in numbers.items():
        port = found[index]
        found[index] = replace(
            port,
            admin=ADMIN.get(round(told.get("ifAdminStatus", 0)), port.admin),
            oper=OPER.get(round(told.get("ifOperStatus", 0)), port.oper),
            speed=told.get("ifHighSpeed", 0) * 1e6 or told.get("ifSpeed") or port.speed,
        )
    return list(found.values())


def _alerts(subject: Subject) -> dict[str, str]:
    """The worst severity of the alerts about an interface, by its ifIndex and by its name."""
    found: dict[str, str] = {}
    for alert in subject.alerts:  # worst first
        for label in ("ifIndex", "ifName"):
            if name := alert.labels.get(label):
                found.setdefault(name, alert.severity.value)
    return found


def _sum(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
