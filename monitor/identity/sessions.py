"""Console sessions: random tokens of which only the SHA-256 is kept, ended by idleness or by hand."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import delete, select

from monitor.clock import Clock
from monitor.database import Database
from monitor.identity.users import User, Users
from monitor.tables import SessionRow, UserRow

MAX_PER_USER = 3
TOUCH_MS = 15_000


class Sessions:
    """Creates and checks sessions; at most three live ones per account, the oldest goes first."""

    def __init__(self, database: Database, clock: Clock, users: Users, idle_seconds: float) -> None:
        self._database = database
        self._clock = clock
        self._users = users
        self._idle_ms = round(idle_seconds * 1000)

    def create(self, user: str, address: str) -> str:
        """A new session; returns the token for the cookie."""
        token = secrets.token_urlsafe(32)
        now = self._clock.now_ms()
        with self._database.session() as session:
            mine = select(SessionRow).where(SessionRow.user == user).order_by(SessionRow.last_seen.desc())
            for row in session.scalars(mine).all()[MAX_PER_USER - 1 :]:
                session.delete(row)
            session.add(
                SessionRow(token_hash=_hash(token), user=user, address=address, created_at=now, last_seen=now)
            )
        return token

    def check(self, token: str, *, touch: bool = True) -> User | None:
        """The user of a live session, or None. `touch=False` for background requests: they keep nothing alive."""
        now = self._clock.now_ms()
        with self._database.session() as session:
            row = session.get(SessionRow, _hash(token))
            if row is None:
                return None
            account = session.get(UserRow, row.user)
            if now - row.last_seen > self._idle_ms or account is None or account.disabled:
                session.delete(row)
                return None
            # Writing at every request would make every page view a disk write.
            if touch and now - row.last_seen > TOUCH_MS:
                row.last_seen = now
            name = row.user
        return self._users.get(name)

    def end(self, token: str) -> None:
        """Log out."""
        with self._database.session() as session:
            session.execute(delete(SessionRow).where(SessionRow.token_hash == _hash(token)))

    def end_all(self, user: str) -> None:
        """Log a user out everywhere."""
        with self._database.session() as session:
            session.execute(delete(SessionRow).where(SessionRow.user == user))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
