"""A small Debian root without a finding, as files: the base on which tests plant weaknesses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FILES: Mapping[str, str] = {
    "/etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
        "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\nhis:x:1000:1000:HIS:/home/his:/bin/sh\n"
    ),
    "/etc/group": "root:x:0:\ndaemon:x:1:\nshadow:x:42:\nutmp:x:43:\nadm:x:4:\nnogroup:x:65534:\nhis:x:1000:\n",
    "/etc/shadow": (
        "root:*:20228:0:90:7:::\ndaemon:*:20228:0:90:7:::\nsshd:!:20228::::::\n"
        "his:$6$saltsalt$abcdefghijklmnopqrstuvwxyz0123456789:20228:0:90:7:::\n"
    ),
    "/etc/login.defs": "PASS_MAX_DAYS\t90\nPASS_MIN_DAYS\t0\nPASS_WARN_AGE\t7\nUMASK\t\t027\n",
    "/etc/security/pwquality.conf": "minlen = 10\nminclass = 3\n",
    "/etc/security/faillock.conf": "deny = 5\nunlock_time = 900\n",
    "/etc/pam.d/common-auth": (
        "auth\trequired\tpam_faillock.so preauth\nauth\t[success=1 default=ignore]\tpam_unix.so nullok\n"
        "auth\trequisite\tpam_deny.so\nauth\trequired\tpam_permit.so\n"
    ),
    "/etc/pam.d/common-password": (
        "password\trequisite\tpam_pwquality.so retry=3\npassword\trequired\tpam_pwhistory.so remember=5\n"
        "password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\n"
    ),
    "/etc/pam.d/su": "auth sufficient pam_rootok.so\nauth required pam_wheel.so\n@include common-auth\n",
    "/etc/profile": "umask 027\n",
    "/etc/profile.d/timeout.sh": "readonly TMOUT=600\nexport TMOUT\n",
    "/etc/ssh/sshd_config": (
        "Include /etc/ssh/sshd_config.d/*.conf\n#PermitRootLogin yes\nPermitRootLogin no\nMaxAuthTries 4\n"
        "X11Forwarding no\nUsePAM no\n"
    ),
    "/etc/ssh/sshd_config.d/10-time.conf": "LoginGraceTime 60\n",
    "/etc/sudoers": "Defaults\tenv_reset\nroot\tALL=(ALL:ALL) ALL\n",
    "/etc/rsyslog.conf": "auth,authpriv.*\t/var/log/auth.log\n*.*;auth,authpriv.none\t-/var/log/syslog\n",
    "/etc/rsyslog.d/10-platform.conf": "*.* @@10.0.0.9:1514\n",
    "/etc/logrotate.conf": "weekly\nrotate 4\ninclude /etc/logrotate.d\n",
    "/etc/logrotate.d/rsyslog": "/var/log/syslog\n/var/log/auth.log\n{\n\tweekly\n\trotate 27\n\tmissingok\n}\n",
    "/etc/audit/auditd.conf": "max_log_file_action = keep_logs\ndisk_full_action = suspend\n",
    "/etc/audit/rules.d/audit.rules": (
        "-w /etc/passwd -p wa\n-w /etc/shadow -p wa\n-w /etc/sudoers -p wa\n-w /var/log/lastlog -p wa\n-e 2\n"
    ),
    "/etc/chrony/chrony.conf": "server 10.0.0.1 iburst\n",
    "/etc/os-release": 'NAME="Debian GNU/Linux"\nVERSION_ID="13"\nID=debian\n',
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\n",
    "/proc/sys/net/ipv4/conf/all/accept_redirects": "0\n",
    "/proc/sys/net/ipv4/conf/all/accept_source_route": "0\n",
    "/proc/sys/net/ipv4/tcp_syncookies": "1\n",
    "/proc/sys/fs/suid_dumpable": "0\n",
}
PLANTED: Mapping[str, str] = {
    "/etc/ssh/sshd_config": FILES["/etc/ssh/sshd_config"].replace(
        "\nPermitRootLogin no", "\nPermitRootLogin yes"
    ),
    "/etc/shadow": FILES["/etc/shadow"] + "guest::20228:0:90:7:::\n",
    "/etc/passwd": FILES["/etc/passwd"] + "guest:x:1001:1001::/home/guest:/bin/sh\n",
}
PLANTED_CHECKS = ["LNX-001", "LNX-027"]


def grow(root: Path, changes: Mapping[str, str] | None = None) -> Path:
    """Write the tree below `root`."""
    for name, text in {**FILES, **(changes or {})}.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        path.chmod(0o640 if path.name == "shadow" else 0o440 if path.name == "sudoers" else 0o644)
    return root
