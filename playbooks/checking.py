"""Runs a check's own tests: the parts given, judged as if the first exchange had seen them. Pure."""

from __future__ import annotations

from playbooks.formats import Check
from playbooks.matchers import judge
from playbooks.steps.interface import Observation, Reach


def failed_tests(check: Check) -> list[tuple[int, str]]:
    """(line, what went wrong) of every failing test."""
    failed = []
    for test in check.tests:
        silent = not any(test.given.values())
        seen = Observation(Reach.QUIET) if silent else Observation(Reach.ANSWERED, test.given)
        outcome, reason = judge(check.exchanges[0], seen)
        if outcome != test.expect:
            failed.append((test.line, f"expected {test.expect}, got {outcome} {reason}".rstrip()))
    return failed
