"""LNX-060: set-uid programs leave no memory behind in core files."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import active


def judge(facts: Facts) -> Outcome:
    """fs.suid_dumpable 0; 2 writes them for root only."""
    rows = active(facts.rows("suid-dumpable"))
    if not rows:
        return not_checked("没有读到 fs.suid_dumpable", "fs.suid_dumpable was not read")
    if rows[0].text.strip() in {"0", "2"}:
        return passed(
            "特权程序的内存不会泄露到转储文件",
            "privileged programs leave no readable core files",
            [rows[0].line],
        )
    return failed(
        "特权程序的转储文件可能被他人读取",
        "core files of privileged programs may be read by others",
        [rows[0].line],
    )


CHECK = Check(
    "LNX-060",
    "8.1.4.10.b",
    "特权程序不留内存转储",
    "Privileged programs leave no core files",
    ("suid-dumpable",),
    judge,
    levels=frozenset({3}),
)
