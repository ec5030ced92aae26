"""`python -m tests.bench [NAME [PART ...] ...]`: runs benches, prints a table, writes build/bench/NAME.json.

A bench of several parts (`metrics`) runs those named behind it, and writes build/bench/NAME-PART....json then.
Exit code 0 also when a goal is missed: a bench measures, it does not judge the day. 1 when a bench could not be run,
2 for a name that has no bench.
"""

from __future__ import annotations

import importlib
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from tests.bench.measure import Measure, write_json

NAMES = ("snmp", "metrics", "compliance", "console", "playbooks")
FOLDER = Path("build") / "bench"
COLUMNS = ("measure", "unit", "better", "ours", "peer", "ratio", "goal", "")


def main(names: Sequence[str]) -> int:
    """Run the named benches, or all."""
    chosen, unknown = _choose(names)
    if unknown:
        print(f"there is no bench {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 160)
    failed = 0
    for name, parts in chosen or [(name, []) for name in NAMES]:
        run = importlib.import_module(f"tests.bench.{name}").run
        try:
            with console.status(f"{name} ..."):
                measures = run(parts) if parts else run()
        except (RuntimeError, OSError) as error:  # a side gave wrong answers or did not start; the others may
            print(f"{name}: {error}", file=sys.stderr)
            failed = 1
            continue
        write_json(FOLDER / f"{'-'.join([name, *parts])}.json", measures)
        _show(console, name, measures)
    return failed


def _choose(names: Sequence[str]) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """Benches with the parts named behind them, and the words that are neither."""
    chosen: list[tuple[str, list[str]]] = []
    unknown = []
    for name in names:
        if name in NAMES:
            chosen.append((name, []))
        elif chosen and name in getattr(importlib.import_module(f"tests.bench.{chosen[-1][0]}"), "PARTS", ()):
            chosen[-1][1].append(name)
        else:
            unknown.append(name)
    return chosen, unknown


def _show(console: Console, name: str, measures: Sequence[Measure]) -> None:
    table = Table(*COLUMNS, title=name, title_justify="left")
    for measure in measures:
        table.add_row(
            measure.name,
            measure.unit,
            measure.better,
            _number(measure.ours),
            f"{_number(measure.peer)} {measure.peer_name}" if measure.peer is not None else "-",
            _number(measure.ratio, "x"),
            _number(measure.goal, "x" if measure.peer_name else ""),
            {True: "reached", False: "missed", None: ""}[measure.reached],
        )
    console.print(table)
    for note in dict.fromkeys(measure.note for measure in measures if measure.note):
        console.print(f"  {note}", highlight=False)


def _number(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}{unit}" if value >= 1000 else f"{value:.3g}{unit}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every peer is stopped too
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sys.exit(main(sys.argv[1:]))
