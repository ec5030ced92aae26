"""LNX-022: no package of a clear-text service is installed."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_checked, passed
from rules.compliance.facts import Facts

PACKAGES = frozenset(
    {
        "telnetd",
        "inetutils-telnetd",
        "telnet-server",
        "rsh-server",
        "rsh-redone-server",
        "ypserv",
        "nis",
        "tftp-server",
        "tftpd",
        "tftpd-hpa",
        "atftpd",
        "talk-server",
        "vsftpd",
        "proftpd-core",
        "proftpd-basic",
        "pure-ftpd",
    }
)


def judge(facts: Facts) -> Outcome:
    """Removed packages whose configuration remains (`rc`) do not count."""
    readable = [fact for fact in ("packages-dpkg", "packages-rpm") if facts.readable(fact)]
    if not readable:
        return not_checked("没有读到软件包清单", "no package list was read")
    rows = facts.rows(*readable)
    bad = [row for row in rows if row.text.split()[1:] == ["ii"] and row.text.split()[0] in PACKAGES]
    if bad:
        names = "、".join(row.text.split()[0] for row in bad)
        return failed(
            f"安装了明文服务软件:{names}",
            f"clear-text services are installed: {names}",
            (row.line for row in bad),
        )
    return passed(f"{len(rows)} 个软件包中没有明文服务", f"no clear-text service among {len(rows)} packages")


CHECK = Check(
    "LNX-022",
    "8.1.4.4.a",
    "不安装明文服务软件",
    "No clear-text services are installed",
    ("packages-dpkg", "packages-rpm"),
    judge,
)
