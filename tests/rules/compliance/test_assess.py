"""`zhishou assess` on an unpacked root, and on Debian's sshd in namespaces of its own with two planted weaknesses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from monitor.devices import RootfsTarget, SshTarget, fact_reader
from monitor.errors import InputError
from rules.compliance.check import load_checks
from rules.compliance.cli import parse_target
from rules.compliance.collect import collect
from rules.compliance.interface import Verdict
from rules.compliance.judge import judge
from rules.compliance.verifier import verify
from tests.rules.compliance.hardened import FILES, PLANTED, PLANTED_CHECKS, grow

NOT_CHECKED_OFFLINE = {"LNX-020", "LNX-021", "LNX-022", "LNX-023", "LNX-035", "LNX-037", "LNX-041", "LNX-043", "LNX-045", "LNX-046", "LNX-055"}  # fmt: skip


def run(*arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **options}
    )


def by_verdict(document: Mapping[str, list[dict[str, str]]], verdict: str) -> list[str]:
    return [row["check"] for row in document["verdicts"] if row["verdict"] == verdict]


def test_a_hardened_root_has_no_finding(tmp_path: Path) -> None:
    done = run("assess", f"rootfs:{grow(tmp_path)}", "--level", "3", "--json")
    document = json.loads(done.stdout)
    assert by_verdict(document, "不符合") == []
    assert by_verdict(document, "部分符合") == []
    assert set(by_verdict(document, "未核查")) == NOT_CHECKED_OFFLINE
    assert done.returncode == 0, done.stderr


def test_exactly_the_planted_weaknesses_are_found_in_a_root(tmp_path: Path) -> None:
    done = run("assess", f"rootfs:{grow(tmp_path, PLANTED)}", "--level", "3", "--json")
    document = json.loads(done.stdout)
    assert by_verdict(document, "不符合") == PLANTED_CHECKS
    assert done.returncode == 1
    assert document["totals"]["不符合"] == 2
    assert sum(document["totals"].values()) == 211
    assert document["high_risks"] == ["6.4.2.1", "A-18"]
    row = next(row for row in document["verdicts"] if row["check"] == "LNX-001")
    assert row["lines"] == ["shadow:5: guest::20228:0:90:7:::"]
    assert {"clause", "item", "check", "object", "verdict", "reason", "lines"} <= set(row)
    assert "abcdefghijklmnop" not in done.stdout


@pytest.mark.parametrize(
    ("path", "check"),
    [
        ("/etc/login.defs", "LNX-005"),
        ("/etc/security/pwquality.conf", "LNX-009"),
        ("/etc/profile.d/timeout.sh", "LNX-017"),
        ("/etc/rsyslog.d/10-platform.conf", "LNX-047"),
        ("/etc/logrotate.d/rsyslog", "LNX-048"),
        ("/etc/audit/rules.d/audit.rules", "LNX-042"),
        ("/etc/audit/auditd.conf", "LNX-049"),
        ("/etc/chrony/chrony.conf", "LNX-044"),
    ],
)
def test_commenting_a_file_out_is_noticed(tmp_path: Path, path: str, check: str) -> None:
    commented = "".join(f"# {line}\n" for line in FILES[path].splitlines())
    root = RootfsTarget(str(grow(tmp_path, {path: commented})))
    checks = load_checks()
    found = judge("root", collect(fact_reader(), root, checks, 3), checks, 3)
    assert check in [j.check for j in found if j.verdict is Verdict.FAIL]


def test_lines_in_both_languages_and_a_bundle(tmp_path: Path) -> None:
    root = grow(tmp_path / "root", PLANTED)
    done = run("assess", f"rootfs:{root}", "--level", "2", "--out", str(tmp_path / "out"))
    assert "存在空口令账户:guest" in done.stdout
    assert "7.1.4.1.a" in done.stdout
    assert "自查" in done.stdout
    data = (tmp_path / "out" / "evidence.zip").read_bytes()
    problems, key = verify(data)
    assert problems == []
    assert f"signed by {key}" in done.stdout
    english = run("assess", f"rootfs:{root}", "--level", "2", "--lang", "en")
    assert "accounts without a password: guest" in english.stdout


def test_links_out_of_the_root_are_not_followed(tmp_path: Path) -> None:
    root = grow(tmp_path / "root")
    (tmp_path / "outside.conf").write_text("PermitRootLogin yes\n", "utf-8")
    (root / "etc/ssh/sshd_config.d/00-x.conf").symlink_to(tmp_path / "outside.conf")
    done = run("assess", f"rootfs:{root}", "--level", "3", "--json")
    assert by_verdict(json.loads(done.stdout), "不符合") == []


@pytest.mark.parametrize(
    "target", ["rootfs:", "ssh://", "ssh://u:p@h", "http://h", "ssh://h:port", "ssh://h/x"]
)
def test_wrong_targets(target: str) -> None:
    with pytest.raises(InputError):
        parse_target(target)


def test_wrong_use_is_exit_code_2() -> None:
    assert run("assess", "http://h", "--level", "3").returncode == 2
    assert run("assess", "rootfs:/nowhere-at-all", "--level", "3").returncode == 2


def test_targets() -> None:
    assert parse_target("hospital-1") is None
    assert parse_target("rootfs:/x") == RootfsTarget("/x")
    found = parse_target("ssh://ops@[::1]:2022", "id", "known")
    assert found == SshTarget("::1", 2022, "ops", identity_file="id", known_hosts="known")


def test_an_unreachable_host_is_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "known").write_text("", "ascii")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "id")], check=True)
    done = run(
        "assess", "ssh://root@127.0.0.1:1", "--level", "3",
        "--identity", str(tmp_path / "id"), "--known-hosts", str(tmp_path / "known"),
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "127.0.0.1" in done.stderr


SCRIPT = """
set -e
cp /bin/sleep {work}/bin/auditd; cp /bin/sleep {work}/bin/rsyslogd
cp {work}/host_key {work}/root/etc/ssh/ssh_host_ed25519_key
mkdir -p /run/sshd {work}/empty
chown -R 0:0 {work}/root {work}/log
chgrp 42 {work}/root/etc/shadow
for name in $(cd {work}/root && find proc -type f); do mount --bind {work}/root/$name /$name; done
mount --bind {work}/log /var/log
for name in /opt /srv /home; do mount --bind {work}/empty $name; done
if [ -f /var/lib/dpkg/status ]; then mount --bind {work}/status /var/lib/dpkg/status; fi
mount --bind {work}/root/etc /etc
ip link set lo up
{work}/bin/auditd 100 & {work}/bin/rsyslogd 100 &
/usr/sbin/sshd -D -e -f {work}/sshd_config 2>{work}/sshd.log &
for try in 1 2 3 4 5 6 7 8 9 10; do ss -H -lnt | grep -q :2222 && break; sleep 0.2; done
set +e
{python} -m monitor.cli assess ssh://root@127.0.0.1:2222 --level 3 --json --identity {work}/id --known-hosts {work}/known --out {work}/out
exit $?
"""


def _assess_in_namespaces(work: Path, changes: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The whole machine but /etc, /var/log, processes and network stays what it is; all of that ends with the script."""
    (work / "bin").mkdir()
    grow(work / "root", changes)
    (work / "log").mkdir()
    for name in ("auth.log", "syslog"):
        (work / "log" / name).touch(mode=0o640)
    (work / "status").write_text(
        "Package: adduser\nStatus: install ok installed\nVersion: 3\nArchitecture: all\n\n", "ascii"
    )
    for name in ("host_key", "id"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(work / name)], check=True)
    kind, blob = (work / "host_key.pub").read_text("ascii").split()[:2]
    (work / "known").write_text(f"[127.0.0.1]:2222 {kind} {blob}\n", "ascii")
    (work / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:2222\nHostKey {work}/host_key\nAuthorizedKeysFile {work}/id.pub\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n",
        "ascii",
    )
    (work / "run.sh").write_text(SCRIPT.format(work=work, python=sys.executable), "utf-8")
    command = [
        "unshare",
        "-m",
        "-n",
        "-p",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        str(work / "run.sh"),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _may_unshare() -> bool:
    needed = ("unshare", "ip", "ss", "ssh-keygen")
    if os.geteuid() != 0 or not all(map(shutil.which, needed)) or not Path("/usr/sbin/sshd").exists():
        return False
    probe = ["unshare", "-m", "-n", "-p", "--fork", "--mount-proc", "mount", "--bind", "/etc", "/etc"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("changes", "findings"), [({}, []), (PLANTED, PLANTED_CHECKS)], ids=["clean", "planted"]
)
def test_exactly_the_planted_weaknesses_are_found_over_ssh(
    tmp_path: Path, changes: Mapping[str, str], findings: list[str]
) -> None:
    if not _may_unshare():
        pytest.skip("needs root, unshare, ip, ss and sshd to give a host of its own to the test")
    done = _assess_in_namespaces(tmp_path, changes)
    assert done.returncode == (1 if findings else 0), done.stderr + done.stdout[-2000:]
    document = json.loads(done.stdout)
    assert by_verdict(document, "不符合") == findings, document
    assert by_verdict(document, "部分符合") == []
    assert set(by_verdict(document, "未核查")) <= {"LNX-023", "LNX-045"}  # bastion evidence; no clock daemon
    assert verify(Path(document["bundle"]["file"]).read_bytes()) == ([], document["bundle"]["key"])
