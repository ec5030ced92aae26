"""What is different about a polled device since its last poll: pure comparison of identities and interfaces.

Silence and half answers change nothing: a fact that is missing is not a fact that changed. Interfaces count as new when
seen twice, as gone when missed three times in whole lists, so that a flapping one raises nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

NEW_AFTER: Final = 2
GONE_AFTER: Final = 3
_NAMED: Final = 12  # interfaces named in a sentence
_FACTS: Final = ("serial", "sys_object_id", "hardware", "vendor", "os", "version", "sys_name")
# After another profile was chosen, or its rules were updated, the same device may read otherwise; these facts come
# from the device itself.
_RAW: Final = frozenset({"sys_object_id", "sys_name"})
# Made and unmade by software all day long.
_FLEETING: Final = re.compile(r"(veth|cali|tap|vnet|vif|cni|flannel|ppp|tun\d|virtual-access)", re.IGNORECASE)
WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "serial": ("hardware replaced: serial number", "更换硬件，序列号"),
    "sys_object_id": ("another model: sysObjectID", "型号标识变化，sysObjectID"),
    "hardware": ("another model", "型号变化"),
    "vendor": ("another vendor", "厂商变化"),
    "os": ("another operating system", "操作系统变化"),
    "version": ("another software version", "软件版本变化"),
    "sys_name": ("renamed", "设备改名"),
    "interfaces.new": ("new interfaces", "新增接口"),
    "interfaces.gone": ("interfaces gone", "接口消失"),
}


@dataclass(frozen=True, slots=True)
class Known:
    """What a device was last known to be, read by which `profile` in which revision. `appearing` and `missing` count
    how often in a row.
    """

    at: int
    profile: str = ""
    identity: Mapping[str, str] = field(default_factory=dict)
    interfaces: frozenset[str] = frozenset()
    appearing: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; `what` is a key of WORDS."""

    what: str
    before: str
    after: str

    def sentences(self, device: str) -> tuple[str, str]:
        """The change in English and in Chinese."""
        english, chinese = WORDS[self.what]
        if self.what.startswith("interfaces."):
            names = self.after or self.before
            return f"{device}: {english}: {names}", f"{device} {chinese}：{names}"
        return (
            f"{device}: {english} {self.before} -> {self.after}",
            f"{device} {chinese}：{self.before} → {self.after}",
        )


def compare(
    before: Known | None, identity: Mapping[str, str], interfaces: Iterable[str] | None, at: int
) -> tuple[Known, list[Change]]:
    """What is known now, and what changed. `interfaces` None: the list was not read, or not to its end."""
    facts = {key: identity[key] for key in _FACTS if identity.get(key)}
    profile = " ".join(identity[key] for key in ("profile", "profile_revision") if identity.get(key))
    seen = None if interfaces is None else frozenset(name for name in interfaces if _lasting(name))
    if before is None:
        return Known(at, profile, facts, seen or frozenset()), []
    found = []
    other_reading = bool(profile and before.profile and profile != before.profile)
    for key, value in facts.items():
        old = before.identity.get(key, "")
        if old and old != value and not (other_reading and key not in _RAW):
            found.append(Change(key, old, value))
    if any(change.what == "sys_object_id" for change in found):
        # Another box: model and vendor follow from that and say it in words.
        found += _follow(before.identity, facts, other_reading)
    if other_reading and seen:
        before = replace(before, interfaces=seen, appearing={}, missing={})  # they may be named otherwise now
    rows, appearing, missing, more = _interfaces(before, seen)
    kept = Known(at, profile or before.profile, {**before.identity, **facts}, rows, appearing, missing)
    return kept, [*found, *more]


def _follow(before: Mapping[str, str], facts: Mapping[str, str], other_reading: bool) -> list[Change]:
    if not other_reading:
        return []  # said already
    return [
        Change(key, before[key], facts[key])
        for key in ("serial", "hardware", "vendor")
        if before.get(key) and facts.get(key) and before[key] != facts[key]
    ]


def _interfaces(
    before: Known, seen: frozenset[str] | None
) -> tuple[frozenset[str], dict[str, int], dict[str, int], list[Change]]:
    if not seen:
        return before.interfaces, dict(before.appearing), dict(before.missing), []
    if not before.interfaces:
        return seen, {}, {}, []
    appearing = {name: before.appearing.get(name, 0) + 1 for name in seen - before.interfaces}
    missing = {name: before.missing.get(name, 0) + 1 for name in before.interfaces - seen}
    new = sorted(name for name, count in appearing.items() if count >= NEW_AFTER)
    gone = sorted(name for name, count in missing.items() if count >= GONE_AFTER)
    changes = []
    if new:
        changes.append(Change("interfaces.new", "", _listed(new)))
    if gone:
        changes.append(Change("interfaces.gone", _listed(gone), ""))
    return (
        (before.interfaces | set(new)) - set(gone),
        {name: count for name, count in appearing.items() if name not in new},
        {name: count for name, count in missing.items() if name not in gone},
        changes,
    )


def _listed(names: list[str]) -> str:
    more = f" (+{len(names) - _NAMED})" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _lasting(name: str) -> bool:
    return bool(name) and not _FLEETING.match(name)
