"""Every check against its three fixtures; a check without them, or with wrong metadata, fails here."""

from __future__ import annotations

import pytest

from rules.compliance.catalogue import high_risks, key_at
from rules.compliance.check import Check, load_checks
from rules.compliance.interface import Verdict
from rules.compliance.sources import SOURCES
from tests.rules.compliance.samples import FIXTURES, fixture

CHECKS = load_checks()
KINDS = ("fail", "pass", "comment")


def test_there_are_checks_and_their_ids_are_unique() -> None:
    assert len(CHECKS) >= 40
    assert len({check.id for check in CHECKS}) == len(CHECKS)


def test_no_fixture_belongs_to_no_check() -> None:
    assert {path.name for path in FIXTURES.iterdir()} == {check.id for check in CHECKS}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_metadata(check: Check) -> None:
    assert check.zh
    assert check.en
    assert check.facts
    assert set(check.facts) <= set(SOURCES)
    assert check.levels
    assert check.high_risk == "" or check.high_risk in high_risks()
    for level in check.levels:
        assert check.requirement in key_at(level)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
@pytest.mark.parametrize("kind", KINDS)
def test_fixture(check: Check, kind: str) -> None:
    facts, expected = fixture(check.id, kind, check.facts)
    outcome = check.judge(facts)
    assert outcome.verdict.value == expected
    assert outcome.zh
    assert outcome.en
    assert outcome.zh != outcome.en


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_failing_and_passing_fixtures_differ(check: Check) -> None:
    assert fixture(check.id, "pass", check.facts)[1] == Verdict.PASS.value
    assert fixture(check.id, "fail", check.facts)[1] != Verdict.PASS.value


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_deciding_lines_are_lines_of_the_facts(check: Check) -> None:
    for kind in KINDS:
        facts, _ = fixture(check.id, kind, check.facts)
        for line in check.judge(facts).lines:
            assert line in [row.line for row in facts.rows(line.fact)]
