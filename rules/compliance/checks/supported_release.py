"""LNX-064: the release still gets security updates."""

from __future__ import annotations

from monitor.clock import to_datetime
from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import Setting, settings
from rules.compliance.tabular import read_table


def judge(facts: Facts) -> Outcome:
    """Against data/endoflife.csv on the day the fact was read; an unknown release is never silently accepted."""
    values = {s.key: Setting(s.key, s.value.strip("\"'"), s.line) for s in settings(facts.rows("os-release"))}
    name, version = values.get("id"), values.get("version_id")
    if name is None or version is None:
        return not_checked("无法识别操作系统版本", "the operating system could not be identified")
    ends = {(row["id"], row["version"]): row["end"] for row in read_table("endoflife.csv")}
    end = ends.get((name.value, version.value)) or ends.get((name.value, version.value.partition(".")[0]))
    lines = [name.line, version.line]
    shown = f"{name.value} {version.value}"
    if end is None:
        return not_checked(
            f"{shown} 不在支持期限表中,需人工核查", f"{shown} is not in the table of support periods", lines
        )
    today = to_datetime(facts.read_at_ms("os-release")).date().isoformat()
    if today > end:
        return failed(
            f"{shown} 已于 {end} 停止安全更新", f"{shown} gets no security updates since {end}", lines
        )
    return passed(f"{shown} 的安全更新到 {end}", f"{shown} gets security updates until {end}", lines)


CHECK = Check(
    "LNX-064",
    "8.1.4.4.e",
    "操作系统仍有安全更新",
    "The release gets security updates",
    ("os-release",),
    judge,
    high_risk="A-22",
)
