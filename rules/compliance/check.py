"""A check: metadata and a small pure judge. Modules in checks/ each offer one `CHECK`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rules.compliance import checks as folder
from rules.compliance.facts import Facts
from rules.compliance.interface import Line, Verdict

MAX_LINES = 20  # deciding lines kept with a verdict


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a judge says: a verdict, the reason as a sentence in both languages, the lines that decided."""

    verdict: Verdict
    zh: str
    en: str
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `requirement` is clause.item at level 3 (`8.1.4.1.a`); `high_risk` names a row of highrisk.csv."""

    id: str
    requirement: str
    zh: str
    en: str
    facts: tuple[str, ...]
    judge: Callable[[Facts], Outcome]
    levels: frozenset[int] = frozenset({2, 3})
    high_risk: str = ""


def _outcome(verdict: Verdict) -> Callable[..., Outcome]:
    def build(zh: str, en: str, lines: Iterable[Line] = ()) -> Outcome:
        return Outcome(verdict, zh, en, tuple(lines)[:MAX_LINES])

    return build


passed = _outcome(Verdict.PASS)
partial = _outcome(Verdict.PARTIAL)
failed = _outcome(Verdict.FAIL)
not_applicable = _outcome(Verdict.NOT_APPLICABLE)
not_checked = _outcome(Verdict.NOT_CHECKED)


def load_checks() -> tuple[Check, ...]:
    """Every check of the folder, by id."""
    modules = (
        importlib.import_module(f"{folder.__name__}.{m.name}") for m in pkgutil.iter_modules(folder.__path__)
    )
    found: list[Check] = [module.CHECK for module in modules]
    return tuple(sorted(found, key=lambda check: check.id))
