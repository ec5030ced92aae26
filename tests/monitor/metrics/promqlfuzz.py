"""Random series and random expressions for comparing the query engine with Debian's Prometheus 2.42.

Where 2.42 differs from Prometheus 3, whose semantics are ours, the generator stays away, by these rules:
- Windows are closed on the left there, open here. Samples lie at 1 to 899 ms past a whole second, questions at 950 ms,
  durations are whole seconds, and subquery ranges have 500 ms more: no sample or grid point is ever on an edge.
- Near zero, rate() and increase() extrapolate differently there. Counters start high, reset once, and rise slowly then.
- Metric names go at once there, at the end of a query here. Nothing looks at the name of a computed value.
- atan2 keeps the metric's name there; it is asked of nameless values.
- predict_linear with `@` reads other windows there from the second step on; it has no `@` here.
- timestamp() of a selector with both `@` and offset forgets the offset there; it has no `@` here.
- Of equal values, min and max may be either zero: there is no negative zero in the data.
- The calendar functions of an infinite value differ: they are asked of finite values only.
- stddev and stdvar of infinite or NaN values differ: they are asked of finite gauges only.
- double_exponential_smoothing is called holt_winters there.
Rounding differs by the last digits. What jumps (comparison, floor, modulo, topk) is asked of exact values only.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from monitor.metrics.interface import STALE, Labels, SampleBlock, block_of, make_labels

HOUR_MS = 3_600_000
RANGES = ("70s", "3m", "5m", "11m", "25m")
OFFSETS = ("", "", "", "", " offset 2m", " offset -90s", " offset 7m")
LABELS = ("instance", "job", "port")


@dataclass(frozen=True, slots=True)
class Question:
    """An expression to be asked at `start_ms`, or on a grid when `step_ms` is not 0."""

    expression: str
    start_ms: int
    end_ms: int
    step_ms: int


def data(chance: random.Random, prefix: str, start_ms: int) -> SampleBlock:
    """One hour of a few metrics with names that begin with `prefix`; `start_ms` is a whole minute."""
    found: list[tuple[Labels, int, float]] = []
    for instance in "abc"[: chance.choice((2, 3, 3))]:
        interval = chance.choice((15, 15, 30, 60))
        common = {"instance": instance, "job": chance.choice(("x", "y"))}
        times = _times(chance, start_ms, interval)
        for port in range(chance.choice((1, 2, 3))):
            own = common | {"port": str(port)}
            found += _holed(chance, make_labels(own, f"{prefix}_g"), times, _gauge(chance, len(times)))
            found += _holed(chance, make_labels(own, f"{prefix}_w"), times, _wild(chance, len(times)))
            found += _holed(chance, make_labels(own, f"{prefix}_e"), times, _small(chance, len(times)))
            found += _holed(
                chance, make_labels(own, f"{prefix}_c_total"), times, _counter(chance, len(times))
            )
        one = common | {"zone": chance.choice(("n", "s"))}
        found += _holed(chance, make_labels(one, f"{prefix}_one"), times, [float(ord(instance))] * len(times))
        counts = [0.0] * 4
        for at in times:
            counts[chance.randrange(4)] += chance.randrange(5)
            for place, bound in enumerate(("0.1", "0.5", "2.5", "+Inf")):
                labels = make_labels(common | {"le": bound}, f"{prefix}_h_bucket")
                found.append((labels, at, sum(counts[: place + 1])))
    return block_of(found)


def _times(chance: random.Random, start_ms: int, interval: int) -> list[int]:
    jitter = chance.choice((0, 0, 400, 3_000))
    phase = chance.randrange(interval)
    seconds = range(phase, 3600, interval)
    times = [start_ms + at * 1000 + chance.randrange(jitter + 1) for at in seconds if chance.random() > 0.02]
    return [at // 1000 * 1000 + max(1, at % 1000 * 9 // 10) for at in times]


def _holed(
    chance: random.Random, labels: Labels, times: list[int], values: list[float]
) -> list[tuple[Labels, int, float]]:
    """The series with gaps, some of them after a stale marker."""
    found = []
    gone = 0
    gaps = chance.choice((0.0, 0.0, 0.01, 0.04))
    for at, value in zip(times, values, strict=True):
        if gone:
            gone -= 1
        elif chance.random() < gaps:
            gone = chance.choice((1, 2, 10, 40))
            if chance.random() < 0.5:
                found.append((labels, at, STALE))
        else:
            found.append((labels, at, value))
    return found


def _gauge(chance: random.Random, count: int) -> list[float]:
    low, high = chance.choice(((0, 1), (-50, 50), (1e6, 2e6)))
    return [chance.uniform(low, high) for _ in range(count)]


def _wild(chance: random.Random, count: int) -> list[float]:
    special = (math.nan, math.inf, -math.inf, 0.0, 0.0)
    return [chance.choice(special) if chance.random() < 0.1 else chance.uniform(-9, 9) for _ in range(count)]


def _small(chance: random.Random, count: int) -> list[float]:
    return [float(chance.choice((-3, -1, 0, 1, 1, 2, 2, 2, 5))) for _ in range(count)]


def _counter(chance: random.Random, count: int) -> list[float]:
    values, total, rise = [], float(chance.randrange(1, 10) * 1_000_000), chance.choice((0, 3, 50))
    reset = chance.randrange(2 * count)
    for place in range(count):
        if place == reset:
            total, rise = 1000.0, min(rise, 1)
        values.append(total)
        total += chance.randrange(rise + 1) if rise > 1 else rise * chance.choice((0, 0, 1))
    return values


class Grammar:
    """Random expressions over the metrics of one prefix."""

    def __init__(self, chance: random.Random, prefix: str, start_ms: int) -> None:
        self._chance = chance
        self._prefix = prefix
        self._start_ms = start_ms
        self._inside = 0

    def question(self) -> Question:
        """An expression with a time or a grid."""
        chance = self._chance
        at = self._start_ms + chance.randrange(300, 3700) * 1000 + 950
        text = self.vector(chance.choice((1, 2, 2, 3))) if chance.random() < 0.93 else self.scalar(2)
        if chance.random() < 0.5:
            if chance.random() < 0.06:
                text = f"{chance.choice(('sort', 'sort_desc'))}({self.selector('g')})"
            elif chance.random() < 0.04:
                text = self.window()
            return Question(text, at, at, 0)
        step = chance.choice((7, 15, 60, 97, 300)) * 1000
        return Question(text, at, at + step * chance.randrange(1, 25), step)

    def selector(self, metric: str = "") -> str:
        """A selector, perhaps with matchers, offset and `@`."""
        chance = self._chance
        name = f"{self._prefix}_{metric or chance.choice(('g', 'w', 'e', 'c_total', 'one'))}"
        matchers = [text for text in (self._matcher(), self._matcher()) if chance.random() < 0.2]
        if chance.random() < 0.1:
            matchers.insert(0, f'__name__=~"{name}"')
            name = ""
        braces = f"{{{', '.join(matchers)}}}" if matchers else ""
        return f"{name}{braces}{self._moved()}"

    def _matcher(self) -> str:
        return self._chance.choice(
            (
                'instance="a"',
                'instance!="a"',
                'instance=~"a|c"',
                'instance!~"b.*"',
                'port="1"',
                'port=~"[01]"',
                'job="x"',
                'port=""',
                'nothing=""',
                'job=~".+"',
            )
        )

    def _moved(self) -> str:
        chance = self._chance
        at = ""
        if chance.random() < 0.08:
            fixed = (self._start_ms // 1000 + chance.randrange(300, 3600)) + 0.95
            at = chance.choice((" @ start()", " @ end()", f" @ {fixed:.3f}"))
        return f"{at}{chance.choice(OFFSETS)}"

    def window(self, metric: str = "", depth: int = 1) -> str:
        """A range vector: of a selector, or a subquery."""
        chance = self._chance
        if metric or self._inside or chance.random() < 0.8:
            name = f"{self._prefix}_{metric or chance.choice(('g', 'e', 'c_total'))}"
            return f"{name}[{chance.choice(RANGES)}]{self._moved()}"
        self._inside += 1
        inner = self.vector(depth)
        self._inside -= 1
        step = chance.choice(("30s", "1m", "97s", ""))
        return f"({inner})[{chance.choice(('3m', '10m', '16m'))}500ms:{step}]{self._moved()}"

    def _steady_window(self) -> str:
        return f"{self._prefix}_g[{self._chance.choice(RANGES)}]{self._chance.choice(OFFSETS)}"

    def vector(self, depth: int) -> str:
        """An instant vector."""
        chance = self._chance
        if depth <= 0:
            return self.selector()
        make = chance.choice(
            (
                self.selector,
                self._counter_function,
                self._counter_function,
                self._over_time,
                self._over_time,
                self._exact_function,
                lambda: self._function(depth),
                lambda: self._aggregation(depth),
                lambda: self._aggregation(depth),
                lambda: self._with_scalar(depth),
                lambda: self._matched(depth),
                lambda: self._set(depth),
                self._many_to_one,
                self._labels,
                self._histogram,
                lambda: self._absent(depth),
            )
        )
        return make()

    def exact(self) -> str:
        """A vector of values that are the same to the last bit on both sides."""
        chance = self._chance
        grouping = self._grouping()
        return chance.choice(
            (
                self.selector("e"),
                self.selector("g"),
                self.selector("one"),
                f"sum{grouping} ({self.selector('e')})",
                f"max{grouping} ({self.selector('g')})",
                f"count{grouping} ({self.selector()})",
                f"count_over_time({self.window('g')})",
                f"max_over_time({self.window('w')})",
                f"sum_over_time({self.window('e')})",
                f"changes({self.window('e')})",
            )
        )

    def _counter_function(self) -> str:
        name = self._chance.choice(("rate", "rate", "increase", "irate", "resets", "changes"))
        return f"{name}({self.window('c_total')})"

    def _over_time(self) -> str:
        chance = self._chance
        plain = "avg sum min max count last present".split()  # noqa: SIM905  a word list
        match chance.randrange(6):
            case 0 | 1:
                return f"{chance.choice(plain)}_over_time({self.window(depth=1)})"
            case 2:
                return f"{chance.choice(('stddev', 'stdvar'))}_over_time({self.window('g')})"
            case 3:
                return (
                    f"quantile_over_time({chance.choice(('0', '0.3', '0.95', '1.2', '-1'))}, {self.window()})"
                )
            case 4:
                name = chance.choice(("delta", "idelta", "deriv"))
                return f"{name}({self.window('g')})"
            case _:
                return chance.choice(
                    (
                        f"predict_linear({self._steady_window()}, {chance.choice(('60', '-300', '3600'))})",
                        f"double_exponential_smoothing({self.window('g')}, 0.3, 0.6)",
                        f"{chance.choice(('min', 'max', 'last', 'count'))}_over_time({self.window('w')})",
                    )
                )

    def _exact_function(self) -> str:
        name = self._chance.choice(("floor", "ceil", "sgn", "round", "timestamp", "day_of_week", "hour"))
        if name in ("day_of_week", "hour"):
            return f"{name}({self.selector('e')})"
        if name == "timestamp":
            return f"timestamp({self._prefix}_{self._chance.choice(('g', 'c_total'))}{self._chance.choice(OFFSETS)})"
        if name == "round" and self._chance.random() < 0.5:
            return f"round({self.exact()}, 0.25)"
        return f"{name}({self.exact()})"

    def _function(self, depth: int) -> str:
        chance = self._chance
        inner = self.vector(depth - 1)
        name = chance.choice(
            (
                "abs",
                "sqrt",
                "exp",
                "ln",
                "log2",
                "log10",
                "atan",
                "tanh",
                "deg",
                "clamp",
                "clamp_min",
                "-",
                "cos",
            )
        )
        if name in ("exp", "cos"):
            return f"{name}(clamp({inner}, -20, 20))"
        if name == "clamp":
            low = chance.choice((-2.5, 0.5, 6))
            return f"clamp({inner}, {low}, {chance.choice((5.5, 1e6))})"
        return f"clamp_min({inner}, 1.5)" if name == "clamp_min" else f"{name}({inner})"

    def _grouping(self) -> str:
        chance = self._chance
        labels = ", ".join(chance.sample(LABELS, chance.randrange(3)))
        return chance.choice(("", f" by ({labels})", f" without ({labels})"))

    def _aggregation(self, depth: int) -> str:
        chance = self._chance
        grouping = self._grouping()
        match chance.randrange(6):
            case 0:
                return f"{chance.choice(('topk', 'bottomk'))}{grouping} ({chance.choice((0, 1, 2, 9))}, {self.selector('g')})"
            case 1:
                return f"{chance.choice(('stddev', 'stdvar'))}{grouping} ({self.selector('g')})"
            case 2:
                return f"quantile{grouping} ({chance.choice(('0.1', '0.5', '0.9', '2'))}, {self.vector(depth - 1)})"
            case 3:
                return f'count_values{grouping} ("v", {self.exact()})'
            case _:
                name = chance.choice(("sum", "sum", "avg", "min", "max", "count", "group"))
                return f"{name}{grouping} ({self.vector(depth - 1)})"

    def scalar(self, depth: int) -> str:
        """A scalar."""
        chance = self._chance
        if depth <= 0 or chance.random() < 0.6:
            return chance.choice(("2", "0.5", "-3", "7.25", "1e3", "time() / 1e9", "pi()", "NaN", "Inf", "0"))
        return chance.choice(
            (
                f"scalar({self.vector(depth - 1)})",
                f"({self.scalar(depth - 1)} {chance.choice('+-*/')} {self.scalar(depth - 1)})",
                f"({self.scalar(0)} {chance.choice(('<', '==', '>='))} bool {self.scalar(0)})",
            )
        )

    def _with_scalar(self, depth: int) -> str:
        chance = self._chance
        if chance.random() < 0.5:
            op = chance.choice(("+", "-", "*", "/", "^", "atan2"))
            pair = [
                f"clamp({self.vector(depth - 1)}, -50, 50)"
                if op in ("^", "atan2")
                else self.vector(depth - 1)
            ]
            pair.insert(chance.randrange(2), self.scalar(0 if op == "^" else 1))
            return f"({pair[0]}) {op} ({pair[1]})"
        op = chance.choice(("==", "!=", "<", "<=", ">", ">=", "> bool", "!= bool", "%"))
        pair = [self.exact(), chance.choice(("2", "0.5", "-1", "0", "3"))]
        chance.shuffle(pair)
        return f"({pair[0]}) {op} ({pair[1]})"

    def _matching(self) -> str:
        chance = self._chance
        labels = ", ".join(chance.sample(LABELS, chance.randrange(4)))
        return chance.choice(("", "", f" on ({labels})", f" ignoring ({labels})"))

    def _matched(self, depth: int) -> str:
        chance = self._chance
        if chance.random() < 0.5:
            op = chance.choice(("+", "-", "*", "/"))
            return f"({self.vector(depth - 1)}) {op}{self._matching()} ({self.vector(depth - 1)})"
        op = chance.choice(("==", "!=", "<", ">=", "> bool", "== bool", "%"))
        return f"({self.exact()}) {op}{self._matching()} ({self.exact()})"

    def _set(self, depth: int) -> str:
        chance = self._chance
        op = chance.choice(("and", "or", "unless"))
        return f"({self.vector(depth - 1)}) {op}{self._matching()} ({self.vector(depth - 1)})"

    def _many_to_one(self) -> str:
        chance = self._chance
        many = chance.choice((self.selector("g"), self.selector("e"), f"rate({self.window('c_total')})"))
        one = self.selector("one")
        on = chance.choice(("on (instance)", "on (instance, job)", "ignoring (port, zone)", "on (job)"))
        extra = chance.choice(("", "(zone)", "(zone, nothing)"))
        op = chance.choice(("*", "+", "/"))
        if chance.random() < 0.5:
            return f"{many} {op} {on} group_left {extra} {one}"
        return f"{one} {op} {on} group_right {extra} {many}"

    def _labels(self) -> str:
        return self._chance.choice(
            (
                f'label_replace({self.selector()}, "new", "$1-$2", "instance", "(.)(.*)")',
                f'label_replace({self.selector()}, "port", "", "port", "1")',
                f'label_replace({self.selector()}, "instance", "z", "instance", "[ab]")',
                f'label_join({self.selector()}, "new", "-", "job", "nothing", "port")',
                f'label_join({self.selector("one")}, "zone", "", "job")',
            )
        )

    def _histogram(self) -> str:
        chance = self._chance
        buckets = chance.choice(
            (
                f"{self._prefix}_h_bucket{self._moved()}",
                f"sum by (le) ({self._prefix}_h_bucket)",
                f"sum without (instance) ({self._prefix}_h_bucket{self._moved()})",
                f'{self._prefix}_h_bucket{{le!="0.5"}}',
                f'{self._prefix}_h_bucket{{le!="+Inf"}}',
            )
        )
        return f"histogram_quantile({chance.choice(('0', '0.25', '0.5', '0.99', '1', '3'))}, {buckets})"

    def _absent(self, depth: int) -> str:
        chance = self._chance
        return chance.choice(
            (
                f"absent({self.vector(depth - 1)})",
                f'absent({self._prefix}_g{{instance="a", port="7"}})',
                f"absent_over_time({self.window()})",
                f"vector({self.scalar(1)})",
                f"{self.scalar(1)} + {self.selector()}",
            )
        )

    def newer(self) -> str:
        """An expression of what Prometheus 2.42 does not know; windows of any kind."""
        chance = self._chance
        grouping = self._grouping()
        return chance.choice(
            (
                f"limitk{grouping} ({chance.randrange(4)}, {self.vector(1)})",
                f"limit_ratio({chance.choice((0.3, -0.7, 1))}, {self.vector(1)})",
                f"{chance.choice(('first', 'mad', 'ts_of_first', 'ts_of_min'))}_over_time({self.window()})",
                f"{chance.choice(('ts_of_max', 'ts_of_last'))}_over_time({self.window('w')})",
                f"{self.selector('g')} + on (instance, port) fill_right(7) {self.selector('e')}",
                f'sum{grouping} (info({self.selector("c_total")}, {{__name__="{self._prefix}_one"}}))',
                f'histogram_quantiles({self._prefix}_h_bucket, "q", 0.1, 0.9)',
                f"histogram_fraction(0, 0.3, rate({self._prefix}_h_bucket[5m]))",
                f"max_of({self.scalar(1)}, 3) * {self.selector('e')}",
            )
        )
