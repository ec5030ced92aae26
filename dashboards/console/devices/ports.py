"""Interfaces of a device as rows: how each stands, which deserve attention, filters and sort orders. Pure.

A port that is down is trouble only when it matters: an alert says so, its description or speed makes it an uplink.
Another one that was up within a day is told as down; one that was not is simply not connected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _l

SATURATED = 0.9  # of the speed, as the rule InterfaceSaturated
ERRORS = 1.0  # a second, as the rule InterfaceErrors
DISCARDS = 10.0  # a second, as the rule InterfaceDiscards
FAST_BPS = 10_000_000_000
NOISE = 0.001  # errors a second below this are a handful an hour
ADMIN: Mapping[int, str] = {1: "up", 2: "down", 3: "testing"}
OPER: Mapping[int, str] = {
    1: "up", 2: "down", 3: "testing", 4: "unknown", 5: "dormant", 6: "notPresent", 7: "lowerLayerDown",
}  # fmt: skip
STANDS: Mapping[str, tuple[str, object]] = {
    # how a port stands -> (mark, word)
    "broken": ("minor", _l("断开")),
    "unknown": ("unknown", _l("未知")),
    "down": ("info", _l("断开")),
    "up": ("ok", _l("通")),
    "testing": ("maint", _l("测试中")),
    "off": ("off", _l("管理关闭")),
    "absent": ("off", _l("模块不在位")),
    "idle": ("off", _l("未接")),
}
_FAULTY = _l("有错误")
SHOWS = ("up", "down", "off", "errors", "idle")
_ORDER = tuple(STANDS)
_SEVERITIES = ("critical", "major", "minor", "info")
# In Chinese: uplink, interconnect, private network, core, cascade, exit, storage, stack, heartbeat; spare, reserved.
_MATTERS = re.compile(
    r"(?i)uplink|trunk|\u4e0a\u8054|\u4e92\u8054|\u4e13\u7f51|\u6838\u5fc3|\u7ea7\u8054|\u51fa\u53e3|\u5b58\u50a8|\u5806\u53e0|\u5fc3\u8df3"
)
_UPLINK = re.compile(r"(?i)^(uplink|\u4e0a\u8054)")  # as the rule UplinkDown
_SPARE = re.compile(r"(?i)spare|reserved|unused|\u5907\u7528|\u9884\u7559|\u7a7a\u95f2")
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Port:
    """One interface. Rates in bit/s, errors and discards a second, times in ms; None is not known."""

    index: str
    name: str
    alias: str = ""
    descr: str = ""
    mac: str = ""
    admin: str = ""
    oper: str = ""
    speed: float | None = None
    rate_in: float | None = None
    rate_out: float | None = None
    errors: float | None = None
    discards: float | None = None
    was_up: bool = False  # within the last day
    alert: str = ""  # the worst severity of an alert about it
    read_at: int | None = None
    late: bool = False

    @property
    def load_in(self) -> float | None:
        """Share of the speed, 0..1 and above when the speed is told wrong."""
        return _share(self.rate_in, self.speed)

    @property
    def load_out(self) -> float | None:
        """Share of the speed."""
        return _share(self.rate_out, self.speed)

    @property
    def load(self) -> float | None:
        """The busier direction's share."""
        return max((x for x in (self.load_in, self.load_out) if x is not None), default=None)

    @property
    def traffic(self) -> float:
        """Both directions together; 0 when unknown."""
        return (self.rate_in or 0.0) + (self.rate_out or 0.0)

    @property
    def matters(self) -> bool:
        """Whether its loss cuts more than one desk off."""
        told = f"{self.alias} {self.name}"
        fast = (self.speed or 0) >= FAST_BPS and bool(self.alias)
        return (bool(_MATTERS.search(told)) or fast) and not _SPARE.search(told)

    @property
    def stand(self) -> str:
        """A key of STANDS."""
        if self.admin == "down":
            return "off"
        if self.oper in ("", "unknown"):
            return "unknown"
        if self.oper in ("up", "dormant"):
            return "up"
        if self.oper == "testing" or self.admin == "testing":
            return "testing"
        if self.matters or self.alert in ("critical", "major", "minor"):
            return "broken"
        if self.was_up:
            return "down"
        return "absent" if self.oper == "notPresent" else "idle"

    @property
    def faulty(self) -> bool:
        """Whether it loses frames worth a look."""
        return (self.errors or 0) > NOISE or (self.discards or 0) > DISCARDS

    @property
    def mark(self) -> str:
        """The state to draw: an alert outranks the interface's own state; old readings are never healthy."""
        if self.late:
            return "stale"
        if self.alert:
            return self.alert
        if self.stand == "up" and (self.errors or 0) > ERRORS:
            return "minor"
        return STANDS[self.stand][0]

    @property
    def word(self) -> object:
        """The state as a word."""
        return _FAULTY if self.stand == "up" and (self.errors or 0) > ERRORS else STANDS[self.stand][1]

    @property
    def unused(self) -> bool:
        """Whether nobody would miss it: closed, empty or not connected, and without an alert."""
        return self.stand in ("off", "idle", "absent") and not self.alert

    @property
    def rank(self) -> tuple[int, int, int]:
        """Worst first: alerts by severity, then how it stands, then those that matter."""
        severity = _SEVERITIES.index(self.alert) if self.alert in _SEVERITIES else len(_SEVERITIES)
        faulty = self.stand == "up" and not self.faulty
        return severity, _ORDER.index(self.stand) * 2 + faulty, not self.matters

    def shown_by(self, show: str) -> bool:
        """Whether one of SHOWS has it; everything else has all."""
        return {
            "up": self.stand == "up",
            "down": self.stand in ("broken", "down", "testing", "unknown"),
            "off": self.stand == "off",
            "errors": self.faulty,
            "idle": self.stand in ("idle", "absent"),
        }.get(show, True)


def _share(rate: float | None, speed: float | None) -> float | None:
    return None if rate is None or not speed else rate / speed


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key in which GE0/0/2 stands before GE0/0/10."""
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in _DIGITS.split(text.lower())
        if part
    )


def _number(value: float | None) -> float:
    return -1.0 if value is None else value


SORTS: Mapping[str, Callable[[Port], Any]] = {
    "state": lambda port: (port.rank, natural(port.name)),
    "name": lambda port: natural(port.name),
    "alias": lambda port: (not (port.alias or port.descr), port.alias or port.descr, natural(port.name)),
    "speed": lambda port: (_number(port.speed), natural(port.name)),
    "in": lambda port: (_number(port.rate_in), natural(port.name)),
    "out": lambda port: (_number(port.rate_out), natural(port.name)),
    "load": lambda port: (_number(port.load), natural(port.name)),
    "errors": lambda port: (_number(port.errors), natural(port.name)),
    "discards": lambda port: (_number(port.discards), natural(port.name)),
}


def wanted(ports: Sequence[Port], text: str, show: str, *, hide_unused: bool) -> list[Port]:
    """The ports a filter leaves."""
    text = text.lower()
    return [
        port
        for port in ports
        if port.shown_by(show)
        and not (hide_unused and port.unused)
        and text in f"{port.name}\0{port.alias}\0{port.descr}\0{port.mac}\0{port.index}".lower()
    ]


def counts(ports: Sequence[Port]) -> dict[str, int]:
    """How many ports each of SHOWS has, and `all` and `used`."""
    found = {show: sum(port.shown_by(show) for port in ports) for show in SHOWS}
    return {"all": len(ports), "used": sum(not port.unused for port in ports), **found}


def worth_a_look(ports: Sequence[Port], limit: int) -> list[Port]:
    """Trouble first, then uplinks, then what else matters, then the busiest."""

    def first(port: Port) -> tuple[int, bool, bool, bool, bool, float]:
        uplink = bool(_UPLINK.search(port.alias))
        return (
            port.rank[0],
            port.stand != "broken",
            not port.faulty,
            not uplink,
            not port.matters,
            -port.traffic,
        )

    busy = sorted(ports, key=first)
    return [port for port in busy if not port.unused or port.late][:limit]
