"""LNX-021: sshd offers no weak cipher, MAC or key exchange (64-bit umac, OpenSSH's own default, is let be)."""

from __future__ import annotations

import re

from rules.compliance.check import Check, Outcome, failed, not_applicable, not_checked, passed
from rules.compliance.facts import Facts
from rules.compliance.interface import Line
from rules.compliance.parse import SSHD_FACTS, sshd

WEAK = re.compile(r"3des|cbc|arcfour|blowfish|cast128|md5|-96|group1-sha1|group-exchange-sha1|ssh-dss")
_KEYS = ("ciphers", "macs", "kexalgorithms", "hostkeyalgorithms")


def judge(facts: Facts) -> Outcome:
    """Complete only from `sshd -T`; a file that sets none leaves the version's defaults, which it does not show."""
    daemon = sshd(facts)
    if daemon is None:
        return not_applicable("没有 sshd", "there is no sshd")
    weak: list[str] = []
    lines: list[Line] = []
    for key in _KEYS:
        value, where = daemon.get(key, "")
        if value.startswith("-"):  # a removal list names what is NOT offered
            continue
        found = [name for name in value.lstrip("+^").split(",") if WEAK.search(name)]
        weak += found
        lines += where if found else ()
    if weak:
        return failed(
            "sshd 提供弱算法:" + "、".join(weak), "sshd offers weak algorithms: " + ", ".join(weak), lines
        )
    if not daemon.effective:
        return not_checked(
            "sshd -T 不可用,无法得知默认算法", "sshd -T is not available, defaults are unknown"
        )
    return passed(
        "sshd 未提供弱算法",
        "sshd offers no weak algorithm",
        [s.line for k in _KEYS if (s := daemon.values.get(k))],
    )


CHECK = Check(
    "LNX-021", "8.1.4.1.c", "SSH 不使用弱加密算法", "SSH offers no weak algorithms", SSHD_FACTS, judge
)
