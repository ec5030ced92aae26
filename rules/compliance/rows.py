"""Rows of the compliance tables to values and back."""

from __future__ import annotations

import json

from rules.compliance.facts import Fact
from rules.compliance.interface import AssessmentView, Judgement, Line, Verdict
from rules.compliance.tables import AssessmentRow, FactRow, JudgementRow


def view(row: AssessmentRow) -> AssessmentView:
    """An assessment as pages show it."""
    return AssessmentView(
        id=row.id,
        site=row.site,
        level=row.level,
        started_at=row.started_at,
        finished_at=row.finished_at,
        status=row.status,
        totals={Verdict(name): count for name, count in json.loads(row.totals).items()},
        rate=row.rate,
        grade=row.grade or "未评定",
        high_risks=row.high_risks,
        objects=row.objects,
    )


def judgement_of(row: JudgementRow) -> Judgement:
    """A stored judgement."""
    return Judgement(
        clause=row.clause,
        item=row.item,
        check=row.check,
        object=row.object,
        verdict=Verdict(row.verdict),
        reason=row.reason,
        reason_en=row.reason_en,
        lines=tuple(Line(fact, number, text) for fact, number, text in json.loads(row.lines)),
        high_risk=row.high_risk,
    )


def judgement_row(number: int, judgement: Judgement) -> JudgementRow:
    """A judgement of assessment `number`, to be stored."""
    lines = [[line.fact, line.number, line.text] for line in judgement.lines]
    return JudgementRow(
        assessment=number,
        clause=judgement.clause,
        item=judgement.item,
        check=judgement.check,
        object=judgement.object,
        verdict=judgement.verdict.value,
        reason=judgement.reason,
        reason_en=judgement.reason_en,
        lines=json.dumps(lines, ensure_ascii=False),
        high_risk=judgement.high_risk,
    )


def fact_row(number: int, device: str, fact: Fact, blob: str) -> FactRow:
    """A fact of assessment `number`; its text is the blob of this SHA-256."""
    return FactRow(
        assessment=number,
        object=device,
        fact=fact.id,
        source=fact.source,
        blob=blob,
        raw_sha256=fact.raw_sha256,
        raw_sm3=fact.raw_sm3,
        exit_code=fact.exit_code,
        read_at=fact.read_at_ms,
        error=fact.error,
        missing=fact.missing,
        host_key=fact.host_key,
        folder=fact.folder,
        command=fact.command,
    )


def fact_of(row: FactRow, text: str) -> Fact:
    """A stored fact with its text."""
    return Fact(
        id=row.fact,
        source=row.source,
        text=text,
        exit_code=row.exit_code,
        read_at_ms=row.read_at,
        raw_sha256=row.raw_sha256,
        raw_sm3=row.raw_sm3,
        error=row.error,
        missing=row.missing,
        host_key=row.host_key,
        folder=row.folder,
        command=row.command,
    )
