"""LNX-037: no set-uid programs where users can write."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, passed
from rules.compliance.facts import Facts


def judge(facts: Facts) -> Outcome:
    """Looks below /tmp, /var/tmp, /dev/shm, /home, /opt and /srv, four levels deep; elsewhere takes a baseline."""
    rows = [row for row in facts.rows("stray-suid") if row.text.startswith("/")]
    if rows:
        return failed(
            f"用户可写目录中有 {len(rows)} 个 SUID/SGID 程序",
            f"{len(rows)} set-uid programs where users can write",
            (row.line for row in rows),
        )
    return passed("用户可写目录中没有 SUID/SGID 程序", "no set-uid program where users can write")


CHECK = Check(
    "LNX-037",
    "8.1.4.2.f",
    "用户可写目录不得有 SUID 程序",
    "No set-uid programs where users can write",
    ("stray-suid",),
    judge,
    levels=frozenset({3}),
)
