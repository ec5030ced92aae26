"""Catalogues of requirements and of high-risk situations. Another standard is another CSV, not another module.

A row belongs to levels 2 and 3 (`both`), or to one. At level 2 a requirement carries the clause number of level 2
(7.1.x); `key_at` translates, because checks are written against the numbers of level 3 (8.1.x). Unit ids are known
for level 3 only and are empty at level 2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from monitor.errors import InputError
from rules.compliance.interface import Requirement
from rules.compliance.tabular import FOLDER, read_table

DEFAULT = "catalog.csv"
_LEVELS = {"both": frozenset({2, 3}), "2": frozenset({2}), "3": frozenset({3})}
_ROUTES = frozenset({"auto", "semi", "manual"})


def load(level: int, name: str = DEFAULT, folder: Path = FOLDER) -> tuple[Requirement, ...]:
    """The requirements of one level in clause order. InputError for a level or value that does not exist."""
    rows = [row for row in read_table(name, folder) if level in _levels(row, name)]
    if not rows:
        raise InputError(f"no requirements of level {level}", where=name, hint="levels 2 and 3 exist")
    return tuple(_requirement(row, level) for row in sorted(rows, key=lambda row: _order(row, level)))


@lru_cache(maxsize=8)
def key_at(level: int, name: str = DEFAULT, folder: Path = FOLDER) -> Mapping[str, tuple[str, str]]:
    """From clause.item as checks write it (`8.1.4.1.a`) to (clause, item) at this level."""
    return {
        f"{row['clause']}.{row['item']}": _number(row, level)
        for row in read_table(name, folder)
        if level in _levels(row, name)
    }


def class_of(clause: str) -> str:
    """The security class as level 3 numbers it: `8.1.4` for 8.1.4.1 and for 7.1.4.1."""
    parts = clause.split(".")
    return ".".join(["8", *parts[1:3]]) if parts[0] == "7" else ".".join(parts[:3])


def clause_order(clause: str) -> tuple[int, ...]:
    """Sorts 8.1.10 after 8.1.9."""
    return tuple(int(part) for part in re.findall(r"\d+", clause))


def _levels(row: Mapping[str, str], name: str) -> frozenset[int]:
    if row["level"] not in _LEVELS:
        raise InputError(
            f"level {row['level']!r} is not both, 2 or 3", where=f"{name}: {row['clause']}.{row['item']}"
        )
    return _LEVELS[row["level"]]


def _number(row: Mapping[str, str], level: int) -> tuple[str, str]:
    return (row["clause"], row["item"]) if level == 3 else (row["clause_l2"], row["item_l2"])


def _order(row: Mapping[str, str], level: int) -> tuple[tuple[int, ...], str]:
    clause, item = _number(row, level)
    return clause_order(clause), item


def _requirement(row: Mapping[str, str], level: int) -> Requirement:
    clause, item = _number(row, level)
    if row["automation"] not in _ROUTES:
        raise InputError(f"unknown evidence route {row['automation']!r}", where=f"{clause}.{item}")
    return Requirement(
        clause=clause,
        item=item,
        class_zh=row["class_zh"],
        class_en=row["class_en"],
        point_zh=row["point_zh"],
        point_en=row["point_en"],
        text_zh=row["paraphrase_zh"],
        text_en=row["paraphrase_en"],
        levels=_LEVELS[row["level"]],
        automation=row["automation"],
        unit=row["unit_28448_l3"] if level == 3 else "",
    )


@dataclass(frozen=True, slots=True)
class HighRisk:
    """One high-risk situation. `code` is the one of 2025, or the guide's clause where it has none."""

    code: str
    clause: str
    situation: str
    mitigation: str
    lowest_level: int


@lru_cache(maxsize=8)
def high_risks(name: str = "highrisk.csv", folder: Path = FOLDER) -> Mapping[str, HighRisk]:
    """By code."""
    found = {}
    for row in read_table(name, folder):
        code = row["code_2025"] if row["code_2025"] != "-" else row["guide_clause"]
        digits = re.search(r"\d", row["levels"])
        found[code] = HighRisk(
            code,
            row["clause"],
            row["situation_zh(own words)"],
            row["mitigation_zh(own words)"],
            int(digits[0]) if digits else 1,
        )
    return found


def titles(requirements: Sequence[Requirement]) -> Mapping[str, tuple[str, str]]:
    """Class number at level 3 to its Chinese and English name."""
    return {class_of(r.clause): (r.class_zh, r.class_en) for r in requirements}
