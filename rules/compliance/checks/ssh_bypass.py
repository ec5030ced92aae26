"""LNX-029: sshd offers no way around authentication."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_applicable, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import SSHD_FACTS, sshd

WANTED = {
    "permitemptypasswords": "no",
    "ignorerhosts": "yes",
    "hostbasedauthentication": "no",
    "permituserenvironment": "no",
}


def judge(facts: Facts) -> Outcome:
    """All four have the wanted value by default."""
    daemon = sshd(facts)
    if daemon is None:
        return not_applicable("没有 sshd", "there is no sshd")
    values = {key: daemon.get(key, wanted) for key, wanted in WANTED.items()}
    bad = {key: value for key, (value, _) in values.items() if value != WANTED[key]}
    lines = [line for key, (_, where) in values.items() if key in bad or not bad for line in where]
    if bad:
        shown = "、".join(f"{key} {value}" for key, value in bad.items())
        return failed(f"SSH 鉴别可被绕过:{shown}", f"SSH authentication can be bypassed: {shown}", lines)
    return passed("SSH 鉴别不可绕过", "SSH authentication cannot be bypassed", lines)


CHECK = Check(
    "LNX-029",
    "8.1.4.1.a",
    "SSH 鉴别不可绕过",
    "SSH authentication cannot be bypassed",
    SSHD_FACTS,
    judge,
    high_risk="A-18",
)
