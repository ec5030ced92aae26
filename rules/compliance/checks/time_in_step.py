"""LNX-045: the clock is in step with its source."""

from __future__ import annotations

import re

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts

MAX_SECONDS = 1.0
_OFFSET = re.compile(r"System time\s*:\s*([0-9.]+) seconds")


def judge(facts: Facts) -> Outcome:
    """`chronyc tracking` when there is one, else `timedatectl`."""
    if facts.readable("chrony-tracking"):
        rows = facts.rows("chrony-tracking")
        offset = next((float(m[1]) for row in rows if (m := _OFFSET.match(row.text))), None)
        normal = any(re.fullmatch(r"Leap status\s*:\s*Normal", row.text.strip()) for row in rows)
        lines = [row.line for row in rows if row.text.startswith(("System time", "Leap status"))]
        if normal and offset is not None and offset < MAX_SECONDS:
            return passed(
                f"时钟已同步,偏差 {offset:.6f} 秒", f"the clock is in step, off by {offset:.6f} s", lines
            )
        return failed("时钟没有与时间源同步", "the clock is not in step with its source", lines)
    rows = facts.rows("timedatectl")
    lines = [row.line for row in rows]
    if any(row.text.strip() == "NTPSynchronized=yes" for row in rows):
        return passed("时钟已同步", "the clock is in step", lines)
    if any(row.text.strip() == "NTPSynchronized=no" for row in rows):
        return failed("时钟没有与时间源同步", "the clock is not in step with its source", lines)
    return not_checked("没有读到时钟同步状态", "the state of the clock was not read")


CHECK = Check(
    "LNX-045",
    "8.1.4.3.b",
    "时钟与时间源同步",
    "The clock is in step",
    ("chrony-tracking", "timedatectl"),
    judge,
)
