"""The SNMP poller against the same agents as Debian's snmp_exporter, net-snmp's tools and pysnmp.

`python -m tests.bench snmp [PART ...]` runs all parts or some:

- v2c: device polls of 248 values per CPU second of the poller's process, replies of one Ethernet frame;
- changes: the same when 5 % of the replies change their layout; loss: when 2 % of the requests get no answer;
- v3: the same with SNMPv3 authPriv (SHA, AES-128);
- round: a city of 10,000 devices once, by the wall clock, and what memory a device costs;
- held: 20,000 devices every 60 s for BENCH_HOLD_MINUTES (3);
- traps: traps taken per CPU second.

Our side runs the product: requests come from its planner, which saw one plain reading of each device. The other work
of the machine changes all figures; sides take turns, so that it hits all.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from collectors.snmp.batch.fleet import REREAD_SECONDS
from tests.bench.measure import ROUNDS, Measure, interleaved
from tests.bench.snmp import peers
from tests.bench.snmp.agent import v2c_agent, v3_agent
from tests.bench.snmp.ours import Learned, Poller, Polls, Spec
from tests.bench.snmp.workload import EMITTED, V2C, V3, addresses
from tests.collectors.receivers.flood import traps_per_cpu_second

DEVICES: Final = 500
CITY: Final = 10_000
HELD: Final = 20_000
HOLD_MINUTES: Final = 3.0
UNIT: Final = "polls per CPU second"
_FLIP, _DROP = 5, 2
_OURS, _FLEET = "ours", "ours, whole fleet"
_LOSS_TIMEOUT = 0.5
_PROTOTYPE_TRAPS = 112_000


def run(parts: Sequence[str] = ()) -> list[Measure]:
    """The measures of some parts, in the order of PARTS; of all when none is named."""
    found: list[Measure] = []
    for part, measure in _PARTS.items():
        if part in parts or not parts:
            with ExitStack() as stack:
                found += measure(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())))
    return found


def _v2c(stack: ExitStack, folder: Path) -> list[Measure]:
    where, port = addresses(DEVICES), v2c_agent(stack, folder)
    poller = stack.enter_context(Poller(Spec(folder, where, port, V2C)))
    learned = poller.learn()
    sides: dict[str, Callable[[], float]] = {
        _OURS: lambda: _good(poller.rounds(20)).per_cpu_second,
        _FLEET: lambda: poller.fleet_rounds(10).per_cpu_second,
    }
    there = peers.installed()
    if peers.EXPORTER in there:
        sides[peers.EXPORTER] = peers.exporter(stack, folder, peers.V2C_AUTH, where, port, 60)
    if peers.NET_SNMP in there:
        sides[peers.NET_SNMP] = peers.net_snmp(where, port, 10)
    sides[peers.PYSNMP] = peers.pysnmp(where, port, 10)
    figures = _measured(sides)
    note = f"v2c: {learned.requests:.0f} requests a poll, {DEVICES} devices. {_lacking()}"
    whole = "device polls, v2c, with readings"
    whole_note = f"with readings: timetable, engine and {EMITTED} readings a poll as columns"
    return [
        _against(figures, "device polls, v2c", peers.EXPORTER, 100, note),
        _against(figures, whole, peers.EXPORTER, None, whole_note, _FLEET),
        _against(figures, "device polls, v2c, net-snmp", peers.NET_SNMP),
        _against(figures, "device polls, v2c, pysnmp", peers.PYSNMP),
    ]


def _changes(stack: ExitStack, folder: Path) -> list[Measure]:
    where, quiet = addresses(DEVICES), v2c_agent(stack, folder)
    port = v2c_agent(stack, folder, flip=_FLIP)
    poller = stack.enter_context(Poller(Spec(folder, where, quiet, V2C, polled_port=port)))
    poller.learn()
    plainly: list[float] = []

    def ours() -> float:
        polls = _good(poller.rounds(10))
        plainly.append(polls.counts["reshaped"] / polls.counts["sent"])
        return polls.per_cpu_second

    sides: dict[str, Callable[[], float]] = {_OURS: ours}
    if peers.EXPORTER in peers.installed():
        sides[peers.EXPORTER] = peers.exporter(stack, folder, peers.V2C_AUTH, where, port, 60)
    figures = _measured(sides)
    note = f"layout changes: {100 * statistics.median(plainly):.1f} % of the replies were read plainly"
    name = f"device polls, v2c, {_FLIP} % layout changes"
    return [_against(figures, name, peers.EXPORTER, 50, note)]


def _loss(stack: ExitStack, folder: Path) -> list[Measure]:
    where, quiet = addresses(DEVICES), v2c_agent(stack, folder)
    port = v2c_agent(stack, folder, drop=_DROP)
    spec = Spec(folder, where, quiet, V2C, polled_port=port, timeout=_LOSS_TIMEOUT)
    poller = stack.enter_context(Poller(spec))
    poller.learn()
    runs = [poller.rounds(4) for _ in range(ROUNDS)]
    cpu = statistics.median(run.per_cpu_second for run in runs)
    wall = statistics.median(run.seconds / 4 for run in runs)
    sent, retried = (sum(run.counts[name] for run in runs) for name in ("sent", "retried"))
    silent = sum(run.outcomes[2] for run in runs)
    note = (
        f"loss: {100 * retried / sent:.1f} % of the requests were retries after {_LOSS_TIMEOUT} s;"
        f" {silent} of {sum(run.polls for run in runs)} polls ended without an answer"
    )
    name = f"{_DROP} % of requests lost"
    return [
        Measure(f"device polls, v2c, {name}", UNIT, "higher", cpu, note=note),
        Measure(f"a round of {DEVICES} devices, {name}", "s", "lower", wall),
    ]


def _v3(stack: ExitStack, folder: Path) -> list[Measure]:
    where, port = addresses(200), v3_agent(stack, folder)
    poller = stack.enter_context(Poller(Spec(folder, where, port, V3)))
    learned = poller.learn()
    sides: dict[str, Callable[[], float]] = {_OURS: lambda: _good(poller.rounds(25)).per_cpu_second}
    if peers.EXPORTER in peers.installed():
        sides[peers.EXPORTER] = peers.exporter(stack, folder, peers.V3_AUTH, where, port, 30)
    note = f"v3: SHA and AES-128, {learned.requests:.0f} requests a poll, every one sealed and every reply verified"
    return [_against(_measured(sides), "device polls, v3 authPriv", peers.EXPORTER, 30, note)]


def _round(stack: ExitStack, folder: Path) -> list[Measure]:
    port = v2c_agent(stack, folder)
    poller = stack.enter_context(Poller(Spec(folder, addresses(CITY), port, V2C)))
    learned = poller.learn()
    alone = [_good(poller.rounds(1)) for _ in range(ROUNDS)]
    whole = [poller.fleet_rounds(1) for _ in range(ROUNDS)]
    name, load = f"a round of {CITY:,} devices", os.getloadavg()[0]
    values = f"{CITY * 248 / 1e6:.2f} million values"
    return [
        Measure(f"{name}, wall", "s", "lower", _median(alone, _wall), goal=1, note=f"round: {values}, load {load:.1f}"),
        Measure(f"{name}, CPU", "s", "lower", _median(alone, _cpu)),
        Measure(f"{name}, with readings, wall", "s", "lower", _median(whole, _wall)),
        Measure(f"{name}, with readings, CPU", "s", "lower", _median(whole, _cpu)),
        Measure("memory a device", "KB", "lower", learned.octets_each / 1000, goal=30, note=_memory_note(learned)),
    ]  # fmt: skip


def _memory_note(learned: Learned) -> str:
    return (
        "memory: growth of VmRSS of the poller's process from before the first device is assigned until every one"
        f" was polled in a batch, for each device; first plain readings: {learned.seconds:.0f} s,"
        f" {learned.cpu_seconds / CITY * 1000:.2f} ms CPU each"
    )


def _held(stack: ExitStack, folder: Path) -> list[Measure]:
    minutes = float(os.environ.get("BENCH_HOLD_MINUTES", HOLD_MINUTES))
    port = v2c_agent(stack, folder)
    poller = stack.enter_context(Poller(Spec(folder, addresses(HELD), port, V2C)))
    learned = poller.learn()
    poller.hold(60.0)  # every device finds its place
    held = poller.hold(minutes * 60)
    p50, p99, worst = held.late
    again = learned.cpu_seconds / (REREAD_SECONDS * 0.75)
    note = (
        f"held: {held.seconds / 60:.1f} min, {held.polls:,} polls of {held.polls / held.seconds:.0f}/s,"
        f" {held.values:,} readings, {held.reread} read plainly, {held.missed} missed; learning took"
        f" {learned.seconds:.0f} s before ({learned.cpu_seconds:.0f} s CPU, not counted; reading each device plainly"
        f" every two to four hours is another {100 * again:.2f} %); load {os.getloadavg()[0]:.1f}"
    )
    name = f"{HELD:,} devices every 60 s"
    share = 100 * held.cpu_seconds / held.seconds
    return [
        Measure(f"{name}, CPU of one core", "%", "lower", share, goal=5, note=note),
        Measure(f"{name}, resident memory", "MB", "lower", held.resident_mb),
        Measure(f"{name}, lateness p50", "ms", "lower", p50 * 1000),
        Measure(f"{name}, lateness p99", "ms", "lower", p99 * 1000),
        Measure(f"{name}, lateness worst", "ms", "lower", worst * 1000),
        Measure(f"{name}, missed", "polls", "lower", held.missed, goal=0),
    ]


def _traps(stack: ExitStack, folder: Path) -> list[Measure]:
    found = []
    for name, different in (("all alike", 1), ("hardly two alike", 100_000)):
        taken = [traps_per_cpu_second(100_000, 0, different) for _ in range(ROUNDS)]
        rate = statistics.median(one.per_cpu_second for one in taken)
        received, sent = sum(one.received for one in taken), sum(one.sent for one in taken)
        note = (
            f"traps, {name}: {received:,} received of {sent:,} sent at full speed, the kernel dropped"
            f" {sum(one.kernel_drops for one in taken):,}; the goal is the prototype's decoder alone"
        )
        goal = _PROTOTYPE_TRAPS if different == 1 else None
        found.append(
            Measure(f"v2c traps, {name}", "traps per CPU second", "higher", rate, goal=goal, note=note)
        )
    return found


def _good(polls: Polls) -> Polls:
    if polls.outcomes[0] != polls.polls:
        raise RuntimeError(f"{polls.outcomes} polls ended as done, changed and silent of {polls.polls}")
    return polls


def _measured(sides: dict[str, Callable[[], float]]) -> dict[str, float]:
    for side in sides.values():
        side()  # caches warm, engines known
    return interleaved(sides)


def _against(
    figures: Mapping[str, float], name: str, peer: str, goal: float | None = None, note: str = "",
    ours: str = _OURS,
) -> Measure:  # fmt: skip
    return Measure(name, UNIT, "higher", figures[ours], figures.get(peer), peer, goal, note)


def _lacking() -> str:
    lacking = [name for name in (peers.EXPORTER, peers.NET_SNMP) if name not in peers.installed()]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


def _wall(polls: Polls) -> float:
    return polls.seconds


def _cpu(polls: Polls) -> float:
    return polls.cpu_seconds


def _median(runs: Sequence[Polls], figure: Callable[[Polls], float]) -> float:
    return statistics.median(map(figure, runs))


_PARTS: Final[Mapping[str, Callable[[ExitStack, Path], list[Measure]]]] = {
    "v2c": _v2c,
    "changes": _changes,
    "loss": _loss,
    "v3": _v3,
    "round": _round,
    "held": _held,
    "traps": _traps,
}
PARTS: Final = tuple(_PARTS)
