"""LNX-059: the kernel ignores redirects and source routes and survives SYN floods."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts

WANTED = {
    "redirects": ("accept_redirects", "0"),
    "source-route": ("accept_source_route", "0"),
    "syncookies": ("tcp_syncookies", "1"),
}


def judge(facts: Facts) -> Outcome:
    """The running values below /proc/sys."""
    rows = {fact: facts.rows(fact) for fact in WANTED}
    if not all(rows.values()):
        return not_checked("没有读到内核网络参数", "kernel parameters were not read")
    bad = [fact for fact, found in rows.items() if found[0].text.strip() != WANTED[fact][1]]
    if bad:
        shown = "、".join(WANTED[fact][0] for fact in bad)
        return failed(
            f"内核网络参数未加固:{shown}",
            f"kernel parameters are not hardened: {shown}",
            (rows[fact][0].line for fact in bad),
        )
    return passed(
        "内核网络参数已加固",
        "kernel network parameters are hardened",
        (found[0].line for found in rows.values()),
    )


CHECK = Check(
    "LNX-059", "8.1.4.4.b", "加固内核网络参数", "Kernel network parameters are hardened", tuple(WANTED), judge
)
