"""Component states, sensors, load, storage and power of a device, from the metric store. Worst first, units kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask_babel import lazy_gettext as _l

from dashboards.console.devices.interfaces import last_times
from dashboards.console.devices.ports import natural
from dashboards.console.devices.subject import Subject

STATES = ("ok", "warning", "critical", "unknown")  # device_component_state by number
MARKS: Mapping[str, str] = {"ok": "ok", "warning": "minor", "critical": "critical", "unknown": "unknown"}
WORDS: Mapping[str, object] = {
    "ok": _l("正常"), "warning": _l("预警"), "critical": _l("故障"), "unknown": _l("未知"),
}  # fmt: skip
WORST = ("critical", "warning", "unknown", "ok")
# Chinese alternatives are escaped: they are looked for, not shown.
GROUPS: Mapping[str, tuple[object, str]] = {
    "power": (_l("电源"), r"power|psu|pwr|\bpem\b|supply|\u7535\u6e90|output source"),
    "fans": (_l("风扇"), r"fan|blower|cooling|tach|\u98ce\u6247"),
    "boards": (
        _l("板卡与模块"),
        r"board|slot|card|module|mpu|lpu|\bsfu\b|chassis|supervisor|\u677f|\u69fd|\u6846",
    ),
    "disks": (
        _l("磁盘与阵列"),
        r"dis[kc]|drive|raid|array|volume|pool|ssd|hdd|enclosure|\u786c\u76d8|\u78c1\u76d8",
    ),
    "battery": (_l("电池"), r"batter|\u7535\u6c60"),
    "other": (_l("其他"), ""),
}
CLASSES: Mapping[str, tuple[object, str]] = {
    # class of a sensor -> (heading, unit shown; % and time are written by the template)
    "temperature": (_l("温度"), "°C"),
    "humidity": (_l("湿度"), "%"),
    "fanspeed": (_l("转速"), "rpm"),
    "power": (_l("功率"), "W"),
    "voltage": (_l("电压"), "V"),
    "current": (_l("电流"), "A"),
    "load": (_l("负载"), "%"),
    "charge": (_l("电量"), "%"),
    "runtime": (_l("续航"), "s"),
    "frequency": (_l("频率"), "Hz"),
    "dbm": (_l("光功率"), "dBm"),
    "percent": (_l("比率"), "%"),
    "count": (_l("计数"), ""),
    "state": (_l("状态量"), ""),
}
CPU_LIMIT, MEMORY_LIMIT = 0.9, 0.95  # as the rules HighCpu and HighMemory
STORAGE_WARNS, STORAGE_LIMIT = 0.85, 0.95  # as DiskFilling and DiskNearlyFull
DAY, STEP = 86_400, 1800


@dataclass(frozen=True, slots=True)
class Component:
    """A part that can fail. `since` is when it was last well, in ms."""

    name: str
    group: str
    state: str
    since: int | None = None

    @property
    def mark(self) -> str:
        """The state to draw."""
        return MARKS[self.state]

    @property
    def word(self) -> object:
        """The state as a word."""
        return WORDS[self.state]


@dataclass(frozen=True, slots=True)
class Sensor:
    """One measured quantity, with its lowest and highest of the last day."""

    name: str
    kind: str
    value: float | None
    state: str = ""
    alert: str = ""
    low: float | None = None
    high: float | None = None
    line: Sequence[float | None] = ()

    @property
    def mark(self) -> str:
        """The state to draw; a sensor that tells none and has no alert has none."""
        return self.alert or (MARKS[self.state] if self.state else "")


@dataclass(frozen=True, slots=True)
class Space:
    """Something with a size: memory or a volume. Bytes; `ratio` 0..1."""

    name: str
    ratio: float
    used: float | None = None
    size: float | None = None
    warns: float = STORAGE_WARNS
    limit: float = STORAGE_LIMIT

    @property
    def mark(self) -> str:
        """Which threshold it is beyond, if any."""
        return "critical" if self.ratio > self.limit else "minor" if self.ratio > self.warns else ""


@dataclass(frozen=True, slots=True)
class Ups:
    """What an uninterruptible power supply tells. Ratios 0..1, runtime in seconds."""

    on_battery: bool | None
    charge: float | None
    runtime: float | None
    load: float | None
    since: int | None = None  # when it last had mains, in ms


def components(subject: Subject, *, with_since: bool = False) -> list[Component]:
    """Parts with a state, worst first; those of sensors stand with the sensors."""
    readings = subject.readings
    states = readings.fact("device_component_state", "component")
    told = {str(entry.get("name")): str(entry.get("state")) for entry in subject.detail.get("components", ())}
    if not states and readings.at("snmp") is None:
        found = {name: state if state in STATES else "unknown" for name, state in told.items()}
    else:
        sensors = _sensor_names(subject) - set(told)
        found = {name: _state(value) for name, value in states.items() if name not in sensors}
    bad = [name for name, state in found.items() if state != "ok"] if with_since else []
    since = last_times(readings, "device_component_state", "component", 0, bad) if bad else {}
    made = [Component(name, group_of(name), state, since.get(name)) for name, state in found.items()]
    return sorted(made, key=lambda part: (WORST.index(part.state), natural(part.name)))


def grouped(parts: Sequence[Component]) -> list[tuple[object, list[Component]]]:
    """(heading, parts) with the group of the worst part first."""
    groups: dict[str, list[Component]] = {}
    for part in parts:
        groups.setdefault(part.group, []).append(part)
    order = list(GROUPS)
    ranked = sorted(groups.items(), key=lambda item: (WORST.index(item[1][0].state), order.index(item[0])))
    return [(GROUPS[key][0], members) for key, members in ranked]


def group_of(name: str) -> str:
    """Which group of parts a name belongs to."""
    return next(
        (
            key
            for key, (_word, pattern) in GROUPS.items()
            if pattern and re.search(pattern, name, re.IGNORECASE)
        ),
        "other",
    )


def sensors(subject: Subject, *, with_day: bool = False) -> list[tuple[object, str, list[Sensor]]]:
    """(heading, unit, sensors) by class, the troubled first within each."""
    readings = subject.readings
    states = readings.fact("device_component_state", "component")
    alerts = {
        a.labels["sensor"]: a.severity.value for a in reversed(subject.alerts) if a.labels.get("sensor")
    }
    lows, highs, day = _day(subject) if with_day else ({}, {}, {})
    groups: dict[str, list[Sensor]] = {}
    for name, samples in readings.facts.items():
        if not name.startswith("device_sensor_"):
            continue
        for labels, value in samples:
            sensor, kind = labels.get("sensor", ""), labels.get("class", "")
            key = f"{sensor}\0{kind}"
            kind = kind if kind in CLASSES else "count"
            state = _state(states[sensor]) if sensor in states else ""
            groups.setdefault(kind, []).append(
                Sensor(
                    sensor,
                    kind,
                    value,
                    state,
                    alerts.get(sensor, ""),
                    lows.get(key),
                    highs.get(key),
                    day.get(key, ()),
                )
            )
    return [
        (CLASSES[kind][0], CLASSES[kind][1], sorted(groups[kind], key=_sensor_rank))
        for kind in CLASSES
        if kind in groups
    ]


def spaces(subject: Subject) -> list[Space]:
    """Volumes, the fullest first."""
    readings = subject.readings
    used = readings.fact("device_storage_used_bytes", "storage")
    sizes = readings.fact("device_storage_size_bytes", "storage")
    found = [
        Space(name, used[name] / size, used[name], size)
        for name, size in sizes.items()
        if size and name in used
    ]
    return sorted(found, key=lambda space: (-space.ratio, natural(space.name)))


def memory(subject: Subject) -> Space | None:
    """Main memory."""
    readings = subject.readings
    used, size = readings.one("device_memory_used_bytes"), readings.one("device_memory_size_bytes")
    ratio = used / size if used is not None and size else readings.one("device_memory_ratio")
    if ratio is None:
        return None
    return Space("", ratio, used, size, MEMORY_LIMIT, 1.0)


def processor(subject: Subject) -> Space | None:
    """Mean processor load."""
    ratio = subject.readings.one("device_cpu_ratio")
    return None if ratio is None else Space("", ratio, warns=CPU_LIMIT, limit=1.0)


def ups(subject: Subject) -> Ups | None:
    """The supply's own figures; None for what is none."""
    readings = subject.readings
    if not any(name.startswith("ups_") for name in readings.facts):
        return None
    battery = readings.one("ups_on_battery")
    since: Mapping[str, int] = {}
    if battery == 1:
        since = last_times(readings, "ups_on_battery", "device", 0, [str(subject.device.id)])
    return Ups(
        None if battery is None else battery == 1,
        readings.one("ups_battery_charge_ratio"),
        readings.one("ups_battery_runtime_seconds"),
        readings.one("ups_load_ratio"),
        since.get(str(subject.device.id)),
    )


def _state(value: float) -> str:
    return STATES[int(value)] if value in (0, 1, 2, 3) else "unknown"


def _sensor_names(subject: Subject) -> set[str]:
    return {
        labels.get("sensor", "")
        for name, samples in subject.readings.facts.items()
        if name.startswith("device_sensor_")
        for labels, _value in samples
    }


def _sensor_rank(sensor: Sensor) -> tuple[int, tuple[tuple[int, int, str], ...]]:
    marks = ("critical", "major", "minor", "unknown", "info", "ok", "")
    return marks.index(sensor.mark), natural(sensor.name)


def _day(
    subject: Subject,
) -> tuple[dict[str, float], dict[str, float], dict[str, list[float | None]]]:
    """Lowest, highest and the line of the last day, by sensor and class."""
    readings = subject.readings
    selector = f'{{__name__=~"device_sensor_.+",{readings.match}}}'
    extremes = []
    for function in ("min_over_time", "max_over_time"):
        found = readings.instant(f"{function}({selector}[1d])", readings.at("snmp"))
        extremes.append({f"{x.get('sensor', '')}\0{x.get('class', '')}": value for x, value in found})
    end = readings.now_ms // 1000 // 300 * 300
    times = list(range(end - DAY, end + 1, STEP))
    return extremes[0], extremes[1], readings.lines(selector, times, ("sensor", "class"))
