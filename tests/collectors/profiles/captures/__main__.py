"""`python -m tests.collectors.profiles.captures [NAME...]`: the score of each capture, and every miss."""

from __future__ import annotations

import logging
import sys

import structlog

from collectors.profiles.loader import load_profiles
from collectors.snmp.poller import SnmpPoller
from monitor.clock import SystemClock
from tests.collectors.profiles.captures.judge import IDENTITY, VALUES, judge
from tests.collectors.profiles.captures.replay import VARIABLE, folder, poll, read_facts, serving

FAMILIES = (*IDENTITY, *VALUES)


def main(names: list[str]) -> int:
    """Prints the table; 2 when there are no captures."""
    captures = folder()
    if captures is None:
        print(f"set {VARIABLE} to the folder of the captures")
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(f"{'':24}{'profile':22}" + "".join(f"{family:>10}" for family in FAMILIES) + "   seconds")
    right = dict.fromkeys(FAMILIES, 0)
    stated = dict.fromkeys(FAMILIES, 0)
    misses: list[str] = []
    poller = SnmpPoller(SystemClock(), load_profiles())
    with serving(captures, captures / "snmp") as port:
        for fact in read_facts(captures):
            if names and fact.name not in names:
                continue
            result = poll(port, fact.name, poller)
            score = judge(fact, result)
            cells = []
            for family in FAMILIES:
                right[family] += score.right.get(family, 0)
                stated[family] += score.stated.get(family, 0)
                known = score.stated.get(family, 0)
                cells.append(f"{score.right[family]}/{known}" if known else "-")
            row = "".join(f"{cell:>10}" for cell in cells)
            print(
                f"{fact.name:24}{result.identity.get('profile', '?'):22}{row}{result.duration_seconds:10.2f}"
            )
            misses += [f"{fact.name}: error {error.code} {error.message}" for error in result.errors]
            misses += [f"{fact.name}: {miss}" for miss in score.misses]
    totals = "".join(f"{right[family]}/{stated[family]:<}".rjust(10) for family in FAMILIES)
    print(f"{'all':46}{totals}")
    print("\n".join(misses))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
