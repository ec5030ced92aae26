"""Both scoring profiles at their boundaries."""

from __future__ import annotations

import pytest

from rules.compliance.interface import Verdict
from rules.compliance.judge import Key
from rules.compliance.scoring import (
    Profile2021,
    Profile2025,
    by_class,
    rate,
    score_2021,
    score_2025,
    totals,
)


def verdicts(
    passed: int = 0, failed: int = 0, partial: int = 0, unchecked: int = 0, clause: str = "8.1.4.1"
) -> dict[Key, Verdict]:
    given = (
        [Verdict.PASS] * passed
        + [Verdict.FAIL] * failed
        + [Verdict.PARTIAL] * partial
        + [Verdict.NOT_CHECKED] * unchecked
    )
    return {(clause, str(n)): verdict for n, verdict in enumerate(given)}


@pytest.mark.parametrize(
    ("passed", "failed", "risks", "grade"),
    [
        (91, 9, 0, "符合"),
        (90, 10, 0, "基本符合"),
        (91, 9, 1, "基本符合"),
        (60, 40, 0, "基本符合"),
        (59, 41, 0, "不符合"),
    ],
)
def test_2025_boundaries(passed: int, failed: int, risks: int, grade: str) -> None:
    score = score_2025(verdicts(passed, failed), risks)
    assert score.grade == grade
    assert score.rate == passed / (passed + failed)


def test_2025_shows_what_was_not_checked_and_claims_nothing_good_without_coverage() -> None:
    score = score_2025(verdicts(50, 0, unchecked=150), 0)
    assert score.grade == "未评定"
    assert score.rate == 1.0
    assert score.totals[Verdict.NOT_CHECKED] == 150
    assert set(score.totals) == set(Verdict)
    assert score_2025(verdicts(10, 40, unchecked=150), 0).grade == "不符合"


def test_2025_nothing_judged() -> None:
    score = score_2025(verdicts(unchecked=5), 0)
    assert (score.rate, score.grade) == (None, "未评定")


def test_2025_partial_is_a_parameter() -> None:
    given = verdicts(8, 0, partial=2)
    assert score_2025(given, 0).rate == 0.8
    assert score_2025(given, 0, Profile2025(partial=0.5)).rate == 0.9


def test_not_applicable_counts_nowhere() -> None:
    assert rate(totals([Verdict.PASS, Verdict.NOT_APPLICABLE])) == 1.0


def test_2021_formula() -> None:
    given = verdicts(8, 1, partial=1) | verdicts(8, 2, clause="8.1.9.1")
    score = score_2021(given, 0)
    # S = 100 / 20 = 5; technique 50 - 5 * (1 + 0.5) = 42.5; management 50 - 5 * 2 = 40
    assert score.points == pytest.approx(82.5)
    assert score.grade == "良"


def test_2021_weights_risks_and_floor() -> None:
    given = verdicts(8, 2)
    weighted = score_2021(given, 0, Profile2021(weights={("8.1.4.1", "8"): 3}))
    assert weighted.points == pytest.approx(100 - 10 * (3 + 1))
    assert score_2021(verdicts(10), 0).grade == "优"
    assert score_2021(verdicts(10), 1).grade == "差"
    assert score_2021(verdicts(0, 10), 0).points == pytest.approx(50)  # technique never below 0
    assert score_2021(verdicts(unchecked=3), 0).points is None


def test_by_class() -> None:
    found = by_class(verdicts(2, 1) | verdicts(1, clause="7.1.10.3"))
    assert found["8.1.4"][Verdict.PASS] == 2
    assert found["8.1.10"][Verdict.PASS] == 1
