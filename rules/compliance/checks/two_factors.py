"""LNX-023: logging in takes two kinds of proof, one of them cryptographic."""

from __future__ import annotations

import re

from rules.compliance.check import Check, Outcome, not_checked, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import AUTH_STACKS, SSHD_FACTS, pam, sshd

_SECOND = re.compile(r"pam_(google_authenticator|oath|radius_auth|u2f|yubico|duo|rsa|securid|2fa)")


def judge(facts: Facts) -> Outcome:
    """A bastion may provide it instead; that is for a person to prove, so its absence here is not a finding."""
    modules = [e.line for e in pam(facts.rows("pam"), "auth", AUTH_STACKS) if _SECOND.fullmatch(e.module)]
    daemon = sshd(facts)
    methods, lines = daemon.get("authenticationmethods", "any") if daemon else ("any", ())
    if modules or all("," in choice for choice in methods.split()):
        return passed("登录需要两种鉴别", "logging in takes two proofs", (*modules, *lines))
    return not_checked(
        "主机上没有双因素配置,需提供堡垒机双因素的证据",
        "no second factor on the host; show that the bastion asks for one",
        lines,
    )


CHECK = Check(
    "LNX-023",
    "8.1.4.1.d",
    "采用两种以上组合鉴别",
    "Two-factor login",
    (*SSHD_FACTS, "pam"),
    judge,
    levels=frozenset({3}),
    high_risk="A-19",
)
