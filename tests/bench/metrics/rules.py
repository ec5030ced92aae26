"""The rule group: thirteen typical rules over all series, our engine with compiled plans, the peers by their API."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from monitor.metrics.interface import Labels, Matrix, Vector, make_labels
from monitor.metrics.promql.engine import PromqlEngine
from tests.bench.measure import ROUNDS, Measure, interleaved
from tests.bench.metrics.city import say
from tests.bench.metrics.sides import OURS, PROMETHEUS, VICTORIA, Side, seconds

RULES = {
    "traffic": "rate(ifHCInOctets[5m]) * 8 > 8e8",
    "down": "up == 0",
    "port went down": "ifOperStatus == 2 and ifOperStatus offset 10m == 1",
    "site load": "avg by (site) (device_cpu_ratio) > 0.7",
    "top ports": "topk(10, rate(ifHCOutOctets[5m]))",
    "load in 4 h": "predict_linear(device_cpu_ratio[1h], 4 * 3600) > 2",
    "absent": 'absent(up{device="nosuch"})',
    "errors while up": "rate(ifInErrors[5m]) > 0.1 and on (device) up == 1",
    "core traffic": 'rate(ifHCInOctets[5m]) * on (device) group_left (role) device_info{role="core"} > 1e8',
    "in to out": "sum by (site) (rate(ifHCInOctets[5m])) / sum by (site) (rate(ifHCOutOctets[5m])) > 10",
    "flapping": "changes(ifOperStatus[1h]) > 4",
    "peak load": "max_over_time(device_cpu_ratio[1h]) > 0.99",
    "how many": 'count by (__name__) ({job="snmp"})',
}
SAME_IN_VICTORIA = ("down", "how many")  # of even data: its rate(), changes() and look-back are others
TURNS = 2 * ROUNDS + 1
Times = Iterator[int]


def measures(
    engine: PromqlEngine,
    sides: Mapping[str, Side],
    end: int,
    name: str,
    goal: float,
    note: str,
    *,
    even: bool,
) -> list[Measure]:
    """The group as a whole against both peers; what each rule takes goes to the progress lines."""
    peers = {peer: side for peer, side in sides.items() if peer != OURS}
    say(f"{name}: comparing the answers")
    if PROMETHEUS in peers:
        same_answers(engine, peers[PROMETHEUS], end - 30_000 + 5)
    if VICTORIA in peers and even:
        same_answers(engine, peers[VICTORIA], end - 30_000 + 5, SAME_IN_VICTORIA)
    plans = {rule: engine.compile(text) for rule, text in RULES.items()}
    spent: dict[str, dict[str, list[float]]] = {}

    def timed(side: str, ask: Callable[[str, int], object]) -> Callable[[], float]:
        times = _times(end)
        by_rule = spent.setdefault(side, {rule: [] for rule in RULES})

        def turn() -> float:
            at, total = next(times), 0.0
            for rule in RULES:
                before = time.perf_counter()
                ask(rule, at)
                took = (time.perf_counter() - before) * 1000
                by_rule[rule].append(took)
                total += took
            return total

        turn()
        return turn

    turns = {OURS: timed(OURS, lambda rule, at: engine.instant(plans[rule], at))}
    for peer, side in peers.items():
        turns[peer] = timed(peer, partial(_ask, side))
    found = interleaved(turns, TURNS)
    for rule in RULES:
        say(
            f"{rule:16}"
            + "".join(f"  {side} {statistics.median(by[rule]):9.2f} ms" for side, by in spent.items())
        )
    return [
        Measure(name, "ms", "lower", found[OURS], found.get(PROMETHEUS), PROMETHEUS, goal, note),
        Measure(
            f"{name}, against {VICTORIA}",
            "ms",
            "lower",
            found[OURS],
            found.get(VICTORIA),
            VICTORIA,
            None,
            note,
        ),
    ]


def _ask(side: Side, rule: str, at: int) -> bytes:
    return side.raw("query", query=RULES[rule], time=seconds(at))


def _times(end: int) -> Times:
    """Like an evaluation a second, so that no answer is one given before; never on the grid of samples."""
    at = end - 50_000 + 5
    while True:
        yield (at := at + 1000)


def same_answers(engine: PromqlEngine, side: Side, at: int, names: tuple[str, ...] = tuple(RULES)) -> None:
    """RuntimeError unless both find the same for every rule, with and without its threshold."""
    texts = [RULES[name] for name in names]
    for text in dict.fromkeys([*texts, *(text.partition(" > ")[0] for text in texts)]):
        found = engine.instant(text, at)
        assert isinstance(found, Vector)
        ours = dict(zip(found.labels, found.values.tolist(), strict=True))
        result = side.ask("query", query=text, time=seconds(at))["result"]
        theirs = {make_labels(one["metric"]): float(one["value"][1]) for one in result}  # type: ignore[attr-defined]
        compare(side.name, text, ours, theirs)


def compare(name: str, text: str, ours: Mapping[Labels, float], theirs: Mapping[Labels, float]) -> None:
    """RuntimeError unless two answers to one question are the same."""
    if ours.keys() != theirs.keys():
        odd = sorted(ours.keys() ^ theirs.keys())
        raise RuntimeError(
            f"{name} finds {len(theirs)} series for {text!r}, we {len(ours)}; {len(odd)} differ: {odd[0]}"
        )
    mine = np.array(list(ours.values()))
    other = np.array([theirs[key] for key in ours])
    wrong = np.flatnonzero(~np.isclose(mine, other, rtol=1e-6, atol=1e-9, equal_nan=True))
    if len(wrong):
        labels = list(ours)[wrong[0]]
        raise RuntimeError(
            f"{name} answers {text!r} differently for {len(wrong)} of {len(ours)} series:"
            f" {labels}: {other[wrong[0]]} is not {mine[wrong[0]]}"
        )


def same_matrix(matrix: Matrix, result: object) -> bool:
    """Whether an answer of the API holds the points of our matrix."""
    assert isinstance(result, list)
    theirs = {make_labels(one["metric"]): [float(value) for _, value in one["values"]] for one in result}
    ours = {
        labels: matrix.values[matrix.present[:, column], column]
        for column, labels in enumerate(matrix.labels)
    }
    return ours.keys() == theirs.keys() and all(
        len(values) == len(theirs[labels]) and np.allclose(values, theirs[labels], rtol=1e-6, equal_nan=True)
        for labels, values in ours.items()
    )
