"""Judging: facts and checks in, judgements out. Pure; the only thing it does besides is to log a broken check."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import structlog

from rules.compliance.catalogue import HighRisk, high_risks, key_at
from rules.compliance.check import Check, Outcome, not_checked
from rules.compliance.facts import Facts, NotCollectedError
from rules.compliance.interface import Judgement, Requirement, Verdict

log = structlog.get_logger(__name__)
Key = tuple[str, str]
WORST_FIRST = (Verdict.FAIL, Verdict.PARTIAL, Verdict.NOT_CHECKED, Verdict.PASS, Verdict.NOT_APPLICABLE)


def judge(object_: str, facts: Facts, checks: Sequence[Check], level: int) -> list[Judgement]:
    """Every check of this level on one object, in the order of the checks. Never raises for what a host says."""
    keys, risks = key_at(level), high_risks()
    found = []
    for check in checks:
        key = keys.get(check.requirement)
        if level not in check.levels or key is None:
            continue
        outcome = _run(check, facts, object_)
        risk = check.high_risk if _risky(check, outcome, risks, level) else ""
        found.append(
            Judgement(
                clause=key[0],
                item=key[1],
                check=check.id,
                object=object_,
                verdict=outcome.verdict,
                reason=outcome.zh,
                reason_en=outcome.en,
                lines=outcome.lines,
                high_risk=risk,
            )
        )
    return found


def unreachable(object_: str, checks: Sequence[Check], level: int, zh: str, en: str) -> list[Judgement]:
    """未核查 for every check of an object that could not be read at all."""
    keys = key_at(level)
    return [
        Judgement(*keys[check.requirement], check.id, object_, Verdict.NOT_CHECKED, zh, en)
        for check in checks
        if level in check.levels and check.requirement in keys
    ]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that stands for several; nothing judged is 未核查."""
    given = set(verdicts)
    return next((verdict for verdict in WORST_FIRST if verdict in given), Verdict.NOT_CHECKED)


def by_requirement(
    requirements: Sequence[Requirement], judgements: Iterable[Judgement]
) -> Mapping[Key, Verdict]:
    """The verdict of every requirement: the worst of its objects and checks, 未核查 when none judged it."""
    given: dict[Key, list[Verdict]] = defaultdict(list)
    for judgement in judgements:
        given[judgement.clause, judgement.item].append(judgement.verdict)
    return {(r.clause, r.item): worst(given[r.clause, r.item]) for r in requirements}


def _run(check: Check, facts: Facts, object_: str) -> Outcome:
    try:
        return check.judge(facts)
    except NotCollectedError as error:
        return not_checked(error.zh, error.en)
    except Exception as error:
        log.exception("check failed", check=check.id, object=object_)
        kind = type(error).__name__
        return not_checked(f"检查项自身出错({kind}),需人工核查", f"the check itself failed ({kind})")


def _risky(check: Check, outcome: Outcome, risks: Mapping[str, HighRisk], level: int) -> bool:
    risk = risks.get(check.high_risk)
    return outcome.verdict is Verdict.FAIL and risk is not None and level >= risk.lowest_level
