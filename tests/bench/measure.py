"""What a benchmark measures and how it is judged: medians of interleaved runs, CPU time of processes, ratios.

CPU time, not wall time, is compared wherever both sides do the same work, because the machine may be busy with other
things. Sides take turns (ours, peer, ours, peer ...) so that a slow minute hits both.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROUNDS = 5
KEYS = ("name", "unit", "better", "ours", "peer", "peer_name", "ratio", "goal")


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of a bench. `goal` is a ratio when there is a `peer_name`, else a figure in `unit`.

    `note` says why there is no peer figure, or what the reader must know to judge it.
    """

    name: str
    unit: str
    better: Literal["higher", "lower"]
    ours: float
    peer: float | None = None
    peer_name: str = ""
    goal: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer we are; None without a peer figure."""
        if self.peer is None:
            return None
        above, below = (self.ours, self.peer) if self.better == "higher" else (self.peer, self.ours)
        return above / below if below else None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is met; None when there is no goal or nothing to compare with."""
        if self.goal is None:
            return None
        if self.peer_name:
            return None if self.ratio is None else self.ratio >= self.goal
        return self.ours >= self.goal if self.better == "higher" else self.ours <= self.goal

    def as_dict(self) -> dict[str, str | float | None]:
        """The JSON object of the contract; figures with four significant digits."""
        return {key: _short(getattr(self, key)) for key in KEYS}


def _short(value: str | float | None) -> str | float | None:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def interleaved(sides: Mapping[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, float]:
    """Run every side once a round, in turn; the median figure of each side. At least five rounds."""
    if rounds < ROUNDS:
        raise ValueError(f"a median of {rounds} runs says too little; at least {ROUNDS}")
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            figures[name].append(run())
    return {name: statistics.median(found) for name, found in figures.items()}


def p95(figures: Sequence[float]) -> float:
    """The smallest figure that at least 95 % of the figures do not exceed."""
    if not figures:
        raise ValueError("no figures")
    return sorted(figures)[-(-len(figures) * 95 // 100) - 1]


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process so far, also of those that have ended, to the nanosecond.

    The kernel's CPU clock of a process, as clock_getcpuclockid(3) builds its number; pid 0 is this process.
    """
    return time.clock_gettime((~pid << 3) | 2)


def per_cpu_second(count: int, pid: int, work: Callable[[], object]) -> float:
    """`count` things a CPU second of process `pid` (0: this one) while `work` runs."""
    before = cpu_seconds(pid)
    work()
    return count / (cpu_seconds(pid) - before)


def wall_ms(work: Callable[[], object]) -> float:
    """Milliseconds that `work` takes."""
    before = time.perf_counter()
    work()
    return (time.perf_counter() - before) * 1000


def cpu_ms(work: Callable[[], object]) -> float:
    """Milliseconds of CPU time of this process that `work` takes."""
    before = cpu_seconds(0)
    work()
    return (cpu_seconds(0) - before) * 1000


def write_json(path: Path, measures: Sequence[Measure]) -> None:
    """build/bench/NAME.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps([measure.as_dict() for measure in measures], ensure_ascii=False, indent=1) + "\n", "utf-8"
    )
