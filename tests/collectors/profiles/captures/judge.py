"""Compares a poll with what is known of a device, family by family.

Rules (the same for every device; what a fact does not state is not judged):
- vendor: equal but for case; `A/B` means either. hardware: equal, or one contains the other, blanks and case aside.
  version: one's dot-separated tokens are among the other's (`5.170 (V200R010)` and `5.170 V200R010` agree).
  serial: equal. The `os` of LibreNMS is the name of its own module, so it is not judged.
- status: per state the number of interfaces, and admin and oper of every sampled interface. LibreNMS leaves out ports
  by name and type; where it lists fewer than the device has, ours are at least as many as its.
- cpu: every stated processor within 1.5 points. memory, storage: used and size within 1 %, percent within 1 point;
  rows of buffers, cache, shared and virtual memory are parts of other rows and no memory of their own; used physical
  memory counts with or without the stated buffers and cache; a size of 100 or none means that only the share is known.
- sensors: per class, a value of ours within 1 % or half a unit of the last digit; per-cents are ratios here, minutes
  seconds. `count` is met by a sensor of the class or by any reading of that value under our own `device_` names.
- states: the word of the fact read as ok, warning or critical (see `_WORDS`) met by as many components of ours;
  words that name a role or mode rather than health are not judged.
Each fact is used once: two equal facts need two equal values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from collectors.interface import PollResult
from tests.collectors.profiles.captures.replay import Fact

IDENTITY = ("vendor", "hardware", "version", "serial")
VALUES = ("status", "cpu", "memory", "storage", "sensors", "states")
_PARTS = {"memory buffers", "cached memory", "shared memory", "virtual memory"}
_PERCENT = {"charge", "load", "humidity", "percent"}
_WORDS = {
    "ok": "ok|normal|active|good|up|online|running|green|ready|present|healthy|on|sensorok"
    "|nobatteryneedsreplacing|redundant|optimal|noalarm|no alarm|battery normal|completed|nominal|okay",
    "warning": "warning|degraded|minor|noncritical|yellow|testing|rebuilding|batteryneedsreplacing",
    "critical": "critical|failed|fail|faulty|fault|error|down|major|shutdown|nonrecoverable|red|alarm|notfunctioning"
    "|deactive|nonfunctional|inactive",
}
# ifOperStatus and ifAdminStatus where a fact keeps the number (RFC 2863)
_CODES = {
    "1": "up",
    "2": "down",
    "3": "testing",
    "4": "unknown",
    "5": "dormant",
    "6": "notPresent",
    "7": "lowerLayerDown",
}
_STATES = {word: state for state, words in _WORDS.items() for word in words.split("|")}

Entry = Mapping[str, object]


@dataclass(slots=True)
class Score:
    """Facts stated and facts met per family, and a line for every miss."""

    right: dict[str, int] = field(default_factory=dict)
    stated: dict[str, int] = field(default_factory=dict)
    misses: list[str] = field(default_factory=list)

    def count(self, family: str, met: bool, miss: str) -> None:
        """One fact of a family."""
        self.stated[family] = self.stated.get(family, 0) + 1
        self.right[family] = self.right.get(family, 0) + met
        if not met:
            self.misses.append(f"{family}: {miss}")

    def share(self, family: str) -> float | None:
        """Part of the stated facts that are right, or None when none is stated."""
        return self.right[family] / self.stated[family] if self.stated.get(family) else None


def judge(fact: Fact, result: PollResult) -> Score:
    """What of a fact the poll found."""
    score = Score()
    _identity(fact, result, score)
    _status(fact, result, score)
    _processors(fact, result, score)
    _memory(fact, result, score)
    _storage(fact, result, score)
    _sensors(fact, result, score)
    _component_states(fact, result, score)
    return score


def _rows(source: Mapping[str, object], key: str) -> list[Entry]:
    found = source.get(key)
    return list(found) if isinstance(found, list) else []


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _identity(fact: Fact, result: PollResult, score: Score) -> None:
    compare: Mapping[str, Callable[[str, str], bool]] = {
        "vendor": lambda a, b: b.casefold() in [part.casefold() for part in (a, *a.split("/"))],
        "hardware": _contains,
        "version": _same_version,
        "serial": lambda a, b: a.strip() == b.strip(),
    }
    stated = {**fact.expected, "vendor": fact.vendor}
    for key in IDENTITY:
        wanted, got = stated.get(key), str(result.identity.get(key, ""))
        if wanted:
            score.count(key, compare[key](str(wanted), got), f"expected {wanted!r}, got {got!r}")


def _contains(a: str, b: str) -> bool:
    first, second = (re.sub(r"\s+", "", text).casefold() for text in (a, b))
    return bool(second) and (first in second or second in first)


def _same_version(a: str, b: str) -> bool:
    first, second = (
        {
            token.removeprefix("v")
            for token in re.split(r"[\s,()\[\]/]+", text.casefold())
            if re.search(r"\d", token)
        }
        for text in (a, b)
    )
    return bool(first & second) and (first <= second or second <= first)


def _status(fact: Fact, result: PollResult, score: Score) -> None:
    ours = _rows(result.detail, "interfaces")
    counts = fact.expected.get("interfaces")
    fewer = _number(fact.expected.get("ports_count")) or 0
    for key, wanted in counts.items() if isinstance(counts, Mapping) else ():
        if key not in {"admin_up", "admin_down", "oper_up", "oper_down"}:
            continue
        kind, state = key.split("_")
        got = sum(row[kind] == state for row in ours)
        met = got == wanted or (fact.from_librenms and got >= wanted and len(ours) > fewer)
        score.count("status", met, f"{key} expected {wanted}, got {got}")
    by_index = {row["index"]: row for row in ours}
    for port in _rows(fact.expected, "port_sample"):
        row = by_index.get(port["ifIndex"], {})
        for key, kind in (("ifAdminStatus", "admin"), ("ifOperStatus", "oper")):
            wanted = _CODES.get(str(port.get(key)), port.get(key))
            if wanted:
                miss = f"{key}.{port['ifIndex']} expected {wanted!r}, got {row.get(kind)!r}"
                score.count("status", wanted == row.get(kind), miss)


def _take(pool: list[float], wanted: Sequence[float], close: Callable[[float, float], bool]) -> bool:
    """Whether a value of the pool fits one of those wanted; it is used up."""
    for value in pool:
        if any(close(each, value) for each in wanted):
            pool.remove(value)
            return True
    return False


def _processors(fact: Fact, result: PollResult, score: Score) -> None:
    pool = [(_number(row["utilization_ratio"]) or 0.0) * 100 for row in _rows(result.detail, "processors")]
    listed = [round(value, 1) for value in pool]
    for row in _rows(fact.expected, "processors"):
        wanted = _number(row.get("usage_percent"))
        if wanted is not None:
            met = _take(pool, [wanted], lambda a, b: abs(a - b) <= 1.5)
            score.count("cpu", met, f"{row['descr']} expected {wanted} %, have {listed}")


def _near(a: float | None, b: float | None, share: float = 0.01) -> bool:
    return a is not None and b is not None and abs(a - b) <= max(abs(a) * share, 1024.0)


def _space_fits(used: Iterable[float], stated: Entry, row: Entry) -> bool:
    size, percent = _size_of(stated), _percent_of(stated)
    ratio = _number(row["utilization_ratio"])
    if size is None or size <= 100:
        return percent is not None and ratio is not None and abs(percent - ratio * 100) <= 1
    return _near(size, _number(row["size_bytes"])) and any(
        _near(each, _number(row["used_bytes"])) for each in used
    )


def _pick(rows: list[Entry], used: Iterable[float], stated: Entry) -> bool:
    """Whether one of our rows says what is stated; it is used up."""
    for row in rows:
        if _space_fits(used, stated, row):
            rows.remove(row)
            return True
    return False


def _percent_of(row: Entry) -> float | None:
    for key in ("percent", "usage_percent", "used_percent"):
        if (value := _number(row.get(key))) is not None:
            return value
    return None


def _size_of(row: Entry) -> float | None:
    return _number(row.get("total")) or _number(row.get("size"))


def _memory(fact: Fact, result: PollResult, score: Score) -> None:
    stated = _rows(fact.expected, "mempools")
    ours = _rows(result.detail, "memory")
    have = _listed(ours)
    extra = sum(
        _number(row.get("used")) or 0.0
        for row in stated
        if str(row["descr"]).casefold() in {"memory buffers", "cached memory"}
    )
    for row in stated:
        name, size = str(row["descr"]), _size_of(row)
        if name.casefold() in _PARTS or not size:
            continue
        used = _number(row.get("used")) or 0.0
        physical = name.casefold() == "physical memory"
        options = (used, used - extra, used + extra) if physical else (used,)
        met = _pick(ours, options, row)
        score.count("memory", met, f"{name} expected {used:.0f} of {size:.0f}, have {have}")


def _storage(fact: Fact, result: PollResult, score: Score) -> None:
    ours = _rows(result.detail, "storage")
    have = _listed(ours)
    for row in _rows(fact.expected, "storage"):
        size, used = _size_of(row), _number(row.get("used"))
        if size and used is not None:
            met = _pick(ours, (used,), row)
            score.count("storage", met, f"{row['descr']} expected {used:.0f} of {size:.0f}, have {have}")


def _listed(rows: Sequence[Entry]) -> list[tuple[object, ...]]:
    return [
        (row["name"], row["used_bytes"], row["size_bytes"], round(_number(row["utilization_ratio"]) or 0, 3))
        for row in rows[:12]
    ]


def _sensors(fact: Fact, result: PollResult, score: Score) -> None:
    pools: dict[str, list[float]] = {}
    for row in _rows(result.detail, "sensors"):
        if (value := _number(row["value"])) is not None:
            pools.setdefault(str(row["class"]), []).append(value)
    counts = [reading.value for reading in result.readings if reading.name.startswith("device_")]
    pools["count"] = [*pools.get("count", []), *(value for value in counts if value == int(value))]
    pools["runtime"] = [*pools.get("runtime", [])]
    pools["delay"] = pools["runtime"]
    for row in _rows(fact.expected, "sensors"):
        kind, value = str(row["class"]), _number(row["value"])
        if kind == "state" or value is None:
            continue
        wanted = (
            [value / 100]
            if kind in _PERCENT
            else [value * 60, value]
            if kind in {"runtime", "delay"}
            else [value]
        )
        pool = pools.get(kind, [])
        have = sorted(set(pool))[:30]
        met = _take(pool, wanted, _agree)
        miss = f"{kind} {row['descr']!r} expected {wanted[0]} ({row['oid']}), have {have if kind != 'count' else '...'}"
        score.count("sensors", met, miss)


def _agree(wanted: float, got: float) -> bool:
    return abs(wanted - got) <= max(abs(wanted) * 0.01, 0.006 if abs(wanted) < 20 else 0.5)


def _component_states(fact: Fact, result: PollResult, score: Score) -> None:
    pool = [str(row["state"]) for row in _rows(result.detail, "components")]
    pool += [str(row["state"]) for row in _rows(result.detail, "sensors") if row["state"]]
    have = {state: pool.count(state) for state in sorted(set(pool))}
    for row in _rows(fact.expected, "sensors"):
        wanted = _STATES.get(str(row.get("state")).casefold()) if row["class"] == "state" else None
        if wanted is not None:
            met = wanted in pool
            if met:
                pool.remove(wanted)
            score.count("states", met, f"{row['descr']!r} is {row['state']} ({row['oid']}), have {have}")
