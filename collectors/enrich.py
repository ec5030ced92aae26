"""From what a poller read to what the core stores: identity labels, `up`, stale markers, status events.

Both classes remember the poll before; they do no I/O. Labels a reading shares with the identity are kept as
`exported_<name>`, as Prometheus does when a target's labels meet a scraper's.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from collectors.interface import PollResult, Reading
from monitor.events.interface import Event
from monitor.metrics.interface import STALE, Labels, make_labels
from monitor.model import Device, DeviceId
from monitor.topology.facts import LEARNED, MODULE

Sample = tuple[Labels, int, float]
ReadingKey = tuple[str, tuple[tuple[str, str], ...]]
DETAIL_EVERY_MS = 60_000
STILL_EVERY_MS = 110_000  # well within the five intervals after which the console calls a poll old
SNMP, SSH, PROBE, TOPOLOGY = "snmp", "ssh", "probe", MODULE
TOPOLOGY_EVERY_MS = 3_600_000
_JOBS: Mapping[str, str] = {SNMP: "snmp", SSH: "node", PROBE: "probe"}
_PORTS: Mapping[str, int] = {SNMP: 161, SSH: 22}


def module_kind(module: str) -> str:
    """`probe` of `probe:his-web`; other modules are their own kind."""
    return module.partition(":")[0]


def identity_labels(device: Device, region: str, module: str, vendor: str) -> dict[str, str]:
    """The labels every series of one module of a device carries."""
    kind = module_kind(module)
    access = {SNMP: device.snmp, SSH: device.ssh, TOPOLOGY: device.snmp}.get(kind)
    port = access.port if access is not None else 0
    host = f"[{device.address}]" if ":" in device.address and port else device.address
    return {
        "region": region,
        "site": device.site,
        "device": device.id,
        "kind": device.kind.value,
        "vendor": vendor,
        "instance": host if port in {0, _PORTS.get(kind)} else f"{host}:{port}",
        "job": _JOBS.get(kind, kind),
    }


@dataclass(slots=True)
class _Known:
    identity: dict[str, str] = field(default_factory=dict)
    series: dict[ReadingKey, Labels] = field(default_factory=dict)


class SeriesBook:
    """Knows which series each module of each device had at its last poll. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[DeviceId, str], _Known] = {}
        self._vendors: dict[DeviceId, str] = {}

    def samples(self, device: Device, region: str, result: PollResult) -> list[Sample]:
        """The samples of one poll, with a stale marker for every series that was there at the poll before and is not
        now. A series that a poller gives twice counts once, the first time.
        """
        with self._lock:
            vendor = device.vendor or result.identity.get("vendor", "") or self._vendors.get(device.id, "")
            self._vendors[device.id] = vendor
            identity = identity_labels(device, region, result.module, vendor)
            before = self._known.get((device.id, result.module), _Known())
            reusable = before.series if before.identity == identity else {}
            current: dict[ReadingKey, Labels] = {}
            found: list[Sample] = []
            for reading in _all_readings(result):
                key = (reading.name, reading.labels)
                if key not in current:
                    labels = reusable.get(key)
                    current[key] = labels = labels if labels is not None else _label_set(reading, identity)
                    found.append((labels, result.at_ms, reading.value))
            self._known[device.id, result.module] = _Known(identity, current)
        kept = current if reusable else {}
        found += [(labels, result.at_ms, STALE) for key, labels in before.series.items() if key not in kept]
        return found

    def labels(self, device: DeviceId, module: str, readings: Sequence[ReadingKey]) -> list[Labels]:
        """The label sets of readings the last poll of a module had; of others, those it would have had."""
        with self._lock:
            known = self._known.get((device, module), _Known())
            return [
                known.series.get(key) or _label_set(Reading(*key, 0.0), known.identity) for key in readings
            ]

    def end(self, device: DeviceId, module: str, at_ms: int) -> list[Sample]:
        """Stale markers for all series of a module that is not polled any more."""
        with self._lock:
            known = self._known.pop((device, module), _Known())
        return [(labels, at_ms, STALE) for labels in known.series.values()]


def own_readings(module: str) -> tuple[ReadingKey, ReadingKey]:
    """The readings every poll of a module has besides its own: whether it answered, and how long it took."""
    own = (("probe", module.partition(":")[2]),) if module_kind(module) == PROBE else ()
    return ("up", own), ("device_poll_duration_seconds", (("module", module), *own))


def _all_readings(result: PollResult) -> Iterator[Reading]:
    if result.module == TOPOLOGY:
        return  # whether a device answers is said by its snmp module, once
    up, duration = own_readings(result.module)
    yield Reading(*up, float(result.up))
    yield Reading(*duration, result.duration_seconds)
    yield from result.readings


def _label_set(reading: Reading, identity: Mapping[str, str]) -> Labels:
    own = {f"exported_{name}" if name in identity else name: value for name, value in reading.labels}
    return make_labels({**own, **identity}, reading.name)


@dataclass(frozen=True, slots=True)
class _Told:
    state: tuple[bool, str, str, str]
    at_ms: int


class StatusBook:
    """Knows what the core was told last about each module of each device. Safe from several threads."""

    def __init__(self, collector: str) -> None:
        self._collector = collector
        self._lock = threading.Lock()
        self._told: dict[tuple[DeviceId, str], _Told] = {}

    def event(self, device: Device, result: PollResult) -> tuple[str, Event] | None:
        """The status event of a poll, or None when only values changed within a minute (of a map, an hour)."""
        every = TOPOLOGY_EVERY_MS if result.module == TOPOLOGY else DETAIL_EVERY_MS
        errors = _json([{"code": e.code, "message": e.message, "zh": e.zh} for e in result.errors])
        identity = _json(dict(result.identity))
        state = (result.up, errors, identity, _states(result))
        with self._lock:
            told = self._told.get((device.id, result.module))
            if told is not None and told.state == state and 0 <= result.at_ms - told.at_ms < every:
                return None
            self._told[device.id, result.module] = _Told(state, result.at_ms)
        return str(uuid.uuid4()), {
            "@timestamp": result.at_ms,
            "event.dataset": "zhishou.poll",
            "event.action": "device.poll",
            "zhishou.collector": self._collector,
            "zhishou.site": device.site,
            "zhishou.device": device.id,
            "zhishou.module": result.module,
            "zhishou.up": result.up,
            "zhishou.errors": errors,
            "zhishou.identity": identity,
            "zhishou.detail": _json(dict(result.detail)),
            "message": _sentence(device, result),
        }

    def still(self, device: Device, module: str, at_ms: int) -> tuple[str, Event] | None:
        """The event by which the core knows that a module is still polled, with nothing new but numbers; None when
        it was told not long ago.
        """
        with self._lock:
            told = self._told.get((device.id, module))
            if told is None or 0 <= at_ms - told.at_ms < STILL_EVERY_MS:
                return None
            up, errors = told.state[:2]
            self._told[device.id, module] = _Told(told.state, at_ms)
        return str(uuid.uuid4()), {
            "@timestamp": at_ms,
            "event.dataset": "zhishou.poll",
            "event.action": "device.poll",
            "zhishou.collector": self._collector,
            "zhishou.site": device.site,
            "zhishou.device": device.id,
            "zhishou.module": module,
            "zhishou.up": up,
            "zhishou.errors": errors,
            "message": f"{device.name or device.id} {module} 应答正常",
        }

    def forget(self, device: DeviceId, module: str) -> None:
        """The module is not polled any more; when it comes back, its first poll is told."""
        with self._lock:
            self._told.pop((device, module), None)


def _states(result: PollResult) -> str:
    """What in a detail is a state (an interface up or down, a fan failed), without the values that always move."""
    detail = result.detail
    if result.module == TOPOLOGY:
        return _json({group: value for group, value in detail.items() if group not in LEARNED})
    return _json(
        {
            group: [{key: row.get(key) for key in ("name", "admin", "oper", "state")} for row in rows]
            for group, rows in detail.items()
            if isinstance(rows, list | tuple) and all(isinstance(row, Mapping) for row in rows)
        }
    )


def _sentence(device: Device, result: PollResult) -> str:
    said = "应答正常" if result.up else "没有应答"
    first = f"({result.errors[0].zh or result.errors[0].message})" if result.errors else ""
    return f"{device.name or device.id} {result.module} {said}{first}"


def _json(value: object) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def heartbeat(collector: str, at_ms: int, spooled: int, devices: int) -> tuple[str, Event]:
    """The event by which the core knows that this collector lives."""
    return str(uuid.uuid4()), {
        "@timestamp": at_ms,
        "event.dataset": "zhishou.collector",
        "event.action": "collector.heartbeat",
        "zhishou.collector": collector,
        "zhishou.spooled_samples": spooled,
        "zhishou.devices": devices,
        "message": f"采集器 {collector} 在线",
    }


def event_line(key: str, event: Event) -> bytes:
    """One line of the NDJSON the core takes."""
    return orjson.dumps({"id": key, "event": dict(event)}) + b"\n"
