"""The seam of the compliance room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from monitor.model import Scope


class Verdict(StrEnum):
    """The five verdicts: 符合, 部分符合, 不符合, 不适用, 未核查."""

    PASS = "符合"  # noqa: S105
    PARTIAL = "部分符合"
    FAIL = "不符合"
    NOT_APPLICABLE = "不适用"
    NOT_CHECKED = "未核查"


@dataclass(frozen=True, slots=True)
class Line:
    """A deciding line: which fact, which line number (1-based, 0 = the fact as a whole), its masked text."""

    fact: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """One check on one object. `reason` is a Chinese sentence, `reason_en` the English one."""

    clause: str
    item: str
    check: str
    object: str
    verdict: Verdict
    reason: str
    reason_en: str
    lines: tuple[Line, ...] = ()
    high_risk: str = ""  # code of the high-risk situation it may be, for a person to decide


@dataclass(frozen=True, slots=True)
class Requirement:
    """One row of the catalogue."""

    clause: str
    item: str
    class_zh: str
    class_en: str
    point_zh: str
    point_en: str
    text_zh: str
    text_en: str
    levels: frozenset[int]
    automation: str  # auto | semi | manual
    unit: str


@dataclass(frozen=True, slots=True)
class AssessmentView:
    """One assessment of one site. `totals` maps every verdict to how many requirements (worst object wins)."""

    id: int
    site: str
    level: int
    started_at: int
    finished_at: int | None
    status: str  # running | done | failed | cancelled
    totals: Mapping[Verdict, int]
    rate: float | None  # 符合 rate over judged requirements, None when nothing was judged
    grade: str  # 符合 | 基本符合 | 不符合 | 未评定
    high_risks: int
    objects: int


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A site's rates per security class (8.1.1 .. 8.1.10): (rate or None, not-checked count, high risks)."""

    site: str
    level: int
    classes: Mapping[str, tuple[float | None, int, int]]
    total: float | None


class Register(Protocol):
    """Stored assessments. Implementation: rules.compliance.register.ComplianceRegister."""

    def catalogue(self, level: int) -> Sequence[Requirement]:
        """All requirements of a level in clause order."""
        ...

    def assessments(self, scope: Scope, site: str = "", limit: int = 50) -> list[AssessmentView]:
        """Newest first."""
        ...

    def latest(self, scope: Scope) -> Mapping[str, AssessmentView]:
        """The newest finished assessment of each site that has one."""
        ...

    def matrix(self, scope: Scope) -> list[ClassRow]:
        """Site by class, from the newest finished assessments."""
        ...

    def judgements(
        self, scope: Scope, assessment_id: int, clause: str = "", item: str = ""
    ) -> list[Judgement]:
        """All judgements of an assessment, or those of one requirement."""
        ...

    def run(
        self, scope: Scope, site: str, actor: str, progress: Callable[[int, int, str], bool] | None = None
    ) -> int:
        """Collect and judge all devices of a site that can be read; returns the assessment id. `progress(done,
        total, note)` returns False to cancel.
        """
        ...

    def export(self, scope: Scope, assessment_id: int, actor: str) -> bytes:
        """The signed evidence bundle (ZIP) of a finished assessment."""
        ...
