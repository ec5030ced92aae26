"""The record sheet (XLSX): one row a requirement and object, with unit ids and the lines that decided. A 自查 record.

Byte for byte the same for the same assessment: dates inside are those of the assessment.
"""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, Cell
from openpyxl.styles import Alignment, Font
from openpyxl.worksheet.worksheet import Worksheet

from monitor.clock import to_datetime
from rules.compliance.interface import Judgement, Requirement, Verdict
from rules.compliance.judge import worst

HEADER = (
    "测评单元",
    "条款",
    "项",
    "安全类",
    "控制点",
    "要求(概括)",
    "对象",
    "检查项",
    "自查结果",
    "原因",
    "判定依据",
)
WIDTHS = (14, 11, 5, 16, 18, 40, 24, 14, 10, 50, 60)
STATEMENT = "本文件是单位自查记录,不代替有资质的测评机构出具的任何结论。"
UNCOVERED = "没有自动检查项,需人工核查"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Summary:
    """What the first sheet says, label to value, and when the assessment ended (ms)."""

    facts: Mapping[str, str]
    at_ms: int


def record_sheet(
    requirements: Sequence[Requirement], judgements: Iterable[Judgement], summary: Summary
) -> bytes:
    """The workbook as bytes."""
    given: dict[tuple[str, str], list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        given[judgement.clause, judgement.item].append(judgement)
    book = Workbook()
    cover = book.worksheets[0]
    cover.title = "自查说明"
    _fill(cover, [("说明", STATEMENT), *summary.facts.items()], (18, 90))
    sheet = book.create_sheet("自查记录表")
    rows = [row for r in requirements for row in _rows(r, given[r.clause, r.item])]
    _fill(sheet, [HEADER, *rows], WIDTHS)
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = sheet.dimensions
    buffer = BytesIO()
    book.save(buffer)
    return _fixed(buffer.getvalue(), summary.at_ms)


def _rows(requirement: Requirement, judgements: Sequence[Judgement]) -> list[tuple[str, ...]]:
    r = requirement
    head = (r.unit, r.clause, r.item, r.class_zh, r.point_zh, r.text_zh)
    if not judgements:
        return [(*head, "", "", Verdict.NOT_CHECKED.value, UNCOVERED, "")]
    objects: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        objects[judgement.object].append(judgement)
    return [(*head, object_, *_cells(found)) for object_, found in objects.items()]


def _cells(found: Sequence[Judgement]) -> tuple[str, str, str, str]:
    lines = [f"{line.fact}:{line.number}: {line.text}" for j in found for line in j.lines]
    return (
        "\n".join(j.check for j in found),
        worst(j.verdict for j in found).value,
        "\n".join(f"{j.check} {j.verdict.value}:{j.reason}" for j in found),
        "\n".join(lines),
    )


def _fill(sheet: Worksheet, rows: Iterable[Sequence[str]], widths: Sequence[int]) -> None:
    for number, row in enumerate(rows, 1):
        for column, text in enumerate(row, 1):
            cell = sheet.cell(number, column)
            if text and isinstance(cell, Cell):
                cell.value = ILLEGAL_CHARACTERS_RE.sub("", text)[:32_000]
                cell.data_type = "s"  # text from a host never becomes a formula
                cell.alignment = Alignment(wrap_text=True, vertical="top")
    for column, width in enumerate(widths):
        sheet.column_dimensions["ABCDEFGHIJK"[column]].width = width


def _fixed(data: bytes, at_ms: int) -> bytes:
    """The same workbook with the assessment's time instead of now, in its properties and in its ZIP."""
    stamp = to_datetime(at_ms).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    buffer = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamp, content)
            fixed = zipfile.ZipInfo(info.filename, _EPOCH)
            fixed.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(fixed, content)
    return buffer.getvalue()
