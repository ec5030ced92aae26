"""Accounts, roles, sessions and tokens."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pyotp
import pytest

from monitor.audit import AuditLog
from monitor.clock import ManualClock
from monitor.database import Database
from monitor.errors import InputError
from monitor.identity import users as module
from monitor.identity.roles import PERMISSIONS, Permission, Role
from monitor.identity.sessions import Sessions
from monitor.identity.tokens import Tokens
from monitor.identity.users import LoginError, Users, password_problem, random_password, scope_of
from monitor.model import SiteId
from monitor.vault import Vault

PASSWORD = "Correct-Horse-7"


@pytest.fixture
def users(database: Database, clock: ManualClock, audit: AuditLog, vault: Vault) -> Users:
    made = Users(database, clock, audit, vault)
    made.create("lin", Role.DUTY_OPERATOR, PASSWORD, display="林嘉禾", must_change=False)
    return made


def refused(users: Users, name: str, password: str, otp: str = "") -> str:
    with pytest.raises(LoginError) as caught:
        users.authenticate(name, password, otp)
    return caught.value.code


def test_three_administrators_exclude_each_other() -> None:
    powers = {
        Role.SYSTEM_ADMIN: Permission.INVENTORY_EDIT,
        Role.SECURITY_ADMIN: Permission.USERS_EDIT,
        Role.AUDIT_ADMIN: Permission.AUDIT_VIEW,
    }
    for role, granted in PERMISSIONS.items():
        assert len(granted & set(powers.values())) <= 1, role
    for role, power in powers.items():
        assert power in PERMISSIONS[role]
    assert set(PERMISSIONS) == set(Role)


def test_the_right_password_logs_in(users: Users) -> None:
    user = users.authenticate("lin", PASSWORD)
    assert user.display == "林嘉禾"
    assert user.may(Permission.DESK)
    assert not user.may(Permission.USERS_EDIT)


def test_wrong_name_and_wrong_password_look_the_same(users: Users) -> None:
    assert refused(users, "lin", "nope") == refused(users, "nobody", "nope") == "bad-login"


def test_five_failures_lock_for_fifteen_minutes(users: Users, clock: ManualClock) -> None:
    for _ in range(5):
        assert refused(users, "lin", "nope") == "bad-login"
    assert refused(users, "lin", PASSWORD) == "locked"
    clock.advance(15 * 60 + 1)
    assert users.authenticate("lin", PASSWORD).name == "lin"


def test_guesses_at_the_same_time_lock_too(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock = 0, 0, threading.Lock()
    real = module._verify

    def slow(password_hash: str, password: str) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return real(password_hash, password)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(module, "_verify", slow)
    with ThreadPoolExecutor(12) as pool:
        codes = list(pool.map(lambda _: refused(users, "lin", "nope"), range(12)))
    assert codes.count("bad-login") < 5 + module.MAX_VERIFYING
    assert codes.count("locked") > 0
    assert most <= module.MAX_VERIFYING
    assert refused(users, "lin", PASSWORD) == "locked"


def test_a_login_does_not_wait_for_ever(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VERIFY_WAIT_SECONDS", 0.01)
    for _ in range(module.MAX_VERIFYING):
        module._VERIFYING.acquire()
    try:
        assert refused(users, "lin", PASSWORD) == "busy"
    finally:
        for _ in range(module.MAX_VERIFYING):
            module._VERIFYING.release()


def test_every_refused_login_is_in_the_audit_log(users: Users, audit: AuditLog) -> None:
    users.set_disabled("lin", True, actor="admin")
    refused(users, "nobody", "nope")
    assert refused(users, "lin", "nope") == "bad-login"  # a stranger does not learn that it is disabled
    assert refused(users, "lin", PASSWORD) == "disabled"
    for _ in range(4):
        refused(users, "lin", "nope")
    assert refused(users, "lin", "nope") == "locked"
    newest = [(e.action, e.detail.get("reason")) for e in audit.entries(limit=8)]
    assert newest == [
        ("login.refused", "locked"), ("login.locked", None), *[("login.refused", None)] * 3,
        ("login.refused", "disabled"), ("login.refused", None), ("login.refused", "no such account"),
    ]  # fmt: skip


def test_a_success_forgets_earlier_failures(users: Users) -> None:
    for _ in range(3):
        for _ in range(4):
            refused(users, "lin", "nope")
        users.authenticate("lin", PASSWORD)


def test_a_one_time_code_is_good_once(users: Users, clock: ManualClock) -> None:
    uri = users.enroll_otp("lin", actor="lin")
    totp = pyotp.parse_uri(uri)
    assert isinstance(totp, pyotp.TOTP)
    assert refused(users, "lin", PASSWORD) == "otp-needed"
    code = totp.at(clock.now_ms() // 1000)
    assert refused(users, "lin", PASSWORD, "000000" if code != "000000" else "111111") == "otp-wrong"
    assert users.authenticate("lin", PASSWORD, code).has_otp
    assert refused(users, "lin", PASSWORD, code) == "otp-wrong"
    clock.advance(30)
    assert users.authenticate("lin", PASSWORD, totp.at(clock.now_ms() // 1000)).name == "lin"


def test_a_disabled_account_cannot_log_in_and_its_session_ends(
    users: Users, database: Database, clock: ManualClock
) -> None:
    sessions = Sessions(database, clock, users, 600)
    token = sessions.create("lin", "127.0.0.1")
    users.set_disabled("lin", True, actor="admin")
    assert refused(users, "lin", PASSWORD) == "disabled"
    assert sessions.check(token) is None


def test_an_idle_session_ends(users: Users, database: Database, clock: ManualClock) -> None:
    sessions = Sessions(database, clock, users, 600)
    token = sessions.create("lin", "127.0.0.1")
    clock.advance(590)
    assert sessions.check(token) is not None
    clock.advance(590)
    assert sessions.check(token, touch=False) is not None
    clock.advance(20)
    assert sessions.check(token) is None
    assert sessions.check("forged") is None


def test_a_fourth_session_ends_the_oldest(users: Users, database: Database, clock: ManualClock) -> None:
    sessions = Sessions(database, clock, users, 600)
    tokens = []
    for _ in range(4):
        tokens.append(sessions.create("lin", "127.0.0.1"))
        clock.advance(1)
    assert [sessions.check(token) is not None for token in tokens] == [False, True, True, True]


def test_site_staff_see_their_sites_only(users: Users) -> None:
    with pytest.raises(InputError):
        users.create("gu", Role.SITE_STAFF, PASSWORD)
    gu = users.create("gu", Role.SITE_STAFF, PASSWORD, sites=["H002"])
    assert scope_of(gu).allows(SiteId("H002"))
    assert not scope_of(gu).allows(SiteId("H001"))
    assert not scope_of(gu).allows(None)
    assert scope_of(users.get("lin")).allows(SiteId("H001"))


def test_the_new_password_must_differ(users: Users) -> None:
    with pytest.raises(InputError, match="old one"):
        users.set_password("lin", PASSWORD, actor="lin")
    users.set_password("lin", "Another-Horse-8", actor="lin")
    assert users.authenticate("lin", "Another-Horse-8").name == "lin"


@pytest.mark.parametrize("weak", ["short-A1", "alllowercaseletters", "lowercase12345", "Xlin-2026-long"])
def test_weak_passwords_are_refused(weak: str) -> None:
    assert password_problem(weak, "lin")


@pytest.mark.parametrize("name", ["anybody", "lu", "X"])
def test_random_passwords_meet_the_policy(name: str) -> None:
    """By chance, one in some hundred would hold a name of two letters."""
    assert not any(password_problem(random_password(name), name) for _ in range(500))


def test_a_random_password_for_nobody_does_not_take_for_ever() -> None:
    assert random_password("")


def test_tokens_are_kept_as_hashes_and_can_be_revoked(database: Database, clock: ManualClock) -> None:
    tokens = Tokens(database, clock)
    text = tokens.create("collector-1", ["ingest"])
    found = tokens.check(text)
    assert found is not None
    assert found.scopes == {"ingest"}
    assert tokens.check(text[:-1]) is None
    tokens.revoke("collector-1")
    assert tokens.check(text) is None
    with pytest.raises(InputError):
        tokens.create("collector-1", ["read"])
    for wrong in (["root"], ["ingest:"], ["ingest:a b"], ["read:a"], ["ingest", "ingest:a"], []):
        with pytest.raises(InputError):
            tokens.create("x", wrong)


def test_a_token_may_be_bound_to_a_collector(database: Database, clock: ManualClock) -> None:
    tokens = Tokens(database, clock)
    bound = tokens.check(tokens.create("bound", ["ingest:c1"]))
    free = tokens.check(tokens.create("free", ["ingest"]))
    assert bound is not None
    assert free is not None
    assert bound.collectors == {"c1"}
    assert (bound.allows("ingest"), bound.allows("ingest", "c1"), bound.allows("ingest", "c2")) == (
        True, True, False,
    )  # fmt: skip
    assert not bound.allows("read")
    assert free.allows("ingest", "c2")
    assert not free.allows("write")
