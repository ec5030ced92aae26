"""Judging never raises, and says why something was not checked."""

from __future__ import annotations

import pytest

from rules.compliance import catalogue
from rules.compliance.check import Check, Outcome, load_checks, passed
from rules.compliance.facts import Facts
from rules.compliance.interface import Judgement, Verdict
from rules.compliance.judge import by_requirement, judge, unreachable, worst
from tests.rules.compliance.samples import fact, facts_of


def _broken(_: Facts) -> Outcome:
    raise ZeroDivisionError("secret detail")


def _fine(_: Facts) -> Outcome:
    return passed("好", "fine")


def test_nothing_collected_is_not_checked_with_a_reason() -> None:
    found = judge("host", Facts([]), load_checks(), 3)
    assert {j.verdict for j in found} == {Verdict.NOT_CHECKED}
    assert all(j.reason and j.reason_en for j in found)
    assert all(not j.high_risk for j in found)


def test_a_fact_that_could_not_be_read_says_so() -> None:
    facts = Facts([fact("shadow", "", error="Permission denied")])
    found = {j.check: j for j in judge("host", facts, load_checks(), 3)}
    assert found["LNX-001"].verdict is Verdict.NOT_CHECKED
    assert "Permission denied" in found["LNX-001"].reason
    assert "/etc/shadow" in found["LNX-001"].reason_en


def test_a_missing_command_is_not_checked_a_missing_file_is_empty() -> None:
    facts = Facts([fact("listeners", "", missing=True), fact("exports", "", missing=True)])
    found = {j.check: j for j in judge("host", facts, load_checks(), 3)}
    assert found["LNX-020"].verdict is Verdict.NOT_CHECKED
    assert found["LNX-057"].verdict is Verdict.PASS


def test_a_check_that_raises_does_not_end_the_others(caplog: pytest.LogCaptureFixture) -> None:
    checks = [
        Check("X-1", "8.1.4.1.a", "坏", "bad", (), _broken),
        Check("X-2", "8.1.4.1.b", "好", "ok", (), _fine),
    ]
    first, second = judge("host", Facts([]), checks, 3)
    assert first.verdict is Verdict.NOT_CHECKED
    assert "ZeroDivisionError" in first.reason
    assert "secret detail" not in first.reason
    assert second.verdict is Verdict.PASS


def test_levels_and_clause_numbers() -> None:
    at_2 = judge("host", Facts([]), load_checks(), 2)
    at_3 = judge("host", Facts([]), load_checks(), 3)
    assert len(at_2) < len(at_3)
    assert all(j.clause.startswith("7.1.") for j in at_2)
    assert "LNX-051" not in {j.check for j in at_2}


def test_high_risk_counts_from_its_level_on() -> None:
    given = {"rsyslog": "auth.* /var/log/auth.log\n"}
    for level, code in ((2, ""), (3, "6.5.1.2")):
        checks = [check for check in load_checks() if check.id == "LNX-047"]
        (found,) = judge("host", facts_of(given, checks[0].facts), checks, level)
        assert found.verdict is Verdict.FAIL
        assert found.high_risk == code


def test_unreachable_covers_every_check() -> None:
    checks = load_checks()
    found = unreachable("host", checks, 3, "连不上", "no answer")
    assert [j.check for j in found] == [j.check for j in judge("host", Facts([]), checks, 3)]
    assert {j.reason for j in found} == {"连不上"}


def test_the_worst_object_stands_for_the_requirement() -> None:
    requirements = catalogue.load(3)

    def one(object_: str, verdict: Verdict) -> Judgement:
        return Judgement("8.1.4.1", "a", "X", object_, verdict, "", "")

    verdicts = by_requirement(requirements, [one("a", Verdict.PASS), one("b", Verdict.FAIL)])
    assert verdicts["8.1.4.1", "a"] is Verdict.FAIL
    assert verdicts["8.1.1.1", "a"] is Verdict.NOT_CHECKED
    assert len(verdicts) == 211


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([Verdict.PASS, Verdict.NOT_APPLICABLE], Verdict.PASS),
        ([Verdict.PASS, Verdict.NOT_CHECKED], Verdict.NOT_CHECKED),
        ([Verdict.NOT_CHECKED, Verdict.PARTIAL], Verdict.PARTIAL),
        ([Verdict.PARTIAL, Verdict.FAIL], Verdict.FAIL),
        ([Verdict.NOT_APPLICABLE], Verdict.NOT_APPLICABLE),
        ([], Verdict.NOT_CHECKED),
    ],
)
def test_worst(given: list[Verdict], expected: Verdict) -> None:
    assert worst(given) is expected
