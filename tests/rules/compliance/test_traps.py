"""Traps met on real hosts: each is one way to judge wrongly."""

from __future__ import annotations

import pytest

from rules.compliance.check import Check, Outcome, load_checks
from rules.compliance.facts import Facts, NotCollectedError
from rules.compliance.interface import Verdict
from rules.compliance.parse import reachable_listeners, span_days, sshd
from tests.rules.compliance.samples import FIXTURES, fact, facts_of

CHECKS = {check.id: check for check in load_checks()}


def outcome(check: str, **given: str) -> Outcome:
    found: Check = CHECKS[check]
    return found.judge(facts_of({name.replace("_", "-"): text for name, text in given.items()}, found.facts))


def test_sshd_T_without_run_sshd_falls_back_to_the_files() -> None:  # noqa: N802
    config = "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin no\n"
    dropin = "/etc/ssh/sshd_config.d/50-cloud.conf:PermitRootLogin yes\n"
    broken = fact("sshd-effective", "", error="exit code 255")
    facts = Facts([broken, fact("sshd-config", config), fact("sshd-config-d", dropin)])
    found = sshd(facts)
    assert found is not None
    assert not found.effective
    assert (
        found.get("permitrootlogin", "")[0] == "yes"
    )  # the first setting wins, and the include stands first
    assert CHECKS["LNX-027"].judge(facts).verdict is Verdict.FAIL
    with pytest.raises(NotCollectedError):
        facts.rows("sshd-effective")


def test_settings_below_match_are_not_global() -> None:
    assert outcome(
        "LNX-027", sshd_config="PermitRootLogin no\nMatch Address 10.0.0.1\nPermitRootLogin yes\n"
    ).verdict is (Verdict.PASS)


def test_unknown_default_algorithms_are_not_accepted() -> None:
    assert outcome("LNX-021", sshd_config="PermitRootLogin no\n").verdict is Verdict.NOT_CHECKED


def test_a_list_of_removed_algorithms_is_no_finding() -> None:
    assert outcome("LNX-021", sshd_config="Ciphers -3des-cbc\n").verdict is Verdict.NOT_CHECKED
    assert outcome("LNX-021", sshd_config="Ciphers +3des-cbc\n").verdict is Verdict.FAIL


def test_client_alive_is_no_idle_timeout() -> None:
    assert outcome("LNX-017", profile="# nothing\n").verdict is Verdict.FAIL
    assert "sshd-effective" not in CHECKS["LNX-017"].facts


def test_login_defs_says_nothing_about_existing_accounts() -> None:
    assert CHECKS["LNX-006"].facts == ("shadow",)
    shadow = "root:$6$a$b:20228:0:99999:7:::\n"
    assert outcome("LNX-006", shadow=shadow).verdict is Verdict.FAIL
    assert outcome("LNX-006", shadow="root:*:20228:0:99999:7:::\n").verdict is Verdict.NOT_APPLICABLE


def test_sm3_hashes_are_strong() -> None:
    assert outcome("LNX-012", shadow="root:$sm3$salt$hash:1:0:90:7:::\n").verdict is Verdict.PASS
    assert outcome("LNX-012", shadow="root:ab3dEfGhIjKlM:1:0:90:7:::\n").verdict is Verdict.FAIL


def test_hashes_never_reach_a_verdict() -> None:
    for folder in FIXTURES.glob("*/*"):
        if (folder / "shadow").exists():
            found = outcome(folder.parent.name, shadow=(folder / "shadow").read_text("utf-8"))
            assert not any("j9T" in line.text or "0123456789" in line.text for line in found.lines)


def test_pam_stacks_of_both_families() -> None:
    line = "password requisite pam_pwquality.so minlen=10 minclass=3"
    for stack in ("common-password", "system-auth", "password-auth"):
        assert outcome("LNX-008", pam=f"/etc/pam.d/{stack}:{line}\n").verdict is Verdict.PASS
    assert outcome("LNX-008", pam=f"/etc/pam.d/other:{line}\n").verdict is Verdict.NOT_CHECKED


def test_pam_bracket_controls_and_optional_dash() -> None:
    text = "/etc/pam.d/system-auth:-auth [default=die] /usr/lib64/security/pam_faillock.so authfail deny=5\n"
    assert outcome("LNX-014", pam=text).verdict is Verdict.PASS


def test_faillock_conf_alone_locks_nobody() -> None:
    pam = "/etc/pam.d/common-auth:auth required pam_unix.so\n"
    assert outcome("LNX-014", pam=pam, faillock="deny = 5\n").verdict is Verdict.FAIL


def test_module_arguments_win_over_faillock_conf() -> None:
    pam = "/etc/pam.d/common-auth:auth required pam_faillock.so deny=0\n"
    assert outcome("LNX-014", pam=pam, faillock="deny = 5\n").verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("community", "verdict"),
    [
        ("rocommunity public", Verdict.FAIL),
        ("rocommunity public 127.0.0.1", Verdict.PASS),
        ("rocommunity6 public ::1", Verdict.PASS),
        ("rocommunity public default -V systemonly", Verdict.FAIL),
        ("rwcommunity Zs-4f9k2", Verdict.FAIL),
        ("com2sec readonly default public", Verdict.FAIL),
        ("com2sec readonly localhost public", Verdict.PASS),
        ("rouser monitor authpriv", Verdict.PASS),
    ],
)
def test_communities_by_who_can_use_them(community: str, verdict: Verdict) -> None:
    assert outcome("LNX-062", snmpd=f"agentaddress udp:161\n{community}\n").verdict is verdict


def test_loopback_snmpd_is_no_finding() -> None:
    assert (
        outcome("LNX-062", snmpd="agentaddress  127.0.0.1,[::1]\nrocommunity public\n").verdict
        is Verdict.PASS
    )


@pytest.mark.parametrize(
    ("address", "reachable"),
    [
        ("127.0.0.1:23", False),
        ("127.0.0.53%lo:23", False),
        ("[::1]:23", False),
        ("[::ffff:127.0.0.1]:23", False),
        ("0.0.0.0:23", True),
        ("*:23", True),
        ("[::]:23", True),
        ("10.1.2.3:23", True),
        ("[fe80::1]%eth0:23", True),
    ],
)
def test_listeners_by_reachable_address(address: str, *, reachable: bool) -> None:
    facts = facts_of({"listeners": f"tcp LISTEN 0 128 {address} *:*\n"})
    assert [item.port for item in reachable_listeners(facts.rows("listeners"))] == ([23] if reachable else [])


def test_udp_514_is_syslog_and_not_rsh() -> None:
    assert outcome("LNX-020", listeners="udp UNCONN 0 0 0.0.0.0:514 0.0.0.0:*\n").verdict is Verdict.PASS


def test_an_unknown_release_is_an_alarm_not_a_pass() -> None:
    found = outcome("LNX-064", os_release="ID=kylin\nVERSION_ID=V10\n")
    assert found.verdict is Verdict.NOT_CHECKED
    assert "kylin V10" in found.zh


def test_end_of_life_counts_on_the_day_of_reading() -> None:
    assert outcome("LNX-064", os_release='ID="centos"\nVERSION_ID="7"\n').verdict is Verdict.FAIL
    assert outcome("LNX-064", os_release="ID=ubuntu\nVERSION_ID=24.04\n").verdict is Verdict.PASS


def test_retention_counts_the_block_of_the_system_log() -> None:
    block = "/etc/logrotate.d/{0}:{1}\n/etc/logrotate.d/{0}:{{\n/etc/logrotate.d/{0}: daily\n/etc/logrotate.d/{0}: rotate {2}\n/etc/logrotate.d/{0}:}}\n"
    other = block.format("apt", "/var/log/apt/term.log", 1)
    system = block.format("rsyslog", "/var/log/syslog", 200)
    assert (
        outcome("LNX-048", logrotate="weekly\nrotate 4\n", logrotate_d=other + system).verdict is Verdict.PASS
    )
    short = block.format("rsyslog", "/var/log/syslog", 179)
    assert outcome("LNX-048", logrotate="weekly\nrotate 4\n", logrotate_d=short).verdict is Verdict.FAIL
    capped = system.replace("rotate 200", "rotate 200\n/etc/logrotate.d/rsyslog: maxage 30")
    assert outcome("LNX-048", logrotate="", logrotate_d=capped).verdict is Verdict.FAIL


def test_retention_by_the_journal() -> None:
    journal = "[Journal]\nStorage=persistent\nMaxRetentionSec=200day\n"
    assert outcome("LNX-048", journald=journal).verdict is Verdict.PASS
    assert outcome("LNX-048", journald=journal.replace("200day", "3month")).verdict is Verdict.FAIL
    assert outcome("LNX-048", journald=journal.replace("persistent", "volatile")).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("text", "days"),
    [("86400", 1), ("1day", 1), ("2 weeks", 14), ("1year", 365.25), ("24h", 1), ("soon", None)],
)
def test_spans(text: str, days: float | None) -> None:
    found = span_days(text)
    assert (found is None) == (days is None)
    assert days is None or found == pytest.approx(days)


def test_one_weakness_is_one_finding() -> None:
    """A second superuser is LNX-002 alone; an empty password LNX-001 alone."""
    passwd = "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\n"
    assert outcome("LNX-002", passwd=passwd).verdict is Verdict.FAIL
    assert outcome("LNX-003", passwd=passwd).verdict is Verdict.PASS
    shadow = "root:*:1:0:90:7:::\nguest::1:0:99999:7:::\n"
    verdicts = {
        check: outcome(check, shadow=shadow).verdict for check in ("LNX-001", "LNX-006", "LNX-012", "LNX-028")
    }
    assert [check for check, verdict in verdicts.items() if verdict is Verdict.FAIL] == ["LNX-001"]
