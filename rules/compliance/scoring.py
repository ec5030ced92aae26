"""Scores, pure. Two profiles as data: 2025 (符合 rate and major risks) and 2021 (penalty formula M = Vt + Vm).

Every number a grade depends on is a field of the profile, so that a report can print it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rules.compliance.catalogue import class_of
from rules.compliance.interface import Verdict
from rules.compliance.judge import Key

UNGRADED = "未评定"
TECHNICAL = frozenset({"8.1.1", "8.1.2", "8.1.3", "8.1.4", "8.1.5"})


@dataclass(frozen=True, slots=True)
class Profile2025:
    """Reports dated after 2025-03-20. Rates are 0..1; `partial` is what 部分符合 counts as a share of 符合.

    A good grade also takes `coverage`: the share of applicable requirements that were judged at all.
    """

    name: str = "2025"
    conforming_above: float = 0.9
    basic_from: float = 0.6
    partial: float = 0.0
    coverage: float = 0.9


@dataclass(frozen=True, slots=True)
class Profile2021:
    """Reports of 2021: 100 points less penalties. `attention` y weighs technique against management."""

    name: str = "2021"
    attention: float = 0.5
    partial: float = 0.5
    weights: Mapping[Key, int] = field(default_factory=dict)  # 1 general, 2 important, 3 key; absent: 1
    excellent: float = 90.0
    good: float = 80.0
    fair: float = 70.0


@dataclass(frozen=True, slots=True)
class Score:
    """`totals` has every verdict; `rate` is 0..1 over judged requirements; `points` is of 2021 only (0..100)."""

    profile: str
    totals: Mapping[Verdict, int]
    rate: float | None
    grade: str
    points: float | None = None


def totals(verdicts: Iterable[Verdict]) -> Mapping[Verdict, int]:
    """How many requirements have each verdict; every verdict is present."""
    counts = Counter(verdicts)
    return {verdict: counts[verdict] for verdict in Verdict}


def rate(counts: Mapping[Verdict, int], partial: float = 0.0) -> float | None:
    """符合 over judged requirements; 未核查 and 不适用 count as neither. None when nothing was judged."""
    judged = counts[Verdict.PASS] + counts[Verdict.PARTIAL] + counts[Verdict.FAIL]
    return (counts[Verdict.PASS] + partial * counts[Verdict.PARTIAL]) / judged if judged else None


def score_2025(verdicts: Mapping[Key, Verdict], risks: int, profile: Profile2025 | None = None) -> Score:
    """符合: over the bound and no major risk; 基本符合; 不符合. `risks` are situations nobody has ruled out."""
    rules = profile or Profile2025()
    counts = totals(verdicts.values())
    share = rate(counts, rules.partial)
    if share is None:
        return Score(rules.name, counts, None, UNGRADED)
    applicable = sum(counts.values()) - counts[Verdict.NOT_APPLICABLE]
    covered = 1 - counts[Verdict.NOT_CHECKED] / applicable
    if share < rules.basic_from:
        grade = "不符合"
    elif covered < rules.coverage:
        grade = UNGRADED  # too little was looked at to claim anything good
    elif share > rules.conforming_above and not risks:
        grade = "符合"
    else:
        grade = "基本符合"
    return Score(rules.name, counts, share, grade)


def score_2021(verdicts: Mapping[Key, Verdict], risks: int, profile: Profile2021 | None = None) -> Score:
    """M = Vt + Vm with Vt = 100 y - S * sum(weight * (1 - x)) over technique, Vm likewise over management; each is at
    least 0, S = 100 / judged requirements, x = 1, `partial` or 0. A major risk makes the grade 差.
    """
    rules = profile or Profile2021()
    counts = totals(verdicts.values())
    worth = {Verdict.PASS: 1.0, Verdict.PARTIAL: rules.partial, Verdict.FAIL: 0.0}
    judged = {key: worth[verdict] for key, verdict in verdicts.items() if verdict in worth}
    if not judged:
        return Score(rules.name, counts, None, UNGRADED)
    penalty = {True: 0.0, False: 0.0}
    for key, value in judged.items():
        technical = class_of(key[0]) in TECHNICAL
        penalty[technical] += rules.weights.get(key, 1) * (1 - value) * 100 / len(judged)
    technique = max(0.0, 100 * rules.attention - penalty[True])
    management = max(0.0, 100 * (1 - rules.attention) - penalty[False])
    points = technique + management
    grades = ((rules.excellent, "优"), (rules.good, "良"), (rules.fair, "中"))
    grade = "差" if risks else next((name for bound, name in grades if points >= bound), "差")
    return Score(rules.name, counts, rate(counts, rules.partial), grade, points)


def by_class(verdicts: Mapping[Key, Verdict]) -> Mapping[str, Mapping[Verdict, int]]:
    """Totals of each security class, numbered as level 3 does."""
    classes: dict[str, list[Verdict]] = {}
    for (clause, _), verdict in verdicts.items():
        classes.setdefault(class_of(clause), []).append(verdict)
    return {class_: totals(given) for class_, given in classes.items()}
