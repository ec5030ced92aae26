"""The evidence bundle: facts, verdicts and the record sheet in one canonical, signed ZIP (see verifier.py).

The same assessment exported twice gives the same bytes: nothing in it is newer than the assessment.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from monitor.clock import to_datetime
from rules.compliance.collect import sm3
from rules.compliance.facts import Fact
from rules.compliance.interface import Judgement, Requirement
from rules.compliance.judge import by_requirement
from rules.compliance.record import STATEMENT, Summary, record_sheet
from rules.compliance.scoring import Score
from rules.compliance.signing import Signer
from rules.compliance.verifier import (
    FORMAT,
    GENESIS,
    MANIFEST,
    SIGNATURE,
    canonical_zip,
    chained,
    signature_file,
)

TIME_SOURCE = "clock of the collecting host, UTC"


@dataclass(frozen=True, slots=True)
class Assessed:
    """Everything a bundle holds. Times in ms; `facts` by object."""

    subject: str
    number: int
    level: int
    started_at: int
    finished_at: int
    collector: str
    requirements: Sequence[Requirement]
    judgements: Sequence[Judgement]
    facts: Mapping[str, Sequence[Fact]]
    score: Score
    profile: Mapping[str, object]


def bundle(assessed: Assessed, signer: Signer) -> bytes:
    """The signed ZIP."""
    described, entries = _facts(assessed)
    entries.append(("verdicts.json", _json(_verdicts(assessed))))
    entries.append(("report/record.xlsx", _record(assessed)))
    listed, head = _listed(entries)
    manifest = _json({**_about(assessed), "facts": described, "entries": listed, "chain": head})
    signature = signature_file(signer.public, signer.sign(manifest))
    return canonical_zip([(MANIFEST, manifest), (SIGNATURE, signature), *entries])


def _facts(assessed: Assessed) -> tuple[list[dict[str, object]], list[tuple[str, bytes]]]:
    described: list[dict[str, object]] = []
    entries = []
    for number, (object_, facts) in enumerate(sorted(assessed.facts.items()), 1):
        folder = f"facts/{number:03d}-{re.sub(r'[^A-Za-z0-9._-]+', '_', object_)[:60]}"
        for fact in facts:
            data = fact.text.encode()
            name = f"{folder}/{fact.id}.txt" if not (fact.missing or fact.error) else ""
            if name:
                entries.append((name, data))
            described.append(
                {
                    "object": object_,
                    "fact": fact.id,
                    "source": fact.source,
                    "file": name,
                    "exit_code": fact.exit_code,
                    "read_at": _iso(fact.read_at_ms),
                    "time_source": TIME_SOURCE,
                    "error": fact.error,
                    "missing": fact.missing,
                    "host_key": fact.host_key,
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "sm3": sm3(data),
                    "unmasked_sha256": fact.raw_sha256,
                    "unmasked_sm3": fact.raw_sm3,
                }
            )
    return described, entries


def _about(assessed: Assessed) -> dict[str, object]:
    score = assessed.score
    return {
        "format": FORMAT,
        "statement": STATEMENT,
        "subject": assessed.subject,
        "assessment": assessed.number,
        "level": assessed.level,
        "started_at": _iso(assessed.started_at),
        "finished_at": _iso(assessed.finished_at),
        "collector_version": assessed.collector,
        "profile": dict(assessed.profile),
        "totals": {verdict.value: count for verdict, count in score.totals.items()},
        "rate": score.rate,
        "grade": score.grade,
    }


def _verdicts(assessed: Assessed) -> dict[str, object]:
    requirements = by_requirement(assessed.requirements, assessed.judgements)
    return {
        "requirements": [
            {
                "unit": r.unit,
                "clause": r.clause,
                "item": r.item,
                "verdict": requirements[r.clause, r.item].value,
            }
            for r in assessed.requirements
        ],
        "judgements": [asdict(judgement) for judgement in assessed.judgements],
    }


def _record(assessed: Assessed) -> bytes:
    score = assessed.score
    rate = "—" if score.rate is None else f"{score.rate:.1%}"
    facts = {
        "单位": assessed.subject,
        "级别": f"第{assessed.level}级",
        "自查时间": f"{_iso(assessed.started_at)} — {_iso(assessed.finished_at)}",
        "对象数": str(len(assessed.facts)),
        "自查汇总": "、".join(f"{verdict.value} {count}" for verdict, count in score.totals.items()),
        "符合率": f"{rate}(未核查和不适用不计入)",
        "自查等次": score.grade,
        "评分参数": json.dumps(dict(assessed.profile), ensure_ascii=False, sort_keys=True),
        "采集程序": assessed.collector,
    }
    return record_sheet(assessed.requirements, assessed.judgements, Summary(facts, assessed.finished_at))


def _listed(entries: Sequence[tuple[str, bytes]]) -> tuple[list[dict[str, object]], str]:
    listed: list[dict[str, object]] = []
    head = GENESIS
    for name, data in entries:
        digest = hashlib.sha256(data).hexdigest()
        head = chained(head, name, digest)
        listed.append({"name": name, "size": len(data), "sha256": digest, "sm3": sm3(data), "chain": head})
    return listed, head


def _json(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def _iso(ms: int) -> str:
    return to_datetime(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
