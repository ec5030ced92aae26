"""Judging of stored facts: milliseconds a device for all checks of level 3, one rich host after the other."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from monitor.devices import RootfsTarget, fact_reader
from rules.compliance.check import Check, load_checks
from rules.compliance.collect import collect
from rules.compliance.facts import Fact, Facts
from rules.compliance.judge import judge
from tests.bench.measure import Measure, cpu_ms, interleaved
from tests.rules.compliance.hardened import grow
from tests.rules.compliance.samples import FIXTURES, fact

LEVEL = 3
DEVICES = 60
CITY_DEVICES, CITY_SECONDS = 300 * 60, 10.0  # 300 hospitals of 60 devices
LONG = {"packages-dpkg": (900, "package-{} ii "), "processes": (250, "process-{}")}  # lines a real host has


def run() -> list[Measure]:
    """No peer judges these requirements from stored facts."""
    checks = [check for check in load_checks() if LEVEL in check.levels]
    host = list(_host(checks).values())

    def judged() -> float:
        return cpu_ms(lambda: [_judge(host, checks, number) for number in range(DEVICES)]) / DEVICES

    with tempfile.TemporaryDirectory() as name:
        root, reader = RootfsTarget(str(grow(Path(name)))), fact_reader()

        def collected() -> float:
            return cpu_ms(lambda: [collect(reader, root, checks, LEVEL) for _ in range(5)]) / 5

        sides: dict[str, Callable[[], float]] = {"judge": judged, "collect": collected}
        found = interleaved(sides)
    seconds = found["judge"] * CITY_DEVICES / 1000
    return [
        Measure(
            "judging of stored facts",
            "CPU ms per device",
            "lower",
            found["judge"],
            goal=CITY_SECONDS * 1000 / CITY_DEVICES,
            note=f"{len(checks)} checks; 300 hospitals of 60 devices take {seconds:.0f} s on one core",
        ),
        Measure("collecting from an unpacked root", "CPU ms per device", "lower", found["collect"]),
    ]


def _judge(host: list[Fact], checks: list[Check], number: int) -> None:
    judgements = judge(f"device-{number}", Facts(host), checks, LEVEL)
    if len(judgements) != len(checks):
        raise RuntimeError(f"{len(judgements)} judgements of {len(checks)} checks")


def _host(checks: list[Check]) -> Mapping[str, Fact]:
    """One host that has something to say to every check: the longest fixture of each fact, listings at full length."""
    texts: dict[str, str] = {}
    for path in sorted(FIXTURES.glob("LNX-*/*/*")):
        text = path.read_text("utf-8")
        if path.name != "expect" and len(text) > len(texts.get(path.name, "")):
            texts[path.name] = text
    for name, (lines, line) in LONG.items():
        given = texts.get(name, "").splitlines()
        texts[name] = "\n".join(given + [line.format(number) for number in range(lines - len(given))]) + "\n"
    wanted = {id_ for check in checks for id_ in check.facts}
    return {id_: fact(id_, texts.get(id_, ""), missing=id_ not in texts) for id_ in sorted(wanted)}
