"""LNX-048: local logs are kept at least 180 days."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts, Row
from rules.compliance.interface import Line
from rules.compliance.parse import active, last, settings, span_days

MIN_DAYS = 180
_PERIODS = {"hourly": 1 / 24, "daily": 1, "weekly": 7, "monthly": 30, "yearly": 365}
_SYSTEM_LOG = re.compile(r"/var/log/(syslog|auth\.log|messages|secure|\*\.log)\b|/var/log/\*")


@dataclass(slots=True)
class _Block:
    """One logrotate section; starts with what the global part says."""

    period: float
    rotate: int
    max_age: float
    paths: str
    lines: list[Line]

    @property
    def days(self) -> float:
        return min(self.period * self.rotate, self.max_age)


def judge(facts: Facts) -> Outcome:
    """rotate x period of every logrotate section of a system log, or MaxRetentionSec of a persistent journal."""
    default = _Block(7, 0, 1e9, "", [])
    _blocks(active(facts.rows("logrotate")), default)
    blocks = [
        b
        for b in _blocks(active(facts.rows("logrotate", "logrotate-d")), default)
        if _SYSTEM_LOG.search(b.paths)
    ]
    short = [b for b in blocks if b.days < MIN_DAYS]
    if short:
        worst = min(short, key=lambda b: b.days)
        return failed(
            f"系统日志只保留 {worst.days:.0f} 天,应不少于 {MIN_DAYS}",
            f"system logs are kept {worst.days:.0f} days, below {MIN_DAYS}",
            worst.lines,
        )
    if blocks:
        return passed(
            f"系统日志保留不少于 {MIN_DAYS} 天",
            f"system logs are kept at least {MIN_DAYS} days",
            (line for b in blocks for line in b.lines),
        )
    journal = settings(facts.rows("journald", "journald-d"))
    kept, storage = last(journal, "MaxRetentionSec"), last(journal, "Storage")
    days = span_days(kept.value) if kept else None
    if kept and storage and storage.value == "persistent" and days is not None and days >= MIN_DAYS:
        return passed(
            f"日志保留 {kept.value}", f"the journal is kept {kept.value}", [kept.line, storage.line]
        )
    return failed(
        f"没有把日志保留 {MIN_DAYS} 天的配置",
        f"nothing keeps logs for {MIN_DAYS} days",
        [s.line for s in (kept, storage) if s],
    )


def _blocks(rows: Iterable[Row], default: _Block) -> list[_Block]:
    found: list[_Block] = []
    block: _Block | None = None
    paths: list[str] = []
    for row in rows:
        text = row.text.strip()
        if block is None and text.startswith(("/", '"/', "{")):
            paths.append(text.partition("{")[0])
        if "{" in text and block is None:
            block = _Block(
                default.period, default.rotate, default.max_age, " ".join(paths), list(default.lines)
            )
            found.append(block)
            paths = []
        _apply(block or default, text, row.line)
        if "}" in text:
            block = None
    return found


def _apply(block: _Block, text: str, line: Line) -> None:
    words = text.split()
    if words[0] in _PERIODS:
        block.period = _PERIODS[words[0]]
    elif words[0] == "rotate" and len(words) > 1 and words[1].isdigit():
        block.rotate = int(words[1])
    elif words[0] == "maxage" and len(words) > 1 and words[1].isdigit():
        block.max_age = int(words[1])
    else:
        return
    block.lines.append(line)


CHECK = Check(
    "LNX-048",
    "8.1.4.3.c",
    "日志保留不少于六个月",
    "Logs are kept at least six months",
    ("logrotate", "logrotate-d", "journald", "journald-d"),
    judge,
    high_risk="6.5.1.2",
)
