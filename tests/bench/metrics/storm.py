"""An alert storm: a rule with 5,000 alerts, evaluated by our rule engine and by Prometheus's.

Ours evaluates through `rules.alerting` whole: query, labels, texts, states, the ALERTS series, the journal. Prometheus
evaluates the same rule by its own timer; its figures are those it tells of its groups. Its clock is the machine's, so
its rule looks back to when the data ended.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from monitor.clock import ManualClock
from monitor.database import sqlite_database
from monitor.metrics.interface import Vector
from rules.alerting.engine import Engine
from rules.alerting.files import parse_rules
from rules.alerting.journal import Journal
from tests.bench.measure import ROUNDS, Measure, wall_ms
from tests.bench.metrics.city import City, say
from tests.bench.metrics.sides import PROMETHEUS, Side

ALERTS = 5000
OF_SERIES = ALERTS / 24_000
INTERVAL = 5
FILE = "storm.yml"
TRAFFIC = "rate(ifHCInOctets[5m]{offset})"
WAIT_SECONDS, POLL_SECONDS = 120, 0.2
Times = dict[str, list[float]]


def measures(city: City) -> list[Measure]:
    """Alerts that stay as they are, and alerts whose values, and so whose texts, change every time."""
    groups = {"steady": "ifOperStatus{offset} == 2", "moving": f"{TRAFFIC} > {_threshold(city)}"}
    count = round(city.size.devices * 12 * OF_SERIES)
    say(f"storm of {count:,} alerts")
    with ExitStack() as stack:
        ours = _ours(stack, city, groups)
        first = {name: wall_ms(evaluate) for name, evaluate in ours.items()}
        peer: Times = {}
        firsts: dict[str, float] = {}
        if PROMETHEUS in city.sides:
            firsts, peer = _prometheus(city.sides[PROMETHEUS], city, groups)
        repeated = {
            name: statistics.median(wall_ms(evaluate) for _ in range(ROUNDS))
            for name, evaluate in ours.items()
        }
    theirs = {name: statistics.median(found) for name, found in peer.items()}
    note = f"about {count:,} alerts of one rule with four texts; evaluation with ALERTS series and journal; {city.size}"
    return [
        _measure("alert storm, steady alerts", repeated["steady"], theirs.get("steady"), 500, note),
        _measure("alert storm, changing values", repeated["moving"], theirs.get("moving"), None, note),
        _measure(
            "alert storm, first evaluation", first["steady"], firsts.get("steady"), None,
            f"{note}; measured once: every alert is new and ours are in the database when it returns",
        ),
    ]  # fmt: skip


def _measure(name: str, ours: float, peer: float | None, goal: float | None, note: str) -> Measure:
    return Measure(name, "ms", "lower", ours, peer, PROMETHEUS, goal, note)


def _threshold(city: City) -> float:
    """The traffic that so many ports exceed as there are alerts in a storm."""
    found = city.engine.instant(TRAFFIC.replace("{offset}", ""), city.end - 60_000)
    assert isinstance(found, Vector)
    return float(np.quantile(found.values, 1 - OF_SERIES))


def rule_file(name: str, expression: str) -> str:
    """A rule as our library has them; YAML that both sides read."""
    annotations = {
        "summary": "{{ $labels.site }} 的 {{ $labels.device }} 接口 {{ $labels.ifName }} 异常",
        "description": "当前值 {{ $value }}。请检查线缆、光模块和对端。",
        "summary_en": "{{ $labels.ifName }} of {{ $labels.device }} at {{ $labels.site }} is not well",
        "description_en": "It is {{ $value }} now. Check cable, transceiver and the far end.",
    }
    rule = {
        "alert": f"Storm_{name}",
        "expr": expression,
        "labels": {"severity": "minor"},
        "annotations": annotations,
    }
    return json.dumps({"groups": [{"name": name, "interval": f"{INTERVAL}s", "rules": [rule]}]})


def _ours(stack: ExitStack, city: City, groups: dict[str, str]) -> dict[str, Callable[[], None]]:
    database = sqlite_database(city.folder)
    stack.callback(database.close)
    database.migrate()
    clock = ManualClock(city.end - 200_000 + 5)
    engine = Engine(city.store, city.engine, Journal(database, dict), clock)
    loaded = []
    for name, expression in groups.items():
        text = rule_file(name, expression.replace("{offset}", ""))
        found, errors = parse_rules(text, f"{name}.yml", city.engine.compile)
        if errors:
            raise RuntimeError(str(errors[0]))
        loaded += found
    engine.load(loaded)

    def evaluator(key: str) -> Callable[[], None]:
        def evaluate() -> None:
            clock.advance(INTERVAL)
            engine.evaluate(key)
            rule = engine.groups[key].rules[0]
            if rule.health != "ok" or not rule.tracked:
                raise RuntimeError(f"our rule engine: {rule.last_error or 'no alert'}")

        return evaluate

    return {group.name: evaluator(group.key) for group in loaded}


def _prometheus(side: Side, city: City, groups: dict[str, str]) -> tuple[dict[str, float], Times]:
    """Milliseconds of the first and of the later evaluations of each group, one group at a time, as it tells them."""
    first: dict[str, float] = {}
    later: Times = {}
    for name, expression in groups.items():
        offset = f" offset {int(time.time()) - city.end // 1000 + 60}s"
        path = city.folder / f"rules-{name}.yml"
        path.write_text(rule_file(name, expression.replace("{offset}", offset)), "utf-8")
        side.request("POST", "/-/reload")
        first[name], *later[name] = _told(side, f'rule_group="{path};{name}"', 1 + ROUNDS)
        path.unlink()
        side.request("POST", "/-/reload")
    return first, later


def _told(side: Side, label: str, count: int) -> list[float]:
    """How long the next evaluations of a group took, in ms."""
    found: list[float] = []
    last = 0.0
    deadline = time.monotonic() + WAIT_SECONDS
    while len(found) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{side.name} does not evaluate its rules")
        time.sleep(POLL_SECONDS)
        at = side.metric("prometheus_rule_group_last_evaluation_timestamp_seconds", label)
        if at > last:
            last = at
            found.append(side.metric("prometheus_rule_group_last_duration_seconds", label) * 1000)
    return found
