"""What can be read from a Linux host: fixed files, folders and exact commands, all read-only.

A folder is read with one `grep` that prints every line with its file name and follows links (PAM stacks of openEuler
and Kylin are links); no shell is involved anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from monitor.devices import FactRequest
from monitor.errors import InputError


@dataclass(frozen=True, slots=True)
class Source:
    """One fact: exactly one of `path`, `folder` (with a file-name `pattern`) and `argv` is set."""

    id: str
    path: str = ""
    folder: str = ""
    pattern: str = "*"
    argv: tuple[str, ...] = ()

    def request(self) -> FactRequest:
        """How a live host is asked for it."""
        if self.folder:
            return FactRequest(self.id, argv=("grep", "-RHI", f"--include={self.pattern}", "", self.folder))
        return FactRequest(self.id, path=self.path, argv=self.argv)


KEY_FILES = (
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/ssh/sshd_config",
    "/etc/sudoers",
    "/etc/crontab",
)
LOG_FILES = (
    "/var/log/audit",
    "/var/log/audit/audit.log",
    "/var/log/auth.log",
    "/var/log/secure",
    "/var/log/syslog",
    "/var/log/messages",
    "/var/log/wtmp",
    "/var/log/btmp",
)
_SUID_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/home", "/opt", "/srv")  # noqa: S108 - searched, never written
_FILES = {
    "passwd": "/etc/passwd",
    "shadow": "/etc/shadow",
    "group": "/etc/group",
    "login-defs": "/etc/login.defs",
    "pwquality": "/etc/security/pwquality.conf",
    "pwhistory": "/etc/security/pwhistory.conf",
    "faillock": "/etc/security/faillock.conf",
    "profile": "/etc/profile",
    "bash-bashrc": "/etc/bash.bashrc",
    "bashrc": "/etc/bashrc",
    "environment": "/etc/environment",
    "sshd-config": "/etc/ssh/sshd_config",
    "rsyslog": "/etc/rsyslog.conf",
    "syslog-ng": "/etc/syslog-ng/syslog-ng.conf",
    "logrotate": "/etc/logrotate.conf",
    "journald": "/etc/systemd/journald.conf",
    "auditd": "/etc/audit/auditd.conf",
    "audit-rules-compiled": "/etc/audit/audit.rules",
    "chrony-debian": "/etc/chrony/chrony.conf",
    "chrony": "/etc/chrony.conf",
    "ntp": "/etc/ntp.conf",
    "timesyncd": "/etc/systemd/timesyncd.conf",
    "sudoers": "/etc/sudoers",
    "snmpd": "/etc/snmp/snmpd.conf",
    "os-release": "/etc/os-release",
    "exports": "/etc/exports",
    "redirects": "/proc/sys/net/ipv4/conf/all/accept_redirects",
    "source-route": "/proc/sys/net/ipv4/conf/all/accept_source_route",
    "syncookies": "/proc/sys/net/ipv4/tcp_syncookies",
    "suid-dumpable": "/proc/sys/fs/suid_dumpable",
}
_FOLDERS = {
    "pwquality-d": ("/etc/security/pwquality.conf.d", "*.conf"),
    "pam": ("/etc/pam.d", "*"),
    "profile-d": ("/etc/profile.d", "*.sh"),
    "sshd-config-d": ("/etc/ssh/sshd_config.d", "*.conf"),
    "rsyslog-d": ("/etc/rsyslog.d", "*.conf"),
    "logrotate-d": ("/etc/logrotate.d", "*"),
    "journald-d": ("/etc/systemd/journald.conf.d", "*.conf"),
    "audit-rules": ("/etc/audit/rules.d", "*.rules"),
    "chrony-sources": ("/etc/chrony/sources.d", "*.sources"),
    "sudoers-d": ("/etc/sudoers.d", "*"),
}
_COMMANDS = {
    "sshd-effective": ("/usr/sbin/sshd", "-T"),
    "listeners": ("ss", "-H", "-lntu"),
    "processes": ("ps", "-eo", "comm="),
    "chrony-tracking": ("chronyc", "-n", "tracking"),
    "timedatectl": ("timedatectl", "show", "-p", "NTPSynchronized"),
    "key-files": ("stat", "-c", "%a %U %G %n", *KEY_FILES),
    "log-files": ("stat", "-c", "%a %U %G %n", *LOG_FILES),
    "packages-dpkg": ("dpkg-query", "-W", "-f=${Package} ${db:Status-Abbrev}\\n"),
    "packages-rpm": ("rpm", "-qa", "--qf", "%{NAME} ii\\n"),
    "stray-suid": ("find", *_SUID_FOLDERS, "-xdev", "-maxdepth", "4", "-type", "f", "-perm", "/6000"),
}
SOURCES: Mapping[str, Source] = {
    **{id_: Source(id_, path=path) for id_, path in _FILES.items()},
    **{id_: Source(id_, folder=folder, pattern=pattern) for id_, (folder, pattern) in _FOLDERS.items()},
    **{id_: Source(id_, argv=argv) for id_, argv in _COMMANDS.items()},
}


def sources(ids: Iterable[str]) -> list[Source]:
    """The sources of these fact ids, each once, in order of id."""
    found = []
    for id_ in sorted(set(ids)):
        if id_ not in SOURCES:
            raise InputError(f"no source for the fact {id_!r}", hint="add it to rules/compliance/sources.py")
        found.append(SOURCES[id_])
    return found
