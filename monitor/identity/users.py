"""Accounts: Argon2id passwords with the level-3 policy, lock-out, optional TOTP."""

from __future__ import annotations

import json
import secrets
import string
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import select, update

from monitor.audit import AuditLog
from monitor.clock import Clock
from monitor.database import Database
from monitor.errors import DeniedError, InputError, NotFoundError
from monitor.identity.roles import Permission, Role, permissions_of
from monitor.model import Scope, SiteId
from monitor.tables import UserRow
from monitor.vault import Vault

MAX_FAILURES = 5
LOCK_MS = 15 * 60 * 1000
MIN_PASSWORD = 10
OTP_STEP_SECONDS = 30
MAX_VERIFYING = 4  # one verification takes 64 MiB; without a bound a flood of logins takes all memory
VERIFY_WAIT_SECONDS = 3.0
PASSWORD_ALPHABET = string.ascii_letters + string.digits
# Verified against when the account does not exist, so that both cases take the same time.
_HASHER = PasswordHasher()
_DECOY = _HASHER.hash(secrets.token_hex(16))
_VERIFYING = threading.BoundedSemaphore(MAX_VERIFYING)


class LoginError(DeniedError):
    """A refused login. `code`: bad-login, locked, disabled, busy, otp-needed or otp-wrong."""

    def __init__(self, code: str, message: str, zh: str) -> None:
        self.code = code
        super().__init__(message, zh=zh)


@dataclass(frozen=True, slots=True)
class User:
    """An account as the rest of the system sees it. `sites` empty means the whole city."""

    name: str
    display: str
    role: Role
    sites: tuple[SiteId, ...]
    must_change: bool
    has_otp: bool
    disabled: bool
    locale: str = ""

    def may(self, permission: Permission) -> bool:
        """Whether the role grants this."""
        return permission in permissions_of(self.role)


def password_problem(password: str, name: str) -> str:
    """Why a password breaks the policy (Chinese), or empty: length, three character classes, not the name."""
    classes: list[Callable[[str], bool]] = [
        str.islower,
        str.isupper,
        str.isdigit,
        lambda character: not character.isalnum(),
    ]
    if len(password) < MIN_PASSWORD:
        return f"口令至少 {MIN_PASSWORD} 位"
    if sum(any(test(c) for c in password) for test in classes) < 3:
        return "口令须含大写、小写、数字、符号中的三类"
    if name.lower() in password.lower():
        return "口令不得包含账号名"
    return ""


def random_password(name: str) -> str:
    """A one-time password that meets the policy for this account."""
    while True:
        password = "".join(secrets.choice(PASSWORD_ALPHABET) for _ in range(14))
        if not password_problem(password, name or "\0"):  # without a name there will be no account
            return password


def scope_of(user: User) -> Scope:
    """What a user may see: own sites; site staff and nobody else must have some."""
    if user.sites or user.role is Role.SITE_STAFF:
        return Scope(frozenset(user.sites))
    return Scope(None)


class Users:
    """The accounts of this installation."""

    def __init__(self, database: Database, clock: Clock, audit: AuditLog, vault: Vault) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._vault = vault

    def create(
        self,
        name: str,
        role: Role,
        password: str,
        *,
        display: str = "",
        sites: Sequence[str] = (),
        must_change: bool = True,
        actor: str = "system",
    ) -> User:
        """Add an account. InputError when it exists or the password breaks the policy."""
        if not name or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise InputError(f"not an account name: {name!r}", zh="账号名只能含字母、数字、点、横线")
        if problem := password_problem(password, name):
            raise InputError("the password breaks the policy", zh=problem)
        if role is Role.SITE_STAFF and not sites:
            raise InputError("site staff need at least one site", zh="院方人员须指定机构")
        with self._database.session() as session:
            if session.get(UserRow, name) is not None:
                raise InputError(f"account {name!r} exists", zh=f"账号 {name} 已存在")
            row = UserRow(
                name=name,
                display=display or name,
                role=role.value,
                sites=json.dumps(list(sites)),
                password_hash=_HASHER.hash(password),
                password_changed_at=self._clock.now_ms(),
                must_change=must_change,
                created_at=self._clock.now_ms(),
            )
            session.add(row)
        self._audit.record(actor, "user.create", name, {"role": role.value, "sites": ",".join(sites)})
        return _user(row)

    def list(self) -> list[User]:
        """All accounts by name."""
        with self._database.session() as session:
            return [_user(row) for row in session.scalars(select(UserRow).order_by(UserRow.name))]

    def get(self, name: str) -> User:
        """One account; NotFoundError."""
        return _user(self._row(name))

    def authenticate(self, name: str, password: str, otp: str = "", *, address: str = "") -> User:
        """Check a login. Raises LoginError; the fifth failure in a row locks the account for 15 minutes."""
        with self._database.session() as session:
            row = session.get(UserRow, name)
        fine = _verify_bounded(row.password_hash if row else _DECOY, password)
        if row is None:
            self._audit.record(name or "-", "login.refused", address, {"reason": "no such account"})
            raise _bad_login()
        # Read again: guesses sent at the same time must not outrun the lock the first five of them set.
        row = self._row(name)
        if row.locked_until > self._clock.now_ms():
            self._audit.record(name, "login.refused", address, {"reason": "locked"})
            raise LoginError("locked", "the account is locked", "账号已锁定，请 15 分钟后再试")
        if fine and row.disabled:
            self._audit.record(name, "login.refused", address, {"reason": "disabled"})
            raise LoginError("disabled", "the account is disabled", "账号已停用，请联系安全管理员")
        if not fine:
            self._fail(name, address)
            raise _bad_login()
        if row.otp_sealed:
            self._check_otp(row, otp, address)
        with self._database.session() as session:
            fresh = session.get_one(UserRow, name)
            fresh.failures = 0
        self._audit.record(name, "login", address)
        return _user(fresh)

    def set_password(self, name: str, password: str, *, actor: str, must_change: bool = False) -> None:
        """Replace the password. InputError when it breaks the policy or is the old one."""
        if problem := password_problem(password, name):
            raise InputError("the password breaks the policy", zh=problem)
        row = self._row(name)
        if _verify(row.password_hash, password):
            raise InputError("the new password equals the old one", zh="新口令不得与旧口令相同")
        with self._database.session() as session:
            row = session.get_one(UserRow, name)
            row.password_hash = _HASHER.hash(password)
            row.password_changed_at = self._clock.now_ms()
            row.must_change = must_change
            row.failures = row.locked_until = 0
        self._audit.record(actor, "user.password", name)

    def set_disabled(self, name: str, disabled: bool, *, actor: str) -> None:
        """Switch an account off or on."""
        with self._database.session() as session:
            session.get_one(UserRow, self._row(name).name).disabled = disabled
        self._audit.record(actor, "user.disable" if disabled else "user.enable", name)

    def set_locale(self, name: str, locale: str) -> None:
        """Remember the language of an account."""
        with self._database.session() as session:
            session.get_one(UserRow, self._row(name).name).locale = locale

    def enroll_otp(self, name: str, *, actor: str) -> str:
        """Set up TOTP; returns the otpauth:// URI to show once."""
        secret = pyotp.random_base32()
        with self._database.session() as session:
            session.get_one(UserRow, self._row(name).name).otp_sealed = self._vault.seal(
                secret, f"otp:{name}"
            )
        self._audit.record(actor, "user.otp", name)
        return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name="Zhishou")

    def _row(self, name: str) -> UserRow:
        with self._database.session() as session:
            row = session.get(UserRow, name)
        if row is None:
            raise NotFoundError(f"no account {name!r}", zh=f"没有账号 {name}")
        return row

    def _fail(self, name: str, address: str) -> None:
        with self._database.session() as session:
            counted = update(UserRow).where(UserRow.name == name).values(failures=UserRow.failures + 1)
            failures = session.execute(counted.returning(UserRow.failures)).scalar_one()
            locked = failures >= MAX_FAILURES
            if locked:
                row = session.get_one(UserRow, name)
                row.locked_until, row.failures = self._clock.now_ms() + LOCK_MS, 0
        self._audit.record(name, "login.locked" if locked else "login.refused", address)

    def _check_otp(self, row: UserRow, otp: str, address: str) -> None:
        if not otp:
            raise LoginError("otp-needed", "a one-time code is needed", "请输入动态口令")
        totp = pyotp.TOTP(self._vault.open(row.otp_sealed, f"otp:{row.name}"))
        step = self._clock.now_ms() // 1000 // OTP_STEP_SECONDS
        for candidate in (step - 1, step, step + 1):
            # A code is good once: the step it belongs to must be newer than the last one used.
            if candidate > row.otp_last_step and secrets.compare_digest(
                totp.at(candidate * OTP_STEP_SECONDS), otp.strip().encode("ascii", "replace").decode()
            ):
                with self._database.session() as session:
                    session.get_one(UserRow, row.name).otp_last_step = candidate
                return
        self._fail(row.name, address)
        raise LoginError("otp-wrong", "the one-time code is wrong or used", "动态口令不正确或已用过")


def _bad_login() -> LoginError:
    return LoginError("bad-login", "account or password is wrong", "账号或口令不正确")


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except VerificationError:
        return False


def _verify_bounded(password_hash: str, password: str) -> bool:
    """Verify for somebody who is not known yet: a few at a time, however many ask. LoginError when all are taken."""
    if not _VERIFYING.acquire(timeout=VERIFY_WAIT_SECONDS):
        raise LoginError("busy", "too many logins at the same time", "登录请求过多，请稍后再试")
    try:
        return _verify(password_hash, password)
    finally:
        _VERIFYING.release()


def _user(row: UserRow) -> User:
    sites = tuple(SiteId(site) for site in json.loads(row.sites or "[]"))
    return User(
        row.name,
        row.display,
        Role(row.role),
        sites,
        row.must_change,
        bool(row.otp_sealed),
        row.disabled,
        row.locale,
    )
