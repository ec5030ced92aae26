"""The totals every edition of the catalogue must hold, and another standard without a code change."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from monitor.errors import InputError
from rules.compliance import catalogue
from rules.compliance.tabular import read_table

CLASSES = {
    "8.1.1": (10, 22),
    "8.1.2": (3, 8),
    "8.1.3": (6, 20),
    "8.1.4": (11, 34),
    "8.1.5": (4, 12),
    "8.1.6": (4, 7),
    "8.1.7": (5, 14),
    "8.1.8": (4, 12),
    "8.1.9": (10, 34),
    "8.1.10": (14, 48),
}


@pytest.mark.parametrize(("level", "points", "items"), [(2, 68, 135), (3, 71, 211)])
def test_points_and_items(level: int, points: int, items: int) -> None:
    requirements = catalogue.load(level)
    assert len(requirements) == items
    assert len({r.clause for r in requirements}) == points
    assert len({(r.clause, r.item) for r in requirements}) == items


def test_level_3_by_class() -> None:
    items = Counter(catalogue.class_of(r.clause) for r in catalogue.load(3))
    points = Counter(catalogue.class_of(clause) for clause in {r.clause for r in catalogue.load(3)})
    assert {name: (points[name], items[name]) for name in items} == CLASSES


def test_level_3_against_level_2() -> None:
    changes = Counter(row["l3_change"] for row in read_table("catalog.csv"))
    assert changes == {"same": 118, "strengthened": 15, "new": 78, "dropped_at_L3": 2}


def test_every_requirement_has_an_evidence_route() -> None:
    assert Counter(r.automation for r in catalogue.load(3)) == {"auto": 43, "semi": 76, "manual": 92}


def test_clause_order_is_numeric_and_level_2_has_its_own_numbers() -> None:
    clauses = [r.clause for r in catalogue.load(3)]
    assert clauses.index("8.1.9.1") < clauses.index("8.1.10.1")
    assert clauses == sorted(clauses, key=catalogue.clause_order)
    assert all(r.clause.startswith("7.1.") for r in catalogue.load(2))
    assert catalogue.key_at(2)["8.1.4.1.a"] == ("7.1.4.1", "a")
    assert catalogue.class_of("7.1.10.7") == "8.1.10"


def test_unit_ids_are_unique_at_level_3_and_not_guessed_at_level_2() -> None:
    units = [r.unit for r in catalogue.load(3)]
    assert len(set(units)) == 211
    assert all(unit.startswith("L3-") for unit in units)
    assert {r.unit for r in catalogue.load(2)} == {""}


def test_no_empty_texts() -> None:
    for r in catalogue.load(3):
        assert all((r.class_zh, r.class_en, r.point_zh, r.point_en, r.text_zh, r.text_en))


def test_unknown_level() -> None:
    with pytest.raises(InputError, match="level 5"):
        catalogue.load(5)


def test_another_standard_is_another_file(tmp_path: Path) -> None:
    header = ",".join(read_table("catalog.csv")[0])
    row = "9.1.1.1,a,数据,Data,分类,Classes,3,1,分类,Classify,manual,x,,,new,C,D-01"
    (tmp_path / "data.csv").write_text(f"{header}\n{row}\n", "utf-8")
    (found,) = catalogue.load(3, "data.csv", tmp_path)
    assert (found.clause, found.item, found.unit, found.text_en) == ("9.1.1.1", "a", "D-01", "Classify")
    assert catalogue.key_at(3, "data.csv", tmp_path) == {"9.1.1.1.a": ("9.1.1.1", "a")}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("9.1.1.1,a", "data.csv:2"),
        ("9.1.1.1,a,z,e,z,e,4,1,z,e,manual,x,,,new,C,D", "level '4'"),
        ("9.1.1.1,a,z,e,z,e,3,1,z,e,magic,x,,,new,C,D", "evidence route 'magic'"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    header = ",".join(read_table("catalog.csv")[0])
    (tmp_path / "data.csv").write_text(f"{header}\n{row}\n", "utf-8")
    with pytest.raises(InputError, match=message):
        catalogue.load(3, "data.csv", tmp_path)


def test_high_risks() -> None:
    risks = catalogue.high_risks()
    assert len(risks) == 45
    assert risks["A-18"].lowest_level == 2
    assert risks["A-19"].lowest_level == 3
    assert "双因素" in risks["6.4.1.2"].mitigation
