"""An alert storm: a rule with 5,000 alerts, evaluated by our rule engine and by Prometheus's.

Ours evaluates through `rules.alerting` whole: query, labels, texts, states, the ALERTS series, the journal. Prometheus
evaluates the same rule by its own timer; its figures are those it tells of its groups. Its clock is the machine's, so
its rule looks back to when the data ended.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice

import numpy as np

from monitor.clock import ManualClock
from monitor.database import sqlite_database
from monitor.metrics.interface import Vector
from rules.alerting.engine import Engine
from rules.alerting.files import parse_rules
from rules.alerting.journal import Journal
from tests.bench.measure import ROUNDS, Measure, wall_ms
from tests.bench.metrics.city import City, say
from tests.bench.metrics.data import DOWN, PORTS
from tests.bench.metrics.sides import PROMETHEUS, Side

INTERVAL = 5
TRAFFIC = "rate(ifHCInOctets[5m]{offset})"
WAIT_SECONDS, POLL_SECONDS = 120, 0.2


def measures(city: City) -> list[Measure]:
    """Alerts of which none changes; of which some come and go; and all of whose values, and so texts, change."""
    fixed = f"{(city.end - 60_000) / 1000 + 0.005:.3f}"
    groups = {
        "steady": f"ifOperStatus @ {fixed} == 2",
        "flapping": "ifOperStatus{offset} == 2",
        "moving": f"{TRAFFIC} > {_threshold(city)}",
    }
    count = round(city.size.devices * PORTS * DOWN)
    found = {}
    for name, expression in groups.items():
        say(f"storm of {count:,} alerts: {name}")
        found[name] = _turns(city, name, expression)
    note = f"about {count:,} alerts of one rule with four texts; evaluation with ALERTS series and journal; {city.size}"
    once = f"{note}; measured once: every alert is new, and ours are in the database when it returns"
    return [
        _measure("alert storm", [ours[1:] for ours in found["steady"]], 500, note),
        _measure("alert storm, some ports flap", [ours[1:] for ours in found["flapping"]], None, note),
        _measure("alert storm, every value changes", [ours[1:] for ours in found["moving"]], None, note),
        _measure("alert storm, first evaluation", [ours[:1] for ours in found["steady"]], None, once),
    ]


def _measure(name: str, turns: list[list[float]], goal: float | None, note: str) -> Measure:
    ours, peer = (statistics.median(found) if found else None for found in turns)
    assert ours is not None
    return Measure(name, "ms", "lower", ours, peer, PROMETHEUS, goal, note)


def _turns(city: City, name: str, expression: str) -> tuple[list[float], list[float]]:
    """Milliseconds of the first and the later evaluations, ours and Prometheus's, in turn."""
    ours: list[float] = []
    theirs: list[float] = []
    with ExitStack() as stack:
        evaluate = _ours(stack, city, name, expression.replace("{offset}", ""))
        if PROMETHEUS in city.sides:
            told = stack.enter_context(_prometheus(city.sides[PROMETHEUS], city, name, expression))
        else:
            told = iter(())
        for _ in range(1 + ROUNDS):
            theirs += islice(told, 1)
            ours.append(wall_ms(evaluate))
    return ours, theirs


def _threshold(city: City) -> float:
    """The traffic that so many ports exceed as there are alerts in a storm."""
    found = city.engine.instant(TRAFFIC.replace("{offset}", ""), city.end - 60_000)
    assert isinstance(found, Vector)
    return float(np.quantile(found.values, 1 - DOWN))


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


def _ours(stack: ExitStack, city: City, name: str, expression: str) -> Callable[[], None]:
    folder = city.folder / name
    folder.mkdir()
    database = sqlite_database(folder)
    stack.callback(database.close)
    database.migrate()
    clock = ManualClock(city.end - 100_000 + 5)
    groups, errors = parse_rules(rule_file(name, expression), f"{name}.yml", city.engine.compile)
    if errors:
        raise RuntimeError(str(errors[0]))
    engine = Engine(city.store, city.engine, Journal(database, dict), clock)
    engine.load(groups)

    def evaluate() -> None:
        clock.advance(INTERVAL)
        engine.evaluate(groups[0].key)
        rule = engine.groups[groups[0].key].rules[0]
        if rule.health != "ok" or not rule.tracked:
            raise RuntimeError(f"our rule engine: {rule.last_error or 'no alert'}")

    return evaluate


@contextmanager
def _prometheus(side: Side, city: City, name: str, expression: str) -> Iterator[Iterator[float]]:
    """The milliseconds each evaluation of its group took, as soon as it tells them; one group at a time."""
    offset = f" offset {int(time.time()) - city.end // 1000 + 60}s"
    path = city.folder / f"rules-{name}.yml"
    path.write_text(rule_file(name, expression.replace("{offset}", offset)), "utf-8")
    side.request("POST", "/-/reload")
    yield _told(side, f'rule_group="{path};{name}"')
    path.unlink()
    side.request("POST", "/-/reload")


def _told(side: Side, label: str) -> Iterator[float]:
    last = 0.0
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        at = side.metric("prometheus_rule_group_last_evaluation_timestamp_seconds", label)
        if at > last:
            last, deadline = at, time.monotonic() + WAIT_SECONDS
            yield side.metric("prometheus_rule_group_last_duration_seconds", label) * 1000
    raise RuntimeError(f"{side.name} does not evaluate its rules")
